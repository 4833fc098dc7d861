"""Layers that merge several tensors: Add ... Minimum, Concatenate, Dot, and Keras 1's Merge."""

from __future__ import annotations

from typing import Any

from ..call import LayerCall, Value
from ..joining import agree, agree_axes, expand, ones_inserted, same_dtype
from ..masks import join_masks, merged_mask
from ..worn import worn
from .registry import layer

_EPSILON = 1e-7


def _inputs(c: LayerCall, least: int = 1, most: int = 64) -> list[Value]:
    for v in c.inputs:
        c.tensor(v)
    if not least <= len(c.inputs) <= most:
        raise c.refuse(f"it is called on {len(c.inputs)} tensors")
    return [c.floats(v) if c.tensor(v).dtype in ("float32", "float64") else v for v in c.inputs]


def _aligned(c: LayerCall, values: list[Value]) -> list[Value]:
    """One dtype and one rank; lengths that agree."""
    values = ones_inserted(c, same_dtype(c, values))
    agree(c, values)
    return values


def _merge(c: LayerCall, op: str, values: list[Value]) -> list[Value]:
    mask = merged_mask(c, c.inputs)
    if len(values) == 1 and op != "average":
        return [Value(values[0].tensor, mask)]
    return [Value(c.emit(op, values)[0].tensor, mask)]


@layer("Add", mask="own")
def add(c: LayerCall) -> list[Value]:
    """The sum."""
    return _merge(c, "add", _aligned(c, _inputs(c)))


@layer("Subtract", mask="own")
def subtract(c: LayerCall) -> list[Value]:
    """The first minus the second."""
    return _merge(c, "subtract", _aligned(c, _inputs(c, 2, 2)))


@layer("Average", mask="own")
def average(c: LayerCall) -> list[Value]:
    """The sum over the number of inputs."""
    values = _inputs(c)
    if c.spec.generation <= 2 and any(c.tensor(v).dtype not in ("float32", "float64") for v in values):
        raise c.refuse("the average of integers", "cast them to float32 first")
    return _merge(c, "average", _aligned(c, [c.floats(v) for v in values]))


def _put(c: LayerCall, value: Value, mask: str, number: float) -> Value:
    """The number at masked steps."""
    return Value(c.emit("apply_mask", [value, Value(mask)], {"value": number})[0].tensor, value.mask)


@layer("Multiply", mask="own")
def multiply(c: LayerCall) -> list[Value]:
    """The product. Keras 3 takes masked steps as ones, and as zero where all inputs mask them."""
    values = _aligned(c, _inputs(c))
    if c.spec.generation <= 2 or not any(v.mask for v in values):
        return _merge(c, "multiply", values)
    values = _worn(c, values)
    values = [_put(c, v, v.mask, 1.0) if v.mask else v for v in values]
    out = _merge(c, "multiply", values)[0]
    masks = [v.mask for v in values if v.mask]
    if len(masks) == len(values):
        out = Value(_put(c, out, join_masks(c, "logical_or", masks), 0.0).tensor, out.mask)
    return [out]


def _worn(c: LayerCall, values: list[Value]) -> list[Value]:
    """The values with the masks that Keras 3 finds on the inputs."""
    return [Value(v.tensor, found.mask, v.dtype) for v, found in zip(values, worn(c, c.inputs))]


def _extreme(c: LayerCall, op: str) -> list[Value]:
    """Keras 3 takes the other operand where one is masked."""
    values = _aligned(c, _inputs(c))
    if c.spec.generation <= 2 or not any(v.mask for v in values) or len(values) == 1:
        return _merge(c, op, values)
    values = _worn(c, values)
    out, known = values[0], values[0].mask
    for x in values[1:]:
        own = x.mask
        if own:
            x = _choose(c, own, x, out)
        if known:
            out = _choose(c, known, out, x)
        known = join_masks(c, "logical_or", [known, own]) if known and own else None
        out = c.emit(op, [out, x])[0]
    return [Value(out.tensor, merged_mask(c, c.inputs))]


def _choose(c: LayerCall, mask: str, x: Value, other: Value) -> Value:
    """x at steps that count, else the other."""
    rank = len(c.tensor(x).shape)
    more = range(len(c.tensor(Value(mask)).shape), rank)
    condition = expand(c, Value(mask), more) if more else Value(mask)
    return c.emit("where", [condition, x, other])[0]


