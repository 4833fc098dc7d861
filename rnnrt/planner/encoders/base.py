"""The table of encoders and what they share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...ir.activations import ACTIVATIONS, Activation
from ...ir.graph import Node, TensorSpec
from ...ir.ops.table import ByFamily
from ..regions import ALIAS_OPS

__all__ = ["ENCODERS", "Encoded", "activation_number", "encoder", "reals"]

Encoded = tuple[list[str], list[int], list[float]]
Encoder = Callable[[Node, dict[str, Any], list[TensorSpec]], Encoded]

#: ops that only give the same bytes another shape have none
ENCODERS: ByFamily[Encoder] = ByFamily(__package__, without=ALIAS_OPS)
_NUMBER = {name: i for i, name in enumerate(ACTIVATIONS)}


def encoder(*ops: str) -> Callable[[Encoder], Encoder]:
    """Register a function (node, attributes, input tensors) -> Encoded for these ops."""

    def add(function: Encoder) -> Encoder:
        for op in ops:
            ENCODERS.put(op, function)
        return function

    return add


def activation_number(a: Activation) -> int:
    """The number that C knows a function by."""
    return _NUMBER[a.name]


def reals(*activations: Activation) -> list[float]:
    """Three parameters for each activation."""
    return [p for a in activations for p in (*a.params, 0.0, 0.0, 0.0)[:3]]
