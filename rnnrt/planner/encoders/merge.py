"""add .. power, compare, where, concatenate, dot."""

from ...ir.ops.merge import BINARY, COMPARISONS
from .base import Encoded, encoder

_OPERANDS = ("tensors", "left", "right")


@encoder(*BINARY)
def _binary(node, attrs, ins) -> Encoded:
    return [], [_OPERANDS.index(attrs["operand"])], [attrs["constant"]]


@encoder("compare")
def _compare(node, attrs, ins) -> Encoded:
    numbers = [_OPERANDS.index(attrs["operand"]), COMPARISONS.index(attrs["function"])]
    return [], numbers, [attrs["constant"]]


@encoder("where")
def _where(node, attrs, ins) -> Encoded:
    return [], [], []


@encoder("concatenate")
def _concatenate(node, attrs, ins) -> Encoded:
    return [], [attrs["axis"]], []


@encoder("dot")
def _dot(node, attrs, ins) -> Encoded:
    return [], [*attrs["axes"], attrs["batch_axes"]], []
