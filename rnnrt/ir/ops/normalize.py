"""Normalisation by a value's own statistics, elementwise layers with constants, softmax over axes, codes of ids.

Source: keras/src/layers/{normalization,preprocessing,activations}. ``axes`` is a run of neighbouring axes, counted
with the batch.
"""

from __future__ import annotations

import math

from .spec import Attr, OpSpec, ShapeMismatch, register


def _run(attrs, x, known=True):
    """The lengths of the run of axes, after checking it."""
    axes = attrs["axes"]
    if not axes or tuple(axes) != tuple(range(axes[0], axes[0] + len(axes))) or axes[0] < 1 or axes[-1] >= len(x.shape):
        raise ShapeMismatch(f"axes {axes} are no neighbouring axes of a tensor of rank {len(x.shape)}")
    lengths = tuple(x.shape[i] for i in axes)
    if known and not all(isinstance(d, int) for d in lengths):
        raise ShapeMismatch(f"the axes {axes} must have known lengths")
    if sum(not isinstance(d, int) for d in x.shape[2:]) > 1:
        raise ShapeMismatch("at most one axis beside the first may be free")
    return lengths


def _time(attrs, inputs):
    if attrs["axes"][0] == 1:  # of rank 2, too: where it holds features nobody walks them
        return "mix", "it works across the time axis"
    return "step", ""


def _same(known=True):
    def infer(attrs, inputs):
        _run(attrs, inputs[0], known)
        return [(inputs[0].shape, inputs[0].dtype)]

    return infer


def _gamma_beta(attrs, inputs):
    lengths = _run(attrs, inputs[0])
    return {r: lengths for r in ["gamma"] * attrs["scale"] + ["beta"] * attrs["center"]}


_AXES = Attr("ints", ())
register(
    OpSpec(
        "layer_normalization",
        _same(),
        {
            "axes": _AXES,
            "epsilon": Attr("float", 1e-3),
            "scale": Attr("bool", True),
            "center": Attr("bool", True),
            # layer: (x - mean) / sqrt(variance + epsilon); variance: x / the same (Keras 3's rms_scaling);
            # rms: x / sqrt(mean(x^2) + epsilon)
            "rule": Attr("str", "layer", choices=("layer", "variance", "rms")),
        },
        _gamma_beta,
        time=_time,
    )
)
# keras2: x / sqrt(max(sum(x^2), 1e-12)); keras3: x * min(1 / sqrt(sum(x^2)), 1e12)
register(
    OpSpec(
        "unit_normalization",
        _same(known=False),
        {"axes": _AXES, "rule": Attr("str", "keras3", choices=("keras2", "keras3"))},
        time=_time,
    )
)


def _group_infer(attrs, inputs):
    x, axis, groups = inputs[0], attrs["axis"], attrs["groups"]
    if not 1 <= axis < len(x.shape) or not isinstance(x.shape[axis], int) or x.shape[axis] % groups:
        raise ShapeMismatch(f"{groups} groups do not divide the axis {axis}")
    if sum(not isinstance(d, int) for d in x.shape[2:]) > 1:
        raise ShapeMismatch("at most one axis beside the first may be free")
    return [(x.shape, x.dtype)]


register(
    OpSpec(
        "group_normalization",
        _group_infer,
        {
            "axis": Attr("int", minimum=1),
            "groups": Attr("int", minimum=1),
            "epsilon": Attr("float", 1e-3),
            "scale": Attr("bool", True),
            "center": Attr("bool", True),
        },
        lambda a, i: {r: (i[0].shape[a["axis"]],) for r in ["gamma"] * a["scale"] + ["beta"] * a["center"]},
        time=lambda a, i: ("mix", "it normalises by statistics of the whole sequence"),
    )
)


def _constants(attrs, x, *roles):
    """Constants of an op: one for all or one for each place of the run."""
    counts = {len(attrs[r]) for r in roles}
    lengths = _run(attrs, x, known=counts != {1})
    if counts != {1} and counts != {math.prod(lengths)}:
        raise ShapeMismatch(f"{' and '.join(roles)}: expected 1 or {math.prod(lengths)} values, got {sorted(counts)}")


