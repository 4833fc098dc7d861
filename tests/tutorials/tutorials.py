"""The tutorials' models, unpacked once: paths, golden arrays and what Keras's summary said."""

from __future__ import annotations

import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ARCHIVE = Path(__file__).resolve().parents[1] / "data" / "tutorials.tar.xz"
TOLERANCE = 1e-5  # of max(1, |ref|), or 20 times Keras's own float32 error against float64


def names() -> list[str]:
    """``<tutorial>-<2|3>``, in order."""
    with tarfile.open(ARCHIVE) as archive:
        return sorted({m.name.split("/")[0] for m in archive.getmembers()})


@dataclass
class Tutorial:
    """One model: its file, the calls (inputs, outputs) in order, and Keras's own facts."""

    name: str
    path: Path
    golden: dict[str, np.ndarray]
    params: int
    summary: str

    @property
    def inputs(self) -> Any:
        """What predict takes: an array, a list or a dict."""
        named = {k[2:]: v for k, v in self.golden.items() if k.startswith("x_")}
        if named:
            return named
        xs = self.pieces
        return xs if len(xs) > 1 else xs[0]

    @property
    def pieces(self) -> list[np.ndarray]:
        """x0, x1, ..."""
        return [self.golden[f"x{k}"] for k in range(sum(n.startswith("x") for n in self.golden))]

    def outputs(self, prefix: str = "y") -> list[np.ndarray]:
        """y0, y1, ... or, of call c with the prefix ``y<c>_``, its outputs."""
        out: list[np.ndarray] = []
        while f"{prefix}{len(out)}" in self.golden:
            out.append(self.golden[f"{prefix}{len(out)}"])
        return out


def open_tutorial(folder: Path, name: str) -> Tutorial:
    """From the unpacked archive."""
    here = folder / name
    path = next(p for p in sorted(here.iterdir()) if p.name.startswith("model."))
    facts = json.loads((here / "facts.json").read_text())
    with np.load(here / "golden.npz") as golden:
        return Tutorial(name, path, dict(golden), facts["params"], facts["summary"])


def leaves(value: Any) -> list[np.ndarray]:
    """The arrays of a structure, in order."""
    if isinstance(value, dict):
        return [x for v in value.values() for x in leaves(v)]
    if isinstance(value, (list, tuple)):
        return [x for v in value for x in leaves(v)]
    return [value]


def assert_equal(got: Any, want: list[np.ndarray], tolerance: float = TOLERANCE) -> None:
    """Shapes, dtypes and values."""
    ours = leaves(got)
    assert len(ours) == len(want)
    for a, b in zip(ours, want):
        assert a.shape == b.shape and a.dtype == b.dtype
        assert np.isfinite(a).all()
        worst = float((np.abs(a.astype(np.float64) - b) / np.maximum(1, np.abs(b))).max())
        assert worst <= tolerance, worst
