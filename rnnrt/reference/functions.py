"""Functions of one tensor, constants, sums and extremes over axes."""

from __future__ import annotations

import math

import numpy as np

from .registry import OpCall, op

_ERF = np.vectorize(math.erf, otypes=[np.float64])


@op("unary")
def unary(call: OpCall) -> list[np.ndarray]:
    x, name = call.inputs[0], call.attrs["function"]
    if name == "rsqrt":
        return [1 / np.sqrt(x)]
    if name == "erf":
        return [_ERF(x).astype(x.dtype)]
    return [getattr(np, name)(x)]


@op("fill_like")
def fill_like(call: OpCall) -> list[np.ndarray]:
    dtype = np.dtype(call.attrs["dtype"])
    return [np.full_like(call.inputs[0], call.attrs["value"], dtype=call.dtype if dtype.kind == "f" else dtype)]


@op("reduce")
def reduce(call: OpCall) -> list[np.ndarray]:
    a = call.attrs
    axes = tuple(range(a["first"], a["first"] + a["count"]))
    return [getattr(np, a["function"])(call.inputs[0], axis=axes, keepdims=a["keepdims"])]
