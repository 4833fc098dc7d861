"""Normalisation: by moving statistics, by a value's own, by adapted ones."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ....errors import ConversionError
from ..call import LayerCall, Value, number
from ..weights import Part
from .registry import layer

__all__ = ["axes_of", "floats_of"]


def axes_of(c: LayerCall, x: Value, axis: Any) -> tuple[int, ...]:
    """A run of neighbouring axes counted from the batch, of an axis or a list of them; refused where it is none."""
    items = list(axis) if isinstance(axis, (list, tuple)) else [axis]
    if not items or any(isinstance(a, bool) or not isinstance(a, int) for a in items):
        raise c.refuse(f"axis={str(axis)[:40]} is not supported")
    axes = [c.axis(x, a) for a in items]
    if 0 in axes:
        raise c.refuse("it works across the batch")
    if axes != list(range(axes[0], axes[0] + len(axes))):
        raise c.refuse(f"axis={str(axis)[:40]}: only neighbouring axes in rising order are supported")
    return tuple(axes)


def lengths_of(c: LayerCall, x: Value, axes: tuple[int, ...]) -> tuple[int, ...]:
    """The lengths of axes, which must be known."""
    lengths = [c.tensor(x).shape[a] for a in axes]
    if not all(isinstance(n, int) for n in lengths):
        raise c.refuse(f"the length of axis {axes[-1]} is not known")
    return tuple(n for n in lengths if isinstance(n, int))


def floats_of(c: LayerCall, key: str, default: float) -> np.ndarray:
    """An option that is a number or an array of numbers."""
    v = c.get(key)
    if v is None:
        return np.array(default)
    if number(v) is not None:
        v = number(v)
    elif isinstance(v, dict) and isinstance(v.get("config"), dict):
        v = v["config"].get("value")
    try:
        a = np.array(v, dtype=np.float64)
    except (TypeError, ValueError):
        a = np.array(math.nan)
    if a.size < 1 or a.size > 1 << 20 or not np.isfinite(a).all():
        raise ConversionError(f"{c.path}: {key} must be a finite number or an array of them, got {str(v)[:40]}")
    return a


@layer(
    "BatchNormalization",
    options=("axis", "epsilon", "center", "scale", "renorm", "mode"),
    weighted=True,
    per_step=True,
    random=True,
)
def batch_normalization(c: LayerCall) -> list[Value]:
    """gamma * (x - mean) / sqrt(variance + epsilon) + beta; axis is an int, in Keras 2 files a list of one."""
    if c.flag("renorm"):
        raise c.refuse("renorm=True is not supported")
    if c.get("mode", 0) != 0:
        raise c.refuse(f"Keras 1's mode {c.get('mode')} normalises by each batch's own statistics")
    scale, center = c.flag("scale", True), c.flag("center", True)
    epsilon = c.number("epsilon", 1e-3)
    axis = c.get("axis", -1)
    if isinstance(axis, (list, tuple)) and len(axis) == 1:
        axis = axis[0]
    if isinstance(axis, bool) or not isinstance(axis, int):
        raise c.refuse(f"normalisation over the axes {str(axis)[:40]} together is not supported")
    x = c.floats(c.input())
    where = c.axis(x, axis)
    n = c.tensor(x).shape[where]
    if where == 0 or not isinstance(n, int):
        raise c.refuse(f"axis {axis} has no known length")
    if not all(isinstance(d, int) for d in c.tensor(x).shape[where:]):
        raise c.refuse(f"an axis of free length behind axis {axis} is not supported")
    roles = ["gamma"] * scale + ["beta"] * center
    parts = [Part(r, (n,)) for r in roles]
    parts += [Part("moving_mean", (n,), False), Part("moving_variance", (n,), False)]
    attrs = {"axis": where, "epsilon": epsilon, "scale": scale, "center": center}
    return c.emit("batch_normalization", [x], attrs, c.weights(parts))


@layer(
    "LayerNormalization",
    options=("axis", "epsilon", "center", "scale", "rms_scaling"),
    weighted=True,
    per_step=True,
)
def layer_normalization(c: LayerCall) -> list[Value]:
    """By mean and variance over its axes. Keras 3's rms_scaling divides only, and has no beta."""
    x = c.floats(c.input())
    axes = axes_of(c, x, c.get("axis", -1))
    rms = c.flag("rms_scaling")
    scale, center = c.flag("scale", True) or rms, c.flag("center", True) and not rms
    shape = lengths_of(c, x, axes)
    parts = [Part(r, shape) for r in ["gamma"] * scale + ["beta"] * center]
    attrs = {
        "axes": axes,
        "epsilon": c.number("epsilon", 1e-3),
        "scale": scale,
        "center": center,
        "rule": "variance" if rms else "layer",
    }
    return c.emit("layer_normalization", [x], attrs, c.weights(parts) if parts else {})


