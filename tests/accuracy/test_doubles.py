"""Every op of the list in rnnrt/ir/ops/doubles.py gives double's digits, not single's."""

from __future__ import annotations

import numpy as np
import pytest
from cases.graphs import Builder
from runtime import model_of

from rnnrt.errors import FormatError
from rnnrt.ir.activations import ACTIVATIONS, Activation
from rnnrt.ir.ops import OPS
from rnnrt.ir.ops.doubles import DOUBLE_OPS
from rnnrt.reference import Interpreter


def _window(size: tuple[int, ...], stride: int = 1, dilation: int = 1, padding: str = "same") -> dict:
    n = len(size)
    return {"kernel_size": size, "strides": (stride,) * n, "dilation_rate": (dilation,) * n, "padding": padding}


# op -> attributes; the inputs are as many tensors (None, 4) of float64 as the op takes at least
SETTINGS: dict[str, list[dict]] = {
    "simple_rnn": [{"units": 5}],
    "lstm": [{"units": 5, "return_sequences": True}],
    "gru": [{"units": 5}, {"units": 5, "reset_after": False}],
    "dense": [{"units": 3}, {"units": 19, "activation": Activation("tanh")}],
    "activation": [{"activation": Activation(name)} for name in ACTIVATIONS],
    "batch_normalization": [{"axis": 2}],
    "cast": [{"dtype": "float64"}, {"dtype": "int64"}],
    "reshape": [{"target_shape": (-1, 2, 2)}],
    "flatten": [{}],
    "expand_dims": [{"axes": (2,)}],
    "fold_time": [{}],
    "not_equal": [{"value": 0.0}],
    "masking": [{"value": 0.0}],
    "ones_mask": [{}],
    "add": [{}, {"operand": "left", "constant": 0.1}],
    "subtract": [{}, {"operand": "right", "constant": 0.1}],
    "multiply": [{}, {"operand": "left", "constant": 0.1}],
    "divide": [{}, {"operand": "left", "constant": 0.1}],
    "average": [{}],
    "maximum": [{}],
    "minimum": [{}],
    "power": [{"operand": "left", "constant": 3.0}],
    "compare": [{"function": "greater", "operand": "left", "constant": 0.1}],
    "concatenate": [{"axis": 2}, {"axis": 1}],
    "unary": [{"function": f} for f in ("abs", "expm1", "sin", "cos", "floor", "round", "sign", "erf")],
    "fill_like": [{"value": 0.1, "dtype": "float64"}],
    "reduce": [{"function": f, "first": a} for f in ("sum", "mean", "max", "min", "prod") for a in (1, 2)],
    "transpose": [{"perm": (0, 2, 1)}],
    "slice": [{"axes": (2,), "begin": (1,), "end": (3,), "step": (1,)}],
    "last_step": [{}],
    "pad": [{"padding": (1, 2, 0, 0)}],
    "dot": [{"axes": (2, 2)}],
    "repeat": [{"axis": 1, "n": 2}],
    "conv": [
        {**_window((3,), 1, 2, "causal"), "channels": 4, "filters": 6, "groups": 2},
        {**_window((3,), 2), "channels": 4, "filters": 5, "activation": Activation("softmax")},
        {**_window((1,)), "channels": 4, "filters": 19, "use_bias": False},
    ],
    "depthwise_conv": [
        {**_window((3,), 1, 2), "depth_multiplier": 2},
        {**_window((2,)), "activation": Activation("elu")},
    ],
    "pool": [{"pool_size": (3,), "strides": (2,), "padding": "same", "kind": k} for k in ("max", "average")],
    "global_pool": [{"kind": k} for k in ("max", "average")],
    "layer_normalization": [
        {"axes": (2,)},
        {"axes": (2,), "rule": "variance", "center": False, "epsilon": 0.1},
        {"axes": (2,), "rule": "rms", "scale": False, "center": False},
    ],
    "unit_normalization": [{"axes": a, "rule": r} for a in ((2,), (1,)) for r in ("keras2", "keras3")],
    "group_normalization": [{"axis": 2, "groups": 2}],
    "normalization": [
        {"axes": (2,), "mean": (0.1, 0.2, 0.3, 0.4), "variance": (0.3, 0.0, 2.0, 5.0)},
        {"axes": (2,), "mean": (0.1,), "variance": (0.7,), "invert": True},
    ],
    "rescaling": [{"axes": (2,), "scale": (0.1,), "offset": (0.7,)}],
    "prelu": [{"shared_axes": (1,)}],
    "softmax": [{"axes": a} for a in ((2,), (1,), (1, 2))],
    "category_encoding": [{"num_tokens": 3, "mode": "one_hot"}],
    "einsum_dense": [
        {"new_axes": (3, 5), "bias_axes": 1},
        {"new_axes": (19,), "bias_axes": 1, "activation": Activation("tanh")},
    ],
}
# other inputs: below
ALONE = {
    "embedding",
    "repeat_vector",
    "squeeze",
    "unfold_time",
    "apply_mask",
    "where",
    "attention",
    "conv_lstm",
}
CALLS = [(op, k) for op, settings in SETTINGS.items() for k in range(len(settings))]


