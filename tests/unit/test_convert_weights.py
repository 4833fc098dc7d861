"""Which array becomes which weight: order, layouts of other times, mismatches."""

import h5py
import numpy as np
import pytest
from keras_files import arrays, input_layer, layer, sequential, write_group, write_h5, write_keras

from rnnrt.convert import build
from rnnrt.errors import ConversionError, UnsupportedLayerError
from rnnrt.reference import Interpreter


def recurrent(class_name, generation=2, units=4, shape=(None, 5, 3), **config):
    return sequential(input_layer("x", shape, generation), layer(class_name, "rec", generation, units=units, **config))


def h5_of(path, model, items, version="2.2.4", **more):
    return write_h5(path, model, {"rec": items}, version, **more)


# ---- trainable first, then the others -----------------------------------------------------------

DENSE_BN = {
    "p/kernel": (3, 3),
    "p/bias": (3,),
    "n/gamma": (3,),
    "n/beta": (3,),
    "n/moving_mean": (3,),
    "n/moving_variance": (3,),
    "q/kernel": (3, 3),
    "q/bias": (3,),
}


def _nested(generation, frozen=()):
    inner = layer("Sequential", "inner", generation)
    inner["config"]["trainable"] = "inner" not in frozen
    inner["config"]["layers"] = [
        input_layer("i", (None, 3), generation),
        layer("Dense", "p", generation, units=3),
        layer("BatchNormalization", "n", generation, axis=-1),
        layer("Dense", "q", generation, units=3),
    ]
    for entry in inner["config"]["layers"]:
        if entry["config"]["name"] in frozen:
            entry["config"]["trainable"] = False
    return sequential(input_layer("x", (None, 3), generation), inner)


ALL = list(DENSE_BN)
STATS = ["n/moving_mean", "n/moving_variance"]
LEARNT = [n for n in ALL if n not in STATS]
# (generation, frozen layers) -> the order in which Keras writes the arrays of the nested model
ORDERS = [
    (2, (), LEARNT + STATS),
    (3, (), LEARNT + STATS),
    (2, ("p",), ["n/gamma", "n/beta", "q/kernel", "q/bias", "p/kernel", "p/bias", *STATS]),
    (3, ("p",), ["n/gamma", "n/beta", "q/kernel", "q/bias", "p/kernel", "p/bias", *STATS]),
    (2, ("n",), ["p/kernel", "p/bias", "q/kernel", "q/bias", "n/gamma", "n/beta", *STATS]),
    (2, ("inner", "p", "n", "q"), ALL),
    (3, ("inner", "p", "n", "q"), ALL),
    (2, ("inner",), LEARNT + STATS),
    # Keras 3, made with Dense(trainable=False): its variables stay trainable for the model around
    (3, ("p",), LEARNT + STATS),
]


# without the layers' names two orders fit the last one
@pytest.mark.parametrize(
    "generation, frozen, order, full", [(*o, True) for o in ORDERS] + [(*o, False) for o in ORDERS[:-1]]
)
def test_order_inside_a_nested_model(generation, frozen, order, full, tmp_path):
    values = dict(zip(DENSE_BN, arrays(*DENSE_BN.values())))
    suffix = ":0" if generation == 2 else ""
    if full:
        stored = [(f"inner/{n}{suffix}" if generation == 3 else n + suffix, values[n]) for n in order]
    else:
        stored = [(f"w{k}/{n.split('/')[1]}{suffix}", values[n]) for k, n in enumerate(order)]
    src = write_h5(tmp_path / "a.h5", _nested(generation, frozen), {"inner": stored}, f"{generation}.9.0")
    got = build(src).weights
    for name, a in values.items():
        np.testing.assert_array_equal(got[f"inner/{name.replace('/', '.')}"], a, err_msg=name)


