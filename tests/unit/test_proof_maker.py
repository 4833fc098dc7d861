"""The proof of a converted model: which cases it holds, that it holds, and that it notices."""

from __future__ import annotations

import numpy as np
import pytest
from cases.graphs import Builder

from rnnrt.convert.proof import make
from rnnrt.format.proof import budget
from rnnrt.format.replay import replay
from rnnrt.ir.activations import Activation
from rnnrt.reference import Interpreter


class _Model:
    """The reference with the face of a loaded model, to replay proofs on."""

    def __init__(self, graph, weights, dtype=np.float64):
        self.graph, self.reference = graph, Interpreter(graph, weights, dtype)

    def _nest(self, flat):
        return flat[0] if self.graph.output_structure == 0 else flat

    def predict(self, x):
        return self._nest(self.reference.predict(x if isinstance(x, list) else [x]))

    def session(self, batch_size=1, initial_state=None):
        session, nest = self.reference.session(batch_size, initial_state), self._nest

        class Session:
            get_state, set_state = session.get_state, session.set_state

            def run(self, chunk):
                return nest(session.run(chunk))

        return Session()


def _lstm(steps=None, session="sequence", units=4, sequences=True, **attrs):
    b = Builder(session)
    x = b.input("x", steps, 3)
    outputs = b.add("lstm", "rnn", x, units=units, return_sequences=sequences, return_state=True, **attrs)
    return b.done(*outputs[:2])


def _runs(proof):
    return [(c.batch, c.runs, c.frees_time) for c in proof.cases]


PIECES = ("chunked", "handover")


@pytest.mark.parametrize(
    "model, runs",
    [
        (_lstm(), [(1, ("whole", *PIECES), False), (2, ("whole", *PIECES), False)]),
        (_lstm(sequences=False), [(1, ("whole", *PIECES), False), (2, ("whole", *PIECES), False)]),
        (_lstm(steps=20), [(1, ("whole",), False), (2, ("whole",), False), (2, PIECES, True)]),
        (
            _lstm(session="calls", stateful=True),
            [(1, ("whole",), False), (2, ("whole",), False), (2, PIECES, True)],
        ),
        (_lstm(go_backwards=True), [(1, ("whole",), False), (2, ("whole",), False)]),
    ],
    ids=["free", "last_output", "written_length", "calls", "does_not_stream"],
)
def test_cases_and_replay(model, runs):
    graph, weights = model
    proof = make(graph, weights)
    assert _runs(proof) == runs
    assert proof.nbytes <= budget(sum(w.nbytes for w in weights.values()))
    exact = replay(_Model(graph, weights), proof)
    assert exact.ok and exact.error < 1e-7  # expected values are kept as float32
    assert replay(_Model(graph, weights, np.float32), proof).ok
    assert {r.run for r in exact.results} == {r for c in proof.cases for r in c.runs}


def test_the_same_model_has_the_same_proof_and_another_seed_another():
    graph, weights = _lstm()
    one, two, three = make(graph, weights), make(graph, weights), make(graph, weights, seed=9)
    for a, b in zip(one.cases, two.cases):
        assert a.seed == b.seed
        for x, y in zip(a.outputs, b.outputs):
            assert x.tolerance == y.tolerance and (x.values == y.values).all()
    assert (one.cases[0].outputs[0].values != three.cases[0].outputs[0].values).any()


@pytest.mark.parametrize("role", ["kernel", "recurrent_kernel", "bias"])
def test_a_changed_weight_fails_the_replay(role):
    graph, weights = _lstm()
    proof = make(graph, weights)
    wrong = dict(weights)
    wrong[f"rnn.{role}"] = np.roll(weights[f"rnn.{role}"], 1, axis=-1)
    assert not replay(_Model(graph, wrong), proof).ok


def test_a_session_that_forgets_fails_the_replay():
    graph, weights = _lstm()

    class Forgets(_Model):
        def session(self, batch_size=1, initial_state=None):
            session = super().session(batch_size, initial_state)
            session.set_state = lambda state: None
            return session

    failed = replay(Forgets(graph, weights), make(graph, weights)).failures
    assert {r.run for r in failed} == {"handover"}


def test_large_outputs_are_sampled_within_the_budget():
    graph, weights = _lstm(units=300)
    proof = make(graph, weights)
    size = proof.cases[1].outputs[0]
    assert size.values.size < 2 * 8 * 300
    assert proof.nbytes <= budget(sum(w.nbytes for w in weights.values()))
    assert replay(_Model(graph, weights), proof).ok


def test_state_inputs_are_given_once_to_a_session():
    b = Builder()
    x = b.input("x", None, 3)
    h = b.input("h", 4, role="state")
    graph, weights = b.done(*b.add("gru", "rnn", x, initial_state=(h,), units=4, return_sequences=True))
    proof = make(graph, weights)
    assert _runs(proof)[0][1] == ("whole", *PIECES)
    assert replay(_Model(graph, weights), proof).ok
    wrong = dict(weights, **{"rnn.bias": weights["rnn.bias"] * 0})
    assert not replay(_Model(graph, wrong), proof).ok


def test_tolerance_grows_with_float32s_own_error():
    """A difference of large values costs float32 its digits; the proof allows 20 times what was lost."""
    b = Builder()
    (large,) = b.add("dense", "large", b.input("x", 2), units=2, use_bias=False)
    (y,) = b.add("dense", "difference", large, units=1, use_bias=False)
    graph, weights = b.done(y)
    assert make(graph, weights).cases[0].outputs[0].tolerance == 1e-5
    weights["large.kernel"] = np.array([[1e4, 1e4], [0.0, 0.1]], "float32")
    weights["difference.kernel"] = np.array([[1.0], [-1.0]], "float32")
    assert 1e-4 < make(graph, weights).cases[0].outputs[0].tolerance < 1


def _exploding(steps):
    b = Builder()
    (h,) = b.add("simple_rnn", "rnn", b.input("x", steps, 3), units=3, activation=Activation("exponential"))
    graph, weights = b.done(h)
    weights["rnn.recurrent_kernel"] = np.eye(3, dtype="float32")
    return graph, weights


def test_a_model_that_overflows_is_proved_on_fewer_steps():
    graph, weights = _exploding(None)
    proof = make(graph, weights)
    assert [c.steps for c in proof.cases] == [3, 3]
    assert all(np.isfinite(o.values).all() for c in proof.cases for o in c.outputs)
    assert replay(_Model(graph, weights), proof).ok


def test_where_only_the_whole_overflows_the_pieces_are_proved():
    graph, weights = _exploding(30)
    proof = make(graph, weights)
    assert _runs(proof) == [(2, PIECES, True)]
    assert replay(_Model(graph, weights), proof).ok
