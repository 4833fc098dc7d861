"""Convolutions that are made of others: over frames, and transposed ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....errors import ConversionError
from ....ir.ops.axes import NONE
from ..call import LayerCall, Value
from ..weights import Layout, Part
from .conv import BASE, activation_of, channels_last, padding, refuse_flipped, sizes
from .registry import layer


def _start(c: LayerCall, rank: int) -> tuple[Value, tuple[Any, ...]]:
    """The input without its mask, and its shape; the number of channels is known."""
    if c.get("groups", 1) != 1:
        raise c.refuse(f"groups={str(c.get('groups'))[:40]} is not supported")
    refuse_flipped(c)
    x = c.floats(c.input())
    shape = c.ranked(x, rank + 2)
    c.features(x)
    return Value(x.tensor), shape


def _weights(c: LayerCall, kernel: Part, stored: tuple[int, ...], convert: Any) -> dict[str, str]:
    """The kernel, which files hold in another shape, and the bias."""
    rest = [Part("bias", (kernel.shape[-1],))] if c.flag("use_bias", True) else []

    def turn(arrays: list[np.ndarray]) -> dict[str, np.ndarray]:
        return {"kernel": convert(arrays[0]), **{p.role: a for p, a in zip(rest, arrays[1:])}}

    layout = Layout(c.spec.class_name, (Part("kernel", stored), *rest), turn, always=True)
    return c.weights([kernel, *rest], [layout])


# ---- over frames, rows and columns --------------------------------------------------------------


def _taps(c: LayerCall, x: Value, k: int, stride: int, dilation: int, mode: str) -> Value:
    """The k frames under each window one behind the other in the channels."""
    n = c.tensor(x).shape[1]
    span = (k - 1) * dilation + 1
    if mode == "same":
        if not isinstance(n, int) and stride > 1:
            raise c.refuse("padding='same' with strides over frames of free number")
        total = span - 1 if not isinstance(n, int) else max((-(-n // stride) - 1) * stride + span - n, 0)
        if total:
            x = c.emit("pad", [x], {"padding": (total // 2, total - total // 2, *[0] * 6)})[0]
            n = c.tensor(x).shape[1]
    if isinstance(n, int) and n < span:
        raise ConversionError(f"{c.path}: a window of {span} frames does not fit on {n}")
    parts = []
    for tap in range(k):
        begin, behind = tap * dilation, span - 1 - tap * dilation
        cut = {"axes": (1,), "begin": (begin,), "end": (-behind if behind else NONE,), "step": (stride,)}
        parts.append(c.emit("slice", [x], cut)[0] if k > 1 or stride > 1 else x)
    return parts[0] if k == 1 else c.emit("concatenate", parts, {"axis": 4})[0]


def _conv3(c: LayerCall) -> list[Value]:
    x, shape = _start(c, 3)
    size, strides, dilation = (sizes(c, key, 3) for key in ("kernel_size", "strides", "dilation_rate"))
    mode, filters, activation = padding(c, ("valid", "same")), c.integer("filters"), activation_of(c)
    k, channels = size[0], shape[-1]

    def turn(kernel: np.ndarray) -> np.ndarray:  # (frames, rows, columns, in, out): the frames go to the channels
        return np.moveaxis(kernel, 0, 2).reshape(*size[1:], k * channels, filters)

    names = _weights(c, Part("kernel", (*size[1:], k * channels, filters)), (*size, channels, filters), turn)
    x = _taps(c, x, k, strides[0], dilation[0], mode)
    attrs = {
        "kernel_size": size[1:],
        "strides": strides[1:],
        "dilation_rate": dilation[1:],
        "padding": mode,
        "channels": k * channels,
        "filters": filters,
        "use_bias": "bias" in names,
        "activation": activation,
    }
    y = c.emit("conv", c.emit("fold_time", [x]), attrs, names)
    return c.emit("unfold_time", [y[0], x])


@layer("Conv3D", options=(*BASE, "filters"), weighted=True, mask="stop")
def conv3d(c: LayerCall) -> list[Value]:
    """Over (frames, rows, columns), as a convolution of each frame with its neighbours as channels."""
    return channels_last(c, 3, _conv3)


# ---- transposed ---------------------------------------------------------------------------------


def _spread(c: LayerCall, x: Value, axis: int, stride: int) -> Value:
    """Each element of an axis with stride - 1 zeros behind it."""
    shape = c.tensor(x).shape
    x = c.emit("expand_dims", [x], {"axes": (axis + 1,)})[0]
    pairs = [0] * (2 * len(shape))
    pairs[2 * axis + 1] = stride - 1
    x = c.emit("pad", [x], {"padding": tuple(pairs)})[0]
    target = [d if isinstance(d, int) else -1 for d in shape[1:]]
    target[axis - 1] = target[axis - 1] * stride if target[axis - 1] > 0 else -1
    if target.count(-1) > 1:
        raise c.refuse("more than one of its axes has a free length")
    return c.emit("reshape", [x], {"target_shape": tuple(target)})[0]


def _transposed(c: LayerCall, rank: int) -> list[Value]:
    """The input spread by the strides, under the kernel turned round."""
    x, shape = _start(c, rank)
    size, strides, dilation = (sizes(c, key, rank) for key in ("kernel_size", "strides", "dilation_rate"))
    mode, filters, activation = padding(c, ("valid", "same")), c.integer("filters"), activation_of(c)
    if c.get("output_padding") is not None:
        raise c.refuse("output_padding is not supported", "leave it out, and pad or crop behind the layer")
    if max(dilation) > 1:
        raise c.refuse("dilation_rate in a transposed convolution is not supported")
    channels, around = shape[-1], []
    for axis, (k, s) in enumerate(zip(size, strides), 1):
        before = max(k - s, 0) // 2 if mode == "same" else 0
        around += [k - 1 - before, before if mode == "same" else max(k - s, 0)]
        if s > 1:
            x = _spread(c, x, axis, s)
    spatial = tuple(range(rank))

    def turn(kernel: np.ndarray) -> np.ndarray:  # (axes..., out, in)
        return np.ascontiguousarray(np.flip(kernel, spatial).swapaxes(-1, -2))

    names = _weights(c, Part("kernel", (*size, channels, filters)), (*size, filters, channels), turn)
    if any(around):
        x = c.emit("pad", [x], {"padding": (*around, 0, 0)})[0]
    attrs = {
        "kernel_size": size,
        "strides": (1,) * rank,
        "dilation_rate": (1,) * rank,
        "padding": "valid",
        "channels": channels,
        "filters": filters,
        "use_bias": "bias" in names,
        "activation": activation,
    }
    return c.emit("conv", [x], attrs, names)


_TRANSPOSED = (*BASE, "filters", "output_padding")


@layer("Conv1DTranspose", options=_TRANSPOSED, weighted=True, mask="stop")
def conv1d_transpose(c: LayerCall) -> list[Value]:
    """Over the time axis."""
    return channels_last(c, 1, lambda c: _transposed(c, 1))


@layer("Conv2DTranspose", options=_TRANSPOSED, weighted=True, mask="stop")
def conv2d_transpose(c: LayerCall) -> list[Value]:
    """Over (rows, columns)."""
    return channels_last(c, 2, lambda c: _transposed(c, 2))
