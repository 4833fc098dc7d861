"""Int8 matrices in the reference: ``x @ w`` with the meaning that :mod:`rnnrt.ir.narrow` gives it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir.narrow import INT8_TINY

__all__ = ["Int8Matrix"]


class Int8Matrix:
    """Whole numbers (rows, columns) with a scale for each column; ``x @ w`` rounds each row of x to whole numbers.

    Parameters
    ----------
    counts, scale
        int8 and float32, as stored.
    state
        Whether the rows are a recurrent state, whose own scale is 1/127 while they are within 1.
    nudge
        Added before rounding, in counts: rows of values that are as good as halfway go the other way. An array
        that repeats over the values, or 0.
    """

    __array_ufunc__ = None  # x @ w is asked here, not of NumPy

    def __init__(self, counts: np.ndarray, scale: np.ndarray, state: bool, nudge: Any = 0.0) -> None:
        self.counts = counts.astype(np.float64)
        self.scale = scale.astype(np.float64)
        self.state = state
        self.nudge = nudge

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows, columns)."""
        return self.counts.shape

    def __getitem__(self, key: Any) -> Int8Matrix:
        rows, columns = key
        assert rows == slice(None)
        return Int8Matrix(self.counts[:, columns], self.scale[columns], self.state, self.nudge)

    def __rmatmul__(self, x: np.ndarray) -> np.ndarray:
        dtype = x.dtype.type
        most = np.abs(x).max(axis=-1, keepdims=True, initial=0.0)
        zero = most < INT8_TINY
        divisor = np.where(zero, 1, most)
        if self.state:
            divisor, zero = np.where(most <= 1, 1, most), np.zeros_like(zero)
        counts = x * (dtype(127) / divisor)
        if not np.isscalar(self.nudge):
            counts = counts + np.resize(self.nudge, counts.shape)
        counts = np.where(np.isfinite(most) & ~zero, np.rint(counts), 0).astype(np.float64)
        scale = np.where(zero, 0, divisor / dtype(127)).astype(dtype)
        scale = np.where(np.isfinite(most), scale, np.nan)
        sums = (counts @ self.counts).astype(dtype)  # whole numbers below 2^53: exact in any order
        return sums * (scale * self.scale.astype(dtype))