def test_names_of_layers_need_not_match(tmp_path):
    """Weights by themselves go by order: the file's layers may have other names, as after a rebuild."""
    a, b = arrays((3, 3), (3, 3))
    model = sequential(
        input_layer("x", (None, 3)),
        layer("Dense", "d1", units=3, use_bias=False),
        layer("Dense", "d2", units=3, use_bias=False),
    )
    with h5py.File(tmp_path / "w.h5", "w") as f:
        write_group(f, {"d2": [("d2/kernel:0", a)], "pause": [], "d1": [("d1/kernel:0", b)]})
    w = build(tmp_path / "w.h5", architecture=model).weights
    np.testing.assert_array_equal(w["d1.kernel"], a)
    np.testing.assert_array_equal(w["d2.kernel"], b)


def test_layers_that_are_cut_away_may_be_anything(tmp_path):
    """Behind the cut stand a Lambda and a custom layer with weights of any kind; names pair the rest."""
    (k,) = arrays((3, 2))
    chain = [
        input_layer("x", (None, 3), functional=True),
        layer("Dense", "d", inbound=[[["x", 0, 0, {}]]], units=2, use_bias=False),
        layer("MDN", "mdn", inbound=[[["d", 0, 0, {}]]], mixtures=3),
    ]
    config = {"name": "m", "layers": chain, "input_layers": [["x", 0, 0]], "output_layers": [["mdn", 0, 0]]}
    stored = {"mdn": [("mdn/table:0", np.arange(6))], "d": [("d/kernel:0", k)]}
    src = write_h5(tmp_path / "a.h5", {"class_name": "Model", "config": config}, stored)
    np.testing.assert_array_equal(build(src, outputs="d").weights["d.kernel"], k)
    with pytest.raises(UnsupportedLayerError, match=r"mdn \(MDN\).*outputs=\['d'\]"):
        build(src)


# ---- mismatches ---------------------------------------------------------------------------------


def test_a_wrong_shape_names_the_weight(tmp_path):
    k, r, b = arrays((3, 16), (4, 12), (16,))
    src = h5_of(tmp_path / "a.h5", recurrent("LSTM"), [("k:0", k), ("r:0", r), ("b:0", b)])
    with pytest.raises(ConversionError, match=r"rec\.recurrent_kernel: expected \(4, 16\), got \(4, 12\)"):
        build(src)
    src = write_keras(tmp_path / "a.keras", recurrent("LSTM", 3), {"layers/lstm/cell": [k, r, b]})
    with pytest.raises(ConversionError, match=r"rec\.recurrent_kernel: expected \(4, 16\), got \(4, 12\)"):
        build(src)


def test_a_wrong_number_of_arrays(tmp_path):
    k, r = arrays((3, 16), (4, 16))
    src = h5_of(tmp_path / "a.h5", recurrent("LSTM"), [("k:0", k), ("r:0", r)])
    with pytest.raises(ConversionError, match="rec: 3 arrays expected, the file has 2"):
        build(src)
    src = write_keras(tmp_path / "a.keras", recurrent("LSTM", 3), {"layers/lstm/cell": [k, r]})
    with pytest.raises(ConversionError, match="rec: 3 arrays expected in layers/lstm/cell, the file has 2"):
        build(src)


def test_kernel_and_recurrent_kernel_swapped_by_name(tmp_path):
    """Equal shapes hide a wrong order from shapes, not from names."""
    k, r, b = arrays((4, 4), (4, 4), (4,))
    model = recurrent("SimpleRNN", shape=(None, 5, 4))
    src = h5_of(tmp_path / "a.h5", model, [("rec/recurrent_kernel:0", r), ("rec/kernel:0", k), ("rec/bias:0", b)])
    with pytest.raises(ConversionError, match="in any known order"):
        build(src)


def test_a_file_of_another_model(tmp_path):
    (k,) = arrays((3, 2))
    model = sequential(input_layer("x", (None, 3)), layer("Dense", "a", units=2, use_bias=False))
    with h5py.File(tmp_path / "w.h5", "w") as f:
        write_group(f, {"u": [("u/kernel:0", k)], "v": [("v/kernel:0", k)]})
    with pytest.raises(ConversionError, match="2 layers with weights in the file, 1 in the architecture"):
        build(tmp_path / "w.h5", architecture=model)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers(value, tmp_path):
    (k,) = arrays((3, 2))
    k[1, 1] = value
    model = sequential(input_layer("x", (None, 3)), layer("Dense", "a", units=2, use_bias=False))
    with pytest.raises(ConversionError, match="a.kernel: holds NaN or infinite"):
        build(write_h5(tmp_path / "a.h5", model, {"a": [("a/kernel:0", k)]}))


