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
        exact = len(counts) * 127 * 127 < 2**24  # then float32 holds every sum of products
        self.counts = counts.astype(np.float32 if exact else np.float64, copy=False)
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
        divisor = np.maximum(most, 1) if self.state else most
        counts = x * (dtype(127) / divisor)
        if not np.isscalar(self.nudge):
            counts = counts + np.resize(self.nudge, counts.shape)
        counts, scale = np.rint(counts), divisor / dtype(127)
        finite = np.isfinite(most)
        usable = finite if self.state else finite & (most >= INT8_TINY)
        if not usable.all():
            counts = np.where(usable, counts, dtype(0))
            scale = np.where(usable, scale, np.where(finite, dtype(0), dtype(np.nan)))
        # whole numbers, and sums of them that the dtype holds: exact in any order
        sums = (counts.astype(self.counts.dtype, copy=False) @ self.counts).astype(dtype, copy=False)
        return sums * (scale * self.scale.astype(dtype, copy=False))
