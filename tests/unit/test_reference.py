"""The float64 interpreter: against real Keras's loop, against itself in pieces, and its errors."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from cases.golden import FOLDER
from cases.graphs import Builder

from rnnrt.ir.activations import ACTIVATIONS, Activation
from rnnrt.ir.ops import OPS
from rnnrt.reference import Interpreter
from rnnrt.reference.activations import FUNCTIONS, activate
from rnnrt.reference.registry import REFERENCE

CELLS = {
    "lstm": ("lstm", {}, "hc"),
    "gru": ("gru", {}, "h"),
    "gru_reset_before": ("gru", {"reset_after": False}, "h"),
    "simple_rnn": ("simple_rnn", {}, "h"),
}


def test_every_op_and_activation_has_a_reference():
    assert set(REFERENCE) == set(OPS)
    assert set(FUNCTIONS) == set(ACTIVATIONS)


# ---------------------------------------------------------------- activations

X = np.array([-30.0, -3.5, -3.0, -1.0, -0.75, -0.5, -0.1, 0.0, 0.1, 0.5, 0.75, 1.0, 3.0, 3.5, 30.0])

# One scalar formula each, written apart from the reference's array code; the formulas of Keras's docs.
SCALAR = {
    "linear": lambda x: x,
    "tanh": math.tanh,
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "hard_sigmoid_k2": lambda x: min(1, max(0, 0.2 * x + 0.5)),
    "hard_sigmoid_k3": lambda x: min(6, max(0, x + 3)) / 6,
    "relu": lambda x: max(x, 0),
    "elu": lambda x: x if x > 0 else math.expm1(x),
    "selu": lambda x: 1.05070098735548 * (x if x > 0 else 1.67326324235438 * math.expm1(x)),
    "celu": lambda x: x if x > 0 else math.expm1(x),
    "exponential": math.exp,
    "softplus": lambda x: math.log1p(math.exp(x)),
    "softsign": lambda x: x / (1 + abs(x)),
    "silu": lambda x: x / (1 + math.exp(-x)),
    "mish": lambda x: x * math.tanh(math.log1p(math.exp(x))),
    "gelu": lambda x: x * math.erfc(-x / math.sqrt(2)) / 2,
    "gelu_tanh": lambda x: x / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "hard_silu": lambda x: x * min(6, max(0, x + 3)) / 6,
    "hard_tanh": lambda x: min(1, max(-1, x)),
    "hard_shrink": lambda x: x if abs(x) > 0.5 else 0,
    "soft_shrink": lambda x: math.copysign(max(abs(x) - 0.5, 0), x),
    "tanh_shrink": lambda x: x - math.tanh(x),
    "log_sigmoid": lambda x: -math.log1p(math.exp(-x)),
    "squareplus": lambda x: (x + math.sqrt(x * x + 4)) / 2,
    "sparse_plus": lambda x: 0 if x <= -1 else x if x >= 1 else (x + 1) ** 2 / 4,
    "sparse_sigmoid": lambda x: 0 if x <= -1 else 1 if x >= 1 else (x + 1) / 2,
    "leaky_relu": lambda x: x if x > 0 else 0.2 * x,
    "threshold": lambda x: x if x > 0 else 0,
    "thresholded_relu": lambda x: x if x > 1 else 0,
    "relu_general": lambda x: max(x, 0),
}


@pytest.mark.parametrize("name", [n for n, info in ACTIVATIONS.items() if not info.rowwise])
def test_activation_is_its_formula(name):
    want = [SCALAR[name](x) for x in X]
    np.testing.assert_allclose(activate(Activation(name), X), want, rtol=1e-13, atol=1e-15)
    single = activate(Activation(name), X.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, want, rtol=2e-6, atol=1e-6)


def test_parameters_reach_the_function():
    relu = Activation("relu_general", (1.5, 0.1, 0.25))
    # at x == threshold Keras gives 0, not x: it compares with >
    np.testing.assert_allclose(activate(relu, np.array([-1.0, 0.25, 0.5, 2.0])), [-0.125, 0, 0.5, 1.5])
    np.testing.assert_allclose(activate(Activation("leaky_relu", (0.3,)), np.array([-1.0, 1.0])), [-0.3, 1])
    np.testing.assert_allclose(activate(Activation("threshold", (0.5, 7.0)), np.array([0.5, 0.6])), [7, 0.6])


def test_infinities_and_nan_come_out_as_from_keras():
    """relu and its kin pass NaN on; a product with a comparison, as Keras 2's ThresholdedReLU, makes one."""
    x = np.array([-np.inf, np.nan, np.inf])
    for name, want in {
        "relu": [0, np.nan, np.inf],
        "relu_general": [0, np.nan, np.inf],
        "sparse_sigmoid": [0, np.nan, 1],
        "sigmoid": [0, np.nan, 1],
        "softplus": [0, np.nan, np.inf],
        "thresholded_relu": [np.nan, np.nan, np.inf],
        "hard_sigmoid_k2": [0, np.nan, 1],
    }.items():
        with np.errstate(invalid="ignore"):
            np.testing.assert_array_equal(activate(Activation(name), x), want, err_msg=name)


