"""GRU: gates z, r, h; ``h' = z h + (1 - z) hh``, so that z keeps the old state.

``reset_after``: ``hh = act(x_h + r (h R_h + b_h))`` with a recurrent bias (the second row of bias)
inside the product; otherwise ``hh = act(x_h + (r h) R_h)``.
"""

from __future__ import annotations

import numpy as np

from .activations import apply
from .dense import product
from .recurrent import apply_gates, run_cell
from .registry import OpCall, op


@op("gru")
def gru(call: OpCall) -> list[np.ndarray]:
    kernel, recurrent = call.weights["kernel"], call.weights["recurrent_kernel"]
    units, reset_after = call.attrs["units"], call.attrs["reset_after"]
    bias = call.weights.get("bias", np.zeros(recurrent.shape[1], call.dtype))
    input_bias, recurrent_bias = bias if bias.ndim == 2 else (bias, np.zeros_like(bias))
    act, gate = call.attrs["activation"], call.attrs["recurrent_activation"]

    gates, candidate = slice(0, 2 * units), slice(2 * units, None)
    to_gates, to_candidate = recurrent[:, gates], recurrent[:, candidate]

    def step(x: np.ndarray, states: list[np.ndarray]) -> list[np.ndarray]:
        h = states[0]
        if reset_after:
            m = h @ recurrent + recurrent_bias
            z, r = apply_gates(gate, x[:, gates] + m[:, gates], 2)
            hh = apply(act, x[:, candidate] + r * m[:, candidate])
        else:
            z, r = apply_gates(gate, x[:, gates] + h @ to_gates, 2)
            hh = apply(act, x[:, candidate] + (r * h) @ to_candidate)
        return [z * h + (1 - z) * hh]

    return run_cell(call, "h", lambda x: product(x, kernel) + input_bias, step)
