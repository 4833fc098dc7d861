"""Embedding: ids as integers and, as Keras's default Input has them, as floats."""

from .case import Input, Layer, functional, sequential

CASES = [
    sequential(
        "embedding/float_ids",
        [Layer("Embedding", {"input_dim": 11, "output_dim": 3})],
        Input((None,), ids=11),
    ),
    sequential(
        "embedding/int_ids",
        [Layer("Embedding", {"input_dim": 300, "output_dim": 7}), Layer("LSTM", {"units": 6})],
        Input((None,), ids=300, dtype="int32"),
        batch=7,
    ),
    sequential(
        "embedding/fixed_length",
        [
            Layer("Embedding", {"input_dim": 20, "output_dim": 5}),
            Layer("Flatten"),
            Layer("Dense", {"units": 3, "activation": "sigmoid"}),
        ],
        Input((6,), ids=20),
    ),
    sequential(
        "embedding/width_one",
        [Layer("Embedding", {"input_dim": 5, "output_dim": 1}), Layer("GRU", {"units": 4})],
        Input((None,), ids=5),
        batch=1,
        steps=9,
    ),
    sequential(
        "embedding/tutorial",
        [
            Layer("Embedding", {"input_dim": 50, "output_dim": 16}),
            Layer("LSTM", {"units": 24}),
            Layer("Dense", {"units": 10}),
        ],
        Input((None,), ids=50),
    ),
    functional(
        "embedding/functional_ids",
        [
            Layer("Embedding", {"input_dim": 9, "output_dim": 4}, ("ids",), "emb"),
            Layer("SimpleRNN", {"units": 3, "return_sequences": True}, ("emb",), "rnn"),
        ],
        "rnn",
        Input((None,), ids=9, dtype="int64", name="ids"),
    ),
]
