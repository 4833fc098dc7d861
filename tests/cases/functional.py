"""Functional graphs: chains, several outputs, several inputs, states as outputs, structures."""

from .case import H5, ZIP, Input, Layer, functional

_CHAIN = [
    Layer("LSTM", {"units": 7, "return_sequences": True}, ("x",), "first"),
    Layer("Dropout", {"rate": 0.5}, ("first",), "drop"),
    Layer("GRU", {"units": 5}, ("drop",), "second"),
    Layer("Dense", {"units": 3, "activation": "softmax"}, ("second",), "head"),
]
_STATES = [
    Layer("LSTM", {"units": 4, "return_sequences": True, "return_state": True}, ("x",), "lstm"),
    Layer("Dense", {"units": 2}, ("lstm:1",), "from_h"),
    Layer("Dense", {"units": 2, "activation": "tanh"}, ("lstm:2",), "from_c"),
]
_X = Input((None, 3), name="x")

CASES = [
    functional("functional/chain", _CHAIN, "head", _X, batch=7),
    functional("functional/chain_fixed_length", _CHAIN, "head", Input((5, 3), name="x"), batch=1),
    functional("functional/list_of_one", _CHAIN, ["head"], _X, layout=ZIP),
    functional("functional/inner_outputs", _CHAIN, ["head", "first", "second"], _X),
    functional("functional/output_twice_used", _CHAIN[:1], ["first"], _X, layout=H5),
    functional("functional/states_into_layers", _STATES, ["lstm", "from_h", "from_c"], _X, batch=7),
    functional("functional/states_only", _STATES, ["lstm:1", "lstm:2"], _X),
    functional(
        "functional/two_heads",
        [
            Layer("GRU", {"units": 6, "return_sequences": True}, ("x",), "gru"),
            Layer("Dense", {"units": 3, "activation": "softmax"}, ("gru",), "per_step"),
            Layer("LSTM", {"units": 4}, ("gru",), "lstm"),
            Layer("Dense", {"units": 1, "activation": "sigmoid"}, ("lstm",), "last"),
        ],
        ["per_step", "last"],
        _X,
    ),
    functional(
        "functional/two_inputs",
        [
            Layer("LSTM", {"units": 4}, ("a",), "lstm"),
            Layer("Embedding", {"input_dim": 8, "output_dim": 3}, ("b",), "emb"),
            Layer("GRU", {"units": 5, "return_sequences": True}, ("emb",), "gru"),
        ],
        ["gru", "lstm"],
        Input((None, 3), name="a"),
        Input((None,), ids=8, dtype="int32", name="b"),
    ),
    functional(
        "functional/rnn_cell_states",
        [
            Layer(
                "RNN",
                {"cell": Layer("LSTMCell", {"units": 3}), "return_state": True, "return_sequences": True},
                ("x",),
                "rnn",
            )
        ],
        ["rnn", "rnn:1", "rnn:2"],
        _X,
    ),
]
