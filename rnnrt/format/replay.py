"""The replay of a proof: its inputs drawn, a model run in every way that it asks for, the outputs compared."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import FormatError
from ..ir.dims import evaluate, symbols_of
from ..ir.graph import Graph, TensorSpec
from ..nested import nest
from ..records import Record
from .proof import MAX_DRAWN, Proof, ProofCase, ProofOutput

__all__ = ["ProofResult", "RunResult", "draw_inputs", "input_shape", "replay", "sample_indices", "sample_output"]


class RunResult(Record):
    """One output of one run of one case.

    error: the worst |got - ref| / max(1, |ref|), inf for a NaN or a wrong shape.
    """

    case: int
    run: str
    output: str
    error: float
    tolerance: float

    @property
    def ok(self) -> bool:
        """Whether the error is within the tolerance."""
        return self.error <= self.tolerance


class ProofResult(Record):
    """What :func:`replay` found; error and tolerance are those of the result nearest to its bound."""

    error: float
    tolerance: float
    results: tuple[RunResult, ...]

    @property
    def ok(self) -> bool:
        """Whether every run of every case is within its tolerance."""
        return all(r.ok for r in self.results)

    @property
    def failures(self) -> tuple[RunResult, ...]:
        """The results beyond their tolerance."""
        return tuple(r for r in self.results if not r.ok)


def sample_indices(size: int, count: int) -> np.ndarray:
    """Flat indices at which an output of ``size`` values is sampled; int64, ``min(count, size)`` of them.

    All where count >= size; else ``i * (size - 1) // (count - 1)``, first and last included
    (only the last one where count is 1).
    """
    if count >= size:
        return np.arange(size, dtype=np.int64)
    if count <= 1:
        return np.arange(size - 1, size - 1 + count, dtype=np.int64)
    return np.array([i * (size - 1) // (count - 1) for i in range(count)], dtype=np.int64)


def sample_output(full: np.ndarray, tolerance: float, *, time: bool, limit: int, dtype: str = "float32") -> ProofOutput:
    """A ProofOutput of a whole output, as ``dtype``, in at most ``limit`` bytes but at least one value."""
    flat = np.ascontiguousarray(full).reshape(-1)
    count = max(1, min(flat.size, limit // np.dtype(dtype).itemsize))
    values = flat[sample_indices(flat.size, count)].astype(dtype)
    return ProofOutput(values, tuple(full.shape), float(tolerance), time)


# ---------------------------------------------------------------- inputs

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_IDS_EXACT = {"float32": 1 << 24, "float16": 1 << 11, "bfloat16": 1 << 8}
# ids stay ids
_PASS_THROUGH = frozenset(
    {"reshape", "flatten", "cast", "repeat_vector", "fold_time", "unfold_time", "expand_dims", "squeeze", "slice"}
)


def _mix(z: np.ndarray) -> np.ndarray:
    """The finalizer of splitmix64 on uint64, modulo 2^64."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _words(seed: int, stream: int, count: int) -> np.ndarray:
    """The first ``count`` words (uint64) of a stream: word i is mix(key + (i+1) * golden)."""
    golden = int(_GOLDEN)
    key = _mix(np.array([(seed + (stream + 1) * golden) % 2**64], dtype=np.uint64))
    return _mix(key + np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN)


_ID_SIZES = {"embedding": "input_dim", "category_encoding": "num_tokens"}


def _id_limit(graph: Graph, tensor: str) -> int | None:
    """The smallest table or code of the ops that read these values as ids, or None."""
    consumers = graph.consumers()
    limit, todo, seen = None, [tensor], set()
    while todo:
        t = todo.pop()
        if t in seen:
            continue
        seen.add(t)
        for node in consumers.get(t, ()):
            if t not in node.inputs:
                continue
            if node.op in _ID_SIZES:
                n = node.attrs[_ID_SIZES[node.op]]
                limit = n if limit is None else min(limit, n)
            elif node.op in _PASS_THROUGH:
                todo.extend(node.outputs)
    return limit


def input_shape(spec: TensorSpec, batch: int, steps: int, free_time: bool) -> tuple[int, ...]:
    """The concrete shape of a model input: free axes are ``steps`` long, and axis 1 too if free_time."""
    shape = []
    for axis, dim in enumerate(spec.shape):
        if axis == 0:
            shape.append(batch)
        elif axis == 1 and free_time:
            shape.append(steps)
        else:
            shape.append(evaluate(dim, {s: batch if s == "B" else steps for s in symbols_of(dim)}))
    return tuple(shape)


