"""The proof: its generator bit by bit, its limits, and that the replay notices what it must."""

import dataclasses
import math

import numpy as np
import pytest
from format_models import ids_graph, lstm_graph, proof_of, rnn_graph, weights_of

from rnnrt.errors import FormatError
from rnnrt.format.proof import (
    RUNS,
    Proof,
    ProofCase,
    ProofOutput,
    budget,
)
from rnnrt.format.proof_codec import proof_from_file, proof_to_file
from rnnrt.format.replay import draw_inputs, replay, sample_indices, sample_output
from rnnrt.ir.graph import TensorSpec

M = 2**64 - 1


def mix(z):
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & M
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & M
    return z ^ (z >> 31)


def word(seed, k, i):
    g = 0x9E3779B97F4A7C15
    return mix(mix(seed + (k + 1) * g & M) + (i + 1) * g & M)


def test_first_words():
    assert [f"{word(0, 0, i):016x}" for i in range(3)] == [
        "a706dd2f4d197e6f",
        "b382a305f4414f5e",
        "631a9154fbabf717",
    ]


@pytest.mark.parametrize("seed", [0, 7, 2**48 - 1])
def test_floats_bit_by_bit(seed):
    (x,) = draw_inputs(lstm_graph(), seed, 8, 2)
    assert x.shape == (2, 8, 3) and x.dtype == np.float32
    for i, got in enumerate(x.reshape(-1)):
        w = word(seed, 0, i)
        s = sum(w >> b & 0xFFFF for b in (0, 16, 32, 48))
        assert float(got) == (s - 131070) * 7 / 262144  # exactly


def test_floats_are_about_normal():
    (x,) = draw_inputs(lstm_graph(features=4096), 1, 8, 2)
    assert abs(x.mean()) < 0.02 and abs(x.std() - 1.01) < 0.02 and abs(x).max() <= 3.5
    assert len(np.unique(draw_inputs(lstm_graph(), 2, 8, 2)[0])) > 40


@pytest.mark.parametrize("dtype", ["int32", "int64", "float32"])
@pytest.mark.parametrize("input_dim", [1, 50, 2**20])
def test_ids_lie_below_input_dim(dtype, input_dim):
    (x,) = draw_inputs(ids_graph(dtype, input_dim), 3, 8, 2)
    assert x.dtype == dtype and x.shape == (2, 8)
    assert x.reshape(-1).tolist() == [(word(3, 0, i) >> 32) * input_dim >> 32 for i in range(16)]
    assert x.min() >= 0 and x.max() < input_dim


def test_other_integers_and_booleans():
    graph = ids_graph()
    graph.nodes = graph.nodes[:1]
    (x,) = draw_inputs(graph, 3, 8)
    assert x.min() >= 0 and x.max() < 8 and len(np.unique(x)) > 2
    graph.tensors["ids"] = TensorSpec("ids", graph.tensors["ids"].shape, "bool")
    (x,) = draw_inputs(graph, 3, 8)
    assert x.dtype == np.bool_ and x.tolist() == [[word(3, 0, i) >> 63 == 1 for i in range(8)]]


def test_lengths_in_the_file():
    assert draw_inputs(lstm_graph(steps=28), 0, 8)[0].shape == (1, 28, 3)
    assert draw_inputs(lstm_graph(steps=28), 0, 8, free_time=True)[0].shape == (1, 8, 3)
    x, s = draw_inputs(rnn_graph(state=True), 0, 5, 2, free_time=True)
    assert x.shape == (2, 5, 3) and s.shape == (2, 2)
    assert x.reshape(-1)[0] != s.reshape(-1)[0], "each input has a stream of its own"


def test_sample_indices():
    assert sample_indices(5, 9).tolist() == [0, 1, 2, 3, 4]
    assert sample_indices(10, 4).tolist() == [0, 3, 6, 9]
    assert sample_indices(10, 1).tolist() == [9]
    assert sample_indices(0, 1).tolist() == []
    for size, count in [(1000, 7), (2**40, 13), (8, 7)]:
        got = sample_indices(size, count)
        assert len(set(got.tolist())) == count and got[0] == 0 and got[-1] == size - 1


def test_sample_output_keeps_to_the_limit():
    full = np.arange(24.0).reshape(2, 3, 4)
    out = sample_output(full, 1e-5, time=True, limit=20)
    assert out.values.nbytes == 20 and out.shape == (2, 3, 4) and out.values.dtype == np.float32
    assert out.values.tolist() == [0, 5, 11, 17, 23]
    assert sample_output(full, 0.0, time=True, limit=0).values.tolist() == [23]


