"""BatchNormalization with the moving statistics: ``gamma (x - mean) / sqrt(variance + epsilon) + beta``."""

from __future__ import annotations

import numpy as np

from .registry import OpCall, op


@op("batch_normalization")
def batch_normalization(call: OpCall) -> list[np.ndarray]:
    x, attrs = call.inputs[0], call.attrs
    shape = [1] * x.ndim
    shape[attrs["axis"]] = -1
    w = {role: value.reshape(shape) for role, value in call.weights.items()}
    y = (x - w["moving_mean"]) / np.sqrt(w["moving_variance"] + call.dtype(attrs["epsilon"]))
    if attrs["scale"]:
        y = y * w["gamma"]
    if attrs["center"]:
        y = y + w["beta"]
    return [y]
