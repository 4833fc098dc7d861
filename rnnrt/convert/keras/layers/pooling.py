"""Pooling over one or two axes, and over all of them."""

from __future__ import annotations

from ....errors import ConversionError
from ..call import LayerCall, Value
from .conv import channels_last, padding, sizes
from .registry import layer

_POOL = ("pool_size", "strides", "padding", "data_format")


def _pool(c: LayerCall, rank: int, kind: str) -> list[Value]:
    channels_last(c)
    size = sizes(c, "pool_size", rank, 2)
    strides = size if c.get("strides") is None else sizes(c, "strides", rank)
    x = c.floats(c.input())
    if len(c.tensor(x).shape) != rank + 2:
        raise ConversionError(f"{c.path}: needs an input of rank {rank + 2}, got rank {len(c.tensor(x).shape)}")
    c.features(x)
    attrs = {"kind": kind, "pool_size": size, "strides": strides, "padding": padding(c, ("valid", "same"))}
    return c.emit("pool", [x], attrs)


@layer("MaxPooling1D", options=_POOL, mask="stop")
def max_pooling1d(c: LayerCall) -> list[Value]:
    """The largest of each window; ``same`` pads with -inf."""
    return _pool(c, 1, "max")


@layer("MaxPooling2D", options=_POOL, mask="stop")
def max_pooling2d(c: LayerCall) -> list[Value]:
    """The largest of each window; ``same`` pads with -inf."""
    return _pool(c, 2, "max")


@layer("AveragePooling1D", options=_POOL, mask="stop")
def average_pooling1d(c: LayerCall) -> list[Value]:
    """The mean of each window; ``same`` divides by the number of real elements."""
    return _pool(c, 1, "average")


@layer("AveragePooling2D", options=_POOL, mask="stop")
def average_pooling2d(c: LayerCall) -> list[Value]:
    """The mean of each window; ``same`` divides by the number of real elements."""
    return _pool(c, 2, "average")


def _global(c: LayerCall, rank: int, kind: str) -> list[Value]:
    channels_last(c)
    x = c.floats(c.input())
    if len(c.tensor(x).shape) != rank + 2:
        raise ConversionError(f"{c.path}: needs an input of rank {rank + 2}, got rank {len(c.tensor(x).shape)}")
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
    return _global(c, 1, "max")


@layer("GlobalMaxPooling2D", options=_GLOBAL, mask="stop")
def global_max_pooling2d(c: LayerCall) -> list[Value]:
    """The largest over rows and columns."""
    return _global(c, 2, "max")


@layer("GlobalAveragePooling1D", options=_GLOBAL, mask="stop")
def global_average_pooling1d(c: LayerCall) -> list[Value]:
    """The mean over the steps that the mask leaves."""
    return _global(c, 1, "average")


@layer("GlobalAveragePooling2D", options=_GLOBAL, mask="stop")
def global_average_pooling2d(c: LayerCall) -> list[Value]:
    """The mean over rows and columns."""
    return _global(c, 2, "average")
