"""An embedding that feeds only recurrent layers is multiplied by their kernels at load: other memory, the same bits.

An embedding whose rows are also an output has to make them, so such a model is the judge.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cases.graphs import Builder
from runtime import RUNNABLE, model_of, same_bits

from rnnrt.errors import ShapeError

CELLS = {
    "lstm": ("lstm", {}),
    "gru": ("gru", {"reset_after": True}),
    "gru before": ("gru", {"reset_after": False}),
    "simple_rnn": ("simple_rnn", {}),
}
TABLE_BYTES = 8 << 20


def _graph(cell: str, rows_too: bool, words=60, width=17, units=20, masked=False, **options):
    op, attrs = CELLS[cell]
    b = Builder()
    ids = b.input("ids", None, dtype="int32")
    (x,) = b.add("embedding", "words", ids, input_dim=words, output_dim=width)
    mask = b.add("not_equal", "mask", ids)[0] if masked else None
    options = {"return_sequences": True, **options}
    (y,) = b.add(op, "forward", x, mask=mask, units=units, **attrs, **options)
    (z,) = b.add(op, "backward", x, mask=mask, units=units + 4, go_backwards=True, **attrs, **options)
    return b.done(y, z, x) if rows_too else b.done(y, z)


def _models(cell: str, table: str | None = None, **kw):
    graph, weights = _graph(cell, False, **kw)
    return model_of(graph, weights, table), model_of(*_graph(cell, True, **kw), table)


def _packed(model) -> int:
    return model.device_memory()["packed"]


@pytest.mark.parametrize("options", [{}, {"masked": True}, {"return_sequences": False}], ids=["", "masked", "last"])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("table", RUNNABLE)
def test_rows_of_the_table_are_the_chains_bits(table, cell, options):
    model, judge = _models(cell, table, **options)
    assert _packed(model) > _packed(judge)
    for batch, steps in ((1, 1), (1, 9), (3, 1), (2, 60), (7, 5)):
        ids = np.random.default_rng(batch).integers(0, 60, (batch, steps)).astype("int32")
        ids[:, steps // 2 :: 3] = 0
        got, want = model.predict(ids), judge.predict(ids)
        assert all(same_bits(a, b) for a, b in zip(got, want)), (batch, steps)


def _forward(rows_too: bool, dtype: str = "float32"):
    b = Builder()
    ids = b.input("ids", None, dtype="int32")
    (x,) = b.add("embedding", "words", ids, input_dim=50, output_dim=16, dtype=dtype)
    name = "words.embeddings"  # the builder gives weights the dtype of the input
    b.weights[name] = b.weights[name].astype(dtype)
    b.graph.weights[name] = replace(b.graph.weights[name], dtype=dtype)
    (y,) = b.add("lstm", "lstm", x, units=18, return_sequences=True)
    return model_of(*(b.done(y, x) if rows_too else b.done(y)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch", [1, 4])
def test_sessions_cut_as_they_like(batch, dtype):
    model, judge = _forward(False, dtype), _forward(True, dtype)
    ids = np.random.default_rng(3).integers(0, 50, (batch, 70)).astype("int32")
    want, _ = judge.predict(ids)
    session = model.session(batch_size=batch)
    parts = [session.run(ids[:, :2]), session.step(ids[:, 2])[:, None], session.run(ids[:, 3:])]
    assert same_bits(np.concatenate(parts, axis=1), want)


def test_an_id_outside_the_table_changes_nothing():
    session = _forward(False).session()
    session.step(np.array([7], "int32"))
    before = session.to_bytes()
    with pytest.raises(ShapeError, match="id 50 is outside the table of words"):
        session.step(np.array([50], "int32"))
    assert session.to_bytes() == before


@pytest.mark.parametrize(
    "why",
    [
        {"width": 8},  # a row of the table costs as much as the products
        {"words": TABLE_BYTES // (4 * 80) + 1, "width": 40},
        {"words": 4000, "units": 200, "width": 16},  # far larger than the weights it is made of
    ],
    ids=["narrow", "large", "growing"],
)
def test_large_tables_are_not_made(why):
    model, judge = _models("lstm", None, **why)
    assert _packed(model) == _packed(judge)
    assert _packed(model) < 4 * sum(w.nbytes for w in model.file.weights.values())