def draw_inputs(graph: Graph, seed: int, steps: int, batch: int = 1, *, free_time: bool = False) -> list[np.ndarray]:
    """The inputs of a case, one array per graph input, the same bits on every machine.

    Lengths that the file fixes are respected; ``free_time`` (for sessions, which free the time
    axis) sets axis 1 of data inputs to ``steps`` all the same. Floats are about N(0, 1), multiples
    of 2^-18 that float32 holds exactly; ids lie below the ``input_dim`` of the embeddings (or the
    ``num_tokens`` of the codes) that read
    them; other integers in 0..7; booleans 0 or 1. FORMAT.md gives the generator bit by bit.

    Raises FormatError where an input would have more than 2^26 values.
    """
    out = []
    for k, spec in enumerate(graph.inputs):
        t = graph.tensors[spec.tensor]
        shape = input_shape(t, batch, steps, free_time and spec.role == "data" and len(t.shape) > 1)
        size = math.prod(shape)
        if min(shape) < 0 or math.prod(max(n, 1) for n in shape) > MAX_DRAWN:
            raise FormatError(f"rnnrt.proof: input {spec.name!r} {shape} cannot be drawn")
        words = _words(seed, k, size)
        limit = _id_limit(graph, spec.tensor)
        if limit is None and t.dtype in ("int32", "int64"):
            limit = 8
        if t.dtype == "bool":
            values: np.ndarray = (words >> np.uint64(63)).astype(np.bool_)
        elif limit is not None:
            limit = min(limit, _IDS_EXACT.get(t.dtype, 2**31))
            values = ((words >> np.uint64(32)) * np.uint64(limit)) >> np.uint64(32)
        else:
            # four 16-bit fields: their sum is near normal, mean 131070, deviation 37837
            fields = sum(((words >> np.uint64(s)) & np.uint64(0xFFFF)).astype(np.int64) for s in (0, 16, 32, 48))
            values = (fields - 131070) * 7 / 2.0**18
        dtype = "float32" if t.dtype == "bfloat16" else t.dtype
        out.append(values.astype(dtype).reshape(shape))
    return out


# ---------------------------------------------------------------- replay


def _flatten(structure: Any, value: Any, out: list) -> None:
    """Inverse of :func:`nest`: puts the leaves of ``value`` at their indices in ``out``."""
    if isinstance(structure, dict):
        for k, v in structure.items():
            _flatten(v, value[k], out)
    elif isinstance(structure, (list, tuple)):
        for i, v in enumerate(structure):
            _flatten(v, value[i], out)
    else:
        out[structure] = value


def _outputs(graph: Graph, value: Any) -> list[np.ndarray]:
    flat: list[Any] = [None] * len(graph.outputs)
    _flatten(graph.output_structure, value, flat)
    return [np.asarray(v) for v in flat]


def _run_pieces(model: Any, graph: Graph, case: ProofCase, inputs: list, handover: bool) -> list[np.ndarray]:
    """The outputs of a case run piece by piece through one session, or through one session a piece."""
    data = [i for i, s in enumerate(graph.inputs) if s.role == "data"]
    state = {s.name: x for s, x in zip(graph.inputs, inputs) if s.role == "state"}
    # a session takes state inputs once, and then the data inputs alone: bare, or a list in their order
    structure = graph.input_structure if not state else data[0] if len(data) == 1 else data
    session = model.session(batch_size=case.batch, **({"initial_state": state} if state else {}))
    pieces, start = [], 0
    for n in case.cuts:
        if handover and start:
            carried, session = session.get_state(), model.session(batch_size=case.batch)
            session.set_state(carried)
        chunk = {i: inputs[i][:, start : start + n] for i in data}
        pieces.append(_outputs(graph, session.run(nest(structure, chunk))))
        start += n
    return [
        np.concatenate([p[k] for p in pieces], axis=1) if o.time else pieces[-1][k] for k, o in enumerate(case.outputs)
    ]


def _error(got: np.ndarray, want: ProofOutput) -> float:
    """Worst |got - ref| / max(1, |ref|) at the sampled indices; inf for a wrong shape or a NaN."""
    if got.shape != want.shape:
        return math.inf
    if not want.values.size:
        return 0.0
    ref = want.values.astype(np.float64)
    have = got.reshape(-1)[sample_indices(got.size, want.values.size)].astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.where(have == ref, 0.0, np.abs(have - ref) / np.maximum(1.0, np.abs(ref)))
    worst = float(error.max())
    return math.inf if math.isnan(worst) else worst


def replay(model: Any, proof: Proof, graph: Graph | None = None) -> ProofResult:
    """Run every case through a loaded model and compare.

    Parameters
    ----------
    model
        Has ``predict(x)``, ``session(batch_size=)`` with ``run(chunk)``, ``get_state()``,
        ``set_state(dict)``, and ``graph`` (or give ``graph``).
    proof
        The file's proof.

    Returns
    -------
    ProofResult
        With one RunResult per case, run and output. Errors of the model itself pass through.
    """
    graph = model.graph if graph is None else graph
    results = []
    for i, case in enumerate(proof.cases):
        inputs = draw_inputs(graph, case.seed, case.steps, case.batch, free_time=case.frees_time)
        for run in case.runs:
            if run == "whole":
                got = _outputs(graph, model.predict(nest(graph.input_structure, dict(enumerate(inputs)))))
            else:
                got = _run_pieces(model, graph, case, inputs, run == "handover")
            for name, y, want in zip(graph.output_names, got, case.outputs):
                results.append(RunResult(i, run, name, _error(y, want), want.tolerance))
    if not results:
        return ProofResult(0.0, 0.0, ())
    worst = max(results, key=lambda r: (not r.ok, r.error / r.tolerance if r.tolerance else r.error))
    return ProofResult(worst.error, worst.tolerance, tuple(results))
