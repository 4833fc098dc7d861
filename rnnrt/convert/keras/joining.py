"""Tensors of several shapes made one shape: what merge layers and operations on tensors share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...ir.dims import BATCH, Dim, DimLike, format_shape, substitute
from ...ir.graph import TensorSpec
from .call import LayerCall, Value

if TYPE_CHECKING:
    from .graph import GraphBuilder

__all__ = ["agree", "agree_axes", "bind_length", "cast", "expand", "ones_inserted", "same_dtype", "squeeze"]


def bind_length(builder: GraphBuilder, old: str, new: DimLike) -> None:
    """A free length becomes another one, in all tensors."""
    for name, t in builder.tensors.items():
        shape = tuple(substitute(d, {old: new}) for d in t.shape)
        if shape != t.shape:
            builder.tensors[name] = TensorSpec(name, shape, t.dtype)


def agree_axes(c: LayerCall, values: Sequence[Value], axes: Sequence[int]) -> None:
    """Make the lengths of one axis of each value one length, in the whole graph; lengths of 1 stay.

    Keras writes free lengths as None and finds out when it runs; here inputs that meet are bound to one length,
    so that a call with two is refused by the inputs' names.
    """
    first = values[0], axes[0]
    for value, axis in zip(values, axes):
        have, d = c.tensor(first[0]).shape[first[1]], c.tensor(value).shape[axis]
        if have == 1:
            first = value, axis
        elif d in (1, have):
            continue
        elif isinstance(d, Dim) and d.kind == "sym" and d != BATCH:
            bind_length(c.builder, d.args[0], have)
        elif isinstance(have, Dim) and have.kind == "sym" and have != BATCH:
            bind_length(c.builder, have.args[0], d)
        else:
            shapes = " and ".join(format_shape(c.tensor(x).shape) for x in values)
            raise c.refuse(f"the lengths {have} and {d} of its inputs {shapes} do not agree")


def agree(c: LayerCall, values: Sequence[Value], besides: int | None = None) -> None:
    """:func:`agree_axes` for each axis of tensors of one rank; ``besides`` is an axis left alone."""
    for axis in range(1, len(c.tensor(values[0]).shape)):
        if axis != besides:
            agree_axes(c, values, [axis] * len(values))


def expand(c: LayerCall, value: Value, axes: Sequence[int]) -> Value:
    """New axes of length 1, counted in the result; without a mask."""
    return c.emit("expand_dims", [value], {"axes": tuple(sorted(axes))})[0]


def squeeze(c: LayerCall, value: Value, axes: Sequence[int]) -> Value:
    """Axes of length 1 dropped."""
    return c.emit("squeeze", [value], {"axes": tuple(sorted(axes))})[0]


def ones_inserted(c: LayerCall, values: Sequence[Value]) -> list[Value]:
    """Tensors of one rank: merge layers insert axes of length 1 behind the batch of those that have fewer.

    A tensor that is reshaped so loses its mask, as in Keras.
    """
    rank = max(len(c.tensor(v).shape) for v in values)
    if any(len(c.tensor(v).shape) < 1 for v in values):
        raise c.refuse("it is called on a tensor without a batch")
    out = []
    for v in values:
        missing = rank - len(c.tensor(v).shape)
        out.append(expand(c, v, range(1, 1 + missing)) if missing else v)
    return out


_ORDER = ("bool", "int32", "int64", "float32", "float64")


def same_dtype(c: LayerCall, values: Sequence[Value], least: str = "bool", extra: Any = None) -> list[Value]:
    """The values cast to the dtype that they have together, as Keras 3 promotes; extra is a literal among them."""
    wanted = [c.tensor(v).dtype for v in values] + [least]
    if isinstance(extra, float):
        wanted.append("float32")
    elif isinstance(extra, int) and not isinstance(extra, bool):
        wanted.append("int32")
    if any(d not in _ORDER for d in wanted):
        raise c.refuse(f"it works on tensors of the dtypes {', '.join(sorted(set(wanted)))}, which is not supported")
    dtype = max(wanted, key=_ORDER.index)
    return [cast(c, v, dtype) for v in values]


def cast(c: LayerCall, value: Value, dtype: str) -> Value:
    """The value in a dtype, with its mask."""
    if c.tensor(value).dtype == dtype:
        return value
    return Value(c.emit("cast", [value], {"dtype": dtype})[0].tensor, value.mask)
