"""Nested values, as Keras nests what a model takes and gives: lists and dicts of leaves. Imports nothing of rnnrt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["leaves", "nest"]


def nest(structure: Any, flat: Sequence[Any] | Mapping[int, Any]) -> Any:
    """Values in the form of a structure: an index becomes its value, lists and dicts stay."""
    if isinstance(structure, dict):
        return {k: nest(v, flat) for k, v in structure.items()}
    if isinstance(structure, list):
        return [nest(v, flat) for v in structure]
    return flat[structure]


def leaves(value: Any) -> list[Any]:
    """What lies in lists, tuples and dicts, in order; of anything else itself."""
    if isinstance(value, Mapping):
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        return [value]
    return [leaf for v in value for leaf in leaves(v)]
