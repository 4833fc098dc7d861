"""What the suites of stores share: a small model and its inputs."""

from __future__ import annotations

import numpy as np
from cases.graphs import Builder
from runtime import model_of

import rnnrt

__all__ = ["MODEL", "X", "make_model"]


def make_model(units: int = 6) -> rnnrt.Model:
    """A GRU and an LSTM; per step and last."""
    b = Builder()
    x = b.input("x", None, 3)
    (y,) = b.add("gru", "gru", x, units=units, return_sequences=True)
    (last,) = b.add("lstm", "lstm", y, units=4)
    return model_of(*b.done(y, last))


MODEL = make_model()
X = np.random.default_rng(5).standard_normal((1, 400, 3)).astype("float32")
