"""Matrices that stay narrow, float16 or int8, down to the kernels: which they are, and what int8 means.

An int8 matrix ``w`` has one positive scale per output channel (per row of an embedding), ``<weight>.scale``: the
weight is ``w * scale``. Its layer multiplies whole numbers: each row of inputs, at each time step, is divided by its
own scale and rounded, ``q = rint(x / s)``, ties to even, with ``s = max|x| / 127``; for a recurrent state ``h`` (and
``r * h`` of a GRU that resets before) ``s`` is 1/127 while ``max|h| <= 1``. A sum of products ``q * w`` is exact, and
then counts ``s * scale`` each. A row below 2^-100 is zero; one with a value that is not finite gives NaN.
"""

from __future__ import annotations

import numpy as np

from .graph import Graph
from .ops.spec import ShapeMismatch

__all__ = [
    "INT8_INPUTS",
    "INT8_TINY",
    "NARROW_ROLES",
    "check_int8",
    "dequantise",
    "quantise",
    "scale_name",
    "scale_shapes",
]

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


def scale_shapes(graph: Graph) -> dict[str, tuple[int, ...]]:
    """Tensor -> shape of the scales of each int8 weight that a node reads; ``(0,)`` where it has no meaning."""
    roles = {w: role for n in graph.nodes for role, w in n.weights.items() if graph.weights[w].dtype == "int8"}
    return {scale_name(w): graph.weights[w].shape[_axis(r) :][:1] or (0,) for w, r in roles.items()}


def check_int8(graph: Graph) -> None:
    """ShapeMismatch where an int8 weight is not a matrix that its op's kernels read, or its scale's name is taken."""
    for n in graph.nodes:
        roles = {r for r, w in n.weights.items() if graph.weights[w].dtype == "int8"}
        if not roles:
            continue
        matrices = NARROW_ROLES.get(n.op, ())
        if roles != set(matrices):
            raise ShapeMismatch(f"{n.name}: of op {n.op}, int8 may be all of {list(matrices)}, got {sorted(roles)}")
        if graph.tensors[n.outputs[0]].dtype != "float32":
            raise ShapeMismatch(f"{n.name}: int8 weights of a layer that gives {graph.tensors[n.outputs[0]].dtype}")
        for w in (n.weights[r] for r in roles):
            if n.op != "embedding" and graph.weights[w].shape[0] > INT8_INPUTS:
                raise ShapeMismatch(f"{w}: {graph.weights[w].shape[0]} rows, int8 allows {INT8_INPUTS}")
            if scale_name(w) in graph.weights:
                raise ShapeMismatch(f"{scale_name(w)}: the name of a scale is that of a weight")
    axes = {(w, _axis(r)) for n in graph.nodes for r, w in n.weights.items() if graph.weights[w].dtype == "int8"}
    if len(axes) != len({w for w, _ in axes}):
        raise ShapeMismatch("an int8 weight is read as an embedding and as a kernel")


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
