"""ConvLSTM over one and two axes."""

from .case import Input, Layer, functional, sequential


def _one(filters, size, **config):
    return Layer("ConvLSTM1D", {"filters": filters, "kernel_size": size, **config})


def _two(filters, size, **config):
    return Layer("ConvLSTM2D", {"filters": filters, "kernel_size": size, **config})


_PLACES = {
    "lstm": [Layer("LSTM", {"units": 3})],
    "masked_stack": [
        Layer("Masking"),
        Layer("GRU", {"units": 3, "return_sequences": True}),
        Layer("Dense", {"units": 3}),
        Layer("SimpleRNN", {"units": 2, "go_backwards": True}),
    ],
    "both_ways": [Layer("Bidirectional", {"layer": Layer("GRU", {"units": 2, "return_sequences": True})})],
}

CASES = [
    # the places of the last output are a sequence to the next layer
    *(
        sequential(f"conv_lstm/places_{name}", [_one(4, 3), *more], Input((None, 6, 2)))
        for name, more in _PLACES.items()
    ),
    sequential("conv_lstm/one", [_one(3, 3)], Input((None, 6, 2))),
    sequential("conv_lstm/one_sequences", [_one(2, 2, padding="same", return_sequences=True)], Input((None, 5, 3))),
    sequential("conv_lstm/one_strides", [_one(4, 3, strides=2, padding="same", use_bias=False)], Input((None, 7, 1))),
    sequential("conv_lstm/one_backwards", [_one(2, 2, go_backwards=True, return_sequences=True)], Input((4, 5, 2))),
    sequential("conv_lstm/one_hard_sigmoid", [_one(3, 2, recurrent_activation="hard_sigmoid")], Input((None, 4, 2))),
    sequential("conv_lstm/two", [_two(3, (2, 3), padding="same")], Input((None, 4, 5, 2))),
    sequential("conv_lstm/two_dilation", [_two(2, 2, dilation_rate=2, activation="relu")], Input((None, 4, 5, 1))),
    sequential(
        "conv_lstm/two_stateful",
        [_two(2, 2, padding="same", return_sequences=True, stateful=True)],
        Input((None, 3, 3, 2)),
        chunks=(2, 1, 3),
    ),
    functional(
        "conv_lstm/states",
        [
            Layer("ConvLSTM1D", {"filters": 2, "kernel_size": 2, "padding": "same", "return_state": True}, ("x",), "a"),
            Layer(
                "ConvLSTM1D",
                {"filters": 2, "kernel_size": 3, "padding": "same"},
                ("z",),
                "b",
                {"initial_state": ("a:1", "a:2")},
            ),
        ],
        ["a", "b"],
        Input((None, 4, 2), name="x"),
        Input((None, 4, 3), name="z"),
    ),
    sequential(
        "conv_lstm/into_dense",
        [
            _two(2, 2, return_sequences=True, padding="same"),
            Layer("BatchNormalization"),
            _two(3, 2),
            Layer("Flatten"),
            Layer("Dense", {"units": 2}),
        ],
        Input((None, 3, 4, 1)),
    ),
]
