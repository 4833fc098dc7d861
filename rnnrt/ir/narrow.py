"""Matrices that stay narrow, float16 or int8, down to the kernels: which they are, and what int8 means.

An int8 matrix ``w`` has one positive scale per output channel (per row of an embedding), ``<weight>.scale``: the
weight is ``w * scale``. Its layer multiplies whole numbers: each row of inputs, at each time step, is divided by its
own scale and rounded, ``q = rint(x / s)``, ties to even, with ``s = max|x| / 127``; for a recurrent state ``h`` (and
``r * h`` of a GRU that resets before) ``s`` is 1/127 while ``max|h| <= 1``. A sum of products ``q * w`` is exact, and
then counts ``s * scale`` each. A row below 2^-100 is zero; one with a value that is not finite gives NaN.
"""

from __future__ import annotations

import numpy as np

__all__ = ["INT8_INPUTS", "INT8_TINY", "NARROW_ROLES", "dequantise", "quantise", "scale_name", "scale_shape"]

#: op -> roles of its matrices; all of one node are of one dtype
NARROW_ROLES: dict[str, tuple[str, ...]] = {
    "simple_rnn": ("kernel", "recurrent_kernel"),
    "lstm": ("kernel", "recurrent_kernel"),
    "gru": ("kernel", "recurrent_kernel"),
    "dense": ("kernel",),
    "embedding": ("embeddings",),
}

#: most rows of an int8 matrix that is multiplied with (RNNRT_INT8_INPUTS)
INT8_INPUTS = 32768
#: inputs all below are taken as zero
INT8_TINY = 2.0**-100


def scale_name(weight: str) -> str:
    """The tensor that holds the scales of an int8 weight."""
    return weight + ".scale"


def _axis(role: str) -> int:
    """The axis that a scale runs over: columns, but rows of an embedding."""
    return 0 if role == "embeddings" else 1


def scale_shape(role: str, shape: tuple[int, ...]) -> tuple[int]:
    """Shape of the scales of a matrix (rows, columns)."""
    return (shape[_axis(role)],)


def quantise(values: np.ndarray, role: str) -> tuple[np.ndarray, np.ndarray]:
    """(int8 of the same shape, float32 scales); values: a finite matrix. A channel of zeros has the scale 0."""
    values = np.asarray(values, np.float64)
    axis = _axis(role)
    scale = (np.abs(values).max(axis=1 - axis, initial=0.0) / 127).astype(np.float32)
    safe = np.where(scale > 0, scale, 1).astype(np.float64)
    counts = np.rint(values / np.expand_dims(safe, 1 - axis))
    return np.clip(counts, -127, 127).astype(np.int8), scale


def dequantise(counts: np.ndarray, scale: np.ndarray, role: str) -> np.ndarray:
    """The float64 values that an int8 matrix stands for."""
    return counts.astype(np.float64) * np.expand_dims(scale.astype(np.float64), 1 - _axis(role))
