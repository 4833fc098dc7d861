"""Ops of several tensors: arithmetic with broadcasting, comparisons, joining, products.

Inputs of one op have one rank; a tensor of fewer axes gets its axes of length 1 from ``expand_dims`` at
conversion. An operand may be a constant instead of a tensor: ``operand`` says on which side it stands.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..dims import DimLike, add
from ..graph import Shape, TensorSpec
from .spec import Attr, OpSpec, ShapeMismatch, register

__all__ = ["BINARY", "COMPARISONS", "broadcast"]

#: op -> the largest number of tensors that it takes
BINARY = {
    "add": 64,
    "subtract": 2,
    "multiply": 64,
    "divide": 2,
    "average": 64,
    "maximum": 64,
    "minimum": 64,
    "power": 2,
}
COMPARISONS = ("equal", "not_equal", "greater", "greater_equal", "less", "less_equal")

_FLOATS = ("float32", "float64")
_NUMBERS = (*_FLOATS, "int32", "int64")
_DTYPES = {"divide": _FLOATS, "average": _FLOATS, "power": _FLOATS}
_ORDERED = (*_NUMBERS, "bool")  # what can be compared; maximum and minimum of bools are or and and


def broadcast(inputs: Sequence[TensorSpec]) -> Shape:
    """The shape of tensors of one rank joined element by element: axes are equal, or 1."""
    rank = len(inputs[0].shape)
    if any(len(t.shape) != rank for t in inputs):
        raise ShapeMismatch(f"tensors of different ranks: {[len(t.shape) for t in inputs]}")
    out: list[DimLike] = []
    for axis in range(rank):
        lengths = list(dict.fromkeys(t.shape[axis] for t in inputs if t.shape[axis] != 1)) or [1]
        if len(lengths) > 1 or (axis == 0 and any(t.shape[0] != lengths[0] for t in inputs)):
            found = " and ".join(str(d) for d in lengths)
            raise ShapeMismatch(f"the lengths of axis {axis} do not agree: {found}")
        out.append(lengths[0])
    return tuple(out)


def _one_dtype(inputs: Sequence[TensorSpec], allowed: tuple[str, ...]) -> str:
    dtype = inputs[0].dtype
    if dtype not in allowed or any(t.dtype != dtype for t in inputs):
        raise ShapeMismatch(
            f"tensors of one dtype of {', '.join(allowed)} are expected, got {[t.dtype for t in inputs]}"
        )
    return dtype


def _count(attrs, inputs, least):
    constant = attrs["operand"] != "tensors"
    if (len(inputs) != 1) if constant else (len(inputs) < least):
        raise ShapeMismatch(f"{len(inputs)} tensors with operand={attrs['operand']!r}")


def _binary(name):
    allowed = _DTYPES.get(name, _ORDERED if name in ("maximum", "minimum") else _NUMBERS)
    least = 1 if name == "average" else 2

    def rule(attrs, inputs):
        _count(attrs, inputs, least)
        return [(broadcast(inputs), _one_dtype(inputs, allowed))]

    return rule


def joined_time(attrs, inputs):
    """Per step where all inputs walk one time axis."""
    ranks = {len(t.shape) for t in inputs}
    if len(ranks) != 1 or min(ranks) < 2 or any(t.shape[1] != inputs[0].shape[1] for t in inputs):
        return "mix", "it joins a value of each step with tensors of another length"
    return "step", ""


_OPERAND = {"operand": Attr("str", "tensors", choices=("tensors", "left", "right")), "constant": Attr("float", 0.0)}

for _name, _most in BINARY.items():
    register(OpSpec(_name, _binary(_name), dict(_OPERAND), n_inputs=(1, _most), time=joined_time))


def _compare_infer(attrs, inputs):
    _count(attrs, inputs, 2)
    _one_dtype(inputs, _ORDERED)
    return [(broadcast(inputs), "bool")]


register(
    OpSpec(
        "compare",
        _compare_infer,
        {"function": Attr("str", "equal", choices=COMPARISONS), **_OPERAND},
        n_inputs=(1, 2),
        time=joined_time,
    )
)


def _where_infer(attrs, inputs):
    if inputs[0].dtype != "bool":
        raise ShapeMismatch(f"the condition must be bool, got {inputs[0].dtype}")
    return [(broadcast(inputs), _one_dtype(inputs[1:], _ORDERED))]


# (condition, x, y): x where the condition holds, else y
register(OpSpec("where", _where_infer, n_inputs=(3, 3), time=joined_time))


# ---- joining ------------------------------------------------------------------------------------


def _concatenate_infer(attrs, inputs):
    axis, rank = attrs["axis"], len(inputs[0].shape)
    if not 1 <= axis < rank or any(len(t.shape) != rank for t in inputs):
        raise ShapeMismatch(f"axis {axis} of tensors of the ranks {[len(t.shape) for t in inputs]}")
    if any(t.dtype != inputs[0].dtype for t in inputs):
        raise ShapeMismatch(f"tensors of different dtypes: {[t.dtype for t in inputs]}")
    total: DimLike = 0
    for t in inputs:
        for k in range(rank):
            if k != axis and t.shape[k] != inputs[0].shape[k]:
                raise ShapeMismatch(f"the lengths of axis {k} do not agree: {inputs[0].shape[k]} and {t.shape[k]}")
        total = add(total, t.shape[axis])
    shape = inputs[0].shape
    return [((*shape[:axis], total, *shape[axis + 1 :]), inputs[0].dtype)]


def _concatenate_time(attrs, inputs):
    if attrs["axis"] == 1:
        return "mix", "it joins sequences one after the other"
    return joined_time(attrs, inputs)


# axis counts the batch
register(
    OpSpec(
        "concatenate",
        _concatenate_infer,
        {"axis": Attr("int", minimum=1)},
        n_inputs=(1, 1024),
        time=_concatenate_time,
    )
)


# ---- products -----------------------------------------------------------------------------------


def _dot_infer(attrs, inputs):
    x, y = inputs
    n = attrs["batch_axes"]
    if len(attrs["axes"]) != 2 or x.dtype != y.dtype or x.dtype not in _FLOATS:
        raise ShapeMismatch(f"two axes and two float tensors are expected, got {attrs['axes']}")
    a, b = attrs["axes"]
    if not (n <= a < len(x.shape) and n <= b < len(y.shape)) or x.shape[:n] != y.shape[:n]:
        raise ShapeMismatch(f"axes {a}, {b} behind {n} common axes of {x.shape} and {y.shape}")
    if x.shape[a] != y.shape[b]:
        raise ShapeMismatch(f"axis {a} has the length {x.shape[a]}, axis {b} of the other tensor {y.shape[b]}")
    rest = (*x.shape[n:a], *x.shape[a + 1 :], *y.shape[n:b], *y.shape[b + 1 :])
    return [((*x.shape[:n], *(rest or (1,))), x.dtype)]


# Sums over axis axes[0] of x and axes[1] of y, for each index of the first batch_axes axes:
# (batch, I.., K, I..) and (batch, J.., K, J..) give (batch, I.., J..), or (batch, 1) where nothing is left.
register(
    OpSpec(
        "dot",
        _dot_infer,
        {"axes": Attr("ints", ()), "batch_axes": Attr("int", 1, minimum=1)},
        n_inputs=(2, 2),
        time=lambda attrs, inputs: ("mix", "it multiplies whole sequences with each other"),
    )
)
