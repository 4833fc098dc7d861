"""How much a call has to do, and the least time in which this machine could do it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..native import _native as native

__all__ = ["Ceilings", "Work", "layers_of", "total", "weights_nbytes", "works"]

SIZES = [1 << 15, 1 << 18, 1 << 20, 1 << 22, 1 << 24, 1 << 26]  # bytes, from the first cache to memory
_GATED = ("lstm", "gru", "simple_rnn")


@dataclass(frozen=True)
class Work:
    """Of one op, or a whole call: the layer's path, the op's kind, its flops and bytes.

    A multiply-add is two flops, functions of single elements are none. nbytes: of the weights that it reads, each
    once, but those of a recurrence once for each step. int8: the flops among them by weights of int8.
    """

    place: str
    kind: str
    flops: float
    nbytes: float
    int8: float = 0.0


@dataclass(frozen=True)
class Ceilings:
    """Of one core under a kernel table, measured: flops a second; bytes a second read of buffers of :data:`SIZES`.

    int8: flops a second by weights of int8; as flops where the table has no vectors for them.
    """

    flops: float
    read: tuple[float, ...]
    int8: float = 0.0

    def __post_init__(self) -> None:
        if not self.int8:
            object.__setattr__(self, "int8", self.flops)

    @classmethod
    def measure(cls, kernels: str) -> Ceilings:
        """Takes some 0.2 s. Other load only lowers the figures."""
        flops, int8, read = native.ceilings(kernels, SIZES)
        return cls(flops, tuple(read), int8)

    def arithmetic(self, work: Work) -> float:
        """Seconds of the multiply-adds alone."""
        return (work.flops - work.int8) / self.flops + work.int8 / self.int8

    def read_at(self, nbytes: float) -> float:
        """Bytes a second where the working set has this size: that of the next larger buffer."""
        return next((r for size, r in zip(SIZES, self.read) if nbytes <= size), self.read[-1])

    def floor(self, work: Work, working_set: float) -> float:
        """Seconds: arithmetic, or each weight read once in order from where it lies, whichever takes longer."""
        return max(self.arithmetic(work), work.nbytes / self.read_at(working_set))


def works(model: Any, batch: int, steps: int) -> list[Work]:
    """The work of each op of a call, in the program's order."""
    plan = model.plan
    lengths = dict(model._lengths(batch, steps))
    dims = _evaluate(plan.dims, [lengths[s] for s in plan.symbols])
    names = {number: name for name, number in native.op_kinds().items()}
    found = [_work(plan, dims, op, names[op[0]], place) for op, place in zip(plan.ops.tolist(), plan.places)]
    return [replace(w, int8=w.flops) if _int8(plan, op) else w for w, op in zip(found, plan.ops.tolist())]


def weights_nbytes(model: Any) -> float:
    """The bytes that a stream's steps read again and again: all weights, of a table one row."""
    plan = model.plan
    names = {number: name for name, number in native.op_kinds().items()}
    used = {w: names[op[0]] for op in plan.ops.tolist() for w in plan.refs[op[8] : op[8] + op[9]].tolist() if w >= 0}
    rows = ((plan.weights[w].tolist(), kind) for w, kind in used.items())
    return sum(_ITEM[w[0]] * math.prod(w[3 if kind == "embedding" else 2 : 2 + w[1]]) for w, kind in rows)


def _int8(plan: Any, op: list[int]) -> bool:
    """Whether an op multiplies by weights of int8."""
    return any(w >= 0 and plan.weights[w][0] == _INT8 for w in plan.refs[op[8] : op[8] + op[9]].tolist())


def total(parts: list[Work]) -> Work:
    """All of a call."""
    return Work("", "", *(sum(getattr(w, name) for w in parts) for name in ("flops", "nbytes", "int8")))


def layers_of(parts: list[Work]) -> list[tuple[Work, list[int]]]:
    """The work of each layer in order, and the ops that make it up."""
    found: dict[str, list[int]] = {}
    for k, w in enumerate(parts):
        found.setdefault(w.place, []).append(k)
    out = []
    for place, ops in found.items():
        whole = total([parts[k] for k in ops])
        heaviest = max(ops, key=lambda k: parts[k].flops)
        out.append((replace(whole, place=place, kind=parts[heaviest].kind), ops))
    return out


def _evaluate(rows: np.ndarray, symbols: list[int]) -> list[int]:
    """The dimension table with lengths put in (rnnrt_backend.h: rnnrt_plan_dim)."""
    out: list[int] = []
    for kind, a, b, m, c, d in rows.tolist():
        if kind == 0:
            out.append(m)
        elif kind == 1:
            out.append(symbols[a])
        elif kind == 2:
            out.append((out[a] * m + c) // d)
        else:
            out.append(out[a] * out[b] if kind == 3 else out[a] + out[b])
    return out


def _work(plan: Any, dims: list[int], op: list[int], kind: str, place: str) -> Work:
    refs = plan.refs.tolist()

    def shape(tensor: int) -> list[int]:
        row = plan.tensors[tensor].tolist()
        return [dims[d] for d in row[2 : 2 + row[1]]]

    ins = [shape(t) for t in refs[op[4] : op[4] + op[5]]]
    out = shape(refs[op[6]]) if op[7] else []
    weights = [plan.weights[w].tolist() for w in refs[op[8] : op[8] + op[9]] if w >= 0]
    sizes = [math.prod(w[2 : 2 + w[1]]) for w in weights]
    nbytes = [size * _ITEM[w[0]] for size, w in zip(sizes, weights)]
    if kind in _GATED:
        steps, rows = ins[0][1], ins[0][0] * ins[0][1]
        return Work(place, kind, 2.0 * rows * (sizes[0] + sizes[1]), sum(nbytes) + nbytes[1] * (steps - 1))
    if kind == "conv_lstm":
        steps, places = ins[0][1], math.prod(ins[0][:2]) * math.prod(out[-1 - (len(ins[0]) - 3) : -1])
        return Work(place, kind, 2.0 * places * (sizes[0] + sizes[1]), sum(nbytes) + nbytes[1] * (steps - 1))
    if kind in ("dense", "einsum_dense"):
        both = math.prod(ins[0]) * math.prod(out)  # rows * inputs * rows * outputs
        return Work(place, kind, 2.0 * math.sqrt(both * sizes[0]), sum(nbytes))
    if kind in ("conv", "depthwise_conv"):
        return Work(place, kind, 2.0 * math.prod(out[:-1]) * sizes[0], sum(nbytes))
    if kind == "attention":
        return Work(place, kind, 2.0 * math.prod(ins[0][:2]) * ins[1][1] * (ins[0][2] + ins[2][2]), sum(nbytes))
    if kind == "embedding":
        return Work(place, kind, 0.0, math.prod(out) * _ITEM[weights[0][0]])
    return Work(place, kind, 0.0, sum(nbytes))


_INT8 = 4  # rnnrt_dtype
_ITEM = (4, 8, 2, 2, 1, 4, 8, 1)  # bytes of rnnrt_dtype
