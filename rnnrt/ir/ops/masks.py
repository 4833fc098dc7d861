"""Ops that make, join and apply masks: bool tensors (batch, time) whose True steps count.

What Keras 2 and 3 do differently with masks is which of these ops conversion writes, and with which attributes.
"""

from __future__ import annotations

from ..dims import add, mul
from .spec import Attr, OpSpec, ShapeMismatch, register

_NUMBERS = ("float32", "float64", "int32", "int64", "bool")


def _bools(inputs):
    for t in inputs:
        if t.dtype != "bool":
            raise ShapeMismatch(f"a mask must be bool, got {t.dtype}")


def _not_equal_infer(attrs, inputs):
    if inputs[0].dtype not in _NUMBERS:
        raise ShapeMismatch(f"not_equal does not take {inputs[0].dtype}")
    return [(inputs[0].shape, "bool")]


# x != value at each element, in x's own dtype (Embedding's mask looks at the ids before they are cast)
register(OpSpec("not_equal", _not_equal_infer, {"value": Attr("float", 0.0)}, time="step"))


def _masking_infer(attrs, inputs):
    x = inputs[0]
    if len(x.shape) < 2 or x.dtype not in ("float32", "float64") or not isinstance(x.shape[-1], int):
        raise ShapeMismatch("masking takes floats of rank >= 2 with a known last axis")
    return [(x.shape[:-1], "bool")]


def _last_axis(attrs, inputs):
    if len(inputs[0].shape) < 3:
        return "mix", "it works across the time axis"
    return "step", ""


# True where any feature differs from value (NaN differs from everything)
register(OpSpec("masking", _masking_infer, {"value": Attr("float", 0.0)}, time=_last_axis))


def _apply_infer(attrs, inputs):
    x, mask = inputs
    _bools([mask])
    if x.dtype not in ("float32", "float64") or mask.shape != x.shape[: len(mask.shape)]:
        raise ShapeMismatch(f"a mask of shape {mask.shape} does not fit {x.shape}")
    return [(x.shape, x.dtype)]


# (x, mask): masked places become value, or with multiply x * 0 as Keras 2 computes it (NaN stays NaN, -1 gives -0)
register(
    OpSpec(
        "apply_mask",
        _apply_infer,
        {"value": Attr("float", 0.0), "multiply": Attr("bool", False)},
        n_inputs=(2, 2),
        time="step",
    )
)


def _same_bools(attrs, inputs):
    _bools(inputs)
    if any(t.shape != inputs[0].shape for t in inputs):
        raise ShapeMismatch(f"masks of different shapes: {[t.shape for t in inputs]}")
    return [(inputs[0].shape, "bool")]


for _name in ("logical_and", "logical_or"):
    register(OpSpec(_name, _same_bools, n_inputs=(2, 64), time="step"))


def _ones_infer(attrs, inputs):
    x = inputs[0]
    if len(x.shape) < 2:
        raise ShapeMismatch("ones_mask takes (batch, time, ...)")
    return [(x.shape[:2], "bool")]


# the mask of a tensor that has none: True at each (batch, time) of it
register(OpSpec("ones_mask", _ones_infer, time=_last_axis))


def _reduce_infer(attrs, inputs):
    _bools(inputs)
    x = inputs[0]
    if len(x.shape) < 2 or not isinstance(x.shape[-1], int):
        raise ShapeMismatch("reduce_mask takes rank >= 2 with a known last axis")
    return [(x.shape[:-1], "bool")]


# any or all over the last axis
register(OpSpec("reduce_mask", _reduce_infer, {"mode": Attr("str", "any", choices=("any", "all"))}, time=_last_axis))


def _concat_infer(attrs, inputs):
    _bools(inputs)
    total = inputs[0].shape[1] if len(inputs[0].shape) > 1 else 0
    for t in inputs:
        if len(t.shape) != 2 or t.shape[0] != inputs[0].shape[0]:
            raise ShapeMismatch("concat_masks takes masks (batch, time)")
    for t in inputs[1:]:
        total = add(total, t.shape[1])
    return [((inputs[0].shape[0], total), "bool")]


# masks one after the other in time, as Concatenate(axis=1) puts its inputs
register(
    OpSpec(
        "concat_masks",
        _concat_infer,
        n_inputs=(2, 64),
        time=lambda attrs, inputs: ("mix", "it joins sequences one after the other"),
    )
)


# ---- TimeDistributed ----------------------------------------------------------------------------


def _fold_infer(attrs, inputs):
    x = inputs[0]
    if len(x.shape) < 2:
        raise ShapeMismatch("fold_time takes (batch, time, ...)")
    return [((mul(x.shape[0], x.shape[1]), *x.shape[2:]), x.dtype)]


def _unfold_infer(attrs, inputs):
    x, like = inputs
    if len(like.shape) < 2 or x.shape[0] != mul(like.shape[0], like.shape[1]):
        raise ShapeMismatch("unfold_time takes the rows of a folded tensor and the tensor before it was folded")
    return [((*like.shape[:2], *x.shape[1:]), x.dtype)]


# Views: (batch, time, ...) as batch * time rows, and back (the second input only lends its shape).
register(OpSpec("fold_time", _fold_infer, time="fold"))
register(OpSpec("unfold_time", _unfold_infer, n_inputs=(2, 2), time="unfold"))
