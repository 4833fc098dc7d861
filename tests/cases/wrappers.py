"""Bidirectional, TimeDistributed, stacks of cells, states from layer to layer."""

from .case import BOTH, H5, KERAS2, KERAS3, ZIP, Input, Layer, functional, sequential

_X = Input((None, 3), name="x")
_PADDED = Input((None, 3), padding=0.0)
_CELLS = {"LSTM": {}, "GRU": {}, "GRU_before": {"reset_after": False}, "SimpleRNN": {}}


def _both(class_name="LSTM", **config):
    mode = {"merge_mode": config.pop("merge_mode")} if "merge_mode" in config else {}
    back = {"backward_layer": config.pop("backward_layer")} if "backward_layer" in config else {}
    return {"layer": Layer(class_name, dict(config, units=config.get("units", 4))), **mode, **back}


def _bidirectional():
    for name, config in _CELLS.items():
        for sequences in (False, True):
            yield sequential(
                f"wrappers/{name.lower()}{'_sequences' if sequences else ''}",
                [Layer("Bidirectional", _both(name.split("_")[0], return_sequences=sequences, **config))],
                Input((None, 3)),
                batch=3,
            )
    for mode in ("concat", "sum", "mul", "ave", None):
        for sequences in (False, True):
            outputs = ["both"] if mode else ["both", "both:1"]
            yield functional(
                f"wrappers/merge_{str(mode).lower()}{'_sequences' if sequences else ''}",
                [Layer("Bidirectional", _both("GRU", return_sequences=sequences, merge_mode=mode), ("x",), "both")],
                outputs,
                _X,
            )
            yield functional(
                f"wrappers/merge_{str(mode).lower()}_states{'_sequences' if sequences else ''}",
                [
                    Layer(
                        "Bidirectional",
                        _both("LSTM", return_sequences=sequences, return_state=True, merge_mode=mode),
                        ("x",),
                        "both",
                    )
                ],
                [f"both:{k}" if k else "both" for k in range(5 + (mode is None))],
                _X,
            )
    for sequences in (False, True):
        for name in ("LSTM", "GRU"):
            yield sequential(
                f"wrappers/masked_{name.lower()}{'_sequences' if sequences else ''}",
                [
                    Layer("Masking"),
                    Layer("Bidirectional", _both(name, return_sequences=sequences)),
                    Layer("Dense", {"units": 2}),
                ],
                _PADDED,
                batch=6,
                steps=10,
            )
    yield sequential(
        "wrappers/masked_stack",
        [
            Layer("Embedding", {"input_dim": 9, "output_dim": 3, "mask_zero": True}),
            Layer("Bidirectional", _both("LSTM", return_sequences=True)),
            Layer("Bidirectional", _both("GRU", return_sequences=True, merge_mode="sum")),
            Layer("Bidirectional", _both("SimpleRNN")),
        ],
        Input((None,), ids=9, padding=0),
        batch=6,
    )
    own = Layer("GRU", {"units": 2, "activation": "relu", "go_backwards": True, "return_sequences": True})
    yield sequential(
        "wrappers/own_backward_layer",
        [Layer("Bidirectional", _both("LSTM", return_sequences=True, backward_layer=own))],
        Input((None, 3)),
        batch=3,
    )
    yield sequential(
        "wrappers/forward_backwards",
        [Layer("Bidirectional", _both("GRU", return_sequences=True, go_backwards=True))],
        Input((None, 3)),
        versions=(KERAS2,),
    )
    yield sequential(
        "wrappers/stacked_cells_both_ways",
        [
            Layer("Masking"),
            Layer(
                "Bidirectional",
                {
                    "layer": Layer(
                        "RNN",
                        {
                            "cell": [Layer("LSTMCell", {"units": 3}), Layer("GRUCell", {"units": 2})],
                            "return_sequences": True,
                        },
                    )
                },
            ),
        ],
        _PADDED,
        batch=6,
    )
    for version, layout in ((KERAS3, H5), (KERAS3, ZIP), (KERAS2, H5), (KERAS2, ZIP)):
        yield functional(
            f"wrappers/bidirectional_states_{version}_{layout}",
            [
                Layer("Bidirectional", _both("LSTM", return_state=True), ("x",), "encoder"),
                Layer(
                    "Bidirectional",
                    _both("LSTM", return_sequences=True),
                    ("x",),
                    "decoder",
                    {"initial_state": ("encoder:1", "encoder:2", "encoder:3", "encoder:4")},
                ),
            ],
            "decoder",
            _X,
            versions=(version,),
            layout=layout,
        )
    yield sequential(
        "wrappers/stateful",
        [Layer("Bidirectional", _both("LSTM", return_sequences=True, stateful=True))],
        Input((None, 3)),
        chunks=(2, 3),
    )


