"""LSTM: gates i, f, c, o; ``c' = f c + i act(z_c)``; ``h' = o act(c')``."""

from __future__ import annotations

import numpy as np

from .activations import apply
from .recurrent import run_cell
from .registry import OpCall, op


@op("lstm")
def lstm(call: OpCall) -> list[np.ndarray]:
    kernel, recurrent = call.weights["kernel"], call.weights["recurrent_kernel"]
    bias = call.weights.get("bias", np.zeros(kernel.shape[1], call.dtype))
    units = call.attrs["units"]
    act, gate = call.attrs["activation"], call.attrs["recurrent_activation"]

    def step(x: np.ndarray, states: list[np.ndarray]) -> list[np.ndarray]:
        h, c = states
        z = x @ kernel + h @ recurrent + bias
        i, f, g, o = (z[:, k * units : (k + 1) * units] for k in range(4))
        # each gate by itself: a softmax runs over one gate's units, not over all four
        c = apply(gate, f) * c + apply(gate, i) * apply(act, g)
        return [apply(gate, o) * apply(act, c), c]

    return run_cell(call, "hc", step)
