"""Ops that work on each element, or on each row of the last axis."""

from __future__ import annotations

from ..activations import Activation
from .matrix import _last_axis_time
from .spec import Attr, OpSpec, ShapeMismatch, register


def _same(attrs, inputs):
    return [(inputs[0].shape, inputs[0].dtype)]


def _activation_infer(attrs, inputs):
    x = inputs[0]
    if attrs["activation"].name == "glu":
        if not isinstance(x.shape[-1], int) or x.shape[-1] % 2:
            raise ShapeMismatch("glu needs an even last axis")
        return [((*x.shape[:-1], x.shape[-1] // 2), x.dtype)]
    if attrs["activation"].rowwise and x.shape and not isinstance(x.shape[-1], int):
        name = attrs["activation"].name
        raise ShapeMismatch(f"{name} runs over an axis of free length here; save the model with that length given")
    return [(x.shape, x.dtype)]


def _activation_time(attrs, inputs):
    return _last_axis_time(attrs, inputs) if attrs["activation"].rowwise else ("step", "")


register(
    OpSpec(
        "activation",
        _activation_infer,
        {"activation": Attr("activation", Activation())},
        time=_activation_time,
    )
)


def _bn_channels(attrs, inputs):
    x, axis = inputs[0], attrs["axis"]
    if not 1 <= axis < len(x.shape) or not isinstance(x.shape[axis], int):
        raise ShapeMismatch("BatchNormalization needs a known axis that is not the batch")
    return x.shape[axis]


def _bn_weights(attrs, inputs):
    n = _bn_channels(attrs, inputs)
    roles = ["gamma"] * attrs["scale"] + ["beta"] * attrs["center"] + ["moving_mean", "moving_variance"]
    return {r: (n,) for r in roles}


def _bn_infer(attrs, inputs):
    _bn_channels(attrs, inputs)
    return _same(attrs, inputs)


def _bn_time(attrs, inputs):
    if attrs["axis"] == 1:
        return "mix", "it normalises each time step by its own statistics"
    return "step", ""


# Inference only: gamma * (x - moving_mean) / sqrt(moving_variance + epsilon) + beta. axis counts the batch.
register(
    OpSpec(
        "batch_normalization",
        _bn_infer,
        {
            "axis": Attr("int", minimum=1),
            "epsilon": Attr("float", 1e-3),
            "scale": Attr("bool", True),
            "center": Attr("bool", True),
        },
        _bn_weights,
        time=_bn_time,
    )
)
