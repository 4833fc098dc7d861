"""Ops that move or repeat values without computing."""

from __future__ import annotations

from ..dims import evaluate, format_shape, mul, numel, symbols_of
from .spec import Attr, OpSpec, ShapeMismatch, register


def _flatten_infer(attrs, inputs):
    x = inputs[0]
    if len(x.shape) == 1:
        return [((x.shape[0], 1), x.dtype)]
    return [((x.shape[0], numel(x.shape[1:])), x.dtype)]


def _reshape_infer(attrs, inputs):
    x, target = inputs[0], attrs["target_shape"]
    if sum(d == -1 for d in target) > 1 or any(d < -1 for d in target):
        raise ShapeMismatch(f"target_shape {target} is not valid")
    known = 1
    for d in target:
        known *= 1 if d == -1 else d
    total = numel(x.shape[1:])
    if symbols_of(total):
        free = [d for d in x.shape[1:] if symbols_of(d)]
        rest = 1
        for d in x.shape[1:]:
            if not symbols_of(d):
                rest *= d
        if -1 in target and len(free) == 1 and known and rest % known == 0:
            out = tuple(mul(free[0], rest // known) if d == -1 else d for d in target)
            return [((x.shape[0], *out), x.dtype)]
        raise ShapeMismatch(f"cannot reshape {format_shape(x.shape[1:])} to {target} with a free length")
    n = evaluate(total, {})
    if -1 in target:
        if known == 0 or n % known:
            raise ShapeMismatch(f"cannot reshape {n} values to {target}")
        target = tuple(n // known if d == -1 else d for d in target)
    elif known != n:
        raise ShapeMismatch(f"cannot reshape {n} values to {target}")
    return [((x.shape[0], *target), x.dtype)]


def _mixes(reason):
    return lambda attrs, inputs: ("mix", reason)


def _reshape_time(attrs, inputs):
    x = inputs[0]
    target = attrs["target_shape"]
    # (B, T, a, b) -> (B, T, a*b) keeps each step together
    if len(x.shape) > 2 and len(target) > 1 and _reshape_infer(attrs, inputs)[0][0][1] == x.shape[1]:
        return "step", ""
    return "mix", "it reshapes across the time axis"


# Both are views: row-major order is Keras's order.
register(OpSpec("flatten", _flatten_infer, time=_mixes("it flattens the time axis into features")))
register(OpSpec("reshape", _reshape_infer, {"target_shape": Attr("ints", ())}, time=_reshape_time))


def _repeat_infer(attrs, inputs):
    x = inputs[0]
    if len(x.shape) != 2:
        raise ShapeMismatch("RepeatVector takes (batch, features)")
    return [((x.shape[0], attrs["n"], x.shape[1]), x.dtype)]


register(
    OpSpec(
        "repeat_vector",
        _repeat_infer,
        {"n": Attr("int", minimum=1)},
        time=_mixes("it repeats one vector over time"),
    )
)
# To float16 or bfloat16: rounded once, to nearest even. Arithmetic is never done in them.
_CAST_DTYPES = ("float32", "float64", "float16", "bfloat16", "int32", "int64", "bool")

register(
    OpSpec(
        "cast",
        lambda a, i: [(i[0].shape, a["dtype"])],
        {"dtype": Attr("str", "float32", choices=_CAST_DTYPES)},
    )
)
