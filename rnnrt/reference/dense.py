"""Dense over the last axis, whatever the rank."""

from __future__ import annotations

import numpy as np

from .activations import activate
from .registry import OpCall, op


@op("dense")
def dense(call: OpCall) -> list[np.ndarray]:
    y = call.inputs[0] @ call.weights["kernel"]
    if call.attrs["use_bias"]:
        y = y + call.weights["bias"]
    return [activate(call.attrs["activation"], y)]
