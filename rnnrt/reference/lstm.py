"""LSTM: gates i, f, c, o; ``c' = f c + i act(z_c)``; ``h' = o act(c')``."""

from __future__ import annotations

import numpy as np

from .activations import apply
from .dense import product
from .recurrent import apply_gates, run_cell
from .registry import OpCall, op


@op("lstm")
def lstm(call: OpCall) -> list[np.ndarray]:
    kernel, recurrent = call.weights["kernel"], call.weights["recurrent_kernel"]
    bias = call.weights.get("bias", np.zeros(recurrent.shape[1], call.dtype))
    units = call.attrs["units"]
    act, gate = call.attrs["activation"], call.attrs["recurrent_activation"]

    def step(x: np.ndarray, states: list[np.ndarray]) -> list[np.ndarray]:
        h, c = states
        z = x + h @ recurrent
        i, f = apply_gates(gate, z[:, : 2 * units], 2)
        c = f * c + i * apply(act, z[:, 2 * units : 3 * units])
        return [apply(gate, z[:, 3 * units :]) * apply(act, c), c]

    return run_cell(call, "hc", lambda x: product(x, kernel) + bias, step)
