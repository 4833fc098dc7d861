"""Dense over the last axis, whatever the rank."""

from __future__ import annotations

from typing import Any

import numpy as np

from .activations import activate
from .registry import OpCall, op

__all__ = ["product"]


def product(x: np.ndarray, kernel: Any) -> np.ndarray:
    """``x @ kernel`` over the last axis, as one product of matrices: NumPy would make one for each row of a batch."""
    return (x.reshape(-1, x.shape[-1]) @ kernel).reshape(*x.shape[:-1], kernel.shape[1])


@op("dense")
def dense(call: OpCall) -> list[np.ndarray]:
    y = product(call.inputs[0], call.weights["kernel"])
    if call.attrs["use_bias"]:
        y = y + call.weights["bias"]
    return [activate(call.attrs["activation"], y)]
