"""What the suites of the runtime share: models made in memory from hand-written graphs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rnnrt.format.reader import ModelFile
from rnnrt.ir.graph import Graph
from rnnrt.model import Model
from rnnrt.native import _native as native

__all__ = ["BITWISE", "RUNNABLE", "model_of", "same_bits"]

TABLES = {t["name"]: t for t in native.kernel_tables()}
RUNNABLE = [n for n in TABLES if n != "blas"]
BITWISE = [n for n, t in TABLES.items() if t["bitwise_group"] > 0]


def model_of(graph: Graph, weights: Mapping[str, np.ndarray], kernels: str | None = None, threads: int = 1) -> Model:
    """A model that was never in a file, on the kernel table of that name."""
    return Model(ModelFile("memory", graph, weights, None, {}, 0, False), kernels, threads=threads)


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal shape and bytes."""
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()
