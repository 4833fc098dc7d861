"""Convolutions and pooling over one or two axes of channels-last data."""

from __future__ import annotations

import numpy as np

from .activations import activate
from .registry import OpCall, op

__all__ = ["windows"]


def _length(n: int, k: int, stride: int, dilation: int, padding: str) -> tuple[int, int]:
    """(positions, padding in front) of a window on an axis of length n."""
    span = (k - 1) * dilation + 1
    if padding == "valid":
        if n < span:
            raise ValueError(f"a window of {span} does not fit on an axis of length {n}")
        return (n - span) // stride + 1, 0
    count = -(-n // stride)
    total = span - 1 if padding == "causal" else max((count - 1) * stride + span - n, 0)
    return count, total if padding == "causal" else total // 2


def windows(x: np.ndarray, size, strides, dilation, padding: str, fill: float) -> np.ndarray:
    """(batch, spatial..., channels) -> (batch, positions..., taps..., channels), ``fill`` where there is nothing."""
    for axis, (k, s, d) in enumerate(zip(size, strides, dilation)):
        # the axes of taps made so far stand behind the spatial ones
        n = x.shape[1 + axis]
        count, before = _length(n, k, s, d, padding)
        index = np.arange(count)[:, None] * s - before + np.arange(k)[None] * d
        taken = np.take(x, np.clip(index, 0, n - 1), axis=1 + axis)  # (..., count, k, ...)
        inside = ((index >= 0) & (index < n)).reshape((1,) * (1 + axis) + index.shape + (1,) * (x.ndim - 2 - axis))
        x = np.moveaxis(np.where(inside, taken, fill), 2 + axis, -2)
    return x


@op("conv")
def conv(call: OpCall) -> list[np.ndarray]:
    """A causal one goes on from its context, the steps before."""
    x, a, kernel = call.inputs[0], call.attrs, call.weights["kernel"]
    size, rank, groups = a["kernel_size"], len(a["kernel_size"]), a["groups"]
    steps = x.shape[1]
    carries = a["padding"] == "causal" and a["strides"] == (1,) and size[0] > 1
    if carries:
        n = (size[0] - 1) * a["dilation_rate"][0]
        context = call.state.get("context", np.zeros((x.shape[0], n, x.shape[2]), x.dtype))
        x = np.concatenate([context, x], axis=1)
        call.state["context"] = x[:, -n:].copy()
    cols = windows(x, size, a["strides"], a["dilation_rate"], a["padding"], 0.0)
    cols, kernel = cols.reshape(*cols.shape[:-1], groups, -1), kernel.reshape(*kernel.shape[:-1], groups, -1)
    letters = "pq"[:rank]
    y = np.einsum(f"bhw{letters}gc,{letters}cgf->bhwgf".replace("w" if rank == 1 else "_", ""), cols, kernel)
    y = y.reshape(*y.shape[:-2], -1)[:, -steps:] if carries else y.reshape(*y.shape[:-2], -1)
    if a["use_bias"]:
        y = y + call.weights["bias"]
    return [activate(a["activation"], y)]


@op("depthwise_conv")
def depthwise_conv(call: OpCall) -> list[np.ndarray]:
    x, a = call.inputs[0], call.attrs
    rank = len(a["kernel_size"])
    cols = windows(x, a["kernel_size"], a["strides"], a["dilation_rate"], a["padding"], 0.0)
    letters = "pq"[:rank]
    spatial = "hw"[:rank]
    y = np.einsum(f"b{spatial}{letters}c,{letters}cm->b{spatial}cm", cols, call.weights["kernel"])
    y = y.reshape(*y.shape[:-2], -1)
    if a["use_bias"]:
        y = y + call.weights["bias"]
    return [activate(a["activation"], y)]


@op("pool")
def pool(call: OpCall) -> list[np.ndarray]:
    x, a = call.inputs[0], call.attrs
    size, rank = a["pool_size"], len(a["pool_size"])
    taps = tuple(range(-1 - rank, -1))
    window = (size, a["strides"], (1,) * rank, a["padding"])
    if a["kind"] == "max":
        return [windows(x, *window, -np.inf).max(axis=taps)]
    count = windows(np.ones_like(x), *window, 0.0).sum(axis=taps)
    return [windows(x, *window, 0.0).sum(axis=taps) / count]


@op("global_pool")
def global_pool(call: OpCall) -> list[np.ndarray]:
    x, a, mask = call.inputs[0], call.attrs, call.mask
    axes, keep = tuple(range(1, x.ndim - 1)), a["keepdims"]
    if a["kind"] == "max":
        return [x.max(axis=axes, keepdims=keep)]
    if mask is None:
        return [x.mean(axis=axes, keepdims=keep)]
    m = mask[:, :, None]
    x = x * m if a["mask_mode"] == "multiply" else np.where(m, x, 0)
    return [x.sum(axis=1, keepdims=keep) / m.sum(axis=1, keepdims=keep).astype(x.dtype)]
