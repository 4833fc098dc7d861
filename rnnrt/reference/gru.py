"""GRU: gates z, r, h; ``h' = z h + (1 - z) hh``, so that z keeps the old state.

``reset_after``: ``hh = act(x_h + r (h R_h + b_h))`` with a recurrent bias (the second row of bias)
inside the product; otherwise ``hh = act(x_h + (r h) R_h)``.
"""

from __future__ import annotations

import numpy as np

from .activations import apply
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
        x = x @ kernel + input_bias
        xz, xr, xh = x[:, :units], x[:, units : 2 * units], x[:, 2 * units :]
        if reset_after:
            m = h @ recurrent + recurrent_bias
            mz, mr, mh = m[:, :units], m[:, units : 2 * units], m[:, 2 * units :]
            z, r = apply(gate, xz + mz), apply(gate, xr + mr)
            hh = apply(act, xh + r * mh)
        else:
            z = apply(gate, xz + h @ recurrent[:, :units])
            r = apply(gate, xr + h @ recurrent[:, units : 2 * units])
            hh = apply(act, xh + (r * h) @ recurrent[:, 2 * units :])
        return [z * h + (1 - z) * hh]

    return run_cell(call, "h", step)
