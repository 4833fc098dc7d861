"""Models with several inputs: each form in which they may come, with and without a copy, gives the same bits."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from cases.graphs import Builder
from runtime import model_of, same_bits

import rnnrt
from rnnrt.custom import given
from rnnrt.ir.ops.host import Signature, signature_text
from rnnrt.model import Model
from rnnrt.session import Session
from rnnrt.streams.pool import Pool

NAMES = ["words", "pace", "h", "c"]
STRUCTURES = {"list": [0, 1, 2, 3], "another order": [2, 0, 3, 1], "dict": {"ids": 0, "speed": 1, "h0": 2, "c0": 3}}
STRUCTURES["nested"] = [0, [1, {"h0": 2, "c0": 3}]]


def _model(structure, outputs=None, states=True):
    """Ids and numbers that advance together, an LSTM whose state may start from inputs, and a Dense."""
    b = Builder()
    ids = b.input("words", None, dtype="int32", time="t")
    pace = b.input("pace", None, 3, time="t")
    initial = tuple(b.input(n, 5, role="state") for n in ("h", "c")) if states else ()
    (e,) = b.add("embedding", "table", ids, input_dim=9, output_dim=4)
    (x,) = b.add("concatenate", "both", e, pace, axis=2)
    made = b.add("lstm", "lstm", x, initial_state=initial, units=5, return_sequences=True, return_state=states)
    (y,) = b.add("dense", "dense", made[0], units=2)
    graph, weights = b.done(y, *made[1:])
    graph.input_structure = structure
    graph.output_structure = ([0, 1, 2] if states else 0) if outputs is None else outputs
    return model_of(graph, weights)


def _values(batch, steps, seed=0):
    r = np.random.default_rng(seed)
    shapes = [(batch, steps, 3), (batch, 5), (batch, 5)]
    return [r.integers(0, 9, (batch, steps)).astype("int32"), *[r.standard_normal(s).astype("f4") for s in shapes]]


def _formed(structure, values):
    if isinstance(structure, dict):
        return {k: _formed(v, values) for k, v in structure.items()}
    return [_formed(v, values) for v in structure] if isinstance(structure, list) else values[structure]


def _flat(y):
    return [np.asarray(v) for v in (y.values() if isinstance(y, dict) else y if isinstance(y, list) else [y])]


def _same(a, b):
    return type(a) is type(b) and len(_flat(a)) == len(_flat(b)) and all(map(same_bits, _flat(a), _flat(b)))


@pytest.fixture
def no_copies(monkeypatch):
    """The general path fails."""

    def refuse(*args):
        raise AssertionError("the general path was taken")

    for cls, name in ((Model, "_slow"), (Session, "_slow"), (Pool, "_step_slow")):
        monkeypatch.setattr(cls, name, refuse)


def _copied(values):
    """The same numbers, so that the general path has to copy them."""
    return [v.astype("int16") if v.dtype.kind == "i" else v.astype("f8") for v in values]


FORMS = {
    "list": lambda s, v: _formed(s, v),
    "tuple": lambda s, v: tuple(_formed(s, v)) if isinstance(s, list) else _formed(s, v),
    "names": lambda s, v: dict(zip(NAMES, v)) if not isinstance(s, dict) else _formed(s, v),
    "names, any order": lambda s, v: (
        dict(reversed(dict(zip(NAMES, v)).items())) if isinstance(s, list) else _formed(s, v)
    ),
}


@pytest.mark.parametrize("structure", [k for k in STRUCTURES if k != "nested"])
@pytest.mark.parametrize("form", FORMS)
def test_predict_takes_each_form_as_it_lies(structure, form, no_copies):
    s, values = STRUCTURES[structure], _values(3, 6)
    want = _model([0, 1, 2, 3]).predict(values)
    assert _same(_model(s).predict(FORMS[form](s, values)), want)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_predict_copies_what_does_not_fit(structure):
    s, values = STRUCTURES[structure], _values(3, 6)
    want = _model([0, 1, 2, 3]).predict(values)
    m = _model(s)
    assert _same(m.predict(_formed(s, _copied(values))), want)
    assert _same(m.predict(_formed(s, [np.asfortranarray(v) for v in values])), want)
    assert _same(m.predict({**dict(zip(NAMES, values))} if not isinstance(s, dict) else _formed(s, values)), want)


@pytest.mark.parametrize("outputs", [{"y": 0, "h": 1, "c": 2}, [0, [1, 2]], [2, 1, 0]])
def test_outputs_keep_their_structure(outputs, no_copies):
    values = _values(2, 3)
    y, h, c = _model([0, 1, 2, 3]).predict(values)
    got = _model([0, 1, 2, 3], outputs).predict(values)
    if isinstance(outputs, dict):
        assert list(got) == ["y", "h", "c"] and all(map(same_bits, got.values(), (y, h, c)))
    elif outputs == [2, 1, 0]:
        assert all(map(same_bits, got, (c, h, y)))
    else:
        assert same_bits(got[0], y) and same_bits(got[1][0], h) and same_bits(got[1][1], c)


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("states", [True, False])
def test_sessions_take_the_data_inputs(structure, states, no_copies):
    values = _values(2, 7)
    s = STRUCTURES[structure] if states else [0, 1]
    m = _model(s, states=states)
    whole = _flat(_model([0, 1, 2, 3] if states else [0, 1], states=states).predict(values if states else values[:2]))
    session = m.session(2, initial_state=dict(zip(NAMES[2:], values[2:])) if states else None)
    first = [_flat(session.step([v[:, t].copy() for v in values[:2]]))[0] for t in range(3)]
    named = {"words": values[0][:, 3:].copy(), "pace": values[1][:, 3:].copy()}
    rest = _flat(session.run(named))[0] if not isinstance(s, dict) else _flat(session.run(list(named.values())))[0]
    assert same_bits(np.concatenate([np.stack(first, 1), rest], 1), whole[0])


def test_a_session_of_one_data_input_takes_it_bare(no_copies):
    b = Builder()
    ids = b.input("ids", None, dtype="int32")
    initial = (b.input("h", 4, role="state"),)
    (e,) = b.add("embedding", "table", ids, input_dim=9, output_dim=3)
    m = model_of(*b.done(*b.add("gru", "gru", e, initial_state=initial, units=4, return_sequences=True)))
    m.graph.input_structure = [0, 1]
    x, h = _values(3, 5)[0], np.ones((3, 4), "f4")
    want = Model.predict(m, {"ids": x, "h": h})
    session, pool = m.session(3, initial_state=[h]), m.pool(2)
    for r in range(3):
        pool.open(r, initial_state=[h[r : r + 1]])
    for t in range(5):
        y = session.step(x[:, t].copy() if t % 2 else {"ids": x[:, t].copy()})
        pooled = pool.step({r: x[r, t : t + 1].reshape(()) for r in range(3)})
        assert same_bits(y, want[:, t].copy()) and all(same_bits(pooled[r], y[r]) for r in range(3))


def test_inputs_that_disagree_are_named_and_change_nothing():
    m, values = _model([0, 1, 2, 3]), _values(2, 4)
    short = [values[0][:, :3].copy(), *values[1:]]
    with pytest.raises(rnnrt.ShapeError, match="input 'pace': length 4, but 'words' has 3"):
        m.predict(short)
    with pytest.raises(rnnrt.ShapeError, match="input 'h': batch 1, but 'words' has 2"):
        m.predict([*values[:2], values[2][:1], values[3]])
    session = m.session(2)
    before = session.to_bytes()
    with pytest.raises(rnnrt.ShapeError, match="length"):
        session.run(short[:2])
    with pytest.raises(rnnrt.ShapeError, match="a list of 2 inputs"):
        session.run(values)
    with pytest.raises(rnnrt.ShapeError, match="outside"):
        session.step([np.array([3, 9], "i4"), values[1][:, 0].copy()])
    assert session.to_bytes() == before
    with pytest.raises(rnnrt.ShapeError, match="'c' is missing"):
        m.predict(dict(zip(NAMES[:3], values)))
    with pytest.warns(UserWarning, match="unknown"):
        m.predict({**dict(zip(NAMES, values)), "more": 1})


def test_lengths_of_their_own_advance_together_in_a_session():
    b = Builder()
    left, right = b.input("left", None, 2), b.input("right", None, 2)
    made = [b.add("lstm", n, x, units=2)[0] for n, x in (("l", left), ("r", right))]
    m = model_of(*b.done(*b.add("add", "sum", *made)))
    m.graph.input_structure = [0, 1]
    x, y = np.ones((1, 4, 2), "f4"), np.ones((1, 3, 2), "f4")
    assert m.predict([x, y]).shape == (1, 2)
    session = m.session()
    before = session.to_bytes()
    with pytest.raises(rnnrt.ShapeError, match="input 'right': length 3, but 'left' has 4"):
        session.run([x, y])
    assert session.to_bytes() == before


@pytest.mark.parametrize("shared", ["pace", "h"])
def test_out_may_overlap_any_input(shared):
    b = Builder()
    x = b.input("pace", None, 4)
    initial = (b.input("h", 4, role="state"),)
    graph, weights = b.done(*b.add("gru", "gru", x, initial_state=initial, units=4, return_sequences=shared == "pace"))
    graph.input_structure = [0, 1]
    m = model_of(graph, weights)
    r = np.random.default_rng(1)
    values = {"pace": r.standard_normal((2, 5, 4)).astype("f4"), "h": r.standard_normal((2, 4)).astype("f4")}
    want = m.predict(list(values.values()))
    assert same_bits(m.predict(list(values.values()), out=values[shared]), want)


def test_a_list_may_change_during_the_call():
    """The arrays of a call live as long as it does, whatever becomes of the caller's list meanwhile."""
    lists, alive = [], []

    class Empties:
        """A layer of the user's own, run in the middle of the call."""

        def call(self, inputs, weights):
            arrays = [weakref.ref(a) for a in lists[-1]]
            lists[-1].clear()
            gc.collect()
            alive.extend(a() is not None for a in arrays)
            return inputs

    b = Builder()
    x, y = b.input("x", None, 3, time="t"), b.input("y", None, 3, time="t")
    signature = signature_text(Signature(0, (), [], ((None, 3),), 0, ()))
    (z,) = b.add("host_layer", "mine", x, class_name="Empties", signature=signature)
    graph, weights = b.done(*b.add("add", "sum", z, y))
    graph.input_structure = [0, 1]
    with given({"Empties": Empties}):
        m = model_of(graph, weights)
    values = _values(2, 4)[1:2] * 2
    lists.append([v.copy() for v in values])
    assert same_bits(m.predict(lists[-1]), values[0] + values[1])
    assert alive == [True, True] and lists == [[]]