def _agree(b: Builder, outputs: list[str], arrays: list[np.ndarray]) -> None:
    graph, weights = b.done(*outputs)
    got = model_of(graph, weights).predict(arrays[0] if len(arrays) == 1 else arrays)
    want = Interpreter(graph, weights).predict(arrays)
    for name, y, exact in zip(outputs, got if isinstance(got, list) else [got], want):
        assert str(y.dtype) == graph.tensors[name].dtype and y.shape == exact.shape
        np.testing.assert_allclose(y, exact, rtol=1e-13, atol=1e-13)


def test_the_list_is_tested_as_a_whole():
    assert set(SETTINGS) | ALONE == DOUBLE_OPS


@pytest.mark.parametrize("op, k", CALLS, ids=[f"{op}-{k}" for op, k in CALLS])
def test_an_op_in_double(op, k):
    attrs, random = SETTINGS[op][k], np.random.default_rng(k)
    count = 1 if "operand" in attrs else max(OPS[op].n_inputs[0], 2 if OPS[op].n_inputs[1] > 1 else 1)
    b = Builder()
    names = [b.input(f"x{i}", None, 4, dtype="float64", time="t") for i in range(count)]
    arrays = [random.standard_normal((3, 7, 4)) for _ in names]
    arrays[0][0, 2] = 0.0
    _agree(b, b.add(op, "y", *names, **attrs), arrays)


def test_ops_with_inputs_of_their_own():
    random = np.random.default_rng(5)
    b = Builder()
    x, ids = b.input("x", None, 4, dtype="float64", time="t"), b.input("ids", None, dtype="int32", time="t")
    (table,) = b.add("embedding", "table", ids, input_dim=6, output_dim=4, dtype="float64")
    b.weights["table.embeddings"] = random.standard_normal((6, 4))
    graph_weight = b.graph.weights["table.embeddings"]
    object.__setattr__(graph_weight, "dtype", "float64")
    (mask,) = b.add("masking", "mask", x)
    outs = [table, *b.add("apply_mask", "masked", x, mask, value=0.1)]
    outs += b.add("apply_mask", "times", x, mask, multiply=True)
    (large,) = b.add("compare", "large", x, function="greater", operand="left", constant=0.5)
    outs += b.add("where", "chosen", large, x, table)
    (last,) = b.add("last_step", "last", x)
    outs += b.add("repeat_vector", "copies", last, n=3)
    (wide,) = b.add("expand_dims", "wide", x, axes=(2,))
    outs += b.add("squeeze", "narrow", wide, axes=(2,))
    (rows,) = b.add("fold_time", "rows", x)
    (dense,) = b.add("dense", "of_rows", rows, units=3)
    outs += b.add("unfold_time", "back", dense, x)
    values = random.standard_normal((3, 7, 4))
    values[1, 3] = 0.0
    _agree(b, outs, [values, random.integers(0, 6, (3, 7)).astype(np.int32)])


def test_masks_states_and_directions_in_double():
    b = Builder()
    x = b.input("x", None, 4, dtype="float64")
    (mask,) = b.add("masking", "mask", x)
    outs = b.add("lstm", "a", x, mask=mask, units=6, return_sequences=True, return_state=True)
    outs += b.add(
        "gru", "b", outs[0], mask=mask, units=3, go_backwards=True, reverse_output=True, return_sequences=True
    )
    outs += b.add("simple_rnn", "c", outs[-1], mask=mask, units=2, zero_output_for_mask=True, return_sequences=True)
    values = np.random.default_rng(6).standard_normal((5, 9, 4))
    values[0, :3], values[1, 4:6], values[2, 6:], values[3] = 0, 0, 0, 0
    _agree(b, outs, [values])


def test_windows_over_two_axes_in_double():
    b = Builder()
    x = b.input("x", 6, 5, 4, dtype="float64")
    outs = b.add("conv", "wide", x, **_window((3, 2), 2), channels=4, filters=6)
    outs += b.add("conv", "apart", x, **_window((2, 3), 1, 2, "valid"), channels=4, filters=8, groups=4)
    outs += b.add("depthwise_conv", "depth", x, **_window((3, 3), 2), activation=Activation("softmax"))
    for kind in ("max", "average"):
        outs += b.add("pool", kind, x, pool_size=(2, 3), strides=(2, 1), padding="same", kind=kind)
        outs += b.add("global_pool", f"all_{kind}", x, kind=kind, keepdims=True)
    _agree(b, outs, [np.random.default_rng(7).standard_normal((3, 6, 5, 4))])


