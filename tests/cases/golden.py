"""Reads the goldens: the files that real Kerases wrote, and what they answer.

``tests/data/goldens/<family>.tar.xz`` holds per case and version ``<case>/<version>/`` with the
model (``model.h5``, ``model.keras``, or ``model.weights.h5`` / ``weights.h5`` beside
``architecture.json``), ``facts.json`` and ``out_<piece>_<k>.npy``: output k of call ``piece``, as Keras
computes it in float64 from the same weights.
"""

from __future__ import annotations

import functools
import json
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .case import Case

__all__ = ["FOLDER", "Golden", "Output", "load", "sample"]

FOLDER = Path(__file__).parent.parent / "data" / "goldens"
MAX_VALUES = 2048  # per output; a larger one is sampled


def sample(values: np.ndarray) -> np.ndarray:
    """A large output's values at a fixed stride, in C order; a small one's all."""
    flat = np.asarray(values).reshape(-1)
    return flat[:: max(1, -(-flat.size // MAX_VALUES))]


@dataclass(frozen=True)
class Output:
    """One expected output: shape, float64 values at :func:`sample`, and Keras's own worst float32 error."""

    shape: tuple[int, ...]
    values: np.ndarray
    keras_error: float

    def error(self, got: np.ndarray) -> np.ndarray:
        """|got - expected| at the samples; raises AssertionError where the shape is another."""
        assert tuple(got.shape) == self.shape, f"shape {got.shape}, Keras gives {self.shape}"
        return np.abs(sample(got).astype(np.float64) - self.values)


@dataclass(frozen=True)
class Golden:
    """A case in one version: the files, and the outputs of each call (:meth:`Case.pieces`)."""

    case: Case
    version: str
    model: Path
    architecture: Path | None
    outputs: list[list[Output]]
    single: bool  # Keras's predict gives one array, not a list
    keras_version: str


@functools.cache
def _unpack(family: str) -> tempfile.TemporaryDirectory:
    """The family's files in a folder that lives as long as the process."""
    folder = tempfile.TemporaryDirectory(prefix=f"goldens-{family}-")
    with tarfile.open(FOLDER / f"{family}.tar.xz") as archive:
        if hasattr(tarfile, "data_filter"):
            archive.extractall(folder.name, filter="data")
        else:
            archive.extractall(folder.name)
    return folder


def load(case: Case, version: str) -> Golden:
    """The golden of a case; FileNotFoundError where make_goldens.py has not been run for it."""
    folder = Path(_unpack(case.family).name) / case.name / version
    facts = json.loads((folder / "facts.json").read_text())
    outputs = [
        [Output(tuple(o["shape"]), np.load(folder / f"out_{p}_{k}.npy"), o["keras_error"]) for k, o in enumerate(call)]
        for p, call in enumerate(facts["calls"])
    ]
    architecture = folder / "architecture.json"
    return Golden(
        case,
        version,
        folder / facts["model"],
        architecture if architecture.exists() else None,
        outputs,
        facts["single"],
        facts["keras_version"],
    )
