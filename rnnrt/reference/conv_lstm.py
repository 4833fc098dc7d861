"""ConvLSTM: an LSTM whose matrix products are convolutions."""

from __future__ import annotations

import numpy as np

from .activations import activate
from .conv import windows
from .recurrent import run_cell
from .registry import OpCall, op


def _product(x: np.ndarray, kernel: np.ndarray, size, strides, dilation, padding: str) -> np.ndarray:
    """The convolution of (batch, axes..., channels) with a kernel."""
    cols = windows(x, size, strides, dilation, padding, 0.0)
    return np.tensordot(cols, kernel, axes=len(size) + 1)


@op("conv_lstm")
def conv_lstm(call: OpCall) -> list[np.ndarray]:
    a, w = call.attrs, call.weights
    ones = (1,) * len(a["kernel_size"])
    bias = w.get("bias", np.zeros(4 * a["filters"], call.dtype))
    act, gate = a["activation"], a["recurrent_activation"]

    def step(x: np.ndarray, states: list[np.ndarray]) -> list[np.ndarray]:
        h, c = states
        zx = _product(x, w["kernel"], a["kernel_size"], a["strides"], a["dilation_rate"], a["padding"])
        zh = _product(h, w["recurrent_kernel"], a["kernel_size"], ones, ones, "same")
        i, f, g, o = np.split(zx + zh + bias, 4, axis=-1)
        c = activate(gate, f) * c + activate(gate, i) * activate(act, g)
        return [activate(gate, o) * activate(act, c), c]

    return run_cell(call, "hc", lambda x: x, step)
