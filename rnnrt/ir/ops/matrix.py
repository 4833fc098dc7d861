"""Ops over the last axis that hold matrices: Dense, Embedding."""

from __future__ import annotations

from ..activations import Activation
from .spec import Attr, OpSpec, ShapeMismatch, register


def _dense_infer(attrs, inputs):
    x = inputs[0]
    if len(x.shape) < 2 or not isinstance(x.shape[-1], int):
        raise ShapeMismatch("Dense needs rank >= 2 and a known last axis")
    units = attrs["units"]
    if attrs["activation"].name == "glu":
        if units % 2:
            raise ShapeMismatch("glu needs an even number of units")
        units //= 2
    return [((*x.shape[:-1], units), x.dtype)]


def _dense_weights(attrs, inputs):
    w: dict[str, tuple] = {"kernel": (inputs[0].shape[-1], attrs["units"])}
    if attrs["use_bias"]:
        w["bias"] = (attrs["units"],)
    return w


def _last_axis_time(attrs, inputs):
    """Per step where the last axis is not the time axis."""
    if len(inputs[0].shape) < 3:
        return "mix", "it works across the time axis"
    return "step", ""


register(
    OpSpec(
        "dense",
        _dense_infer,
        {
            "units": Attr("int", minimum=1),
            "use_bias": Attr("bool", True),
            "activation": Attr("activation", Activation()),
        },
        _dense_weights,
        time=_last_axis_time,
    )
)

register(
    OpSpec(
        "embedding",
        lambda a, i: [((*i[0].shape, a["output_dim"]), a["dtype"])],
        {
            "input_dim": Attr("int", minimum=1),
            "output_dim": Attr("int", minimum=1),
            "dtype": Attr("str", "float32", choices=("float32", "float64")),
            # ids below zero: Keras 3 takes them from the end of the table, Keras 2 raises
            "wrap_negative": Attr("bool", False),
        },
        lambda a, i: {"embeddings": (a["input_dim"], a["output_dim"])},
        time="step",
    )
)
