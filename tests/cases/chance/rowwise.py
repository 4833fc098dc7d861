"""Layers that keep places where they are: Dense, functions, dropout and its kin, normalisations."""

from __future__ import annotations

import math
from typing import Any

from .sketch import Sketch, Tensor, piece

_ANY = (1, 2, 3, 4)


@piece("rowwise", *_ANY, weight=3)
def dense(s: Sketch, x: Tensor) -> list[Tensor]:
    """Dense, with glu now and then."""
    if x.shape[-1] is None:
        return []
    n = s.size()
    config: dict[str, Any] = {"units": n, "activation": s.function(), "use_bias": s.maybe(0.8)}
    return s.last_axis("Dense", config, x, n)


@piece("rowwise", *_ANY)
def activation(s: Sketch, x: Tensor) -> list[Tensor]:
    """A function by its name."""
    if not s.keras2 and x.shape[-1] is not None and x.shape[-1] % 2 == 0 and s.maybe(0.1):
        return s.last_axis("Activation", {"activation": "glu"}, x, x.shape[-1] // 2)
    return s.same("Activation", {"activation": s.function() or "linear"}, x)


@piece("rowwise", *_ANY, weight=2)
def function_layer(s: Sketch, x: Tensor) -> list[Tensor]:
    """The layers that are functions with parameters."""
    slope = "alpha" if s.keras2 else "negative_slope"
    options: list[tuple[str, dict[str, Any]]] = [
        ("ReLU", {"max_value": s.pick(None, 1.0), "negative_slope": s.pick(0.0, 0.1), "threshold": s.pick(0.0, 0.2)}),
        ("LeakyReLU", s.pick({}, {slope: 0.1})),
        ("ELU", {"alpha": s.pick(1.0, 0.6)}),
        ("Softmax", {"axis": s.pick(-1, -1, *range(1, len(x.shape) + 1))}),
    ]
    if s.keras2:
        options.append(("ThresholdedReLU", {"theta": 0.3}))
    if x.static:
        axes = [a for a in range(1, len(x.shape) + 1) if s.maybe(0.4)]
        options.append(("PReLU", {"shared_axes": axes or None}))
    return s.same(*s.pick(*options), x)


@piece("rowwise", *_ANY)
def nothing(s: Sketch, x: Tensor) -> list[Tensor]:
    """Layers that do nothing when predicting."""
    names = [("Dropout", {"rate": 0.4}), ("GaussianNoise", {"stddev": 0.1}), ("GaussianDropout", {"rate": 0.2})]
    names += [("ActivityRegularization", {"l2": 0.01}), ("AlphaDropout", {"rate": 0.2}), ("Identity", {})]
    names += [("SpatialDropout1D", {"rate": 0.2})] if len(x.shape) == 2 else []
    return s.same(*s.pick(*names), x)


@piece("masks", 2, weight=2)
def masking(s: Sketch, x: Tensor) -> list[Tensor]:
    """A Masking in the middle: it replaces the mask before it."""
    if x.shape[-1] is None:
        return []
    return s.same("Masking", {"mask_value": s.pick(0.0, 0.5)}, x)


def _axes(s: Sketch, x: Tensor, several: bool) -> Any:
    """One axis, or several; all of them of known length."""
    known = [k for k, n in enumerate(x.shape, 1) if n is not None]
    if several and len(known) > 1 and s.maybe(0.4):
        first = s.r.randrange(len(known) - 1)
        axes = known[first : first + s.pick(2, 3)]
        return axes if s.maybe(0.5) else [a - len(x.shape) - 1 for a in axes]
    axis = s.pick(*known) if s.maybe(0.4) else known[-1]
    return axis if s.maybe(0.5) else axis - len(x.shape) - 1


@piece("norms", *_ANY, weight=3)
def normalization(s: Sketch, x: Tensor) -> list[Tensor]:
    """Every kind that works by itself."""
    if x.shape[-1] is None:
        return []
    parts = {"center": s.maybe(0.8), "scale": s.maybe(0.8)}
    kind = s.pick("Batch", "Batch", "Layer", "Layer", "Unit", "Group", "Adapted", "Given", "Rescaling", "RMS", "rms")
    if kind == "Batch":
        more = {"trainable": False} if s.maybe(0.2) else {}
        return s.same("BatchNormalization", {"axis": _axes(s, x, s.keras2 and s.maybe(0.3)), **parts, **more}, x)
    if kind == "Layer":
        return s.same("LayerNormalization", {"axis": _axes(s, x, True), "epsilon": s.pick(1e-3, 1e-6), **parts}, x)
    if kind == "Unit":
        return s.same("UnitNormalization", {"axis": _axes(s, x, True)}, x)
    if kind == "Group":
        axis = _axes(s, x, False)
        n = x.real[axis - 1 if axis > 0 else axis]
        groups = s.pick(-1, 1, n, *[g for g in (2, 3) if n % g == 0])
        return s.same("GroupNormalization", {"groups": groups, "axis": axis, **parts}, x)
    if kind == "Adapted":
        axis = s.pick(None, -1)
        return s.same("Normalization", {"axis": axis, "invert": s.maybe(0.2)}, x)
    if kind == "Given":
        n = s.pick(1, x.real[-1])
        given = {"mean": [round(0.1 * k - 0.2, 2) for k in range(n)], "variance": [0.5 + 0.25 * k for k in range(n)]}
        if n == 1:
            return s.same("Normalization", {"axis": None, "mean": 0.3, "variance": 2.0}, x)
        return s.same("Normalization", {"axis": -1, **given}, x)
    if kind == "Rescaling":
        return s.same("Rescaling", {"scale": s.pick(0.5, 1 / 255, -2.0), "offset": s.pick(0.0, -1.0)}, x)
    if s.keras2:
        return []
    if kind == "RMS":
        return s.same("RMSNormalization", {"axis": _axes(s, x, False)}, x)
    return s.same("LayerNormalization", {"rms_scaling": True, "axis": -1}, x)


@piece("rowwise", 2, 3)
def einsum(s: Sketch, x: Tensor) -> list[Tensor]:
    """EinsumDense: the last axis, or the last two, into others."""
    if x.shape[-1] is None:
        return []
    n, m = s.pick(2, 3, 5), s.pick(2, 4)
    letters = "abcd"[: len(x.shape) + 1]
    lead, last = letters[:-1], letters[-1]
    config: dict[str, Any] = {"activation": s.pick(None, "relu", "tanh")}
    if s.maybe(0.7):
        config |= {"equation": f"{letters},{last}y->{lead}y", "bias_axes": s.pick("y", None)}
        return _einsum(s, x, config, x.shape[:-1], x.real[:-1], (n,))
    if s.maybe(0.5):
        config |= {"equation": f"{letters},{last}yz->{lead}yz", "bias_axes": s.pick("yz", "z", None)}
        return _einsum(s, x, config, x.shape[:-1], x.real[:-1], (n, m)) if len(x.shape) == 2 else []
    if len(x.shape) < 3 or x.shape[-2] is None:
        return []
    config |= {"equation": f"{letters},{letters[-2:]}y->{letters[:-2]}y", "bias_axes": s.pick("y", None)}
    return _einsum(s, x, config, x.shape[:-2], x.real[:-2], (n,))


def _einsum(s: Sketch, x: Tensor, config: dict, shape: tuple, real: tuple, new: tuple[int, ...]) -> list[Tensor]:
    config["output_shape"] = (*shape, *new)
    return s.add("EinsumDense", config, [x], ((*shape, *new), (*real, *new)))


def volume(x: Tensor) -> int:
    """How many numbers a row has."""
    return math.prod(x.real)
