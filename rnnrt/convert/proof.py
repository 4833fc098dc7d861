"""Makes the proof of a converted model: what the float64 reference says it must answer.

The layout is :mod:`rnnrt.format.proof`'s, the drawing of inputs and the replay are :mod:`rnnrt.format.replay`'s. Here
are chosen the cases: at least one whole run, and for a graph that streams the same sequence in pieces
through one session and through a session per piece.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ..format.proof import Proof, ProofCase, ProofOutput, budget
from ..format.replay import draw_inputs, sample_output
from ..ir.dims import evaluate, symbols_of
from ..ir.graph import Graph
from ..ir.ops import OPS
from ..ir.ops.spec import check_attrs
from ..ir.passes.streamability import analyse
from ..reference import Interpreter

__all__ = ["make"]

#: error <= 1e-5 * max(1, |ref|), or 20 times float32's own error on the case where that is more
RELATIVE_TOLERANCE = 1e-5
FLOAT32_ERRORS = 20
#: of int8 models: 4 times what changes where values within NEAR_HALF counts of halfway are rounded the other way,
#: as float32 may round them
NUDGE_ERRORS, NEAR_HALF = 4, 5e-4
#: of models whose arithmetic is in double throughout
DOUBLE_TOLERANCE = 1e-12

# The pieces of a sequence: a single step, then odd and even lengths; their sum is the steps of a case.
CUTS = ((1, 3, 4), (1, 2), (1,))
BATCH = 2
LONG = 1000  # steps of a written length above which one case (int8: of one draw) must do: the reference takes its time

DRAWS, TIGHT = 8, 1e-4  # draw a case's inputs again while its tolerance is beyond TIGHT, and keep the best
INT8_DRAWS = 3  # a wide int8 model has values near halfway whatever the inputs


def make(graph: Graph, weights: Mapping[str, np.ndarray], seed: int = 1) -> Proof:
    """The proof of a graph with the weights as they will be stored.

    Parameters
    ----------
    graph
        A validated graph.
    weights
        Weight name -> array as stored in the file.
    seed
        Of the first case's inputs; the following cases count on from it, and so do further draws.

    Returns
    -------
    Proof
        Up to three cases (none where every input makes the model overflow), at most ``budget(bytes of
        weights)`` long, with one value per output at least. None either where 8 steps are too few for the model.
    """
    exactly = Interpreter(graph, weights)
    estimates = [Interpreter(graph, weights, np.float32)]
    if any(w.dtype == "int8" for w in graph.weights.values()):
        nudge = NEAR_HALF * np.random.default_rng(seed).choice([-1.0, 1.0], 8191)
        estimates = [Interpreter(graph, weights, np.float64, n) for n in (nudge, -nudge)]
    plans = _plan(graph)
    draws = DRAWS if len(estimates) == 1 else INT8_DRAWS if _loops(graph) <= LONG else 1
    nbytes = sum(np.asarray(w).nbytes for w in weights.values())
    limit = budget(nbytes) // (len(plans) * len(graph.outputs))
    cases = []
    for i, (batch, runs, pieces) in enumerate(plans):
        seeds = [seed + i + draw * len(plans) for draw in range(draws)]
        found = _choose(exactly, estimates, graph, [(s, batch, runs, pieces) for s in seeds])
        if found is None:
            continue
        case, exact, tolerances = found
        timed = _timed(graph) if pieces else [False] * len(exact)
        outputs = tuple(
            _expect(graph, k, ref, tolerance, timed[k], limit)
            for k, (ref, tolerance) in enumerate(zip(exact, tolerances))
        )
        cases.append(replace(case, outputs=outputs))
    return Proof(tuple(cases))


def _choose(
    exactly: Interpreter,
    estimates: list[Interpreter],
    graph: Graph,
    draws: list[tuple[int, int, tuple[str, ...], bool]],
) -> tuple[ProofCase, list[np.ndarray], list[float]] | None:
    """The case with the tightest tolerance, its outputs in double, and the tolerance of each.

    Some models are touchy where the drawn inputs are unlike their data, and some (exponential in a
    recurrence) grow beyond all bounds: then other inputs or fewer steps prove more. None where no
    inputs give finite outputs.
    """
    best = None
    for cuts in CUTS:
        if not _fits(graph, sum(cuts)):
            continue
        for seed, batch, runs, pieces in draws:
            case = ProofCase(seed, batch, sum(cuts), runs, (), cuts if pieces else ())
            exact, *others = (_answer(r, graph, case) for r in (exactly, *estimates))
            if not all(np.isfinite(y).all() for answer in (exact, *others) for y in answer):
                continue
            factor = FLOAT32_ERRORS if len(others) == 1 else NUDGE_ERRORS
            tolerances = [_tolerance(ref, guesses, factor) for ref, *guesses in zip(exact, *others)]
            loss = max(tolerances)
            if best is None or loss < best[0]:
                best = (loss, case, exact, tolerances)
            if loss <= TIGHT:
                break
        if best is not None:
            return best[1:]
    return None


def _fits(graph: Graph, steps: int) -> bool:
    """Whether free axes of that length leave something of every tensor (a window may want more)."""
    for t in graph.tensors.values():
        if any(evaluate(d, dict.fromkeys(symbols_of(d), steps)) < 1 for d in t.shape):
            return False
    return True


def _plan(graph: Graph) -> list[tuple[int, tuple[str, ...], bool]]:
    """(batch, runs, whether it is run in pieces) of each case."""
    if not analyse(graph).ok:
        whole: list[tuple[int, tuple[str, ...], bool]] = [(1, ("whole",), False), (BATCH, ("whole",), False)]
        return whole[1:] if _loops(graph) > LONG else whole
    pieces = ("chunked", "handover")
    written = any(isinstance(graph.tensors[s.tensor].shape[1], int) for s in graph.inputs if s.role == "data")
    if graph.session == "sequence" and not written:
        return [(1, ("whole", *pieces), True), (BATCH, ("whole", *pieces), True)]
    # Each run of a case must give the same answer. Keras calls on pieces do not answer as one call
    # does, and a whole run has the length that the file wrote: so the pieces are a case of their own.
    return [(1, ("whole",), False), (BATCH, ("whole",), False), (BATCH, pieces, True)]


def _loops(graph: Graph) -> int:
    """The most steps that a recurrent layer takes because the file fixes its length."""
    looping = (n for n in graph.nodes if OPS[n.op].states(check_attrs(OPS[n.op], n.attrs)))
    lengths = (graph.tensors[n.inputs[0]].shape[1] for n in looping)
    return max((t for t in lengths if isinstance(t, int)), default=0)


def _answer(reference: Interpreter, graph: Graph, case: ProofCase) -> list[np.ndarray]:
    """The reference's outputs for the inputs of a case, in one call or piece by piece."""
    inputs = draw_inputs(graph, case.seed, case.steps, case.batch, free_time=case.frees_time)
    if "whole" in case.runs:
        return reference.predict(inputs)
    given = {s.name: x for s, x in zip(graph.inputs, inputs) if s.role == "state"}
    data = [x for s, x in zip(graph.inputs, inputs) if s.role == "data"]
    session = reference.session(case.batch, initial_state=given)
    ends = np.cumsum(case.cuts)
    pieces = [session.run([x[:, e - n : e] for x in data]) for n, e in zip(case.cuts, ends)]
    return [
        np.concatenate([p[k] for p in pieces], axis=1) if timed else pieces[-1][k]
        for k, timed in enumerate(_timed(graph))
    ]