def test_rowwise_activations():
    x = np.array([[1.0, 2.0, 4.0], [-5.0, 0.0, 5.0]])
    exps = np.exp(x)
    soft = exps / exps.sum(1, keepdims=True)
    np.testing.assert_allclose(activate(Activation("softmax"), x), soft, rtol=1e-14)
    np.testing.assert_allclose(activate(Activation("log_softmax"), x), np.log(soft), rtol=1e-13)
    np.testing.assert_allclose(
        activate(Activation("sparsemax"), np.array([[0.1, 0.3, 0.9], [0.2, 0.2, 0.2], [3.0, 0.0, -1.0]])),
        [[0, 0, 0.35], [2 / 15, 2 / 15, 2 / 15], [1, 0, 0]],
        atol=1e-15,
    )
    np.testing.assert_allclose(activate(Activation("glu"), np.array([[3.0, 0.0]])), [[1.5]])


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_activations_take_large_and_nan_values_quietly(name):
    """Warnings are errors here: nothing may overflow on the way to a finite answer."""
    y = activate(Activation(name), np.array([[-1e4, 1e4, -1e4, 1e4]]))
    assert y.dtype == np.float64
    if name != "exponential":
        assert not np.isnan(y).any()


# ---------------------------------------------------------------- the loop, against both Kerases


@pytest.fixture(scope="module")
def keras_loop():
    with np.load(FOLDER / "loop.npz") as file:
        return dict(file)


def _layer(golden, cell, *, masked, given, session="sequence", **attrs):
    """One recurrent node over x, its mask and its initial states as inputs of the graph."""
    op, more, names = CELLS[cell]
    units = golden["states"].shape[2]
    b = Builder(session)
    x = b.input("x", None, golden["x"].shape[2], time="t")
    mask = b.input("mask", None, dtype="bool", time="t") if masked else None
    initial = tuple(b.input(f"initial_{n}", units, role="state") for n in names) if given else ()
    outputs = b.add(op, "rnn", x, mask=mask, initial_state=initial, units=units, **more, **attrs)
    graph, weights = b.done(*outputs)
    stored = [golden[f"{cell}|weight_{k}"] for k in range(3)]
    for role, value in zip(("kernel", "recurrent_kernel", "bias"), stored):
        weights[f"rnn.{role}"] = value
    return graph, weights


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("switches", ["".join(s) for s in itertools.product("01", repeat=5)])
def test_loop_does_as_keras_does(keras_loop, cell, switches):
    sequences, backwards, zeros, masked, given = (s == "1" for s in switches)
    graph, weights = _layer(
        keras_loop,
        cell,
        masked=masked,
        given=given,
        return_state=True,
        return_sequences=sequences,
        go_backwards=backwards,
        zero_output_for_mask=zeros,
    )
    inputs = [keras_loop["x"]]
    inputs += [keras_loop["mask"]] * masked
    inputs += list(keras_loop["states"])[: len(CELLS[cell][2])] * given
    got = Interpreter(graph, weights).predict(inputs)
    for k, y in enumerate(got):
        np.testing.assert_allclose(y, keras_loop[f"{cell}|{switches}|{k}"], rtol=0, atol=1e-13)