def test_budget():
    assert budget(0) == budget(204_800) == 4096
    assert budget(1_000_000) == 20_000


# ---------------------------------------------------------------- rules of the file


def through(proof, graph, nbytes=0):
    tensors, text = proof_to_file(proof, graph, nbytes)
    return proof_from_file(text, tensors, graph, nbytes)


def case_of(proof, **changes):
    return Proof((dataclasses.replace(proof.cases[0], **changes),))


GRAPH = rnn_graph()
GOOD = proof_of(GRAPH, (2, 8, 2), time=True)
OUT = GOOD.cases[0].outputs[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": -1},
        {"seed": 2**48},
        {"batch": 0},
        {"batch": 3},
        {"steps": 9},
        {"steps": 0, "cuts": (), "runs": ("whole",)},
        {"cuts": (8, 0)},
        {"steps": 7},
        {"cuts": ()},
        {"cuts": (8, 1)},
        {"cuts": (9, -1)},
        {"runs": ()},
        {"runs": ("whole",)},
        {"runs": ("chunked", "whole")},
        {"runs": ("whole", "whole")},
        {"outputs": ()},
        {"outputs": (OUT, OUT)},
        {"outputs": (dataclasses.replace(OUT, shape=(2, 8, 3)),)},
        {"outputs": (dataclasses.replace(OUT, shape=(2, 16)),)},
        {"outputs": (dataclasses.replace(OUT, tolerance=math.nan),)},
        {"outputs": (dataclasses.replace(OUT, tolerance=math.inf),)},
        {"outputs": (dataclasses.replace(OUT, tolerance=-1e-5),)},
        {"outputs": (dataclasses.replace(OUT, values=np.zeros((2, 2), "f4")),)},
        {"outputs": (dataclasses.replace(OUT, values=np.zeros(33, "f4")),)},
        {"outputs": (dataclasses.replace(OUT, values=np.zeros(0, "f4")),)},
        {"outputs": (dataclasses.replace(OUT, values=np.zeros(4, "c8")),)},
    ],
)
def test_proofs_that_break_a_rule_are_not_written(changes):
    through(GOOD, GRAPH)
    with pytest.raises(FormatError, match=r"\[F28\]"):
        through(case_of(GOOD, **changes), GRAPH)


def test_a_proof_has_a_limit():
    big = ProofOutput(np.zeros(1025, "f4"), (2, 8, 100), 1e-5, True)
    graph = rnn_graph(units=100)
    with pytest.raises(FormatError, match=r"4100 bytes, at most 4096 are allowed \[F29\]"):
        through(Proof((ProofCase(0, 2, 8, ("whole",), (big,)),)), graph)
    through(Proof((ProofCase(0, 2, 8, ("whole",), (big,)),)), graph, 205_000)


def test_a_length_in_the_file_binds_whole_runs_only():
    graph = rnn_graph(steps=28)
    whole = ProofOutput(np.zeros(9, "f4"), (1, 28, 2), 1e-5, True)
    pieces = ProofOutput(np.zeros(9, "f4"), (1, 8, 2), 1e-5, True)
    through(
        Proof(
            (
                ProofCase(0, 1, 8, ("whole",), (whole,)),
                ProofCase(0, 1, 8, ("chunked", "handover"), (pieces,), (1, 7)),
            )
        ),
        graph,
    )
    with pytest.raises(FormatError, match="28 steps, the case cuts 8"):
        through(Proof((ProofCase(0, 1, 8, RUNS, (whole,), (1, 7)),)), graph)
    with pytest.raises(FormatError, match="expected shape"):
        through(Proof((ProofCase(0, 1, 8, ("whole",), (pieces,)),)), graph)


# ---------------------------------------------------------------- replay


class Model:
    """A SimpleRNN in NumPy with the face of a loaded model, and ways to be wrong."""

    def __init__(self, graph, weights, wrong=""):
        self.graph, self.wrong = graph, wrong
        self.w = {k: v.astype(np.float64) for k, v in weights.items()}

    def cell(self, x, h):
        ys = []
        for t in range(x.shape[1]):
            h = np.tanh(x[:, t] @ self.w["rnn.kernel"] + h @ self.w["rnn.recurrent_kernel"] + self.w["rnn.bias"])
            ys.append(h)
        return np.stack(ys, axis=1), h

    def predict(self, x):
        state = isinstance(x, dict)
        data = x["x"] if state else x[0]
        h = x["start"] if state else np.zeros((len(data), self.w["rnn.bias"].size))
        y, _ = self.cell(data, h)
        if self.wrong == "value":
            y[-1, -1, -1] += 1e-3
        if self.wrong == "nan":
            y[0, 0, 0] = np.nan
        return {"out": y[:, :-1] if self.wrong == "shape" else y}

    def session(self, batch_size, initial_state=None):
        return Session(self, batch_size, initial_state)


