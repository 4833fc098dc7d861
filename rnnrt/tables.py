"""Tables: what a program is made from. The planner makes them, files keep them, the extension hands them to C."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .records import Record, field

__all__ = ["VERSION", "WIDENED", "WIDTHS", "Tables", "arrays_of"]

# Of the tables that files keep. It changes with anything that the planner writes for some graph, and with the numbers
# of ops: a file of another version is planned anew when it is loaded. tests/hostile/test_plan_version.py watches.
VERSION = 1

# columns of each table of integers; 0: a list
WIDTHS = {
    "dims": 6,
    "tensors": 16,
    "ops": 18,
    "refs": 0,
    "weights": 6,
    "states": 4,
    "regions": 4,
    "inputs": 2,
    "outputs": 0,
    "shown": 0,
}

# dtypes of stored weights (bfloat16 as its bits) that programs take as float32
WIDENED = {"float16": "float32", "uint16": "float32"}


def arrays_of(sources: list[tuple[str, bool]], weights: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """The weights that sources name, as programs take them: C-contiguous, widened where that is not ruled out."""
    out = []
    for name, as_stored in sources:
        a = np.asarray(weights[name])
        if not as_stored and a.dtype.name in WIDENED:
            from .ir.halves import widen

            a = widen(a)
        out.append(a if a.flags.c_contiguous else a.copy())
    return out


class Tables(Record, frozen=False):
    """A plan in the layout of ``src_c/include/rnnrt_backend.h``, int64 (rows, columns), and what calls need to know.

    sources: of each weight its name in the file, and whether it stays as it is stored (see :func:`arrays_of`).
    shown: for each output the tensor whose shape callers see: the one that is written, or an alias of it.
    fixed: for each input the length of time that the file wrote, which binds ``predict``; None where it is free.
    starts: for each input whether states start from it. steps: for each output whether a session's step leaves out its
    axis 1, which is the time.
    streams: whether the model can be cut in time. bounded: a session's call of any length works in a fixed space.
    session: ``sequence`` or ``calls``. places: the layer path of each op.
    """

    dims: np.ndarray
    tensors: np.ndarray
    ops: np.ndarray
    refs: np.ndarray
    reals: np.ndarray
    weights: np.ndarray
    sources: list[tuple[str, bool]]
    states: np.ndarray
    row_bytes: int
    regions: np.ndarray
    inputs: np.ndarray
    outputs: np.ndarray
    shown: np.ndarray
    fixed: list[int | None]
    starts: list[bool]
    steps: list[bool]
    streams: bool
    bounded: bool
    session: str
    symbols: list[str]
    places: list[str]
    input_names: list[str]
    input_structure: Any
    output_structure: Any
    hosts: dict[int, Any] = field(default_factory=dict)  # op -> what runs it: classes of the user's own