@pytest.mark.parametrize("cell", CELLS)
def test_calls_of_a_stateful_layer_do_as_keras_does(keras_loop, cell):
    """Masked steps that begin a call output zeros, though the state is carried."""
    graph, weights = _layer(
        keras_loop, cell, masked=True, given=False, session="calls", stateful=True, return_sequences=True
    )
    session = Interpreter(graph, weights).session(len(keras_loop["x"]))
    start = 0
    for k, n in enumerate(keras_loop["calls"]):
        y = session.run([keras_loop["x"][:, start : start + n], keras_loop["mask"][:, start : start + n]])
        np.testing.assert_allclose(y[0], keras_loop[f"{cell}|stateful|{k}"], rtol=0, atol=1e-13)
        start += n


def test_reverse_output_writes_from_the_end(keras_loop):
    options = {"masked": False, "given": False, "return_sequences": True, "go_backwards": True}
    graph, weights = _layer(keras_loop, "lstm", **options)
    turned, _ = _layer(keras_loop, "lstm", reverse_output=True, **options)
    x = [keras_loop["x"]]
    np.testing.assert_array_equal(
        Interpreter(graph, weights).predict(x)[0][:, ::-1], Interpreter(turned, weights).predict(x)[0]
    )


# ---------------------------------------------------------------- sessions

CUTTINGS = [(7,), (1,) * 7, (3, 4), (2, 1, 4), (6, 1)]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("cuts", CUTTINGS, ids=str)
@pytest.mark.parametrize("zeros", [False, True])
def test_a_sequence_session_is_predict_cut_in_pieces(keras_loop, cell, cuts, zeros):
    """With masks too: at a piece's leading masked steps the output holds, as it does in the whole."""
    for sequences in (True, False):
        graph, weights = _layer(
            keras_loop,
            cell,
            masked=True,
            given=True,
            return_sequences=sequences,
            return_state=True,
            zero_output_for_mask=zeros,
        )
        reference = Interpreter(graph, weights)
        states = list(keras_loop["states"])[: len(CELLS[cell][2])]
        given = {s.name: v for s, v in zip(graph.inputs[2:], states)}
        x, mask = keras_loop["x"], keras_loop["mask"]
        session = reference.session(len(x), initial_state=given)
        pieces, end = [], 0
        for n in cuts:
            pieces.append(session.run([x[:, end : end + n], mask[:, end : end + n]]))
            end += n
            prefix = reference.predict([x[:, :end], mask[:, :end], *states])
            whole = np.concatenate([p[0] for p in pieces], axis=1) if sequences else pieces[-1][0]
            np.testing.assert_array_equal(whole, prefix[0])
            for a, b in zip(pieces[-1][1:], prefix[1:]):
                np.testing.assert_array_equal(a, b)


def _stack(session="sequence", stateful=(False, False)):
    b = Builder(session)
    x = b.input("x", None, 3)
    (h,) = b.add("lstm", "first", x, units=4, return_sequences=True, stateful=stateful[0])
    (h,) = b.add("gru", "second", h, units=5, stateful=stateful[1])
    (y,) = b.add("dense", "head", h, units=2)
    return b.done(y)


def test_layers_that_are_not_stateful_restart_with_each_call():
    x = np.random.RandomState(0).standard_normal((2, 6, 3))
    graph, weights = _stack("calls", (True, False))
    session = Interpreter(graph, weights).session(2)
    session.run(x[:, :4])
    assert set(session.states) == {"first/h", "first/c"}
    carried = session.run(x[:, 4:])[0]
    # the same by hand: the first layer's whole output, of which the second layer sees the end only
    b = Builder()
    (h,) = b.add("lstm", "first", b.input("x", None, 3), units=4, return_sequences=True)
    first = Interpreter(*b.done(h)).predict([x])[0]
    b = Builder()
    (h,) = b.add("gru", "second", b.input("h", None, 4), units=5)
    (y,) = b.add("dense", "head", h, units=2)
    np.testing.assert_allclose(carried, Interpreter(*b.done(y)).predict([first[:, 4:]])[0], atol=1e-14)


