"""The bitwise promise: one order of summation, whatever the table, the batch, the row or the cut.

The scalar ``oracle`` table, a loop of fmaf written without the fast kernels' code, is the judge of the vector tables
by memcmp. ``portable`` has no fused multiply-add: it keeps the promise among its own paths and is near the others.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from cases.graphs import Builder
from runtime import BITWISE, RUNNABLE, model_of, same_bits

from rnnrt.ir.activations import Activation
from rnnrt.reference import Interpreter

SIZES = [(1, 1), (3, 7), (3, 33), (1, 20), (28, 64), (5, 100), (129, 65), (7, 130), (64, 17), (2, 16)]
CELLS = {
    "lstm": ("lstm", {}),
    "gru": ("gru", {"reset_after": True}),
    "gru before": ("gru", {"reset_after": False}),
    "simple_rnn": ("simple_rnn", {}),
    "lstm relu": ("lstm", {"activation": Activation("relu"), "recurrent_activation": Activation("hard_sigmoid_k2")}),
    "gru softmax": (
        "gru",
        {"activation": Activation("softmax"), "recurrent_activation": Activation("hard_sigmoid_k3")},
    ),
    "lstm no bias": ("lstm", {"use_bias": False}),
}
VECTOR = [n for n in BITWISE if n != "oracle"]


def _graph(cell: str, features: int, units: int, dtype: str = "float32", **options):
    op, attrs = CELLS[cell]
    b = Builder()
    x = b.input("x", None, features, dtype=dtype)
    (y,) = b.add(op, "cell", x, units=units, return_sequences=True, **attrs, **options)
    (z,) = b.add("dense", "wide", y, units=19, activation=Activation("tanh"))
    (w,) = b.add("dense", "narrow", z, units=3, activation=Activation("softmax"))
    return b.done(w, y)


def _x(rows: int, steps: int, features: int, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((rows, steps, features)).astype("float32")
    x[0, 0, 0] = -0.0
    return x


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("table", VECTOR)
def test_vector_tables_give_the_oracles_bits(table, cell):
    for (features, units), rows in zip(SIZES, itertools.cycle([1, 2, 3, 5, 7, 13, 16])):
        graph, weights = _graph(cell, features, units)
        x = _x(rows, 9, features)
        want = model_of(graph, weights, "oracle").predict(x)
        got = model_of(graph, weights, table).predict(x)
        assert all(same_bits(a, b) for a, b in zip(got, want)), (features, units, rows)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("table", RUNNABLE)
def test_every_path_of_a_table_gives_the_same_bits(table, cell):
    for (features, units), rows in zip(SIZES, itertools.cycle([16, 4, 6, 1, 11])):
        graph, weights = _graph(cell, features, units)
        model, x = model_of(graph, weights, table), _x(rows, 13, features)
        whole = model.predict(x)
        alone = [model.predict(x[r : r + 1]) for r in range(rows)]
        session = model.session(batch_size=rows)
        pieces = [session.run(x[:, :5])] + [session.step(x[:, t]) for t in (5, 6)] + [session.run(x[:, 7:])]
        for k in range(2):
            assert same_bits(np.concatenate([a[k] for a in alone]), whole[k]), (features, units, "rows")
            cut = [p[k] if p[k].ndim == 3 else p[k][:, None] for p in pieces]
            assert same_bits(np.concatenate(cut, axis=1), whole[k]), (features, units, "cuts")


@pytest.mark.parametrize("cell", CELLS)
def test_double_has_the_same_bits_in_every_table_and_path(cell):
    for (features, units), rows in zip(SIZES, itertools.cycle([3, 1, 7])):
        graph, weights = _graph(cell, features, units, "float64")
        x = np.random.default_rng(units).standard_normal((rows, 13, features))
        wanted = model_of(graph, weights, "oracle").predict(x)
        exact = Interpreter(graph, weights).predict([x])
        for k in range(2):
            np.testing.assert_allclose(wanted[k], exact[k], rtol=0, atol=1e-13)
        for table in RUNNABLE:
            model = model_of(graph, weights, table)
            session = model.session(batch_size=rows)
            pieces = [session.run(x[:, :5])] + [session.step(x[:, t]) for t in (5, 6)] + [session.run(x[:, 7:])]
            for k, want in enumerate(wanted):
                assert same_bits(model.predict(x)[k], want), (table, features, units)
                assert same_bits(model.predict(x[-1:])[k], want[-1:]), (table, features, units, "row")
                cut = [p[k] if p[k].ndim == 3 else p[k][:, None] for p in pieces]
                assert same_bits(np.concatenate(cut, axis=1), want), (table, features, units, "cuts")


@pytest.mark.parametrize("table", RUNNABLE)
def test_long_sequences_in_tiles(table):
    graph, weights = _graph("lstm", 6, 33)
    model, x = model_of(graph, weights, table), _x(2, 700, 6)
    whole, session = model.predict(x), model.session(batch_size=2)
    parts = [session.run(x[:, a:b]) for a, b in ((0, 1), (1, 650), (650, 700))]
    assert all(same_bits(np.concatenate([p[k] for p in parts], axis=1), whole[k]) for k in range(2))


@pytest.mark.parametrize("cell", ["lstm", "gru", "gru before", "simple_rnn"])
def test_portable_and_blas_are_near(cell, monkeypatch):
    pytest.importorskip("scipy")
    from rnnrt import backends

    monkeypatch.setenv("RNNRT_BLAS", "always")
    assert backends.kernels_wanted() == "blas"
    for features, units in SIZES:
        graph, weights = _graph(cell, features, units)
        x = _x(5, 11, features)
        want = model_of(graph, weights, "oracle").predict(x)
        for table in ("portable", "blas"):
            got = model_of(graph, weights, table).predict(x)
            # both round differently in each product; errors do not grow over 11 steps of default-scale weights
            assert all(np.abs(a - b).max() <= 3e-6 for a, b in zip(got, want)), (table, features, units)


@pytest.mark.parametrize("table", VECTOR)
def test_infinities_and_nan_come_at_the_same_places(table):
    graph, weights = _graph("lstm", 5, 20)
    x = _x(6, 7, 5)
    x[1, 2, 3], x[2, 0, 0], x[4, 5, 1] = np.nan, np.inf, -np.inf
    for a, b in zip(model_of(graph, weights, table).predict(x), model_of(graph, weights, "oracle").predict(x)):
        assert np.array_equal(a, b, equal_nan=True)
        assert np.isnan(a[1, 2:]).all() and np.isfinite(a[0]).all()


def test_the_state_of_the_fpu_does_not_matter():
    """Subnormal states are flushed in every call, whoever else changed the mode."""
    graph, weights = _graph("lstm", 4, 20)
    for name in weights:
        weights[name] = weights[name] * np.float32(1e-20)
    x = _x(2, 6, 4) * np.float32(1e-20)
    got = [model_of(graph, weights, t).predict(x)[1] for t in BITWISE]
    assert all(same_bits(g, got[0]) for g in got)
