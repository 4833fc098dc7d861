"""GRU, with the reset after the matrix product (Keras 2's and 3's default) and before it."""

from .case import Input, Layer, sequential
from .recurrent import activations, cells, drift, options, sizes

CASES = [
    *sizes("gru", "GRU"),
    *options("gru", "GRU", states=1),
    *activations("gru", "GRU", ("activation", "recurrent_activation")),
    *cells("gru", "GRUCell"),
    *drift("gru", "GRU"),
]
BEFORE = [
    *sizes("gru_reset_before", "GRU", reset_after=False),
    *options("gru_reset_before", "GRU", states=1, reset_after=False),
    *activations("gru_reset_before", "GRU", ("activation", "recurrent_activation"), reset_after=False),
    *cells("gru_reset_before", "GRUCell", reset_after=False),
    *drift("gru_reset_before", "GRU", reset_after=False),
    sequential(
        "gru_reset_before/hard_sigmoid_gates",
        [
            Layer(
                "GRU",
                {
                    "units": 8,
                    "reset_after": False,
                    "recurrent_activation": "hard_sigmoid",
                    "return_sequences": True,
                },
            )
        ],
        Input((None, 5)),
        scale=2.0,  # both ends of the clip are reached
    ),
]
CASES += BEFORE