@layer("RMSNormalization", options=("axis", "epsilon"), weighted=True, per_step=True, mask="stop")
def rms_normalization(c: LayerCall) -> list[Value]:
    """scale * x / sqrt(mean(x^2) + epsilon)."""
    x = c.floats(c.input())
    axes = axes_of(c, x, c.get("axis", -1))
    names = c.weights([Part("scale", lengths_of(c, x, axes))])
    attrs = {"axes": axes, "epsilon": c.number("epsilon", 1e-6), "center": False, "rule": "rms"}
    return c.emit("layer_normalization", [x], attrs, {"gamma": names["scale"]})


@layer("UnitNormalization", options=("axis",), per_step=True)
def unit_normalization(c: LayerCall) -> list[Value]:
    """To length 1 over its axes."""
    x = c.floats(c.input())
    rule = "keras3" if c.spec.generation >= 3 else "keras2"
    return c.emit("unit_normalization", [x], {"axes": axes_of(c, x, c.get("axis", -1)), "rule": rule})


@layer("GroupNormalization", options=("groups", "axis", "epsilon", "center", "scale"), weighted=True)
def group_normalization(c: LayerCall) -> list[Value]:
    """By mean and variance of each group of channels over all of its places; groups -1 is one for each channel."""
    if c.mask is not None and c.spec.generation == 2:
        # tf_keras broadcasts the mask (batch, time) against (batch, time, channels) from the right
        raise c.refuse("under a mask Keras 2 weighs by it along the wrong axes", "drop the mask before it")
    x = c.floats(c.input())
    axes = axes_of(c, x, c.get("axis", -1))
    if len(axes) != 1:
        raise c.refuse("it takes one axis")
    n = lengths_of(c, x, axes)[0]
    groups = c.get("groups", 32)
    groups = n if groups == -1 else c.integer("groups", default=32)
    if n % groups:
        raise ConversionError(f"{c.path}: {groups} groups do not divide {n} channels")
    scale, center = c.flag("scale", True), c.flag("center", True)
    parts = [Part(r, (n,)) for r in ["gamma"] * scale + ["beta"] * center]
    attrs = {
        "axis": axes[0],
        "groups": groups,
        "epsilon": c.number("epsilon", 1e-3),
        "scale": scale,
        "center": center,
    }
    return c.emit("group_normalization", [x], attrs, c.weights(parts) if parts else {})


def _masked_floats(c: LayerCall) -> Value:
    """The input as floats: these layers cast integers by themselves, and Keras 3 loses a mask on the way."""
    x = c.input()
    if c.mask is not None and not c.tensor(x).dtype.startswith(("float", "bfloat")):
        raise c.refuse("it casts a masked tensor of integers, where Keras 3 loses the mask", "cast it before")
    return c.floats(x)


def _rounded(a: np.ndarray) -> np.ndarray:
    """Python's numbers as TensorFlow takes them: float32, also in float64 models; NumPy arrays keep their dtype."""
    return a.astype(np.float32).astype(np.float64)


