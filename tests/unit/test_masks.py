"""Mask ops: the runtime against the reference, in one tile, in many, and step by step; and their refusals."""

import numpy as np
import pytest
from cases.graphs import Builder
from runtime import RUNNABLE, model_of

from rnnrt.ir.ops import ShapeMismatch
from rnnrt.ir.passes.folded import folded_tensors
from rnnrt.ir.passes.streamability import analyse, timed_tensors
from rnnrt.reference import Interpreter

LONG = 700  # more steps than a tile holds


def _flat(y):
    return [np.asarray(v) for v in (y if isinstance(y, (list, tuple)) else [y])]


def _check(graph, weights, inputs, kernels=None, tolerance=1e-5):
    """predict is the reference; where the graph streams, pieces are predict bit for bit."""
    model = model_of(graph, weights, kernels)
    got = _flat(model.predict(inputs if len(inputs) > 1 else inputs[0]))
    for y, want in zip(got, Interpreter(graph, weights).predict(inputs)):
        assert y.dtype == want.dtype or y.dtype == np.float32
        np.testing.assert_allclose(y, want, rtol=0, atol=tolerance)
    verdict = analyse(graph)
    if not verdict.ok:
        return got
    session = model.session(batch_size=len(inputs[0]))
    steps = inputs[0].shape[1]
    cuts = [0, *sorted({c for c in (1, 2, 130, 131) if c < steps}), steps]
    parts = [
        _flat(session.run(inputs[0][:, a:b] if len(inputs) == 1 else [x[:, a:b] for x in inputs]))
        for a, b in zip(cuts, cuts[1:])
    ]
    for k, y in enumerate(got):
        if verdict.marks[graph.outputs[k]] == "step":
            np.testing.assert_array_equal(np.concatenate([p[k] for p in parts], axis=1), y)
        else:
            np.testing.assert_array_equal(parts[-1][k], y)
    return got


def _ids(steps, batch=3, top=5, dtype="int32"):
    return np.random.RandomState(steps).randint(0, top, (batch, steps)).astype(dtype)


def _floats(steps, features=3, batch=3, value=0.0):
    random = np.random.RandomState(steps)
    x = random.standard_normal((batch, steps, features)).astype("float32")
    x[random.random_sample((batch, steps)) < 0.4] = value
    return x


@pytest.mark.parametrize("kernels", RUNNABLE)
@pytest.mark.parametrize("steps", [1, 9, LONG])
def test_ids_that_are_zero_are_masked(steps, kernels):
    b = Builder()
    ids = b.input("ids", None, dtype="int32")
    (x,) = b.add("embedding", "emb", ids, input_dim=5, output_dim=3)
    (mask,) = b.add("not_equal", "mask", ids)
    (y,) = b.add("lstm", "lstm", x, mask=mask, units=4, return_sequences=True)
    (z,) = b.add("gru", "gru", y, mask=mask, units=2)
    _check(*b.done(y, z), [_ids(steps)], kernels)


@pytest.mark.parametrize("dtype", ["int32", "int64", "float32"])
def test_ids_of_any_dtype(dtype):
    b = Builder()
    ids = b.input("ids", None, dtype=dtype)
    (x,) = b.add("embedding", "emb", ids, input_dim=5, output_dim=3)
    (mask,) = b.add("not_equal", "mask", ids)
    (y,) = b.add("simple_rnn", "rnn", x, mask=mask, units=4, return_sequences=True)
    _check(*b.done(y), [_ids(9, dtype=dtype)])


@pytest.mark.parametrize("steps", [1, 9, LONG])
@pytest.mark.parametrize("value", [0.0, -1.0, 0.5])
@pytest.mark.parametrize("multiply", [False, True])
def test_masking(steps, value, multiply):
    b = Builder()
    x = b.input("x", None, 3)
    (mask,) = b.add("masking", "mask", x, value=value)
    (y,) = b.add("apply_mask", "masked", x, mask, multiply=multiply)
    (z,) = b.add("gru", "gru", y, mask=mask, units=4, return_sequences=True)
    _check(*b.done(y, z, mask), [_floats(steps, value=value)])


def test_a_step_is_masked_only_if_all_features_equal_and_nan_never_does():
    b = Builder()
    x = b.input("x", None, 2)
    (mask,) = b.add("masking", "mask", x, value=1.0)
    rows = np.array([[[1, 1], [1, 0], [np.nan, 1], [np.nan, np.nan], [1, 1]]], "float32")
    model = model_of(*b.done(mask))
    np.testing.assert_array_equal(model.predict(rows), [[False, True, True, True, False]])