@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_other_float_types_become_float32(dtype, tmp_path):
    (k,) = arrays((3, 2))
    model = sequential(input_layer("x", (None, 3)), layer("Dense", "a", units=2, use_bias=False))
    got = build(write_h5(tmp_path / "a.h5", model, {"a": [("a/kernel:0", k.astype(dtype))]})).weights["a.kernel"]
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, k.astype(dtype).astype(np.float32))


def test_integers_are_no_weights(tmp_path):
    model = sequential(input_layer("x", (None, 3)), layer("Dense", "a", units=2, use_bias=False))
    with pytest.raises(ConversionError, match="holds int8, not float16, bfloat16, float32"):
        build(write_h5(tmp_path / "a.h5", model, {"a": [("a/kernel:0", np.ones((3, 2), np.int8))]}))


# ---- Keras 1 ------------------------------------------------------------------------------------


def keras1(class_name, **config):
    first = {
        "name": "rec",
        "trainable": True,
        "batch_input_shape": [None, 5, 3],
        "input_dtype": "float32",
        "output_dim": 4,
    }
    if class_name != "SimpleRNN":
        first["inner_activation"] = "hard_sigmoid"
    noise = {
        "init": "glorot_uniform",
        "inner_init": "orthogonal",
        "consume_less": "cpu",
        "dropout_W": 0.2,
        "b_regularizer": None,
    }
    return {"class_name": "Sequential", "config": [{"class_name": class_name, "config": first | noise | config}]}


def _gates(letters):
    values = arrays(*[s for _ in letters for s in ((3, 4), (4, 4), (4,))])
    names = [f"rec_{m}_{g}:0" for g in letters for m in "WUb"]
    return dict(zip(names, values))


@pytest.mark.parametrize("class_name, stored, order", [("LSTM", "icfo", "ifco"), ("GRU", "zrh", "zrh")])
def test_keras1_gates(class_name, stored, order, tmp_path):
    """Separate arrays per gate, an LSTM's in the order i, c, f, o; no version in the weight group."""
    values = _gates(stored)
    src = h5_of(tmp_path / "a.h5", keras1(class_name), list(values.items()), "1.2.2", group_version=None)
    b = build(src)
    for role, m in (("kernel", "W"), ("recurrent_kernel", "U"), ("bias", "b")):
        want = np.concatenate([values[f"rec_{m}_{g}:0"] for g in order], -1)
        np.testing.assert_array_equal(b.weights[f"rec.{role}"], want)
    attrs = b.graph.nodes[0].attrs
    assert attrs["recurrent_activation"].name == "hard_sigmoid_k2"
    assert attrs.get("reset_after", False) is False


def test_keras1_packed_gates(tmp_path):
    """consume_less='gpu' writes three arrays, packed as Keras 2 does."""
    k, r, b = arrays((3, 16), (4, 16), (16,))
    src = h5_of(
        tmp_path / "a.h5",
        keras1("LSTM", consume_less="gpu"),
        [("rec_W", k), ("rec_U", r), ("rec_b", b)],
        "1.2.2",
        group_version=None,
    )
    w = build(src).weights
    for role, a in (("kernel", k), ("recurrent_kernel", r), ("bias", b)):
        np.testing.assert_array_equal(w[f"rec.{role}"], a)