class Session:
    def __init__(self, model, batch, initial_state):
        self.model = model
        self.h = np.zeros((batch, model.w["rnn.bias"].size))
        if initial_state is not None:
            self.h = initial_state["start"].astype(np.float64)

    def run(self, x):
        if isinstance(self.model.graph.input_structure, list):  # else the state was given, and x comes bare
            (x,) = x
        if self.model.wrong == "forgets":
            self.h = np.zeros_like(self.h)
        y, self.h = self.model.cell(x, self.h)
        return {"out": y}

    def get_state(self):
        return {"rnn/h": self.h}

    def set_state(self, state):
        if self.model.wrong != "deaf":
            self.h = state["rnn/h"]


def make(state=False, count=10**6):
    graph = rnn_graph(state=state)
    weights = weights_of(graph)
    model = Model(graph, weights)
    x = draw_inputs(graph, 5, 8, 2)
    y = model.predict({"x": x[0], "start": x[1]} if state else x)["out"]
    out = sample_output(y, 1e-6, time=True, limit=4 * count)
    return graph, weights, Proof((ProofCase(5, 2, 8, RUNS, (out,), (1, 3, 4)),))


@pytest.mark.parametrize("state", [False, True])
@pytest.mark.parametrize("count", [10**6, 5])
def test_replay_of_a_right_model(state, count):
    graph, weights, proof = make(state, count)
    result = replay(Model(graph, weights), through(proof, graph))
    assert result.ok and not result.failures and 0 < result.error < 1e-7 and result.tolerance == 1e-6
    assert [(r.case, r.run, r.output) for r in result.results] == [(0, run, "rnn") for run in RUNS]


@pytest.mark.parametrize(
    "wrong,runs",
    [
        ("value", {"whole"}),
        ("nan", {"whole"}),
        ("shape", {"whole"}),
        ("forgets", {"chunked", "handover"}),
        ("deaf", {"handover"}),
    ],
)
def test_replay_notices(wrong, runs):
    graph, weights, proof = make()
    result = replay(Model(graph, weights, wrong), proof)
    assert not result.ok and {r.run for r in result.failures} == runs
    assert result.error > result.tolerance


@pytest.mark.parametrize("last,ok", [(-1, True), (0, False)])
def test_of_an_output_without_time_the_last_piece_counts(last, ok):
    """Where the output has no time axis, what the session says after the first piece must not be compared."""
    graph, weights, proof = make()
    full = at_step(proof, last)

    class Last(Model):
        def predict(self, x):
            return {"out": super().predict(x)["out"][:, -1]}

        def session(self, batch_size, initial_state=None):
            session = Session(self, batch_size, initial_state)
            run = session.run
            session.run = lambda x: {"out": run(x)["out"][:, -1]}
            return session

    assert replay(Last(graph, weights), full).ok is ok


def at_step(proof, step):
    """The proof with one step of its output, as a layer with return_sequences=False would give."""
    case = proof.cases[0]
    values = case.outputs[0].values.reshape(2, 8, 2)[:, step]
    return case_of(proof, outputs=(ProofOutput(values.reshape(-1), (2, 2), 1e-6, False),))


def test_replay_of_wrong_weights():
    graph, _, proof = make()
    result = replay(Model(graph, weights_of(graph, seed=1)), proof)
    assert {r.run for r in result.failures} == set(RUNS)


def test_the_tolerance_is_relative_above_one():
    graph, weights, proof = make()
    big = ProofOutput(np.array([1000.0], "f4"), (1,), 1e-5)
    from rnnrt.format.replay import _error

    assert _error(np.array([1000.005]), big) == pytest.approx(5e-6)
    assert _error(np.array([math.inf]), dataclasses.replace(big, values=np.array([math.inf]))) == 0.0
    assert _error(np.array([math.inf]), big) == math.inf


def test_nothing_to_replay():
    assert replay(Model(GRAPH, weights_of(GRAPH)), Proof(())).ok
