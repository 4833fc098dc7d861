"""Pooling over one to three axes, and over all of them."""

from __future__ import annotations

import math

from ..call import LayerCall, Value
from .conv import channels_last, padding, sizes
from .registry import layer

_POOL = ("pool_size", "strides", "padding", "data_format")


def _pool(c: LayerCall, rank: int, kind: str) -> list[Value]:
    size = sizes(c, "pool_size", rank, 2)
    strides = size if c.get("strides") is None else sizes(c, "strides", rank)
    x = c.floats(c.input())
    c.ranked(x, rank + 2)
    c.features(x)
    attrs = {"kind": kind, "pool_size": size, "strides": strides, "padding": padding(c, ("valid", "same"))}
    return c.emit("pool", [x], attrs)


@layer("MaxPooling1D", options=_POOL, mask="stop")
def max_pooling1d(c: LayerCall) -> list[Value]:
    """The largest of each window; ``same`` pads with -inf."""
    return channels_last(c, 1, lambda c: _pool(c, 1, "max"))


@layer("MaxPooling2D", options=_POOL, mask="stop")
def max_pooling2d(c: LayerCall) -> list[Value]:
    """The largest of each window; ``same`` pads with -inf."""
    return channels_last(c, 2, lambda c: _pool(c, 2, "max"))


@layer("AveragePooling1D", options=_POOL, mask="stop")
def average_pooling1d(c: LayerCall) -> list[Value]:
    """The mean of each window; ``same`` divides by the number of real elements."""
    return channels_last(c, 1, lambda c: _pool(c, 1, "average"))


@layer("AveragePooling2D", options=_POOL, mask="stop")
def average_pooling2d(c: LayerCall) -> list[Value]:
    """The mean of each window; ``same`` divides by the number of real elements."""
    return channels_last(c, 2, lambda c: _pool(c, 2, "average"))


def _pool3(c: LayerCall, kind: str) -> list[Value]:
    """Over rows and columns of each frame, then over the frames: a maximum, or a mean of means."""
    size = sizes(c, "pool_size", 3, 2)
    strides = size if c.get("strides") is None else sizes(c, "strides", 3)
    mode = padding(c, ("valid", "same"))
    x = c.floats(c.input())
    c.ranked(x, 5)
    x = Value(x.tensor)
    if (*size[1:], *strides[1:]) != (1, 1, 1, 1):
        rows = c.emit("fold_time", [x])
        y = c.emit("pool", rows, {"kind": kind, "pool_size": size[1:], "strides": strides[1:], "padding": mode})
        x = c.emit("unfold_time", [y[0], x])[0]
    if (size[0], strides[0]) == (1, 1):
        return [x]
    shape = [d for d in c.tensor(x).shape[2:] if isinstance(d, int)]
    if len(shape) != 3:
        raise c.refuse("the lengths of its axes behind the first must be known")
    flat = c.emit("reshape", [x], {"target_shape": (-1, math.prod(shape))})
    y = c.emit("pool", flat, {"kind": kind, "pool_size": size[:1], "strides": strides[:1], "padding": mode})
    return c.emit("reshape", y, {"target_shape": (-1, *shape)})


def _global(c: LayerCall, rank: int, kind: str) -> list[Value]:
    x = c.floats(c.input())
    c.ranked(x, rank + 2)
    c.features(x)
    attrs = {"kind": kind, "keepdims": c.flag("keepdims")}
    masked = c.mask is not None and rank == 1 and kind == "average"
    if masked:
        attrs["mask_mode"] = "select" if c.spec.generation >= 3 else "multiply"
    return c.emit("global_pool", [x], attrs, mask=c.mask if masked else None)


_GLOBAL = ("data_format", "keepdims")


@layer("GlobalMaxPooling1D", options=_GLOBAL, mask="stop")
def global_max_pooling1d(c: LayerCall) -> list[Value]:
    """The largest over time; masked steps count, in both Kerases."""
    return channels_last(c, 1, lambda c: _global(c, 1, "max"))


@layer("GlobalMaxPooling2D", options=_GLOBAL, mask="stop")
def global_max_pooling2d(c: LayerCall) -> list[Value]:
    """The largest over rows and columns."""
    return channels_last(c, 2, lambda c: _global(c, 2, "max"))


@layer("GlobalAveragePooling1D", options=_GLOBAL, mask="stop")
def global_average_pooling1d(c: LayerCall) -> list[Value]:
    """The mean over the steps that the mask leaves."""
    return channels_last(c, 1, lambda c: _global(c, 1, "average"))


@layer("GlobalAveragePooling2D", options=_GLOBAL, mask="stop")
def global_average_pooling2d(c: LayerCall) -> list[Value]:
    """The mean over rows and columns."""
    return channels_last(c, 2, lambda c: _global(c, 2, "average"))


@layer("MaxPooling3D", options=_POOL, mask="stop")
def max_pooling3d(c: LayerCall) -> list[Value]:
    """The largest of each window of frames, rows and columns."""
    return channels_last(c, 3, lambda c: _pool3(c, "max"))


@layer("AveragePooling3D", options=_POOL, mask="stop")
def average_pooling3d(c: LayerCall) -> list[Value]:
    """The mean of each window of frames, rows and columns."""
    return channels_last(c, 3, lambda c: _pool3(c, "average"))


@layer("GlobalMaxPooling3D", options=_GLOBAL, mask="stop")
def global_max_pooling3d(c: LayerCall) -> list[Value]:
    """The largest over frames, rows and columns."""
    return channels_last(c, 3, lambda c: _global(c, 3, "max"))


@layer("GlobalAveragePooling3D", options=_GLOBAL, mask="stop")
def global_average_pooling3d(c: LayerCall) -> list[Value]:
    """The mean over frames, rows and columns."""
    return channels_last(c, 3, lambda c: _global(c, 3, "average"))