def _timed(graph: Graph) -> list[bool]:
    """Whether each output of a graph that streams has the time axis."""
    marks = analyse(graph).marks
    return [marks[t] == "step" for t in graph.outputs]


def _expect(graph: Graph, index: int, ref: np.ndarray, tolerance: float, timed: bool, limit: int) -> ProofOutput:
    """The expected output with its tolerance, relative to max(1, |ref|)."""
    tensor = graph.tensors[graph.outputs[index]]
    stored = "float64" if tensor.dtype == "float64" else "float32"
    if _in_double(graph):
        tolerance = max(DOUBLE_TOLERANCE, tolerance * 2.0**-29)  # a double has 29 bits more
    tolerance += _last_digit(graph, index)
    return sample_output(ref, _round_up(tolerance), time=timed, limit=limit, dtype=stored)


def _in_double(graph: Graph) -> bool:
    """Whether no node makes a float of less than 64 bits."""
    made = [graph.tensors[t].dtype for n in graph.nodes for t in n.outputs]
    return "float64" in made and not any("float" in d and d != "float64" for d in made)


def _last_digit(graph: Graph, index: int) -> float:
    """What rounding an output to 16 bits may change, where the value before it lay near the middle of two numbers."""
    name = graph.outputs[index]
    maker = graph.producers().get(name)
    before = graph.tensors[maker.inputs[0]].dtype if maker is not None and maker.op == "cast" else ""
    halves = {"float16": 2.0**-10, "bfloat16": 2.0**-7}
    return halves.get(graph.tensors[name].dtype, halves.get(before, 0.0))


def _tolerance(ref: np.ndarray, estimates: list[np.ndarray], factor: float) -> float:
    """Relative to max(1, |ref|), from what the reference itself loses in float32 or by a nudge."""
    errors = [np.abs(e.astype(np.float64) - ref) / np.maximum(1.0, np.abs(ref)) for e in estimates]
    return max(RELATIVE_TOLERANCE, factor * max(float(e.max(initial=0.0)) for e in errors))


def _round_up(value: float) -> float:
    """To two digits, so that the last bits of this machine's BLAS do not show in the file."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.ceil(value / unit - 1e-9) * unit:.1e}")
