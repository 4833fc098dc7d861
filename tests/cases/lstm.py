"""LSTM."""

from .recurrent import activations, cells, drift, options, sizes

CASES = [
    *sizes("lstm", "LSTM"),
    *options("lstm", "LSTM", states=2),
    *activations("lstm", "LSTM", ("activation", "recurrent_activation")),
    *cells("lstm", "LSTMCell"),
    *drift("lstm", "LSTM"),
]
