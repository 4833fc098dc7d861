"""What a reference op is given, and the table from op to function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["REFERENCE", "OpCall", "op"]


@dataclass
class OpCall:
    """One evaluation of one node.

    Attributes
    ----------
    place
        The layer's path, for messages.
    attrs
        The op's attributes, defaults filled in.
    inputs
        Arrays, batch first; floating ones in ``dtype``.
    weights
        Role -> array in ``dtype``, in Keras's orientation.
    mask
        bool (B, T) of the steps that count, or None.
    state
        What the op carries: read at the start (a missing entry is zero), written at the end.
        Per state of the op an array (B, *shape); recurrent ops add ``has_output``, bool (B,).
    dtype
        The arithmetic's dtype, float64 or float32.
    input_dtypes
        What the graph says that the inputs are, e.g. float32 for data that came as float32.
    """

    place: str
    attrs: dict[str, Any]
    inputs: list[np.ndarray]
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    mask: np.ndarray | None = None
    state: dict[str, np.ndarray] = field(default_factory=dict)
    dtype: Any = np.float64
    input_dtypes: tuple[str, ...] = ()


REFERENCE: dict[str, Callable[[OpCall], list[np.ndarray]]] = {}


def op(name: str) -> Callable:
    """Register the decorated function as the reference of an op."""

    def add(function: Callable[[OpCall], list[np.ndarray]]) -> Callable[[OpCall], list[np.ndarray]]:
        assert name not in REFERENCE, name
        REFERENCE[name] = function
        return function

    return add