@layer("Normalization", options=("axis", "mean", "variance", "invert"), weighted=True, mask="pass_keras3")
def normalization(c: LayerCall) -> list[Value]:
    """(x - mean) / max(sqrt(variance), 1e-7) with adapted or given statistics, or the inverse."""
    x = _masked_floats(c)
    axis = c.get("axis", -1)
    scalar = axis is None or (isinstance(axis, (list, tuple)) and not axis)
    axes = (len(c.tensor(x).shape) - 1,) if scalar else axes_of(c, x, axis)
    attrs: dict[str, Any] = {"axes": axes, "invert": c.flag("invert")}
    if c.get("mean") is None and c.get("variance") is None:
        shape = () if scalar else lengths_of(c, x, axes)
        # count is of the adaptation
        parts = [Part("mean", shape, False), Part("variance", shape, False), Part("count", (), False, read=False)]
        names = c.weights(parts)
        attrs["scalar"] = scalar
        return c.emit("normalization", [x], attrs, {r: names[r] for r in ("mean", "variance")})
    given = [floats_of(c, key, math.nan) for key in ("mean", "variance")]
    if c.spec.generation >= 3:
        given = [_rounded(a) for a in given]
    if any(a.size > 1 for a in given):
        shape = lengths_of(c, x, axes)
        try:
            given = [np.broadcast_to(a, shape) for a in given]
        except ValueError:
            raise ConversionError(f"{c.path}: mean and variance do not fit the axes {axes}") from None
    else:
        attrs["axes"] = (len(c.tensor(x).shape) - 1,)  # one for all
    attrs |= {r: tuple(float(v) for v in a.reshape(-1)) for r, a in zip(("mean", "variance"), given)}
    return c.emit("normalization", [x], attrs)


@layer("Rescaling", options=("scale", "offset"), per_step=True, mask="pass_keras3")
def rescaling(c: LayerCall) -> list[Value]:
    """x * scale + offset; each is a number, or one for each place of the last axis."""
    x = _masked_floats(c)
    keys = ("scale", "offset")
    given = [floats_of(c, key, default) for key, default in zip(keys, (1.0, 0.0))]
    given = [a if isinstance(c.get(key), dict) else _rounded(a) for key, a in zip(keys, given)]
    axes = (len(c.tensor(x).shape) - 1,)
    if any(a.size > 1 for a in given):
        n = c.features(x)
        if any(a.ndim > 1 or a.size not in (1, n) for a in given):
            raise c.refuse(f"scale and offset must be numbers, or have one value for each of the {n} features")
        given = [np.broadcast_to(a, (n,)) for a in given]
    scale, offset = (tuple(float(v) for v in a.reshape(-1)) for a in given)
    return c.emit("rescaling", [x], {"axes": axes, "scale": scale, "offset": offset})


@layer("CategoryEncoding", options=("num_tokens", "max_tokens", "output_mode", "sparse"), mask="stop")
def category_encoding(c: LayerCall) -> list[Value]:
    """Codes of ids: one_hot each, multi_hot or count over the last axis."""
    mode = c.get("output_mode", "multi_hot")
    mode = "multi_hot" if mode == "binary" else mode
    if mode not in ("one_hot", "multi_hot", "count"):
        raise c.refuse(f"output_mode={str(mode)[:40]!r} is not supported")
    if c.flag("sparse"):
        raise c.refuse("sparse=True is not supported")
    tokens = c.integer("num_tokens" if c.get("num_tokens") is not None else "max_tokens")
    x = c.input()
    rank = len(c.tensor(x).shape)
    if rank > 2 and (mode != "one_hot" or c.spec.generation <= 2):
        raise c.refuse(f"output_mode={mode!r} of an input of rank {rank} is not supported")
    if c.spec.generation <= 2 and mode == "one_hot" and c.tensor(x).shape[-1] != 1:
        raise c.refuse("Keras 2 one-hot-encodes one id for each row")
    if c.tensor(x).dtype not in ("float32", "float64", "int32", "int64"):
        x = c.emit("cast", [x], {"dtype": "int32"})[0]
    attrs = {"num_tokens": tokens, "mode": mode, "strict": c.spec.generation <= 2}
    return [c.floats(c.emit("category_encoding", [x], attrs)[0])]
