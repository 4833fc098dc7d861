"""GRU: gates z, r, h; ``h' = z h + (1 - z) hh``, so that z keeps the old state.

``reset_after``: ``hh = act(x_h + r (h R_h + b_h))`` with a recurrent bias (the second row of bias)
inside the product; otherwise ``hh = act(x_h + (r h) R_h)``.
"""

from __future__ import annotations

import numpy as np

from .activations import activate
from .recurrent import run_cell
from .registry import OpCall, op


@op("gru")
def gru(call: OpCall) -> list[np.ndarray]:
    kernel, recurrent = call.weights["kernel"], call.weights["recurrent_kernel"]
    units, reset_after = call.attrs["units"], call.attrs["reset_after"]
    bias = call.weights.get("bias", np.zeros(kernel.shape[1], call.dtype))
    input_bias, recurrent_bias = bias if bias.ndim == 2 else (bias, np.zeros_like(bias))
    act, gate = call.attrs["activation"], call.attrs["recurrent_activation"]

    def step(x: np.ndarray, states: list[np.ndarray]) -> list[np.ndarray]:
        h = states[0]
        xz, xr, xh = np.split(x @ kernel + input_bias, 3, axis=1)
        if reset_after:
            mz, mr, mh = np.split(h @ recurrent + recurrent_bias, 3, axis=1)
            z, r = activate(gate, xz + mz), activate(gate, xr + mr)
            hh = activate(act, xh + r * mh)
        else:
            z = activate(gate, xz + h @ recurrent[:, :units])
            r = activate(gate, xr + h @ recurrent[:, units : 2 * units])
            hh = activate(act, xh + (r * h) @ recurrent[:, 2 * units :])
        return [z * h + (1 - z) * hh]

    return run_cell(call, "h", step)
