"""Nested inputs and outputs <-> flat lists, and what callers pass <-> arrays that C reads as they lie."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from .errors import ShapeError

__all__ = ["as_input", "flatten_inputs", "nest", "shape_text"]


def nest(structure: Any, flat: Sequence[Any]) -> Any:
    """Values in the form of a structure: an index becomes its value, lists and dicts stay."""
    if isinstance(structure, dict):
        return {k: nest(v, flat) for k, v in structure.items()}
    if isinstance(structure, list):
        return [nest(v, flat) for v in structure]
    return flat[structure]


def shape_text(shape: Sequence[Any]) -> str:
    """``(None, 28, 28)``."""
    items = [str(d) for d in shape]
    return "(" + ", ".join(items) + ("," if len(items) == 1 else "") + ")"


def _fill(structure: Any, value: Any, flat: list, names: Sequence[str]) -> None:
    if isinstance(structure, dict):
        if not isinstance(value, dict):
            raise ShapeError(f"a dict of inputs with the keys {sorted(structure)} is expected")
        for k, v in structure.items():
            if k not in value:
                raise ShapeError(f"input {k!r} is missing")
            _fill(v, value[k], flat, names)
    elif isinstance(structure, list):
        if not isinstance(value, (list, tuple)) or len(value) != len(structure):
            got = len(value) if isinstance(value, (list, tuple)) else type(value).__name__
            raise ShapeError(f"a list of {len(structure)} inputs {list(names)} is expected, got {got}")
        for s, v in zip(structure, value):
            _fill(s, v, flat, names)
    else:
        flat[structure] = value


def _by_name(structure: dict, value: dict, names: Sequence[str]) -> dict:
    """A dict by the structure's keys as one by input names."""
    return {names[structure[k]] if isinstance(structure.get(k), int) else k: v for k, v in value.items()}


def flatten_inputs(structure: Any, value: Any, names: Sequence[str], wanted: Sequence[int]) -> list[Any]:
    """The leaves of what a caller passed, by index; None for those that are not wanted.

    A dict by input names fits any structure, as in Keras; extra keys are ignored with a warning. Where one input
    alone is wanted (the others being states), it may come bare.
    """
    flat: list[Any] = [None] * len(names)
    partial = len(wanted) < len(names)  # a session takes the data inputs alone, by name or in their order
    if isinstance(value, dict) and (not isinstance(structure, dict) or partial):
        value = _by_name(structure, value, names) if isinstance(structure, dict) else value
        extra = sorted(set(value) - set(names))
        if extra:
            warnings.warn(f"inputs {extra} are unknown to the model and ignored", stacklevel=4)
        for i in wanted:
            if names[i] not in value:
                raise ShapeError(f"input {names[i]!r} is missing")
            flat[i] = value[names[i]]
        return flat
    if len(wanted) == 1 and not isinstance(value, dict):
        single = isinstance(value, (list, tuple)) and len(value) == 1 and not np.isscalar(value[0])
        if single and isinstance(value[0], np.ndarray):  # as Keras takes it, whatever the structure
            value = value[0]
        flat[wanted[0]] = value
        return flat
    if partial:
        structure = list(wanted)
    _fill(structure, value, flat, names)
    return flat


def _array(name: str, x: Any) -> np.ndarray:
    try:
        a = np.asarray(x)
    except ValueError as e:
        raise ShapeError(f"input {name!r}: not an array ({e})") from None
    if a.dtype.kind not in "biuf":
        raise ShapeError(f"input {name!r}: expected numbers, got dtype {a.dtype}")
    return a


def as_input(
    name: str, x: Any, dtype: str, accepts: Sequence[str], shape: Sequence[int | None], drop_time: bool = False
) -> np.ndarray:
    """A dense array of an accepted dtype in the shape's rank.

    Parameters
    ----------
    dtype
        What arrays of foreign dtypes are cast to, as Keras casts to the InputLayer's dtype.
    accepts
        dtypes that are taken as they are. Where these are several the input holds ids, and foreign integers
        become int64, which loses nothing.
    shape
        The expected shape, None where free; with drop_time axis 1 is left out of what the caller passes.

    Raises
    ------
    ShapeError
        With the input's name and the expected shape.
    """
    a = _array(name, x)
    want = [d for i, d in enumerate(shape) if not (drop_time and i == 1)]
    # Keras squeezes or expands a trailing axis of 1 to the declared rank
    if a.ndim == len(want) - 1 and want[-1] == 1:
        a = a[..., None]
    elif a.ndim == len(want) + 1 and a.shape[-1] == 1 and len(want) > 0:
        a = a[..., 0]
    if a.ndim != len(want) or any(w is not None and w != n for w, n in zip(want, a.shape)):
        raise ShapeError(f"input {name!r}: expected {shape_text(want)}, got {shape_text(np.shape(x))}")
    if a.size == 0:
        raise ShapeError(f"input {name!r}: expected {shape_text(want)}, got an empty array {shape_text(a.shape)}")
    if str(a.dtype) not in accepts:
        if len(accepts) > 1 and a.dtype.kind in "biu":
            dtype = "int64"
        with np.errstate(over="ignore", invalid="ignore"):
            a = a.astype(dtype)
    if drop_time:
        a = a[:, None]
    return np.require(a, requirements=["C", "A"])