def test_states_have_keras_names_and_can_be_handed_over():
    x = np.random.RandomState(1).standard_normal((2, 6, 3))
    graph, weights = _stack()
    reference = Interpreter(graph, weights)
    one = reference.session(2)
    one.run(x[:, :3])
    assert {k: v.shape for k, v in one.states.items()} == {
        "first/h": (2, 4),
        "first/c": (2, 4),
        "first/has_output": (2,),
        "second/h": (2, 5),
        "second/has_output": (2,),
    }
    other = reference.session(2)
    other.set_state(one.get_state())
    np.testing.assert_array_equal(one.run(x[:, 3:])[0], other.run(x[:, 3:])[0])
    one.reset()
    np.testing.assert_array_equal(one.run(x)[0], reference.predict([x])[0])
    with pytest.raises(ValueError, match="third/h"):
        other.set_state({"third/h": np.zeros((2, 4))})


def test_an_error_leaves_the_session_as_it_was():
    b = Builder()
    ids = b.input("ids", None)
    (e,) = b.add("embedding", "emb", ids, input_dim=4, output_dim=3)
    (h,) = b.add("lstm", "rnn", e, units=2)
    (y,) = b.add("embedding", "late", b.input("more", None), input_dim=2, output_dim=1)
    session = Interpreter(*b.done(h, y)).session(1)
    session.run([[[1, 2]], [[0, 1]]])
    before = session.get_state()
    with pytest.raises(ValueError, match=r"late: ids must lie in \[0, 1\]"):
        session.run([[[3, 3]], [[0, 2]]])
    for key, value in session.get_state().items():
        np.testing.assert_array_equal(value, before[key])


# ---------------------------------------------------------------- errors and dtypes


def test_wrong_inputs_are_refused_by_name():
    graph, weights = _stack()
    reference = Interpreter(graph, weights)
    for bad in (np.zeros((2, 3)), np.zeros((2, 5, 4))):
        with pytest.raises(ValueError, match=r"'x': expected \(None, None, 3\)"):
            reference.predict([bad])
    with pytest.raises(ValueError, match="1 inputs"):
        reference.predict([])
    with pytest.raises(ValueError, match="length 0"):
        reference.predict([np.zeros((2, 0, 3))])
    with pytest.raises(ValueError, match="2 rows"):
        reference.session(2).run(np.zeros((1, 4, 3)))
    with pytest.raises(ValueError, match="nobody"):
        reference.session(2, initial_state={"nobody": np.zeros((2, 4))})


def test_ids_are_truncated_and_checked():
    b = Builder()
    (e,) = b.add("embedding", "emb", b.input("ids", None), input_dim=4, output_dim=3)
    graph, weights = b.done(e)
    table = weights["emb.embeddings"]
    y = Interpreter(graph, weights).predict([np.array([[0.9, 3.2]])])[0]
    np.testing.assert_array_equal(y, table[[[0, 3]]])
    for bad in (4, -1, np.nan, np.inf):
        with pytest.raises(ValueError, match="emb: ids must"):
            Interpreter(graph, weights).predict([np.array([[0.0, bad]])])


def test_negative_ids_count_from_the_end_where_keras_3_says_so():
    b = Builder()
    (e,) = b.add("embedding", "emb", b.input("ids", None), input_dim=4, output_dim=3, wrap_negative=True)
    graph, weights = b.done(e)
    y = Interpreter(graph, weights).predict([np.array([[-1, -4]])])[0]
    np.testing.assert_array_equal(y, weights["emb.embeddings"][[[3, 0]]])
    with pytest.raises(ValueError, match="emb: ids must"):
        Interpreter(graph, weights).predict([np.array([[-5]])])


def test_float32_is_float32_all_the_way_and_near():
    x = np.random.RandomState(2).standard_normal((3, 9, 3))
    graph, weights = _stack()
    exact = Interpreter(graph, weights).predict([x])[0]
    single = Interpreter(graph, weights, np.float32).predict([x])[0]
    assert (exact.dtype, single.dtype) == (np.float64, np.float32)
    assert 0 < np.abs(single - exact).max() < 1e-6


def test_shape_ops():
    b = Builder()
    x = b.input("x", 3, 4)
    (flat,) = b.add("flatten", "flat", x)
    (again,) = b.add("reshape", "again", flat, target_shape=(-1, 2))
    (one,) = b.add("flatten", "one", b.input("scalar"))
    (many,) = b.add("repeat_vector", "many", flat, n=2)
    (cut,) = b.add("cast", "cut", x, dtype="int32")
    graph, weights = b.done(flat, again, one, many, cut)
    v = np.random.RandomState(3).uniform(-3, 3, (2, 3, 4))
    got = Interpreter(graph, weights).predict([v, np.array([5.0, 6.0])])
    np.testing.assert_array_equal(got[0], v.reshape(2, 12))
    np.testing.assert_array_equal(got[1], v.reshape(2, 6, 2))
    np.testing.assert_array_equal(got[2], [[5], [6]])
    np.testing.assert_array_equal(got[3], np.stack([v.reshape(2, 12)] * 2, 1))
    np.testing.assert_array_equal(got[4], np.trunc(v))
    assert got[4].dtype == np.int32