_STACK = [Layer("LSTMCell", {"units": 4}), Layer("GRUCell", {"units": 3}), Layer("SimpleRNNCell", {"units": 2})]


def _stacks():
    for option, more in {
        "last": {},
        "sequences": {"return_sequences": True},
        "backwards": {"go_backwards": True},
        "backwards_sequences": {"go_backwards": True, "return_sequences": True},
    }.items():
        yield sequential(
            f"wrappers/stack_{option}",
            [Layer("Masking"), Layer("RNN", {"cell": _STACK, **more})],
            _PADDED,
            batch=6,
        )
    for layout in (H5, ZIP, "weights_h5"):
        yield functional(
            f"wrappers/stack_states_{layout}",
            [Layer("RNN", {"cell": _STACK[:2] + _STACK[:1], "return_state": True}, ("x",), "rnn")],
            ["rnn"],
            _X,
            layout=layout,
        )
    yield sequential("wrappers/stack_of_one", [Layer("RNN", {"cell": _STACK[:1]})], Input((None, 3)))
    yield sequential(
        "wrappers/stack_stateful",
        [Layer("RNN", {"cell": _STACK[1:], "stateful": True, "return_sequences": True})],
        Input((None, 3)),
        chunks=(2, 1, 3),
    )


def _time(inner, **config):
    return Layer("TimeDistributed", {"layer": Layer(inner, config)})


_WORDS = Input((3, 5), ids=7, padding=0)
_ENCODER = [
    Layer("Embedding", {"input_dim": 7, "output_dim": 3, "mask_zero": True}),
    Layer("Bidirectional", _both("GRU", units=2)),
]


def _time_distributed():
    grid = Input((None, 4, 3))
    yield sequential("wrappers/time_lstm", [_time("LSTM", units=3), Layer("GRU", {"units": 2})], grid)
    yield sequential("wrappers/time_gru_sequences", [_time("GRU", units=3, return_sequences=True)], grid)
    yield sequential("wrappers/time_flatten", [_time("Flatten"), Layer("LSTM", {"units": 4})], grid)
    yield sequential(
        "wrappers/time_convolution",
        [
            _time("Conv1D", filters=4, kernel_size=2, activation="relu"),
            _time("MaxPooling1D", pool_size=2),
            _time("Flatten"),
            Layer("LSTM", {"units": 3, "return_sequences": True}),
        ],
        grid,
    )
    yield sequential(
        "wrappers/time_bidirectional",
        [Layer("TimeDistributed", {"layer": Layer("Bidirectional", _both("LSTM", units=2))})],
        grid,
    )
    yield sequential(
        "wrappers/time_model",
        [
            Layer("TimeDistributed", {"layer": Layer("Sequential", {"layers": _ENCODER})}),
            Layer("LSTM", {"units": 3, "return_sequences": True}),
        ],
        _WORDS,
        batch=2,
    )
    for version in BOTH:
        yield sequential(
            f"wrappers/time_embedding_{version}",
            [
                _time("Embedding", input_dim=7, output_dim=3, mask_zero=version == KERAS2),
                _time("LSTM", units=3),
                Layer("GRU", {"units": 2}),
            ],
            _WORDS,
            versions=(version,),
        )
    yield sequential(
        "wrappers/time_masking",
        [_time("Dense", units=4), Layer("Masking"), _time("BatchNormalization"), Layer("SimpleRNN", {"units": 2})],
        Input((None, 3)),
        batch=3,
    )


def _seq2seq(cell, states):
    return [
        Layer(cell, {"units": 4, "return_state": True}, ("x",), "encoder"),
        Layer(
            cell,
            {"units": 4, "return_sequences": True, "return_state": True},
            ("y",),
            "decoder",
            {"initial_state": tuple(f"encoder:{k + 1}" for k in range(states))},
        ),
        Layer(
            "TimeDistributed", {"layer": Layer("Dense", {"units": 3, "activation": "softmax"})}, ("decoder",), "head"
        ),
    ]


def _states():
    for cell, n in (("LSTM", 2), ("GRU", 1), ("SimpleRNN", 1)):
        for layout in (H5, ZIP):
            yield functional(
                f"wrappers/seq2seq_{cell.lower()}_{layout}",
                _seq2seq(cell, n),
                ["head", "decoder:1"],
                _X,
                Input((None, 2), name="y"),
                layout=layout,
            )
    yield functional(
        "wrappers/state_inputs",
        [
            Layer("LSTM", {"units": 4, "return_sequences": True}, ("x",), "lstm", {"initial_state": ("h", "c")}),
            Layer("Dense", {"units": 2}, ("lstm",), "dense"),
        ],
        "dense",
        _X,
        Input((4,), name="h"),
        Input((4,), name="c"),
    )


CASES = [*_bidirectional(), *_stacks(), *_time_distributed(), *_states()]
