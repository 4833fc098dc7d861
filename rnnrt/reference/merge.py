"""Arithmetic with broadcasting, comparisons, joining, products."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import numpy as np

from ..ir.ops.merge import BINARY
from .registry import OpCall, op

_FUNCTIONS: dict[str, Callable] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "average": np.add,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "power": np.power,
}


def _operands(call: OpCall) -> list[np.ndarray]:
    """The tensors, with the constant on its side, in the tensor's dtype."""
    xs = list(call.inputs)
    if call.attrs["operand"] == "tensors":
        return xs
    constant = np.asarray(call.attrs["constant"]).astype(xs[0].dtype)
    return [constant, xs[0]] if call.attrs["operand"] == "left" else [xs[0], constant]


def _elementwise(name: str) -> Callable[[OpCall], list[np.ndarray]]:
    def run(call: OpCall) -> list[np.ndarray]:
        xs = _operands(call)
        y = reduce(_FUNCTIONS[name], xs)
        return [y / len(xs) if name == "average" else y]

    return run


for _name in BINARY:
    op(_name)(_elementwise(_name))


@op("compare")
def compare(call: OpCall) -> list[np.ndarray]:
    a, b = _operands(call)
    return [getattr(np, call.attrs["function"])(a, b)]


@op("where")
def where(call: OpCall) -> list[np.ndarray]:
    return [np.where(*call.inputs)]


@op("concatenate")
def concatenate(call: OpCall) -> list[np.ndarray]:
    return [np.concatenate(call.inputs, axis=call.attrs["axis"])]


@op("dot")
def dot(call: OpCall) -> list[np.ndarray]:
    """As matrices: (batch.., I, K) by (batch.., K, J)."""
    (x, y), (a, b), n = call.inputs, call.attrs["axes"], call.attrs["batch_axes"]
    x, y = np.moveaxis(x, a, -1), np.moveaxis(y, b, -1)
    lead, i, j = x.shape[:n], x.shape[n:-1], y.shape[n:-1]
    left = x.reshape(*lead, int(np.prod(i)), x.shape[-1])
    right = y.reshape(*lead, int(np.prod(j)), y.shape[-1])
    return [(left @ np.swapaxes(right, -1, -2)).reshape(*lead, *((*i, *j) or (1,)))]
