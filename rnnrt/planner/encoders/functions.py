"""unary, fill_like, reduce."""

from ...ir.ops.functions import REDUCTIONS, UNARY
from .base import Encoded, encoder


@encoder("unary")
def _unary(node, attrs, ins) -> Encoded:
    return [], [UNARY.index(attrs["function"])], []


@encoder("fill_like")
def _fill_like(node, attrs, ins) -> Encoded:
    return [], [], [attrs["value"]]


@encoder("reduce")
def _reduce(node, attrs, ins) -> Encoded:
    return [], [REDUCTIONS.index(attrs["function"]), attrs["first"], attrs["count"]], []
