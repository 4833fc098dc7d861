"""Embedding: rows of a table by id; an id outside the table is an error, never a read."""

from __future__ import annotations

import numpy as np

from .registry import OpCall, op


@op("embedding")
def embedding(call: OpCall) -> list[np.ndarray]:
    ids, rows = call.inputs[0], call.attrs["input_dim"]
    if not np.isfinite(ids).all():
        raise ValueError(f"{call.place}: ids must be finite")
    ids = np.trunc(ids).astype(np.int64)  # Keras casts float ids to int32, towards zero
    low = -rows if call.attrs["wrap_negative"] else 0
    if ids.size and not (low <= ids.min() and ids.max() < rows):
        raise ValueError(f"{call.place}: ids must lie in [{low}, {rows - 1}], got {ids.min()}..{ids.max()}")
    return [call.weights["embeddings"][ids % rows]]
