"""Weights of 16 bits: how they are stored, widened and rounded. NumPy has no bfloat16, so its bits travel as uint16."""

from __future__ import annotations

import numpy as np

__all__ = ["as_stored", "bfloat16_bits", "dtype_of", "round_bfloat16", "widen"]


def bfloat16_bits(values: np.ndarray) -> np.ndarray:
    """uint16 bits of the bfloat16 numbers nearest to float values, ties to even; NaN stays NaN."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32).astype(np.uint64)
    out = ((bits + 0x7FFF + ((bits >> np.uint64(16)) & np.uint64(1))) >> np.uint64(16)).astype(np.uint16)
    return np.where(np.isnan(values), np.uint16(0x7FC0), out).reshape(np.shape(values))


def _from_bits(bits: np.ndarray) -> np.ndarray:
    return (np.ascontiguousarray(bits).astype(np.uint32) << np.uint32(16)).view(np.float32).reshape(np.shape(bits))


def round_bfloat16(values: np.ndarray) -> np.ndarray:
    """float values rounded to bfloat16, as float32."""
    return _from_bits(bfloat16_bits(values))


def widen(stored: np.ndarray) -> np.ndarray:
    """A weight as arithmetic takes it: 16-bit ones as float32, others as they are."""
    stored = np.asarray(stored)
    if stored.dtype == np.uint16:
        return _from_bits(stored)
    return stored.astype(np.float32) if stored.dtype == np.float16 else stored


def as_stored(values: np.ndarray, dtype: str) -> np.ndarray:
    """Float values as a weight of that dtype (``float32 float64 float16 bfloat16``), C-contiguous."""
    if dtype == "bfloat16":
        return bfloat16_bits(values)
    return np.asarray(values, dtype=dtype, order="C")  # keeps a scalar one


def dtype_of(stored: np.ndarray) -> str:
    """The dtype that a stored weight has in a graph; uint16 is bfloat16's bits."""
    return "bfloat16" if stored.dtype == np.uint16 else str(stored.dtype)
