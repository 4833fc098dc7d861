"""The inputs that the error of narrow weights is measured on: those given, or some drawn from a seed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ConversionError, ShapeError
from ..format.replay import draw_inputs, input_shape
from ..ir.dims import Dim, evaluate, symbols_of
from ..ir.graph import Graph, TensorSpec
from ..structure import as_input, flatten_inputs, shape_text

__all__ = ["Calibration", "calibration"]

ROWS, STEPS, SEED = 8, 32, 0  # of the inputs drawn where nobody gives any
DRAWN = 1 << 22  # most values of one of these


@dataclass
class Calibration:
    """arrays: in the order of the inputs, as many rows each. lengths: of free axes, by symbol. words: what they are."""

    arrays: list[np.ndarray]
    lengths: dict[str, int]
    words: str


def calibration(graph: Graph, given: Any) -> Calibration:
    """What ``calibration=`` of ``convert`` means for a graph; ConversionError where it does not fit the model."""
    if given is None:
        arrays, words = _drawn(graph)
    else:
        try:
            arrays = _given(graph, given)
        except ShapeError as e:
            raise ConversionError(f"calibration: {e}") from None
        words = f"the calibration inputs {', '.join(shape_text(a.shape) for a in arrays)}"
    lengths: dict[str, int] = {}
    first: dict[str, str] = {}
    for spec, a in zip(graph.inputs, arrays):
        for d, n in zip(graph.tensors[spec.tensor].shape, a.shape):
            if isinstance(d, Dim):
                (s,) = symbols_of(d)
                if lengths.setdefault(s, n) != n:
                    what = "rows" if s == "B" else "steps"
                    raise ConversionError(
                        f"calibration: input {spec.name!r} has {n} {what}, but {first[s]!r} {lengths[s]}"
                    )
                first.setdefault(s, spec.name)
    return Calibration(arrays, lengths, words)


def _drawn(graph: Graph) -> tuple[list[np.ndarray], str]:
    rows, steps = ROWS, STEPS
    for t in graph.tensors.values():  # windows may want more than that
        while any(evaluate(d, dict.fromkeys(symbols_of(d), steps)) < 1 for d in t.shape) and steps < 4096:
            steps *= 2
    specs = [graph.tensors[s.tensor] for s in graph.inputs]
    while rows > 1 and any(math.prod(input_shape(t, rows, steps, False)) > DRAWN for t in specs):
        rows //= 2
    return draw_inputs(graph, SEED, steps, rows), f"seeded inputs ({rows} rows, {steps} steps where free)"


def _given(graph: Graph, given: Any) -> list[np.ndarray]:
    names = [s.name for s in graph.inputs]
    if isinstance(given, Mapping):
        if set(given) != set(names):
            got = ", ".join(sorted(map(str, given))) or "none"
            raise ConversionError(f"calibration: expected arrays named {', '.join(names)}, got {got}")
        flat = [given[n] for n in names]
    else:
        arrays = [x for x in given if isinstance(x, np.ndarray)] if isinstance(given, (list, tuple)) else []
        if arrays and len(given) != len(names):
            raise ConversionError(f"calibration: the model takes {len(names)} inputs {names}, got {len(given)} arrays")
        flat = flatten_inputs(list(range(len(names))), given, names, range(len(names)))
    return [_array(s.name, graph.tensors[s.tensor], x) for s, x in zip(graph.inputs, flat)]


def _array(name: str, spec: TensorSpec, x: Any) -> np.ndarray:
    """An array as the model takes it; whole numbers where it takes those."""
    shape = [d if isinstance(d, int) else None for d in spec.shape]
    floating = "float" in spec.dtype
    dtype = "float32" if spec.dtype == "bfloat16" else spec.dtype
    accepts = (dtype,) if floating else ("int32", "int64", "float32", "float64", "bool")
    a = as_input(name, x, dtype, accepts, shape)
    if floating or str(a.dtype) == dtype:
        return a
    with np.errstate(invalid="ignore"):
        whole = a.astype(dtype)
    if not np.array_equal(whole, a):
        at = np.unravel_index(int((whole != a).argmax()), a.shape)
        place = ", ".join(map(str, at))
        raise ShapeError(f"input {name!r}: {a[at]} at [{place}] is not of dtype {dtype}, which the model takes")
    return whole