def test_keras1_words(tmp_path):
    k, r, b, dk, db = arrays((3, 4), (4, 4), (4,), (4, 2), (2,))
    model = keras1("SimpleRNN", activation="relu")
    model["config"] += [
        {"class_name": "Dropout", "config": {"name": "drop", "p": 0.5}},
        {
            "class_name": "Dense",
            "config": {"name": "out", "output_dim": 2, "bias": True, "input_dim": 4, "init": "zero"},
        },
    ]
    stored = {"rec": [("rec_W", k), ("rec_U", r), ("rec_b", b)], "drop": [], "out": [("out_W", dk), ("out_b", db)]}
    built = build(write_h5(tmp_path / "a.h5", model, stored, "1.2.2", group_version=None))
    assert [(n.op, n.attrs["units"], n.attrs["activation"].name) for n in built.graph.nodes] == [
        ("simple_rnn", 4, "relu"),
        ("dense", 2, "linear"),
    ]
    np.testing.assert_array_equal(built.weights["out.bias"], db)


def test_keras1_weights_under_a_newer_architecture(tmp_path):
    values = _gates("icfo")
    with h5py.File(tmp_path / "w.h5", "w") as f:
        write_group(f, {"lstm_1": list(values.items())}, None)
    w = build(tmp_path / "w.h5", architecture=recurrent("LSTM") | {"keras_version": "2.15.0"}).weights
    np.testing.assert_array_equal(w["rec.kernel"][:, 4:8], values["rec_W_f:0"])


# ---- CuDNN --------------------------------------------------------------------------------------


def to_cudnn(kernel, recurrent, bias, gates):
    """Keras's layout to CuDNN's, written from CuDNN's side: each gate's matrices are row-major of their transposes."""
    u = recurrent.shape[0]
    k = np.concatenate([g.T.ravel().reshape(g.shape) for g in np.split(kernel, gates, 1)], 1)
    r = np.concatenate([g.T for g in np.split(recurrent, gates, 1)], 1)
    halves = np.stack([0.25 * bias, 0.75 * bias]) if gates == 4 else bias
    return k, r, halves.reshape(2 * gates * u).astype(np.float32)


@pytest.mark.parametrize("class_name", ["CuDNNLSTM", "LSTM"])
def test_cudnn_lstm(class_name, tmp_path):
    """The layout is told by the bias of 8 * units, whatever the class says."""
    k, r, b = arrays((3, 16), (4, 16), (16,))
    b = np.round(b * 64) / 64  # so that the halves add up exactly
    stored = [(f"rec/{n}:0", a) for n, a in zip(("kernel", "recurrent_kernel", "bias"), to_cudnn(k, r, b, 4))]
    built = build(h5_of(tmp_path / "a.h5", recurrent(class_name), stored))
    for role, a in (("kernel", k), ("recurrent_kernel", r), ("bias", b)):
        np.testing.assert_array_equal(built.weights[f"rec.{role}"], a)
    if class_name == "CuDNNLSTM":
        assert built.graph.nodes[0].attrs["recurrent_activation"].name == "sigmoid"


@pytest.mark.parametrize("class_name, config", [("CuDNNGRU", {}), ("GRU", {"reset_after": True}), ("GRU", {})])
def test_cudnn_gru(class_name, config, tmp_path):
    k, r, b = arrays((3, 12), (4, 12), (2, 12))
    stored = [(f"rec/{n}:0", a) for n, a in zip(("kernel", "recurrent_kernel", "bias"), to_cudnn(k, r, b, 3))]
    built = build(h5_of(tmp_path / "a.h5", recurrent(class_name, **config), stored))
    for role, a in (("kernel", k), ("recurrent_kernel", r), ("bias", b)):
        np.testing.assert_array_equal(built.weights[f"rec.{role}"], a)
    assert built.graph.nodes[0].attrs["reset_after"] is True


def test_cudnn_arrays_do_not_fit_reset_after_false(tmp_path):
    k, r, b = to_cudnn(*arrays((3, 12), (4, 12), (2, 12)), 3)
    src = h5_of(tmp_path / "a.h5", recurrent("GRU", reset_after=False), [("k:0", k), ("r:0", r), ("b:0", b)])
    with pytest.raises(ConversionError, match=r"rec\.bias: expected \(12,\), got \(24,\)"):
        build(src)


# ---- reset_after --------------------------------------------------------------------------------


