"""SimpleRNN: ``h' = act(x K + b + h R)``."""

from __future__ import annotations

import numpy as np

from .activations import apply
from .dense import product
from .recurrent import run_cell
from .registry import OpCall, op


@op("simple_rnn")
def simple_rnn(call: OpCall) -> list[np.ndarray]:
    kernel, recurrent = call.weights["kernel"], call.weights["recurrent_kernel"]
    bias = call.weights.get("bias", np.zeros(kernel.shape[1], call.dtype))
    act = call.attrs["activation"]

    def step(x: np.ndarray, states: list[np.ndarray]) -> list[np.ndarray]:
        return [apply(act, x + states[0] @ recurrent)]

    return run_cell(call, "h", lambda x: product(x, kernel) + bias, step)
