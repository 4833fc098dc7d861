"""ConvLSTM over one or two axes."""

from __future__ import annotations

from typing import Any

from ....errors import ConversionError
from ....ir.ops import ShapeMismatch
from ....ir.ops.conv import window_length
from ..call import LayerCall, Value
from ..masks import rank_of
from ..weights import Part
from .conv import padding, refuse_flipped, sizes
from .recurrent import loop_options
from .registry import layer

_OPTIONS = (
    *("filters", "kernel_size", "strides", "padding", "data_format", "dilation_rate", "activation"),
    *("recurrent_activation", "use_bias", "return_sequences", "return_state", "go_backwards", "stateful"),
    *("zero_output_for_mask", "time_major"),
)


def conv_lstm(c: LayerCall, **forced: bool) -> list[Value]:
    """A ConvLSTM, with options of its loop replaced (as Bidirectional does)."""
    rank = int(c.spec.class_name[-2])
    if c.get("data_format", "channels_last") not in (None, "channels_last"):
        raise c.refuse("data_format='channels_first' is not supported", "Permute the input and use channels_last")
    refuse_flipped(c)
    x = c.floats(c.input())
    shape = c.ranked(x, rank + 3)
    if not all(isinstance(d, int) for d in shape[2:]):
        raise c.refuse("the lengths of its axes behind the time must be known")
    if c.mask is not None and rank_of(c, c.mask) != 2:
        raise c.refuse(f"it works under a mask of rank {rank_of(c, c.mask)}; only (batch, time) is supported")
    filters, use_bias = c.integer("filters"), c.flag("use_bias", True)
    attrs: dict[str, Any] = {
        **loop_options(c),
        **forced,
        "kernel_size": sizes(c, "kernel_size", rank),
        "strides": sizes(c, "strides", rank),
        "dilation_rate": sizes(c, "dilation_rate", rank),
        "padding": padding(c, ("valid", "same")),
        "filters": filters,
        "activation": c.activation("activation", "tanh"),
        # the default that a file of Keras 2 leaves out is hard_sigmoid
        "recurrent_activation": c.activation(
            "recurrent_activation", "sigmoid" if c.spec.generation >= 3 else "hard_sigmoid"
        ),
        "use_bias": use_bias,
    }
    if "glu" in (attrs["activation"].name, attrs["recurrent_activation"].name):
        raise c.refuse("glu halves its axis and cannot be a cell's activation")
    windows = zip(shape[2:-1], attrs["kernel_size"], attrs["strides"], attrs["dilation_rate"])
    try:
        places = [window_length(n, k, s, d, attrs["padding"]) for n, k, s, d in windows]
    except ShapeMismatch as e:
        raise ConversionError(f"{c.path}: {e}") from None
    attrs["state_shape"] = (*places, filters)
    parts = [
        Part("kernel", (*attrs["kernel_size"], c.features(x), 4 * filters)),
        Part("recurrent_kernel", (*attrs["kernel_size"], filters, 4 * filters)),
    ]
    parts += [Part("bias", (4 * filters,))] if use_bias else []
    states = [c.floats(s) for s in c.initial_state]
    if states and len(states) != 2:
        raise c.refuse(f"{len(states)} initial states given, the layer has 2")
    weights = c.weights(parts, vars_at=("cell",))
    out = c.emit("conv_lstm", [x], attrs, weights, mask=c.mask, initial_state=states)
    for value, label in zip(out[1:], "hc"):
        c.builder.labels[value.tensor or ""] = label
    return [Value(out[0].tensor, x.mask if attrs["return_sequences"] else None), *out[1:]]


_FACTS: dict[str, Any] = {"options": _OPTIONS, "weighted": True, "mask": "own", "takes_states": True}


@layer("ConvLSTM1D", **_FACTS)
def conv_lstm1d(c: LayerCall) -> list[Value]:
    """(batch, time, places, channels)."""
    return conv_lstm(c)


@layer("ConvLSTM2D", **_FACTS)
def conv_lstm2d(c: LayerCall) -> list[Value]:
    """(batch, time, rows, columns, channels)."""
    return conv_lstm(c)
