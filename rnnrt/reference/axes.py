"""Axes moved, cut, padded and repeated."""

from __future__ import annotations

import numpy as np

from ..ir.ops.axes import NONE
from .registry import OpCall, op


@op("expand_dims")
def expand_dims(call: OpCall) -> list[np.ndarray]:
    return [np.expand_dims(call.inputs[0], tuple(call.attrs["axes"]))]


@op("squeeze")
def squeeze(call: OpCall) -> list[np.ndarray]:
    return [np.squeeze(call.inputs[0], tuple(call.attrs["axes"]))]


@op("transpose")
def transpose(call: OpCall) -> list[np.ndarray]:
    return [call.inputs[0].transpose(call.attrs["perm"])]


@op("slice")
def cut(call: OpCall) -> list[np.ndarray]:
    x, a = call.inputs[0], call.attrs
    at = [slice(None)] * x.ndim
    for axis, begin, end, step in zip(a["axes"], a["begin"], a["end"], a["step"]):
        at[axis] = slice(None if begin == NONE else begin, None if end == NONE else end, step)
    return [x[tuple(at)]]


@op("last_step")
def last_step(call: OpCall) -> list[np.ndarray]:
    return [call.inputs[0][:, -1]]


@op("pad")
def pad(call: OpCall) -> list[np.ndarray]:
    p = call.attrs["padding"]
    return [np.pad(call.inputs[0], [(0, 0), *zip(p[::2], p[1::2])])]


@op("repeat")
def repeat(call: OpCall) -> list[np.ndarray]:
    return [np.repeat(call.inputs[0], call.attrs["n"], axis=call.attrs["axis"])]
