"""float16 and int8 weights: one set of bits on every table and path, the reference's numbers, and the stated errors."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from cases.graphs import Builder
from runtime import BITWISE, RUNNABLE, model_of, same_bits

from rnnrt.convert.narrow import narrow
from rnnrt.errors import FormatError
from rnnrt.format.codec import graph_from_json, graph_to_json
from rnnrt.ir.activations import Activation
from rnnrt.ir.graph import WeightSpec
from rnnrt.ir.narrow import dequantise, quantise
from rnnrt.ir.validate import validate
from rnnrt.reference import Interpreter

SIZES = [(1, 1), (3, 33), (28, 64), (5, 100), (129, 65), (64, 17), (2, 16)]
RELU = {"activation": Activation("relu"), "recurrent_activation": Activation("hard_sigmoid_k2")}
CELLS = {
    "lstm": ("lstm", {}),
    "gru": ("gru", {"reset_after": True}),
    "gru before": ("gru", {"reset_after": False}),
    "simple_rnn": ("simple_rnn", {}),
    "lstm relu": ("lstm", RELU),
    "gru softmax": (
        "gru",
        {"activation": Activation("softmax"), "recurrent_activation": Activation("hard_sigmoid_k3")},
    ),
    "simple_rnn no bias": ("simple_rnn", {"use_bias": False, "activation": Activation("relu")}),
}
#: max |y - y of float64| that KERNELS.md measured on default-scale weights, here on 13 steps
EXPECTED = {"float16": 2e-3, "int8": 3e-2}


def _graph(cell: str, features: int, units: int, asked: str):
    """A narrow model: x -> cell -> dense -> a head of three, and ids -> embedding."""
    op, attrs = CELLS[cell]
    b = Builder()
    x, ids = b.input("x", None, features), b.input("ids", None, dtype="int32", time="x")
    (y,) = b.add(op, "cell", x, units=units, return_sequences=True, **attrs)
    (z,) = b.add("dense", "wide", y, units=19, activation=Activation("tanh"))
    (w,) = b.add("dense", "head", z, units=3, activation=Activation("softmax"))
    (e,) = b.add("embedding", "table", ids, input_dim=11, output_dim=7)
    graph, weights = b.done(w, y, e)
    small, arrays, found = narrow(graph, weights, asked)
    assert {x.dtype for x in found.layers} == {asked}
    return graph, weights, small, arrays


def _inputs(rows: int, steps: int, features: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, steps, features)).astype("float32")
    x[0, 0, 0] = -0.0
    x[-1, -1] *= 1e-35  # smaller than int8 tells from zero
    return [x, rng.integers(0, 11, (rows, steps)).astype("int32")]


@pytest.mark.parametrize("asked", ["float16", "int8"])
@pytest.mark.parametrize("cell", CELLS)
def test_every_table_gives_the_oracles_bits(cell, asked):
    for (features, units), rows in zip(SIZES, itertools.cycle([1, 2, 5, 7, 16])):
        *_, graph, weights = _graph(cell, features, units, asked)
        inputs = _inputs(rows, 13, features)
        want = model_of(graph, weights, "oracle").predict(inputs)
        for table in BITWISE:
            got = model_of(graph, weights, table).predict(inputs)
            assert all(same_bits(a, b) for a, b in zip(got, want)), (table, features, units, rows)


@pytest.mark.parametrize("asked", ["float16", "int8"])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("table", RUNNABLE)
def test_every_path_of_a_table_gives_the_same_bits(table, cell, asked):
    op, attrs = CELLS[cell]
    for (features, units), rows in zip(SIZES[1:5], itertools.cycle([6, 1, 11])):
        b = Builder()
        x = b.input("x", None, features)
        (y,) = b.add(op, "cell", x, units=units, return_sequences=True, **attrs)
        (z,) = b.add("dense", "wide", y, units=19)
        graph, weights, _ = narrow(*b.done(z, y), asked)
        model, (x, _) = model_of(graph, weights, table), _inputs(rows, 13, features)
        whole = model.predict(x)
        alone = [model.predict(x[r : r + 1]) for r in range(rows)]
        session = model.session(batch_size=rows)
        pieces = [session.run(x[:, :5])] + [session.step(x[:, t]) for t in (5, 6)] + [session.run(x[:, 7:])]
        for k in range(2):
            assert same_bits(np.concatenate([a[k] for a in alone]), whole[k]), (features, units, "rows")
            cut = [p[k] if p[k].ndim == 3 else p[k][:, None] for p in pieces]
            assert same_bits(np.concatenate(cut, axis=1), whole[k]), (features, units, "cuts")


@pytest.mark.parametrize("asked", ["float16", "int8"])
@pytest.mark.parametrize("cell", CELLS)
def test_the_reference_means_the_same_and_errors_are_as_expected(cell, asked):
    for features, units in SIZES:
        graph, weights, small, arrays = _graph(cell, features, units, asked)
        inputs = _inputs(3, 13, features, units)
        exact, ref = Interpreter(graph, weights).predict(inputs), Interpreter(small, arrays).predict(inputs)
        for table in ("oracle", "portable"):
            got = model_of(small, arrays, table).predict(inputs)
            for y, r, e in zip(got, ref, exact):
                apart = np.abs(y - r) / np.maximum(1, np.abs(r))
                # a state halfway between two counts may be rounded either way, and that is then carried on
                assert np.median(apart) < 1e-6, (features, units)
                assert apart.max() < (1e-5 if asked == "float16" else EXPECTED["int8"]), (features, units)
                if "relu" not in str(CELLS[cell][1]):
                    assert (np.abs(r - e) / np.maximum(1, np.abs(e))).max() < 2 * EXPECTED[asked], (features, units)


def test_int8_states_beyond_one_have_a_scale_of_their_own():
    b = Builder()
    x, h = b.input("x", None, 3), b.input("h", 20, role="state")
    (y,) = b.add("simple_rnn", "rnn", x, initial_state=(h,), units=20, activation=Activation("linear"))
    graph, weights, _ = narrow(*b.done(y), "int8")
    for size in (0.5, 1.0, 1.5, 300.0):
        state = np.full((1, 20), size, "float32")
        state[0, ::3] = -size / 3
        inputs = [np.zeros((1, 1, 3), "float32"), state]
        (ref,) = Interpreter(graph, weights).predict(inputs)
        got = [model_of(graph, weights, t).predict(inputs) for t in RUNNABLE]
        assert all(np.abs(g - ref).max() <= 2e-6 * max(1, np.abs(ref).max()) for g in got), size
        exact = state.astype(np.float64) @ dequantise(
            weights["rnn.recurrent_kernel"], weights["rnn.recurrent_kernel.scale"], ""
        )
        exact += weights["rnn.bias"]
        assert np.abs(ref - exact).max() <= 0.03 * max(1, size), size


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_int8_rows_that_are_not_finite_become_nan_alone(value):
    b = Builder()
    x = b.input("x", None, 20)
    (y,) = b.add("dense", "d", x, units=33)
    graph, weights, _ = narrow(*b.done(y), "int8")
    x = np.random.default_rng(0).standard_normal((2, 5, 20)).astype("float32")
    want = model_of(graph, weights, "oracle").predict(x)
    x[1, 3, 7] = value
    for table in BITWISE:
        y = model_of(graph, weights, table).predict(x)
        assert np.isnan(y[1, 3]).all()
        y[1, 3] = want[1, 3]
        assert same_bits(y, want)


def test_quantise_keeps_the_largest_and_zeros():
    values = np.array([[0.5, 0, -1.1e-3], [-1.27, 0, 2e-3]])
    counts, scale = quantise(values, "kernel")
    assert counts.tolist() == [[50, 0, -70], [-127, 0, 127]] and scale[1] == 0
    assert np.abs(dequantise(counts, scale, "kernel") - values).max() <= scale.max() / 2 * 1.001
    counts, scale = quantise(values, "embeddings")
    assert scale.shape == (2,) and counts[0].tolist() == [127, 0, 0]


def test_max_error_leaves_the_worst_layers_as_they_are():
    b = Builder()
    x = b.input("x", None, 8)
    (y,) = b.add("lstm", "good", x, units=16, return_sequences=True)
    (z,) = b.add("dense", "bad", y, units=8)
    graph, weights = b.done(z)
    weights["bad.kernel"] *= 40
    *_, free = narrow(graph, weights, "int8")
    alone = {x.path: x.error for x in free.layers}
    bound = min(alone.values()) * 1.01
    small, arrays, found = narrow(graph, weights, "int8", max_error=bound)
    kept = [x.path for x in found.layers if x.reason]
    assert len(kept) == 1 and found.error <= bound < free.error
    assert kept == [max(alone, key=alone.get)] and "would exceed" in found.layers[-1].reason + found.layers[0].reason
    assert arrays[f"{kept[0]}.kernel"] is weights[f"{kept[0]}.kernel"]
    nothing, _, found = narrow(graph, weights, "int8", max_error=0.0)
    assert {w.dtype for w in nothing.weights.values()} == {"float32"} and found.error == 0


def test_layers_that_cannot_are_named():
    b = Builder()
    x = b.input("x", None, 4)
    (y,) = b.add("dense", "huge", x, units=4)
    (y,) = b.add("batch_normalization", "norm", y, axis=2, epsilon=1e-3)
    (y,) = b.add("dense", "open", y, units=2)
    graph, weights = b.done(y)
    weights["huge.kernel"][0, 0] = 1e5
    weights["open.kernel"][0, 0] = np.inf
    for asked in ("float16", "int8"):
        small, arrays, found = narrow(graph, weights, asked)
        why = {x.path: x.reason for x in found.layers}
        assert "not finite" in why["open"] and "kernels" in why["norm"]
        assert ("float16 ends at 65504" in why["huge"]) == (asked == "float16")
        model_of(small, arrays).predict(np.ones((1, 2, 4), "float32"))


def test_int8_in_places_that_no_kernel_reads_is_refused():
    for node, role in (("cell", "kernel"), ("cell", "bias"), ("wide", "bias")):
        *_, graph, weights = _graph("lstm", 3, 5, "float16")
        name = f"{node}.{role}"
        graph.weights[name] = WeightSpec(name, graph.weights[name].shape, "int8")
        with pytest.raises(ValueError, match="int8 may be"):
            validate(graph)
        with pytest.raises(FormatError, match="int8 may be"):
            graph_from_json(graph_to_json(graph))
