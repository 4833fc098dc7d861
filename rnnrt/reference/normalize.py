"""Normalisation by a value's own statistics, elementwise layers with constants, softmax over axes, codes of ids."""

from __future__ import annotations

import numpy as np

from .registry import OpCall, op


def _at(values: np.ndarray, x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Values of a run of axes (or one for all), to be broadcast against x."""
    if values.size == 1:
        return values.reshape(())
    shape = [1] * x.ndim
    for a in axes:
        shape[a] = x.shape[a]
    return values.reshape(shape)


def _scaled(call: OpCall, y: np.ndarray) -> list[np.ndarray]:
    for role in ("gamma", "beta"):
        if role in call.weights:
            w = _at(call.weights[role], y, call.attrs["axes"])
            y = y * w if role == "gamma" else y + w
    return [y]


@op("layer_normalization")
def layer_normalization(call: OpCall) -> list[np.ndarray]:
    x, axes, rule = call.inputs[0], call.attrs["axes"], call.attrs["rule"]
    centred = x - x.mean(axis=axes, keepdims=True)
    power = np.square(x if rule == "rms" else centred).mean(axis=axes, keepdims=True)
    y = (centred if rule == "layer" else x) / np.sqrt(power + call.dtype(call.attrs["epsilon"]))
    return _scaled(call, y)


@op("unit_normalization")
def unit_normalization(call: OpCall) -> list[np.ndarray]:
    x, axes = call.inputs[0], call.attrs["axes"]
    squares = np.square(x).sum(axis=axes, keepdims=True)
    if call.attrs["rule"] == "keras2":
        return [x / np.sqrt(np.maximum(squares, call.dtype(1e-12)))]
    return [x * np.minimum(1 / np.sqrt(squares), call.dtype(1e12))]


@op("group_normalization")
def group_normalization(call: OpCall) -> list[np.ndarray]:
    x, axis, groups = call.inputs[0], call.attrs["axis"], call.attrs["groups"]
    y = x.reshape(*x.shape[:axis], groups, x.shape[axis] // groups, *x.shape[axis + 1 :])
    axes = tuple(i for i in range(1, y.ndim) if i != axis)
    centred = y - y.mean(axis=axes, keepdims=True)
    y = centred / np.sqrt(np.square(centred).mean(axis=axes, keepdims=True) + call.dtype(call.attrs["epsilon"]))
    call.attrs = {**call.attrs, "axes": (axis,)}
    return _scaled(call, y.reshape(x.shape))


@op("normalization")
def normalization(call: OpCall) -> list[np.ndarray]:
    x, a = call.inputs[0], call.attrs
    given = {r: np.array(a[r], dtype=call.dtype) if a[r] else call.weights[r] for r in ("mean", "variance")}
    mean, variance = (_at(given[r], x, a["axes"]) for r in ("mean", "variance"))
    divisor = np.maximum(np.sqrt(variance), call.dtype(1e-7))
    return [x * divisor + mean if a["invert"] else (x - mean) / divisor]


@op("rescaling")
def rescaling(call: OpCall) -> list[np.ndarray]:
    x, a = call.inputs[0], call.attrs
    scale, offset = (_at(np.array(a[r], dtype=call.dtype), x, a["axes"]) for r in ("scale", "offset"))
    return [x * scale + offset]


@op("prelu")
def prelu(call: OpCall) -> list[np.ndarray]:
    x = call.inputs[0]
    return [np.where(x > 0, x, x * call.weights["alpha"])]


@op("softmax")
def softmax(call: OpCall) -> list[np.ndarray]:
    x, axes = call.inputs[0], call.attrs["axes"]
    e = np.exp(x - x.max(axis=axes, keepdims=True))
    return [e / e.sum(axis=axes, keepdims=True)]


@op("category_encoding")
def category_encoding(call: OpCall) -> list[np.ndarray]:
    x, n, mode = call.inputs[0], call.attrs["num_tokens"], call.attrs["mode"]
    if not np.isfinite(x).all():
        raise ValueError(f"{call.place}: ids must be finite")
    ids = np.trunc(x).astype(np.int64)
    if call.attrs["strict"] and ids.size and not (ids.min() >= 0 and ids.max() < n):
        raise ValueError(f"{call.place}: ids must lie in [0, {n - 1}], got {ids.min()}..{ids.max()}")
    if mode == "one_hot" and ids.shape[-1] == 1:
        ids = ids[..., 0]
    codes = (ids[..., None] == np.arange(n)).astype(call.dtype)
    return [{"one_hot": lambda: codes, "multi_hot": lambda: codes.max(-2), "count": lambda: codes.sum(-2)}[mode]()]
