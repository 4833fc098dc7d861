"""Nested inputs and outputs <-> flat lists, and what callers pass <-> arrays that C reads as they lie."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from .errors import ShapeError

__all__ = ["CPU", "CUDA", "as_input", "fit", "flatten_inputs", "place_of", "shape_text"]

CPU, CUDA = 1, 2  # DLPack's numbers
_ON_THE_HOST = {CPU, 3, 11}  # page-locked memory of CUDA and ROCm too
_MANAGED = 13  # memory of CUDA that moves by itself


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
        if single and (isinstance(value[0], np.ndarray) or place_of(value[0])):  # as Keras takes it
            value = value[0]
        flat[wanted[0]] = value
        return flat
    if partial:
        structure = list(wanted)
    _fill(structure, value, flat, names)
    return flat


def place_of(x: Any) -> tuple[int, int] | None:
    """Where an array of another library lies, if not on the host: DLPack's numbers of kind (CUDA: 2) and device.

    The device is -1 where the array does not tell.
    """
    if type(x) is np.ndarray:
        return None
    if hasattr(x, "__dlpack_device__"):
        kind, device = x.__dlpack_device__()
        kind, device = int(kind), int(device)
        return None if kind in _ON_THE_HOST else (CUDA if kind == _MANAGED else kind, device)
    return (CUDA, -1) if hasattr(x, "__cuda_array_interface__") else None


def _array(name: str, x: Any) -> np.ndarray:
    where = place_of(x)
    if where is not None:
        on = f"cuda:{max(where[1], 0)}" if where[0] == CUDA else f"a device (DLPack's kind {where[0]})"
        raise ShapeError(
            f"input {name!r} lies on {on}, and is read from the host here: copy it there, "
            f"or call predict, step or run of a model on that device (model.to('cuda'))"
        )
    try:
        a = np.from_dlpack(x) if hasattr(x, "__dlpack__") and not hasattr(x, "__array__") else np.asarray(x)
    except ValueError as e:
        raise ShapeError(f"input {name!r}: not an array ({e})") from None
    if a.dtype.kind not in "biuf":
        raise ShapeError(f"input {name!r}: expected numbers, got dtype {a.dtype}")
    return a


def fit(name: str, got: Sequence[int], shape: Sequence[int | None], drop_time: bool = False) -> tuple[int, ...]:
    """An array's shape in the rank of the input's; arguments and errors as :func:`as_input`."""
    want = [d for i, d in enumerate(shape) if not (drop_time and i == 1)]
    sizes = list(got)
    # Keras squeezes or expands a trailing axis of 1 to the declared rank
    if len(sizes) == len(want) - 1 and want[-1] == 1:
        sizes.append(1)
    elif len(sizes) == len(want) + 1 and sizes[-1] == 1 and want:
        sizes.pop()
    if len(sizes) != len(want) or any(w is not None and w != n for w, n in zip(want, sizes)):
        raise ShapeError(f"input {name!r}: expected {shape_text(want)}, got {shape_text(got)}")
    if 0 in sizes:
        raise ShapeError(f"input {name!r}: expected {shape_text(want)}, got an empty array {shape_text(sizes)}")
    return (sizes[0], 1, *sizes[1:]) if drop_time else tuple(sizes)


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
    fitted = fit(name, a.shape, shape, drop_time)
    if str(a.dtype) not in accepts:
        if len(accepts) > 1 and a.dtype.kind in "biu":
            dtype = "int64"
            if a.dtype == np.uint64 and int(a.max()) >= 1 << 63:
                at = int(a.argmax())
                raise ShapeError(f"input {name!r}, flat position {at}: id {int(a.flat[at])} is outside every table")
        with np.errstate(over="ignore", invalid="ignore"):
            a = a.astype(dtype)
    return np.require(a.reshape(fitted), requirements=["C", "A"])
