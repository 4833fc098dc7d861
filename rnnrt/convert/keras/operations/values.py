"""What operations work with: tensors, literals, axes."""

from __future__ import annotations

import math
from typing import Any

from ..call import LayerCall, Value
from ..joining import agree, cast, same_dtype

__all__ = ["DTYPES", "FLOATS", "axes_of", "binary", "emit", "floating", "literal", "rank", "tensor"]

#: dtypes by the names that files use, with the one that stands for them here
DTYPES = {
    "float32": "float32",
    "float": "float32",
    "float64": "float64",
    "int32": "int32",
    "int64": "int64",
    "int8": "int32",
    "int16": "int32",
    "uint8": "int32",
    "bool": "bool",
}


FLOATS = ("float32", "float64")


def floating(c: LayerCall, x: Value) -> Value:
    """x as floats: float64 stays, all else becomes float32."""
    return x if c.tensor(x).dtype in FLOATS else cast(c, x, "float32")


def emit(c: LayerCall, op: str, *inputs: Value, **attrs: Any) -> Value:
    """One op with one output, without a mask."""
    return Value(c.emit(op, list(inputs), attrs)[0].tensor)


def rank(c: LayerCall, x: Value) -> int:
    """The number of axes, the batch included."""
    return len(c.tensor(x).shape)


def tensor(c: LayerCall, x: Any, what: str = "its first argument") -> Value:
    """x, which must be a tensor of the model."""
    if not isinstance(x, Value):
        raise c.refuse(f"{what} is the constant {str(x)[:60]}", "compute it outside of the model")
    c.tensor(x)
    return x


def literal(c: LayerCall, x: Any) -> float | int | bool:
    """A number; arrays of one element count, others are refused."""
    if isinstance(x, dict) and x.get("class_name") in ("__numpy__", "__tensor__"):
        x = x.get("config", {}).get("value")
    while isinstance(x, (list, tuple)) and len(x) == 1:
        x = x[0]
    if isinstance(x, str) and x.lower().lstrip("-") in ("inf", "infinity", "nan"):
        x = float(x)
    if not isinstance(x, (bool, int, float)) or (isinstance(x, float) and math.isnan(x)) or abs(x) > 1e300:
        if x not in (math.inf, -math.inf):
            raise c.refuse(f"the constant {str(x)[:60]} is not one number", "use a layer with weights for arrays")
    return x


def number_axes(c: LayerCall, axis: Any, n: int) -> tuple[int, ...]:
    """An axis or a list of them, counted from the batch, sorted; n is the rank that they count in."""
    axes = list(axis) if isinstance(axis, (list, tuple)) else [axis]
    if not axes or any(isinstance(a, bool) or not isinstance(a, int) or not -n <= a < n for a in axes):
        raise c.refuse(f"axis {str(axis)[:40]} of a tensor of rank {n}")
    return tuple(sorted({a % n for a in axes}))


def axes_of(c: LayerCall, x: Value, axis: Any, what: str = "works over") -> tuple[int, ...]:
    """Axes of x, none of them the batch."""
    axes = number_axes(c, axis, rank(c, x)) if axis is not None else (0,)
    if 0 in axes:
        raise c.refuse(f"it {what} the batch, whose rows are independent here")
    return axes


def aligned(c: LayerCall, values: list[Value], extra: Any = None, least: str = "bool") -> list[Value]:
    """Tensors of one dtype whose shapes go together."""
    ranks = {rank(c, v) for v in values}
    if len(ranks) != 1:
        raise c.refuse(f"it joins tensors of the ranks {sorted(ranks)}, so that the batch meets another axis")
    values = same_dtype(c, values, least, extra)
    agree(c, values)
    return values


def binary(c: LayerCall, op: str, x: Any, y: Any, least: str = "bool", **attrs: Any) -> Value:
    """An op of two operands, at least one of them a tensor."""
    if isinstance(x, Value) and isinstance(y, Value):
        return emit(c, op, *aligned(c, [x, y], least=least), **attrs)
    left = not isinstance(x, Value)
    given = literal(c, x if left else y)
    value = tensor(c, y if left else x)
    value = same_dtype(c, [value], least, given)[0]
    return emit(c, op, value, operand="left" if left else "right", constant=float(given), **attrs)


def as_bool(c: LayerCall, x: Any) -> Value:
    """A tensor as bools."""
    return cast(c, tensor(c, x), "bool")


def like(c: LayerCall, x: Value, value: float, dtype: str) -> Value:
    """A tensor of x's shape that holds one value."""
    return emit(c, "fill_like", x, value=float(value), dtype=dtype)
