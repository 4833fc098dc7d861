"""Layers that move or repeat values: Flatten, Reshape, RepeatVector."""

from __future__ import annotations

from ..call import LayerCall, Value
from .registry import layer


@layer("Flatten", options=("data_format",), mask="stop")
def flatten(c: LayerCall) -> list[Value]:
    """All axes but the batch into one."""
    data_format = c.get("data_format")
    x = c.input()
    if data_format == "channels_first" and len(c.tensor(x).shape) > 2:
        raise c.refuse("data_format='channels_first' is not supported")
    return c.emit("flatten", [x])


@layer("Reshape", options=("target_shape",), mask="stop")
def reshape(c: LayerCall) -> list[Value]:
    """To target_shape (without the batch), at most one -1."""
    target = c.get("target_shape")
    if isinstance(target, int):
        target = [target]
    if not isinstance(target, (list, tuple)):
        raise c.refuse("no target_shape")
    dims = [-1 if d is None else d for d in target]
    if any(isinstance(d, bool) or not isinstance(d, int) or not -1 <= d < 2**48 for d in dims):
        raise c.refuse(f"target_shape {str(target)[:80]}")
    return c.emit("reshape", [c.input()], {"target_shape": tuple(dims)})


@layer("RepeatVector", options=("n",), mask="stop")
def repeat_vector(c: LayerCall) -> list[Value]:
    """(batch, features) -> (batch, n, features)."""
    n = c.integer("n")
    return c.emit("repeat_vector", [c.floats(c.input())], {"n": n})
