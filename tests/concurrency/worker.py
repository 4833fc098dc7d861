"""What a spawned process imports."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cases.graphs import Builder  # noqa: E402
from runtime import model_of  # noqa: E402


def model_and_input():
    b = Builder()
    x = b.input("x", None, 4)
    (y,) = b.add("gru", "gru", x, units=7, return_sequences=True)
    return model_of(*b.done(y)), np.random.default_rng(0).standard_normal((30, 4)).astype("float32")


def go_on(snapshot: bytes, chunk: np.ndarray) -> np.ndarray:
    """In the worker."""
    model, _ = model_and_input()
    return model.session(state=snapshot).run(chunk[None])[0]
