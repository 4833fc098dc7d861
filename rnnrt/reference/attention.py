"""Attention and dense layers over several axes."""

from __future__ import annotations

import numpy as np

from .activations import activate
from .registry import OpCall, op


def _scores(call: OpCall, q: np.ndarray, k: np.ndarray) -> np.ndarray:
    """(batch, heads, T, S) of (batch, heads, T, D) and (batch, heads, S, D)."""
    a, w = call.attrs, call.weights
    if a["score"] == "dot":
        return q @ k.swapaxes(-1, -2) * call.dtype(a["factor"]) * w.get("scale", call.dtype(1))
    sums = q[..., :, None, :] + k[..., None, :, :]
    scale = w.get("scale", call.dtype(1))
    if a["score"] == "additive":
        return (scale * np.tanh(sums)).sum(axis=-1)
    return w["concat_score_weight"] * np.tanh(scale * sums).sum(axis=-1)


@op("attention")
def attention(call: OpCall) -> list[np.ndarray]:
    a = call.attrs
    heads = a["heads"] or 1
    q, v, k = (x.reshape(*x.shape[:2], heads, -1).swapaxes(1, 2) for x in call.inputs[:3])
    masks = iter(call.inputs[3:])
    value, query, pairs = (next(masks) if a[f] else None for f in ("value_mask", "query_mask", "attention_mask"))
    scores = _scores(call, q, k)
    counts = np.ones(scores.shape, dtype=bool)
    if a["causal"]:
        counts &= np.tri(scores.shape[-2], scores.shape[-1], dtype=bool)
    if value is not None:
        counts &= value[:, None, None, :]
    if query is not None and not a["query_mask_zeroes"]:
        counts &= query[:, None, :, None]
    if pairs is not None:
        counts &= pairs[:, None]
    far = scores - call.dtype(1e9) if a["masked"] == "subtract" else np.full_like(scores, -1e9)
    scores = np.where(counts, scores, far)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights = weights / weights.sum(axis=-1, keepdims=True)
    if a["masked"] == "zero":
        weights = np.where(counts, weights, 0)
    y = (weights @ v).swapaxes(1, 2)
    y = y.reshape(*y.shape[:2], -1)
    if query is not None and a["query_mask_zeroes"]:
        y = np.where(query[:, :, None], y, 0)
    return [y, weights if a["heads"] else weights[:, 0]][: 2 if a["return_scores"] else 1]


@op("einsum_dense")
def einsum_dense(call: OpCall) -> list[np.ndarray]:
    x, a = call.inputs[0], call.attrs
    y = np.tensordot(x, call.weights["kernel"], axes=a["contracted"])
    if a["bias_axes"]:
        y = y + call.weights["bias"]
    return [activate(a["activation"], y)]
