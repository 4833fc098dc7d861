"""How far each function of single elements lies from float64, in units in the last place, on every kernel table.

PYTHONPATH=tests python tests/accuracy/functions.py           # the table
"""

from __future__ import annotations

import numpy as np
from cases.graphs import Builder
from runtime import RUNNABLE, model_of

from rnnrt.ir.activations import ACTIVATIONS, Activation
from rnnrt.reference import Interpreter

__all__ = ["ELEMENTWISE", "SMALLEST", "errors", "numbers"]

ELEMENTWISE = [name for name, info in ACTIVATIONS.items() if not info.rowwise]
SMALLEST = 1e-35  # below, an intermediate may be denormal, and those are taken as 0


def numbers(stride: int = 20011) -> np.ndarray:
    """Every stride-th float32 of both signs, from 0 to the largest."""
    x = np.arange(0, 0x7F800000, stride, dtype=np.uint32).view("f4")
    return np.concatenate([-x[::-1], x])


def errors(name: str, table: str, x: np.ndarray) -> tuple[float, float]:
    """(largest error in units in the last place of the result, largest error relative to max(1, |result|))."""
    b = Builder()
    act = Activation(name, tuple(default for _, default in ACTIVATIONS[name].params))
    (y,) = b.add("activation", "a", b.input("x", 1), activation=act)
    graph, weights = b.done(y)
    with np.errstate(all="ignore"):
        ref = Interpreter(graph, weights).predict([x[:, None].astype("f8")])[0][:, 0]
        got = model_of(graph, weights, table).predict(x[:, None])[:, 0].astype("f8")
    counts = np.isfinite(ref) & (np.abs(ref) < 3e38)
    error, size = np.abs(got[counts] - ref[counts]), np.abs(ref[counts])
    unit = np.spacing(np.maximum(size, SMALLEST).astype("f4")).astype("f8")
    return float(np.max(np.where(size < SMALLEST, 0, error / unit))), float(np.max(error / np.maximum(1, size)))


def main() -> None:
    """The table: ulp (and relative error where the ulp count says nothing, near a zero that cancels)."""
    x = numbers(4099)
    print(f"{'function':18}" + "".join(f"{t:>22}" for t in RUNNABLE))
    for name in ELEMENTWISE:
        cells = [errors(name, t, x) for t in RUNNABLE]
        print(f"{name:18}" + "".join(f"{f'{ulp:.3g} ulp, {rel:.1e}':>22}" for ulp, rel in cells), flush=True)


if __name__ == "__main__":
    main()