@pytest.mark.parametrize("rows, want", [(1, False), (2, True)])
def test_reset_after_by_the_bias_where_the_file_does_not_say(rows, want, tmp_path):
    k, r, b = arrays((3, 12), (4, 12), (12,) if rows == 1 else (2, 12))
    built = build(h5_of(tmp_path / "a.h5", recurrent("GRU"), [("k:0", k), ("r:0", r), ("b:0", b)], "2.1.0"))
    assert built.graph.nodes[0].attrs["reset_after"] is want
    np.testing.assert_array_equal(built.weights["rec.bias"], b)
    Interpreter(built.graph, built.weights).predict([np.zeros((2, 5, 3), np.float32)])


def test_reset_after_unsaid_and_no_bias(tmp_path):
    k, r = arrays((3, 12), (4, 12))
    src = h5_of(tmp_path / "a.h5", recurrent("GRU", use_bias=False), [("k:0", k), ("r:0", r)])
    with pytest.raises(UnsupportedLayerError, match="does not say reset_after"):
        build(src)
    src = h5_of(tmp_path / "b.h5", recurrent("GRU", use_bias=False, reset_after=False), [("k:0", k), ("r:0", r)])
    assert sorted(build(src).weights) == ["rec.kernel", "rec.recurrent_kernel"]


def test_batch_normalization_without_gamma_or_beta(tmp_path):
    values = arrays((3,), (3,), (3,))
    for flags, roles in (
        ({"scale": False}, ["beta"]),
        ({"center": False}, ["gamma"]),
        ({"scale": False, "center": False}, []),
    ):
        roles = [*roles, "moving_mean", "moving_variance"]
        model = sequential(input_layer("x", (None, 5, 3), 3), layer("BatchNormalization", "n", 3, axis=-1, **flags))
        w = build(
            write_keras(tmp_path / "a.keras", model, {"layers/batch_normalization": values[: len(roles)]})
        ).weights
        assert sorted(w) == sorted(f"n.{r}" for r in roles)
        for role, a in zip(roles, values):
            np.testing.assert_array_equal(w[f"n.{role}"], a)


# ---- a Merge that holds its branches (Keras 1) ---------------------------------------------------


def _branch(name, width):
    return {
        "class_name": "Sequential",
        "config": [
            {
                "class_name": "Dense",
                "config": {"name": name, "output_dim": width, "batch_input_shape": [None, 3], "activation": "tanh"},
            }
        ],
    }


@pytest.mark.parametrize("mode, width", [("concat", 4), ("sum", 2), ("mul", 2)])
def test_a_sequential_that_begins_with_a_merge(mode, width, tmp_path):
    merge = {"name": "merge_1", "mode": mode, "concat_axis": -1, "dot_axes": -1, "mode_type": "raw", "arguments": {}}
    merge["layers"] = [_branch("left", 2), _branch("right", 2)]
    model = {
        "class_name": "Sequential",
        "config": [
            {"class_name": "Merge", "config": merge},
            {"class_name": "Dense", "config": {"name": "out", "output_dim": 2, "activation": "linear"}},
        ],
    }
    lk, lb, rk, rb, k, b = arrays((3, 2), (2,), (3, 2), (2,), (width, 2), (2,))
    stored = {"left": [("left_W", lk), ("left_b", lb)], "right": [("right_W", rk), ("right_b", rb)]}
    stored["out"] = [("out_W", k), ("out_b", b)]
    built = build(write_h5(tmp_path / "a.h5", model, stored, "1.2.2", group_version=None))
    assert [i.name for i in built.graph.inputs] == ["left_input", "right_input"]
    x, y = arrays((5, 3), (5, 3), seed=2)
    left, right = np.tanh(x @ lk + lb), np.tanh(y @ rk + rb)
    joined = {"concat": np.concatenate([left, right], 1), "sum": left + right, "mul": left * right}[mode]
    (got,) = Interpreter(built.graph, built.weights).predict([x, y])
    np.testing.assert_allclose(got, joined @ k + b, atol=1e-6)
