"""The recurrent ops: SimpleRNN, LSTM, GRU.

Equations: keras/src/layers/rnn/{simple_rnn,lstm,gru}.py. Weights are stored (in, gates*units);
gate order i, f, c, o (LSTM) and z, r, h (GRU).
"""

from __future__ import annotations

from ..activations import Activation
from .spec import Attr, OpSpec, ShapeMismatch, StateSpec, register

__all__ = ["RECURRENT_OPS"]

RECURRENT_OPS = {"simple_rnn": 1, "lstm": 4, "gru": 3, "conv_lstm": 4}  # op -> gates

_COMMON = {
    "units": Attr("int", minimum=1),
    "activation": Attr("activation", Activation("tanh")),
    "use_bias": Attr("bool", True),
    "return_sequences": Attr("bool", False),
    "return_state": Attr("bool", False),
    # the input (and its mask) is read from the last step to the first; outputs stay in processing order
    "go_backwards": Attr("bool", False),
    # outputs are written from the last step to the first (Bidirectional's second direction)
    "reverse_output": Attr("bool", False),
    "stateful": Attr("bool", False),
    "zero_output_for_mask": Attr("bool", False),
}
_GATED = dict(_COMMON, recurrent_activation=Attr("activation", Activation("sigmoid")))


def _features(inputs):
    x = inputs[0]
    if len(x.shape) != 3:
        raise ShapeMismatch(f"a recurrent layer takes (batch, time, features), got rank {len(x.shape)}")
    if not isinstance(x.shape[2], int):
        raise ShapeMismatch("the number of features must be known")
    return x.shape[2]


def _states(names):
    def rule(attrs):
        return [StateSpec(n, (attrs["units"],)) for n in names]

    return rule


def _infer(state_names):
    def rule(attrs, inputs):
        _features(inputs)
        x = inputs[0]
        if attrs["activation"].name == "glu":
            raise ShapeMismatch("glu halves its axis and cannot be a cell's activation")
        seq = (x.shape[0], x.shape[1], attrs["units"])
        last = (x.shape[0], attrs["units"])
        out = [(seq if attrs["return_sequences"] else last, x.dtype)]
        if attrs["return_state"]:
            out += [(last, x.dtype)] * len(state_names)
        return out

    return rule


def _weights(gates, bias_rows):
    def rule(attrs, inputs):
        d, u = _features(inputs), attrs["units"]
        w: dict[str, tuple] = {"kernel": (d, gates * u), "recurrent_kernel": (u, gates * u)}
        if attrs["use_bias"]:
            n = bias_rows(attrs)
            w["bias"] = (gates * u,) if n == 1 else (n, gates * u)
        return w

    return rule


def _time(attrs, inputs):
    if attrs["reverse_output"]:
        return "mix", "Bidirectional reads the sequence from both ends"
    if attrs["go_backwards"]:
        return "mix", "go_backwards reads the sequence from its end"
    return "recurrent", ""


register(
    OpSpec(
        "simple_rnn",
        _infer("h"),
        _COMMON,
        _weights(1, lambda a: 1),
        _states("h"),
        takes_mask=True,
        time=_time,
    )
)
register(OpSpec("lstm", _infer("hc"), _GATED, _weights(4, lambda a: 1), _states("hc"), takes_mask=True, time=_time))
register(
    OpSpec(
        "gru",
        _infer("h"),
        dict(_GATED, reset_after=Attr("bool", True)),
        _weights(3, lambda a: 2 if a["reset_after"] else 1),
        _states("h"),
        takes_mask=True,
        time=_time,
    )
)