def test_a_written_length_is_freed_in_sessions():
    b = Builder()
    x = b.input("x", 6, 2, 3)
    (folded,) = b.add("reshape", "fold", x, target_shape=(6, 6))
    (h,) = b.add("gru", "rnn", folded, units=4, return_sequences=True)
    graph, weights = b.done(h)
    # eighths: their products have few digits, so that sums of them are exact in any order
    reference = Interpreter(graph, {name: np.round(w * 8) / 8 for name, w in weights.items()})
    v = np.round(np.random.RandomState(4).standard_normal((1, 6, 2, 3)) * 8) / 8
    session = reference.session(1)
    pieces = [session.run(v[:, a:b])[0] for a, b in ((0, 1), (1, 4), (4, 6))]
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), reference.predict([v])[0])
    with pytest.raises(ValueError, match="expected"):
        reference.predict([v[:, :5]])


# ---------------------------------------------------------------- masks as tensors


def test_masking_compares_in_the_datas_own_type():
    """0.1 in float32 data is float32's 0.1; NaN differs from everything; all features must be equal."""
    b = Builder()
    x = b.input("x", None, 2)
    (mask,) = b.add("masking", "mask", x, value=0.1)
    (zeroed,) = b.add("apply_mask", "where", x, mask)
    (product,) = b.add("apply_mask", "times", x, mask, multiply=True)
    graph, weights = b.done(mask, zeroed, product)
    v = np.array([[[0.1, 0.1], [0.1, 2.0], [np.nan, 0.1], [-0.1, -0.1]]], "float32")
    mask_, where, times = Interpreter(graph, weights).predict([v])
    np.testing.assert_array_equal(mask_, [[False, True, True, True]])
    np.testing.assert_array_equal(where[0], [[0, 0], *v[0, 1:]])
    np.testing.assert_array_equal(times[0], [[0, 0], *v[0, 1:]])


def test_masks_join_reduce_and_concatenate():
    b = Builder()
    x, y = b.input("x", 3, 2), b.input("y", 3, 2)
    (m,) = b.add("not_equal", "m", x)
    (n,) = b.add("not_equal", "n", y, value=1.0)
    (both,) = b.add("logical_and", "both", m, n)
    (either,) = b.add("logical_or", "either", m, n)
    (some,) = b.add("reduce_mask", "some", both)
    (every,) = b.add("reduce_mask", "every", either, mode="all")
    (ones,) = b.add("ones_mask", "ones", x)
    (long,) = b.add("concat_masks", "long", some, every, ones)
    p = np.array([[[0, 0], [0, 5], [5, 5]]])
    q = np.array([[[1, 0], [0, 0], [1, 0]]])
    got = Interpreter(*b.done(both, either, long)).predict([p, q])
    np.testing.assert_array_equal(got[0][0], [[0, 0], [0, 1], [0, 1]])
    np.testing.assert_array_equal(got[1][0], [[0, 1], [1, 1], [1, 1]])
    np.testing.assert_array_equal(got[2][0], [0, 1, 1, 0, 1, 1, 1, 1, 1])


def test_a_layer_under_time_distributed_restarts_at_each_step():
    b = Builder()
    x = b.input("x", None, 4, 2)
    (rows,) = b.add("fold_time", "fold", x)
    (h,) = b.add("gru", "inner", rows, units=3)
    (y,) = b.add("unfold_time", "unfold", h, x)
    reference = Interpreter(*b.done(y))
    v = np.random.RandomState(5).standard_normal((2, 5, 4, 2))
    session = reference.session(2)
    pieces = [session.run(v[:, :2])[0], session.run(v[:, 2:])[0]]
    np.testing.assert_allclose(np.concatenate(pieces, axis=1), reference.predict([v])[0], rtol=0, atol=1e-15)
    assert session.states == {}