def _normalization_infer(attrs, inputs):
    x = inputs[0]
    if attrs["mean"] or attrs["variance"]:
        _constants(attrs, x, "mean", "variance")
    else:
        _run(attrs, x, known=not attrs["scalar"])
    if any(v < 0 for v in attrs["variance"]):
        raise ShapeMismatch("a variance is negative")
    return [(x.shape, x.dtype)]


def _normalization_weights(attrs, inputs):
    if attrs["mean"]:
        return {}
    shape = () if attrs["scalar"] else _run(attrs, inputs[0])
    return {"mean": shape, "variance": shape}


# (x - mean) / max(sqrt(variance), 1e-7), or its inverse; mean and variance are weights, or constants where given
register(
    OpSpec(
        "normalization",
        _normalization_infer,
        {
            "axes": _AXES,
            "mean": Attr("floats", ()),
            "variance": Attr("floats", ()),
            "scalar": Attr("bool", False),
            "invert": Attr("bool", False),
        },
        _normalization_weights,
        time=lambda a, i: ("step", "") if a["scalar"] or len(a["mean"]) == 1 else _time(a, i),
    )
)


def _rescaling_infer(attrs, inputs):
    _constants(attrs, inputs[0], "scale", "offset")
    return [(inputs[0].shape, inputs[0].dtype)]


register(
    OpSpec(
        "rescaling",
        _rescaling_infer,
        {"axes": _AXES, "scale": Attr("floats", ()), "offset": Attr("floats", ())},
        time=lambda a, i: ("step", "") if len(a["scale"]) == 1 else _time(a, i),
    )
)


def _prelu_alpha(attrs, inputs):
    x, shared = inputs[0], attrs["shared_axes"]
    if len(x.shape) > 5 or any(not 1 <= a < len(x.shape) for a in shared):
        raise ShapeMismatch(f"shared_axes {shared} of a tensor of rank {len(x.shape)} (at most 5)")
    shape = tuple(1 if i in shared else d for i, d in enumerate(x.shape))[1:]
    if not all(isinstance(d, int) for d in shape):
        raise ShapeMismatch("an axis of free length must be shared")
    return {"alpha": shape}


def _prelu_infer(attrs, inputs):
    alpha = _prelu_alpha(attrs, inputs)["alpha"]
    first = next((i for i, d in enumerate(alpha, 1) if d != 1), len(alpha))
    if not all(isinstance(d, int) for d in inputs[0].shape[first:]):
        raise ShapeMismatch("an axis behind one that is not shared must have a known length")
    return [(inputs[0].shape, inputs[0].dtype)]


def _prelu_time(attrs, inputs):
    if 1 not in attrs["shared_axes"] and inputs[0].shape[1] != 1:
        return "mix", "it has a slope of its own for each time step"
    return "step", ""


register(
    OpSpec(
        "prelu",
        _prelu_infer,
        {"shared_axes": Attr("ints", ())},
        _prelu_alpha,
        time=_prelu_time,
    )
)
# jointly over the run of axes
register(OpSpec("softmax", _same(known=False), {"axes": _AXES}, time=_time))


def _encoding_infer(attrs, inputs):
    x = inputs[0]
    if len(x.shape) < 2 or x.dtype not in ("float32", "float64", "int32", "int64"):
        raise ShapeMismatch("CategoryEncoding takes ids (batch, ...)")
    if attrs["mode"] != "one_hot" and len(x.shape) != 2:
        raise ShapeMismatch(f"{attrs['mode']} takes ids (batch, n)")
    keep = x.shape[:-1] if attrs["mode"] != "one_hot" or x.shape[-1] == 1 else x.shape
    return [((*keep, attrs["num_tokens"]), "float32")]


register(
    OpSpec(
        "category_encoding",
        _encoding_infer,
        {
            "num_tokens": Attr("int", minimum=1),
            "mode": Attr("str", "multi_hot", choices=("one_hot", "multi_hot", "count")),
            # ids outside: Keras 2 raises, Keras 3 leaves them out
            "strict": Attr("bool", False),
        },
        time=lambda a, i: ("mix", "it encodes a whole row of ids"),
    )
)
