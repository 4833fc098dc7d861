"""ConvLSTM over one or two axes: an LSTM whose matrix products are convolutions.

Source: keras/src/layers/rnn/conv_lstm.py. Gates i, f, c, o; the convolutions of h have stride 1 and padding ``same``.
"""

from __future__ import annotations

from ..activations import Activation
from ..dims import BATCH, format_shape
from .conv import window_length
from .spec import Attr, OpSpec, ShapeMismatch, StateSpec, register


def _check(attrs, inputs):
    x, size = inputs[0], attrs["kernel_size"]
    rank = len(size)
    if rank not in (1, 2) or not rank == len(attrs["strides"]) == len(attrs["dilation_rate"]):
        raise ShapeMismatch(f"ConvLSTM works on 1 or 2 axes, got the kernel {size}")
    if min(*size, *attrs["strides"], *attrs["dilation_rate"]) < 1:
        raise ShapeMismatch("sizes, strides and dilation must be 1 or more")
    if len(x.shape) != rank + 3 or not all(isinstance(d, int) for d in x.shape[2:]):
        raise ShapeMismatch(f"expected (batch, time, {rank} known axes, channels), got {format_shape(x.shape)}")
    if "glu" in (attrs["activation"].name, attrs["recurrent_activation"].name):
        raise ShapeMismatch("glu halves its axis and cannot be a cell's activation")
    windows = zip(x.shape[2:-1], size, attrs["strides"], attrs["dilation_rate"])
    shape = (*(window_length(n, k, s, d, attrs["padding"]) for n, k, s, d in windows), attrs["filters"])
    if shape != attrs["state_shape"]:
        raise ShapeMismatch(f"its states have the shape {shape}, not {attrs['state_shape']}")
    return shape


def _infer(attrs, inputs):
    x, shape = inputs[0], _check(attrs, inputs)
    last = (x.shape[0], *shape)
    out = [((x.shape[0], x.shape[1], *shape) if attrs["return_sequences"] else last, x.dtype)]
    return out + [(last, x.dtype)] * (2 * attrs["return_state"])


def _weights(attrs, inputs):
    size, f = attrs["kernel_size"], attrs["filters"]
    w: dict[str, tuple] = {
        "kernel": (*size, inputs[0].shape[-1], 4 * f),
        "recurrent_kernel": (*size, f, 4 * f),
    }
    if attrs["use_bias"]:
        w["bias"] = (4 * f,)
    return w


def _time(attrs, inputs):
    if attrs["reverse_output"]:
        return "mix", "Bidirectional reads the sequence from both ends"
    if attrs["go_backwards"]:
        return "mix", "go_backwards reads the sequence from its end"
    return ("recurrent", "") if inputs[0].shape[0] == BATCH else ("mix", "it is folded over time")


register(
    OpSpec(
        "conv_lstm",
        _infer,
        {
            "kernel_size": Attr("ints", ()),
            "strides": Attr("ints", ()),
            "dilation_rate": Attr("ints", ()),
            "padding": Attr("str", "valid", choices=("valid", "same")),
            "filters": Attr("int", minimum=1),
            "state_shape": Attr("ints", ()),  # (axes..., filters)
            "activation": Attr("activation", Activation("tanh")),
            "recurrent_activation": Attr("activation", Activation("sigmoid")),
            "use_bias": Attr("bool", True),
            "return_sequences": Attr("bool", False),
            "return_state": Attr("bool", False),
            "go_backwards": Attr("bool", False),
            "reverse_output": Attr("bool", False),
            "stateful": Attr("bool", False),
            "zero_output_for_mask": Attr("bool", False),
        },
        _weights,
        lambda a: [StateSpec(n, a["state_shape"]) for n in "hc"],
        takes_mask=True,
        time=_time,
    )
)
