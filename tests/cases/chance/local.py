"""Layers that work on windows and places: convolutions, pools, padding, cutting, moving."""

from __future__ import annotations

import math
from typing import Any

from .sketch import Sketch, Tensor, piece


def conv_length(n: int | None, kernel: int, stride: int, dilation: int, padding: str) -> int | None:
    """The length of a convolution's or pool's output; None where the input's is free."""
    if n is None:
        return None
    if padding in ("same", "causal"):
        return -(-n // stride)
    return (n - (kernel - 1) * dilation - 1) // stride + 1


def _window(s: Sketch, x: Tensor, axes: int, paddings: tuple[str, ...], strided_alike: bool = False):
    """(config, shape, real) of the spatial axes, or None where a window does not fit."""
    kernel = tuple(s.pick(1, 2, 3) for _ in range(axes))
    strides = dilation = (1,) * axes
    config: dict[str, Any] = {"kernel_size": kernel, "padding": s.pick(*paddings)}
    if s.maybe(0.3):
        strides = (s.pick(1, 2, 3),) * axes if strided_alike else tuple(s.pick(1, 2, 3) for _ in range(axes))
        config["strides"] = strides
    elif s.maybe(0.3):
        dilation = config["dilation_rate"] = (s.pick(1, 2),) * axes
    options = list(zip(kernel, strides, dilation))
    shape = [conv_length(n, *o, config["padding"]) for n, o in zip(x.shape, options)]
    real = [conv_length(n, *o, config["padding"]) or 0 for n, o in zip(x.real, options)]
    return (config, tuple(shape), tuple(real)) if min(real) >= 1 else None


def _activation(s: Sketch) -> dict[str, Any]:
    more: dict[str, Any] = {"activation": s.function()} if s.maybe(0.5) else {}
    return more | ({"use_bias": False} if s.maybe(0.25) else {})


def _conv(s: Sketch, x: Tensor, axes: int, kind: str) -> list[Tensor]:
    if x.shape[-1] is None:
        return []
    causal = ("causal",) if axes == 1 and (kind == "" or (kind == "Separable" and s.keras2)) else ()
    window = _window(s, x, axes, ("valid", "same", *causal), kind != "")
    if window is None:
        return []
    config, shape, real = window
    channels = x.real[-1]
    n = s.size()
    if kind:
        multiplier = config["depth_multiplier"] = s.pick(1, 1, 2)
    if kind == "Depthwise":
        n = channels * multiplier
    else:
        config["filters"] = n
    if not kind and s.maybe(0.25):
        divisors = [g for g in (2, 3, 4, 8) if channels % g == 0 and n % g == 0]
        config["groups"] = s.pick(1, *divisors)
    return s.add(f"{kind}Conv{axes}D", config | _activation(s), [x], ((*shape, n), (*real, n)))


@piece("convolutions", 2, weight=3)
def conv_1d(s: Sketch, x: Tensor) -> list[Tensor]:
    """Conv1D, grouped ones too."""
    return _conv(s, x, 1, "")


@piece("convolutions", 2, weight=2)
def conv_1d_by_channel(s: Sketch, x: Tensor) -> list[Tensor]:
    """SeparableConv1D, DepthwiseConv1D."""
    return _conv(s, x, 1, s.pick("Separable", "Depthwise"))


@piece("convolutions", 3, weight=3)
def conv_2d(s: Sketch, x: Tensor) -> list[Tensor]:
    """Conv2D and its kin."""
    return _conv(s, x, 2, s.pick("", "", "Separable", "Depthwise"))


def _pool(s: Sketch, x: Tensor, axes: int) -> list[Tensor]:
    if x.shape[-1] is None:
        return []
    size = tuple(s.pick(1, 2, 3) for _ in range(axes))
    padding = s.pick("valid", "same")
    strides = s.pick(None, tuple(s.pick(1, 2) for _ in range(axes)))
    options = [(k, st, 1, padding) for k, st in zip(size, strides or size)]
    shape = tuple(conv_length(n, *o) for n, o in zip(x.shape, options))
    real = tuple(conv_length(n, *o) or 0 for n, o in zip(x.real, options))
    if min(real) < 1:
        return []
    config = {"pool_size": size if axes > 1 else size[0], "padding": padding, "strides": strides and strides[:axes]}
    if axes == 1 and strides:
        config["strides"] = strides[0]
    name = f"{s.pick('Max', 'Average')}Pooling{axes}D"
    return s.add(name, config, [x], ((*shape, x.shape[-1]), (*real, x.real[-1])))


@piece("pools", 2, weight=2)
def pool_1d(s: Sketch, x: Tensor) -> list[Tensor]:
    """Of windows in time."""
    return _pool(s, x, 1)


@piece("pools", 3, weight=2)
def pool_2d(s: Sketch, x: Tensor) -> list[Tensor]:
    """Of windows of a grid."""
    return _pool(s, x, 2)


@piece("pools", 2, 3, weight=2)
def pool_all(s: Sketch, x: Tensor) -> list[Tensor]:
    """Over all of time, or of a grid."""
    if x.shape[-1] is None:
        return []
    axes, keep = len(x.shape) - 1, s.maybe(0.25)
    lead = (1,) * axes if keep else ()
    name = f"Global{s.pick('Max', 'Average')}Pooling{axes}D"
    return s.add(name, {"keepdims": keep}, [x], ((*lead, x.shape[-1]), (*lead, x.real[-1])))


def _times(n: int | None, k: int) -> int | None:
    return None if n is None else n * k


def _plus(n: int | None, k: int) -> int | None:
    return None if n is None else n + k


@piece("places", 2, 3)
def padding(s: Sketch, x: Tensor) -> list[Tensor]:
    """ZeroPadding."""
    axes = len(x.shape) - 1
    pairs = [(s.pick(0, 1, 2), s.pick(0, 1, 3)) for _ in range(axes)]
    shape = [_plus(n, a + b) for n, (a, b) in zip(x.shape, pairs)]
    real = [n + a + b for n, (a, b) in zip(x.real, pairs)]
    config = {"padding": pairs[0] if axes == 1 else pairs}
    return s.add(f"ZeroPadding{axes}D", config, [x], ((*shape, x.shape[-1]), (*real, x.real[-1])))


@piece("places", 2, 3)
def cropping(s: Sketch, x: Tensor) -> list[Tensor]:
    """Cropping."""
    axes = len(x.shape) - 1
    pairs = [(s.pick(0, 1), s.pick(0, 0, 1)) for _ in range(axes)]
    shape = [_plus(n, -a - b) for n, (a, b) in zip(x.shape, pairs)]
    real = [n - a - b for n, (a, b) in zip(x.real, pairs)]
    if min(real) < 1:
        return []
    config = {"cropping": pairs[0] if axes == 1 else pairs}
    return s.add(f"Cropping{axes}D", config, [x], ((*shape, x.shape[-1]), (*real, x.real[-1])))


@piece("places", 2, 3)
def up_sampling(s: Sketch, x: Tensor) -> list[Tensor]:
    """UpSampling by repetition."""
    axes = len(x.shape) - 1
    if math.prod(x.real) > 400:
        return []
    size = tuple(s.pick(1, 2, 3) for _ in range(axes))
    shape = [_times(n, k) for n, k in zip(x.shape, size)]
    real = [n * k for n, k in zip(x.real, size)]
    config = {"size": size if axes > 1 else size[0]}
    return s.add(f"UpSampling{axes}D", config, [x], ((*shape, x.shape[-1]), (*real, x.real[-1])))


@piece("places", 1, 2, 3, 4)
def flatten(s: Sketch, x: Tensor) -> list[Tensor]:
    """All axes into one."""
    if not x.static:
        return []
    n = math.prod(x.real)
    more = {"data_format": "channels_first"} if s.maybe(0.1) else {}
    return s.add("Flatten", more, [x], ((n,), (n,)))


@piece("places", 1, 2, 3)
def reshape(s: Sketch, x: Tensor) -> list[Tensor]:
    """To another shape, with a -1 now and then."""
    if not x.static:
        return []
    n = math.prod(x.real)
    divisors = [d for d in range(1, n + 1) if n % d == 0]
    a = s.pick(*divisors)
    b = s.pick(*[d for d in divisors if (n // a) % d == 0])
    target = list(s.pick((n,), (a, n // a), (a, b, n // a // b), (a, n // a, 1)))
    asked = list(target)
    if s.maybe(0.3):
        asked[s.r.randrange(len(asked))] = -1
    return s.add("Reshape", {"target_shape": tuple(asked)}, [x], (tuple(target), tuple(target)))


@piece("places", 2, 3)
def permute(s: Sketch, x: Tensor) -> list[Tensor]:
    """Axes in another order."""
    dims = list(range(len(x.shape)))
    s.r.shuffle(dims)
    if x.shape[dims[-1]] is None:
        return []
    to = (tuple(x.shape[d] for d in dims), tuple(x.real[d] for d in dims))
    return s.add("Permute", {"dims": tuple(d + 1 for d in dims)}, [x], to)


@piece("places", 1, weight=2)
def repeat_vector(s: Sketch, x: Tensor) -> list[Tensor]:
    """A vector at every step."""
    n = s.pick(1, 3, s.steps)
    return s.add("RepeatVector", {"n": n}, [x], ((n, *x.shape), (n, *x.real)))
