"""Functions of one tensor beside the activations, and sums, means and extremes over axes."""

from __future__ import annotations

from .spec import Attr, OpSpec, ShapeMismatch, register

__all__ = ["REDUCTIONS", "UNARY"]

UNARY = (
    "abs",
    "log",
    "log1p",
    "expm1",
    "sqrt",
    "rsqrt",
    "sin",
    "cos",
    "floor",
    "ceil",
    "round",  # half to even, as NumPy
    "sign",
    "erf",
)
REDUCTIONS = ("sum", "mean", "max", "min", "prod")

_FLOATS = ("float32", "float64")


def _unary_infer(attrs, inputs):
    x = inputs[0]
    if x.dtype not in _FLOATS:
        raise ShapeMismatch(f"{attrs['function']} takes floats, got {x.dtype}")
    return [(x.shape, x.dtype)]


register(OpSpec("unary", _unary_infer, {"function": Attr("str", "abs", choices=UNARY)}))

register(
    OpSpec(
        "fill_like",
        lambda a, i: [(i[0].shape, a["dtype"])],
        {
            "value": Attr("float", 0.0),
            "dtype": Attr("str", "float32", choices=("float32", "float64", "int32", "int64", "bool")),
        },
    )
)


def _reduce_infer(attrs, inputs):
    x, first, count = inputs[0], attrs["first"], attrs["count"]
    if first + count > len(x.shape):
        raise ShapeMismatch(f"axes {first} to {first + count - 1} of a tensor of rank {len(x.shape)}")
    ordered = attrs["function"] in ("max", "min")
    if x.dtype not in (*_FLOATS, *(("int32", "int64", "bool") if ordered else ())):
        raise ShapeMismatch(f"{attrs['function']} does not take {x.dtype}")
    middle = (1,) * count if attrs["keepdims"] else ()
    return [((*x.shape[:first], *middle, *x.shape[first + count :]), x.dtype)]


def _reduce_time(attrs, inputs):
    if attrs["first"] == 1:
        return "mix", f"its {attrs['function']} runs over the time axis"
    return "step", ""


# Over the neighbouring axes first .. first + count - 1, counting the batch; any and all are max and min of bools.
register(
    OpSpec(
        "reduce",
        _reduce_infer,
        {
            "function": Attr("str", "sum", choices=REDUCTIONS),
            "first": Attr("int", minimum=1),
            "count": Attr("int", 1, minimum=1),
            "keepdims": Attr("bool", False),
        },
        time=_reduce_time,
    )
)