@layer("Maximum", mask="own")
def maximum(c: LayerCall) -> list[Value]:
    """The largest of the inputs at each element."""
    return _extreme(c, "maximum")


@layer("Minimum", mask="own")
def minimum(c: LayerCall) -> list[Value]:
    """The smallest."""
    return _extreme(c, "minimum")


def _concatenate(c: LayerCall, stored: Any) -> list[Value]:
    values = same_dtype(c, _inputs(c, most=1024))
    if isinstance(stored, bool) or not isinstance(stored, int):
        raise c.refuse(f"axis {str(stored)[:40]}")
    rank = len(c.tensor(values[0]).shape)
    if any(len(c.tensor(v).shape) != rank for v in values):
        raise c.refuse("it joins tensors of different ranks")
    axis = c.axis(values[0], stored)
    if axis == 0:
        raise c.refuse("it joins batches; the number of streams cannot change")
    agree(c, values, axis)
    mask = merged_mask(c, values, stored)
    if len(values) == 1:
        return [Value(values[0].tensor, mask)]
    return [Value(c.emit("concatenate", values, {"axis": axis})[0].tensor, mask)]


@layer("Concatenate", options=("axis",), mask="own")
def concatenate(c: LayerCall) -> list[Value]:
    """One after the other along an axis."""
    return _concatenate(c, c.get("axis", -1))


def _normalized(c: LayerCall, x: Value, axis: int) -> Value:
    """x / its L2 norm; Keras 2 bounds the sum of squares from below, Keras 3 the factor from above."""
    total = c.emit("multiply", [x, x])[0]
    total = c.emit("reduce", [total], {"function": "sum", "first": axis, "keepdims": True})[0]
    if c.spec.generation <= 2:
        total = c.emit("maximum", [total], {"operand": "right", "constant": 1e-12})[0]
    factor = c.emit("unary", [total], {"function": "rsqrt"})[0]
    if c.spec.generation >= 3:
        factor = c.emit("minimum", [factor], {"operand": "right", "constant": 1 / _EPSILON})[0]
    return c.emit("multiply", [x, factor])[0]


def _dot(c: LayerCall, stored: Any, normalize: bool) -> list[Value]:
    values = [c.floats(v) for v in _inputs(c, 2, 2)]
    ranks = [len(c.tensor(v).shape) for v in values]
    pair = [stored, stored] if isinstance(stored, int) else stored
    if (
        not isinstance(pair, (list, tuple))
        or len(pair) != 2
        or any(isinstance(a, bool) or not isinstance(a, int) for a in pair)
    ):
        raise c.refuse(f"axes {str(stored)[:40]}")
    axes = tuple(c.axis(v, a) for v, a in zip(values, pair))
    if 0 in axes or min(ranks) < 2:
        raise c.refuse(f"axes {str(stored)[:40]} of tensors of rank {ranks[0]} and {ranks[1]}")
    if normalize:
        values = [_normalized(c, v, a) for v, a in zip(values, axes)]
    agree_axes(c, values, axes)
    return c.emit("dot", values, {"axes": axes})


@layer("Dot", options=("axes", "normalize"), mask="own")
def dot(c: LayerCall) -> list[Value]:
    """Sums of products over one axis of each; the mask is dropped."""
    return _dot(c, c.get("axes"), c.flag("normalize"))


_KERAS1 = {"sum": add, "mul": multiply, "ave": average, "max": maximum}


@layer("Merge", options=("mode", "concat_axis", "dot_axes", "mode_type", "layers"), mask="own", note="Keras 1")
def merge(c: LayerCall) -> list[Value]:
    """Keras 1's one layer for all of them, in functional models."""
    mode = c.get("mode", "sum")
    if c.get("layers") or c.get("mode_type", "raw") != "raw":
        raise c.refuse("a Merge that holds models or code", "build it as a functional model")
    if mode in _KERAS1:
        return _KERAS1[mode](c)
    if mode == "concat":
        return _concatenate(c, c.get("concat_axis", -1))
    if mode in ("dot", "cos"):
        return _dot(c, c.get("dot_axes", -1), mode == "cos")
    raise c.refuse(f"mode {str(mode)[:40]!r} is not supported")