@pytest.mark.parametrize("mode", ["select", "multiply"])
def test_a_masked_mean_in_double(mode):
    b = Builder()
    x = b.input("x", None, 4, dtype="float64")
    (mask,) = b.add("masking", "mask", x)
    values = np.random.default_rng(8).standard_normal((3, 9, 4))
    values[0, :3], values[1, 4:6] = 0, 0
    _agree(b, b.add("global_pool", "mean", x, mask=mask, kind="average", mask_mode=mode), [values])


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("size, axes", [((2,), (6,)), ((3, 2), (4, 5))])
def test_conv_lstm_in_double(size, axes, masked):
    b = Builder()
    x = b.input("x", None, *axes, 3, dtype="float64", time="t")
    flags = b.input("flags", None, 1, dtype="float64", time="t")
    mask = b.add("masking", "mask", flags)[0] if masked else None
    state = (*(n // 2 + n % 2 for n in axes), 2)
    window = _window(size, 2)
    outs = b.add("conv_lstm", "a", x, mask=mask, **window, filters=2, state_shape=state, return_state=True)
    again = {"return_sequences": True, "go_backwards": True, "activation": Activation("softmax")}
    outs += b.add("conv_lstm", "b", x, mask=mask, **window, filters=2, state_shape=state, **again)
    random = np.random.default_rng(9)
    steps = np.ones((3, 7, 1))
    steps[0, :2], steps[1, 3:5], steps[2, 6:] = 0, 0, 0
    _agree(
        b, outs + b.add("unary", "unchanged", flags, function="abs"), [random.standard_normal((3, 7, *axes, 3)), steps]
    )


def test_a_stream_of_convolutions_in_double():
    b = Builder()
    x = b.input("x", None, 4, 3, dtype="float64")
    window = _window((2,))
    (y,) = b.add("conv_lstm", "loop", x, **window, filters=2, state_shape=(4, 2), return_sequences=True)
    (flat,) = b.add("reshape", "flat", y, target_shape=(-1, 8))
    (z,) = b.add("conv", "causal", flat, **_window((3,), 1, 2, "causal"), channels=8, filters=5)
    graph, weights = b.done(z)
    model = model_of(graph, weights)
    values = np.random.default_rng(10).standard_normal((1, 11, 4, 3))
    want = Interpreter(graph, weights).predict([values])[0]
    session = model.session()
    got = [session.run(values[:, i:j]) for i, j in ((0, 1), (1, 4), (4, 11))]
    np.testing.assert_allclose(np.concatenate(got, axis=1), want, rtol=1e-13, atol=1e-13)


ATTENTION = [
    {},
    {"use_scale": True, "causal": True},
    {"score": "concat", "use_scale": True, "value_mask": True, "query_mask": True, "masked": "select"},
    {"score": "additive", "use_scale": True, "query_mask": True, "query_mask_zeroes": True},
    {"heads": 2, "factor": 0.1, "causal": True, "value_mask": True, "masked": "zero"},
]


@pytest.mark.parametrize("attrs", ATTENTION, ids=range(len(ATTENTION)))
def test_attention_in_double(attrs):
    b = Builder()
    x, y = (b.input(n, None, 4, dtype="float64", time="t") for n in "xy")
    (mask,) = b.add("masking", "mask", x)
    masks = [mask] * sum(name.endswith("_mask") for name in attrs)
    outs = b.add("attention", "attention", x, y, y, *masks, return_scores=True, **attrs)
    values = np.random.default_rng(7).standard_normal((2, 3, 7, 4))
    values[0, 0, 2:], values[0, 1, 0] = 0, 0
    _agree(b, outs, list(values))


def test_weights_of_a_normalization_in_double():
    b = Builder()
    x = b.input("x", None, 4, dtype="float64")
    outs = b.add("normalization", "each", x, axes=(2,)) + b.add("normalization", "all", x, axes=(2,), scalar=True)
    for name in b.weights:
        if name.endswith("variance"):
            b.weights[name] = np.abs(b.weights[name])
    _agree(b, outs, [np.random.default_rng(8).standard_normal((3, 5, 4))])


def test_other_ops_are_refused_by_the_layer(monkeypatch):
    monkeypatch.setattr("rnnrt.ir.ops.doubles.DOUBLE_OPS", DOUBLE_OPS - {"unit_normalization"})
    b = Builder()
    x = b.input("x", None, 4, dtype="float64")
    b.add("unit_normalization", "encoder/unit", x, axes=(2,))
    graph, weights = b.done("encoder/unit")
    with pytest.raises(FormatError, match="encoder/unit: .*'unit_normalization' in float64"):
        model_of(graph, weights)