def test_keras_2_multiplies_and_keras_3_selects():
    """NaN times zero is NaN, and -1 times zero is -0."""
    x, mask = np.array([[[np.inf], [-1.0], [2.0]]], "float32"), np.array([[False, False, True]])
    got = {}
    for multiply in (False, True):
        b = Builder()
        tensors = b.input("x", None, 1, time="t"), b.input("mask", None, dtype="bool", time="t")
        (y,) = b.add("apply_mask", "y", *tensors, multiply=multiply, value=0.0 if multiply else 3.0)
        got[multiply] = model_of(*b.done(y)).predict([x, mask])
    np.testing.assert_array_equal(got[False], [[[3.0], [3.0], [2.0]]])
    np.testing.assert_array_equal(got[True], [[[np.nan], [0.0], [2.0]]])
    assert np.signbit(got[True][0, 1, 0])


@pytest.mark.parametrize("steps", [1, LONG])
def test_masks_are_joined(steps):
    b = Builder()
    tensors = [b.input(n, None, dtype="bool", time="t") for n in "pqr"]
    x = b.input("x", None, 2, time="t")
    (both,) = b.add("logical_and", "both", *tensors)
    (either,) = b.add("logical_or", "either", *tensors[:2])
    (y,) = b.add("lstm", "lstm", x, mask=both, units=3, return_sequences=True)
    (z,) = b.add("lstm", "lstm2", x, mask=either, units=3, return_sequences=True)
    random = np.random.RandomState(0)
    bools = [random.random_sample((3, steps)) < 0.7 for _ in range(3)]
    got = _check(*b.done(both, either, y, z), [*bools, _floats(steps, 2)])
    np.testing.assert_array_equal(got[0], bools[0] & bools[1] & bools[2])
    np.testing.assert_array_equal(got[1], bools[0] | bools[1])


def test_masks_one_after_the_other_and_the_mask_of_what_has_none():
    b = Builder()
    x, y = b.input("x", 4, 2), b.input("y", 3, 2)
    (m,) = b.add("masking", "m", x)
    (ones,) = b.add("ones_mask", "ones", y)
    (joined,) = b.add("concat_masks", "joined", m, ones)
    xs = [_floats(4, 2), _floats(3, 2)]
    (got,) = _check(*b.done(joined), xs)
    np.testing.assert_array_equal(got, np.concatenate([(xs[0] != 0).any(-1), np.ones((3, 3), bool)], axis=1))


@pytest.mark.parametrize("mode", ["any", "all"])
def test_reduced_masks(mode):
    b = Builder()
    ids = b.input("ids", None, 3, dtype="int32")
    (m,) = b.add("not_equal", "m", ids)
    (r,) = b.add("reduce_mask", "r", m, mode=mode)
    values = np.random.RandomState(1).randint(0, 2, (3, LONG, 3)).astype("int32")
    (got,) = _check(*b.done(r), [values])
    np.testing.assert_array_equal(got, getattr(values != 0, mode)(axis=-1))


def _sentences(b, words, mask=True, **attrs):
    """A recurrent layer over the words of each step."""
    (x,) = b.add("embedding", "emb", words, input_dim=5, output_dim=3)
    (m,) = b.add("not_equal", "m", words)
    (rows,) = b.add("fold_time", "rows", x)
    (marks,) = b.add("fold_time", "marks", m)
    (y,) = b.add("gru", "inner", rows, mask=marks if mask else None, units=2, **attrs)
    return b.add("unfold_time", "back", y, x)[0]


@pytest.mark.parametrize("steps", [1, 2, 40])
@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("attrs", [{}, {"return_sequences": True}, {"go_backwards": True}], ids=str)
def test_a_layer_inside_time_distributed_has_a_state_for_each_step(steps, mask, attrs):
    """It streams along the outer time axis, whatever it does along its own."""
    b = Builder()
    words = b.input("words", None, 4, dtype="int32")
    y = _sentences(b, words, mask, **attrs)
    outputs = [y]
    if "return_sequences" not in attrs:
        outputs += b.add("lstm", "outer", y, units=3, return_sequences=True)
    graph, weights = b.done(*outputs)
    assert analyse(graph).ok
    inside = folded_tensors(graph)
    assert {"rows", "marks", "inner"} == set(inside) and timed_tensors(graph)["marks"] == mask
    values = np.random.RandomState(2).randint(0, 5, (2, steps, 4)).astype("int32")
    values[0, 0] = 0  # a row that is masked whole
    _check(graph, weights, [values])


def test_shapes_and_dtypes_are_checked():
    b = Builder()
    x, m = b.input("x", 4, 2), b.input("m", 4, dtype="bool")
    for op, inputs, why in [
        ("apply_mask", (x, x), "must be bool"),
        ("logical_and", (m, x), "must be bool"),
        ("logical_or", (m,), "takes 2 to 64 inputs"),
        ("masking", (m,), "takes floats"),
        ("reduce_mask", (x,), "must be bool"),
        ("concat_masks", (m, x), "must be bool"),
        ("unfold_time", (x, x), "rows of a folded tensor"),
    ]:
        with pytest.raises(ShapeMismatch, match=f"bad: .*{why}"):
            b.add(op, "bad", *inputs)
    with pytest.raises(ShapeMismatch, match=r"bad: the mask must be bool \(batch, time\)"):
        b.add("lstm", "bad", x, mask=x, units=2)
