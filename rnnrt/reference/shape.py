"""Ops that move, repeat or cast values."""

from __future__ import annotations

import numpy as np

from ..ir.halves import round_bfloat16
from .registry import OpCall, op


@op("flatten")
def flatten(call: OpCall) -> list[np.ndarray]:
    x = call.inputs[0]
    return [x.reshape(x.shape[0], int(np.prod(x.shape[1:])))]  # () has the product 1


@op("reshape")
def reshape(call: OpCall) -> list[np.ndarray]:
    """A session frees the time axis: a length written first in the target then is the chunk's."""
    x, target = call.inputs[0], call.attrs["target_shape"]
    if -1 not in target and len(target) > 1 and np.prod(target) != np.prod(x.shape[1:]):
        target = (x.shape[1], *target[1:])
    return [x.reshape(x.shape[0], *target)]


@op("repeat_vector")
def repeat_vector(call: OpCall) -> list[np.ndarray]:
    return [np.repeat(call.inputs[0][:, None], call.attrs["n"], axis=1)]


@op("cast")
def cast(call: OpCall) -> list[np.ndarray]:
    """To a floating dtype means to the arithmetic's dtype, through a half's digits; to an integer truncates."""
    if call.attrs["dtype"] == "bfloat16":
        return [round_bfloat16(call.inputs[0]).astype(call.dtype)]
    dtype = np.dtype(call.attrs["dtype"])
    if dtype == np.float16:
        return [call.inputs[0].astype(dtype).astype(call.dtype)]
    return [call.inputs[0].astype(call.dtype if dtype.kind == "f" else dtype)]
