"""Convolutions and pooling over one or two axes of channels-last data.

Source: keras/src/layers/convolutional, keras/src/layers/pooling. ``same`` is TensorFlow's rule (the odd element of
padding goes behind); ``causal`` pads ``dilation * (k - 1)`` in front, over one axis only.
"""

from __future__ import annotations

from ..activations import Activation
from ..dims import BATCH, DimLike, affine
from .spec import Attr, OpSpec, ShapeMismatch, StateSpec, register

__all__ = ["window_length"]

_PADDINGS = ("valid", "same", "causal")


def window_length(n: DimLike, k: int, stride: int, dilation: int, padding: str) -> DimLike:
    """Positions of a window of k taps on an axis of length n; ShapeMismatch where it does not fit."""
    span = (k - 1) * dilation + 1
    if padding == "valid":
        if isinstance(n, int) and n < span:
            raise ShapeMismatch(f"a window of {span} does not fit on an axis of length {n}")
        return affine(n, 1, stride - span, stride)
    return affine(n, 1, stride - 1, stride)


def _spatial(attrs, x):
    """The spatial axes behind the window, after checking rank and attributes."""
    size, strides = attrs["kernel_size" if "kernel_size" in attrs else "pool_size"], attrs["strides"]
    dilation = attrs.get("dilation_rate", (1,) * len(size))
    if len(size) not in (1, 2) or not len(size) == len(strides) == len(dilation):
        raise ShapeMismatch(f"windows over 1 or 2 axes: size {size}, strides {strides}, dilation {dilation}")
    if min(*size, *strides, *dilation) < 1 or max(*size, *strides, *dilation) > 1 << 20:
        raise ShapeMismatch(f"sizes must lie in 1..2**20: size {size}, strides {strides}, dilation {dilation}")
    if attrs["padding"] == "causal" and len(size) != 1:
        raise ShapeMismatch("causal padding is for one axis")
    if len(x.shape) != len(size) + 2:
        raise ShapeMismatch(f"expected rank {len(size) + 2}, got {len(x.shape)}")
    if not isinstance(x.shape[-1], int):
        raise ShapeMismatch("the number of channels must be known")
    if sum(not isinstance(d, int) for d in x.shape[2:]) > 1:
        raise ShapeMismatch("at most one axis beside the first may be free")
    return tuple(
        window_length(n, k, s, d, attrs["padding"]) for n, k, s, d in zip(x.shape[1:-1], size, strides, dilation)
    )


def _no_glu(attrs):
    if attrs["activation"].name == "glu":
        raise ShapeMismatch("glu halves the channels and cannot be a convolution's activation")


def _conv_infer(attrs, inputs):
    x = inputs[0]
    spatial = _spatial(attrs, x)
    _no_glu(attrs)
    if x.shape[-1] != attrs["channels"]:
        raise ShapeMismatch(f"expected {attrs['channels']} channels, got {x.shape[-1]}")
    if attrs["channels"] % attrs["groups"] or attrs["filters"] % attrs["groups"]:
        raise ShapeMismatch(f"{attrs['groups']} groups do not divide {attrs['channels']} channels")
    return [((x.shape[0], *spatial, attrs["filters"]), x.dtype)]


def _conv_weights(attrs, inputs):
    w = {"kernel": (*attrs["kernel_size"], attrs["channels"] // attrs["groups"], attrs["filters"])}
    if attrs["use_bias"]:
        w["bias"] = (attrs["filters"],)
    return w


def _is_causal(attrs):
    return attrs["padding"] == "causal" and attrs["strides"] == (1,) and attrs["kernel_size"][0] > 1


def _conv_states(attrs):
    """What came before: a causal convolution is a function of the last steps."""
    if not _is_causal(attrs):
        return []
    steps = (attrs["kernel_size"][0] - 1) * attrs["dilation_rate"][0]
    return [StateSpec("context", (steps, attrs["channels"]), keras=False)]


def _conv_time(attrs, inputs):
    if attrs["kernel_size"] == (1,) and attrs["strides"] == (1,):
        return "step", ""
    if _is_causal(attrs):
        # rows of a folded time axis are no streams and keep nothing
        return ("causal", "") if inputs[0].shape[0] == BATCH else ("mix", "it is folded over time")
    if attrs["padding"] == "causal":
        return "mix", "its strides skip steps"
    return "mix", f"its padding {attrs['padding']!r} looks at steps to come"


_WINDOW = {
    "kernel_size": Attr("ints", ()),
    "strides": Attr("ints", ()),
    "dilation_rate": Attr("ints", ()),
    "padding": Attr("str", "valid", choices=_PADDINGS),
}
register(
    OpSpec(
        "conv",
        _conv_infer,
        {
            **_WINDOW,
            "channels": Attr("int", minimum=1),
            "filters": Attr("int", minimum=1),
            "groups": Attr("int", 1, minimum=1),
            "use_bias": Attr("bool", True),
            "activation": Attr("activation", Activation()),
        },
        _conv_weights,
        _conv_states,
        time=_conv_time,
    )
)


def _depthwise_infer(attrs, inputs):
    x = inputs[0]
    spatial = _spatial(attrs, x)
    _no_glu(attrs)
    return [((x.shape[0], *spatial, x.shape[-1] * attrs["depth_multiplier"]), x.dtype)]


def _depthwise_weights(attrs, inputs):
    channels, m = inputs[0].shape[-1], attrs["depth_multiplier"]
    w = {"kernel": (*attrs["kernel_size"], channels, m)}
    if attrs["use_bias"]:
        w["bias"] = (channels * m,)
    return w


register(
    OpSpec(
        "depthwise_conv",
        _depthwise_infer,
        {
            **_WINDOW,
            "depth_multiplier": Attr("int", 1, minimum=1),
            "use_bias": Attr("bool", True),
            "activation": Attr("activation", Activation()),
        },
        _depthwise_weights,
        time=lambda a, i: ("mix", "a depthwise convolution is not cut into pieces"),
    )
)

_KINDS = ("max", "average")


def _pool_infer(attrs, inputs):
    x = inputs[0]
    return [((x.shape[0], *_spatial(attrs, x), x.shape[-1]), x.dtype)]


register(
    OpSpec(
        "pool",
        _pool_infer,
        {
            "kind": Attr("str", "max", choices=_KINDS),
            "pool_size": Attr("ints", ()),
            "strides": Attr("ints", ()),
            "padding": Attr("str", "valid", choices=_PADDINGS[:2]),
        },
        time=lambda a, i: ("mix", "it pools over the time axis"),
    )
)


def _global_infer(attrs, inputs):
    x = inputs[0]
    if len(x.shape) not in (3, 4, 5) or not isinstance(x.shape[-1], int):
        raise ShapeMismatch("global pooling takes (batch, spatial..., channels) with known channels")
    if attrs["mask_mode"] and (attrs["kind"] != "average" or len(x.shape) != 3):
        raise ShapeMismatch("only averages over one axis take a mask")
    ones = (1,) * (len(x.shape) - 2) if attrs["keepdims"] else ()
    return [((x.shape[0], *ones, x.shape[-1]), x.dtype)]


# mask_mode: Keras 2 multiplies what is averaged by the mask (NaN and infinity under it come through), Keras 3 selects
register(
    OpSpec(
        "global_pool",
        _global_infer,
        {
            "kind": Attr("str", "max", choices=_KINDS),
            "keepdims": Attr("bool", False),
            "mask_mode": Attr("str", "", choices=("", "select", "multiply")),
        },
        takes_mask=True,
        time=lambda a, i: ("mix", "it pools over the whole time axis"),
    )
)
