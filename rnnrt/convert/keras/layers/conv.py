"""Convolution layers over one or two axes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ....errors import ConversionError
from ....ir.activations import Activation
from ..call import LayerCall, Value
from ..weights import Layout, Part
from .registry import layer

__all__ = ["BASE", "activation_of", "channels_last", "padding", "sizes"]

BASE = ("kernel_size", "strides", "padding", "data_format", "dilation_rate", "activation", "use_bias", "groups")


def sizes(c: LayerCall, key: str, rank: int, default: int = 1) -> tuple[int, ...]:
    """An option that is one number for all axes, or one for each."""
    v = c.get(key)
    v = default if v is None else v
    items = list(v) if isinstance(v, (list, tuple)) else [v] * rank
    if len(items) != rank or any(isinstance(i, bool) or not isinstance(i, int) or not 1 <= i <= 1 << 20 for i in items):
        raise ConversionError(f"{c.path}: {key} must be {rank} positive integers, got {str(v)[:40]}")
    return tuple(items)


_NOT_FIRST = ("Conv3D", "DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D")


def channels_last(c: LayerCall, rank: int, build: Callable[[LayerCall], list[Value]]) -> list[Value]:
    """What a builder for channels-last data makes; with data_format='channels_first' between two transpositions."""
    data_format = c.get("data_format", "channels_last")
    if data_format in (None, "channels_last"):
        return build(c)
    if data_format != "channels_first":
        raise c.refuse(f"data_format={str(data_format)[:40]!r}")
    if c.spec.class_name in _NOT_FIRST:
        raise c.refuse(
            "with data_format='channels_first' TensorFlow's own answers differ on CPUs and GPUs",
            "Permute the input and use channels_last",
        )
    if c.spec.generation == 1 and "kernel_size" in c.spec.config:
        raise c.refuse(
            "data_format='channels_first' in a file of Keras 1, which does not tell how its kernels lie",
            "load it in Keras 2 and save it again",
        )
    x = c.input()
    c.ranked(x, rank + 2)
    spatial = tuple(range(2, rank + 2))
    last = Value(c.emit("transpose", [x], {"perm": (0, *spatial, 1)})[0].tensor)
    inner = replace(c, inputs=[last], spec=replace(c.spec, config={**c.spec.config, "data_format": "channels_last"}))
    out = []
    for y in build(inner):
        kept = len(c.tensor(y).shape) == rank + 2
        back = (0, rank + 1, *range(1, rank + 1))
        out.append(c.emit("transpose", [y], {"perm": back})[0] if kept else y)
    return out


def padding(c: LayerCall, allowed: tuple[str, ...]) -> str:
    """The padding option in lower case."""
    p = c.get("padding", "valid")
    p = p.lower() if isinstance(p, str) else p
    if p not in allowed:
        raise c.refuse(f"padding={str(p)[:40]!r} is not supported")
    return p


def refuse_flipped(c: LayerCall) -> None:
    """No kernels of Keras on Theano."""
    if c.builder.backend == "theano":
        raise c.refuse(
            "its file was written with the Theano backend, whose kernels are stored flipped",
            "load it in that Keras with the TensorFlow backend, convert its kernels, and save again",
        )


def _window(c: LayerCall, rank: int, causal: bool = False) -> dict:
    """kernel_size, strides, dilation_rate, padding of a layer, after the checks that all kinds share."""
    if c.spec.class_name not in ("Conv1D", "Conv2D") and c.get("groups", 1) != 1:
        raise c.refuse(f"groups={str(c.get('groups'))[:40]} is not supported")
    refuse_flipped(c)
    return {
        "kernel_size": sizes(c, "kernel_size", rank),
        "strides": sizes(c, "strides", rank),
        "dilation_rate": sizes(c, "dilation_rate", rank),
        "padding": padding(c, ("valid", "same", "causal") if causal else ("valid", "same")),
    }


def activation_of(c: LayerCall) -> Activation:
    """The activation, which keeps the channels as many as they are."""
    activation = c.activation("activation")
    if activation.name == "glu":
        raise c.refuse("glu as its activation is not supported", "use an Activation layer behind it")
    return activation


def _input(c: LayerCall, rank: int) -> tuple[Value, int]:
    """The input as float32 and its number of channels."""
    x = c.floats(c.input())
    c.ranked(x, rank + 2)
    return x, c.features(x)


def _conv(c: LayerCall, rank: int) -> list[Value]:
    window = _window(c, rank, causal=rank == 1)
    filters, groups, use_bias = c.integer("filters"), c.integer("groups", default=1), c.flag("use_bias", True)
    activation = activation_of(c)
    x, channels = _input(c, rank)
    if channels % groups or filters % groups:
        raise ConversionError(f"{c.path}: {groups} groups do not divide {channels} channels and {filters} filters")
    shape = (*window["kernel_size"], channels // groups, filters)
    parts = [Part("kernel", shape)] + ([Part("bias", (filters,))] if use_bias else [])
    attrs = {
        **window,
        "channels": channels,
        "filters": filters,
        "groups": groups,
        "use_bias": use_bias,
        "activation": activation,
    }
    old = [_keras1(parts)] if rank == 1 and groups == 1 else []
    return c.emit("conv", [x], attrs, c.weights(parts, old))


def _keras1(parts: list[Part]) -> Layout:
    """Keras 1 kept a Conv1D as a Conv2D over one column: (k, 1, channels, filters)."""
    k, channels, filters = parts[0].shape
    stored = (Part("kernel", (k, 1, channels, filters)), *parts[1:])

    def convert(arrays: list[np.ndarray]) -> dict[str, np.ndarray]:
        return {"kernel": arrays[0][:, 0], **{p.role: a for p, a in zip(parts[1:], arrays[1:])}}

    return Layout("keras1 Conv1D", stored, convert)


@layer("Conv1D", options=(*BASE, "filters"), weighted=True, mask="stop")
def conv1d(c: LayerCall) -> list[Value]:
    """Over the time axis; a causal one with stride 1 carries its context in sessions."""
    return channels_last(c, 1, lambda c: _conv(c, 1))


@layer("Conv2D", options=(*BASE, "filters"), weighted=True, mask="stop")
def conv2d(c: LayerCall) -> list[Value]:
    """Over (rows, columns)."""
    return channels_last(c, 2, lambda c: _conv(c, 2))


def _depthwise(c: LayerCall, rank: int) -> list[Value]:
    window = _window(c, rank)
    multiplier, use_bias = c.integer("depth_multiplier", default=1), c.flag("use_bias", True)
    activation = activation_of(c)
    x, channels = _input(c, rank)
    parts = [Part("depthwise_kernel", (*window["kernel_size"], channels, multiplier))]
    parts += [Part("bias", (channels * multiplier,))] if use_bias else []
    names = c.weights(parts)
    weights = {"kernel": names["depthwise_kernel"]} | ({"bias": names["bias"]} if use_bias else {})
    attrs = {**window, "depth_multiplier": multiplier, "use_bias": use_bias, "activation": activation}
    return c.emit("depthwise_conv", [x], attrs, weights)


_DEPTHWISE = (*BASE, "depth_multiplier")


@layer("DepthwiseConv1D", options=_DEPTHWISE, weighted=True, mask="stop")
def depthwise_conv1d(c: LayerCall) -> list[Value]:
    """Each channel by itself, over the time axis."""
    return channels_last(c, 1, lambda c: _depthwise(c, 1))


@layer("DepthwiseConv2D", options=_DEPTHWISE, weighted=True, mask="stop")
def depthwise_conv2d(c: LayerCall) -> list[Value]:
    """Each channel by itself, over (rows, columns)."""
    return channels_last(c, 2, lambda c: _depthwise(c, 2))


def _separable(c: LayerCall, rank: int) -> list[Value]:
    """A depthwise convolution, then one of 1 tap that mixes the channels."""
    window = _window(c, rank, causal=rank == 1)
    filters, use_bias = c.integer("filters"), c.flag("use_bias", True)
    multiplier, activation = c.integer("depth_multiplier", default=1), activation_of(c)
    x, channels = _input(c, rank)
    ones = (1,) * rank
    parts = [
        Part("depthwise_kernel", (*window["kernel_size"], channels, multiplier)),
        Part("pointwise_kernel", (*ones, channels * multiplier, filters)),
    ]
    parts += [Part("bias", (filters,))] if use_bias else []
    names = c.weights(parts)
    depthwise = {**window, "depth_multiplier": multiplier, "use_bias": False}
    y = c.emit("depthwise_conv", [x], depthwise, {"kernel": names["depthwise_kernel"]})
    pointwise = {
        "kernel_size": ones,
        "strides": ones,
        "dilation_rate": ones,
        "channels": channels * multiplier,
        "filters": filters,
        "use_bias": use_bias,
        "activation": activation,
    }
    weights = {"kernel": names["pointwise_kernel"]} | ({"bias": names["bias"]} if use_bias else {})
    return c.emit("conv", y, pointwise, weights)


_SEPARABLE = (*_DEPTHWISE, "filters")


@layer("SeparableConv1D", options=_SEPARABLE, weighted=True, mask="stop")
def separable_conv1d(c: LayerCall) -> list[Value]:
    """Depthwise over the time axis, then pointwise."""
    return channels_last(c, 1, lambda c: _separable(c, 1))


@layer("SeparableConv2D", options=_SEPARABLE, weighted=True, mask="stop")
def separable_conv2d(c: LayerCall) -> list[Value]:
    """Depthwise over (rows, columns), then pointwise."""
    return channels_last(c, 2, lambda c: _separable(c, 2))
