"""Masks: where they come from, what they do in a loop, where they go."""

from .case import BOTH, H5, KERAS2, KERAS3, ZIP, Case, Input, Layer, functional, sequential

_EMBEDDING = Layer("Embedding", {"input_dim": 9, "output_dim": 4, "mask_zero": True})
_IDS = Input((None,), ids=9, padding=0)
_RECURRENT = {"LSTM": {}, "GRU": {}, "GRU_before": {"reset_after": False}, "SimpleRNN": {}}


def _floats(value=0.0, features=3, **more):
    return Input((None, features), padding=value, **more)


def _loops():
    """Every cell, option and direction under every kind of padding."""
    for name, config in _RECURRENT.items():
        for option, more in {
            "last": {},
            "sequences": {"return_sequences": True},
            "backwards": {"go_backwards": True},
            "backwards_sequences": {"go_backwards": True, "return_sequences": True},
            "zeros": {"zero_output_for_mask": True, "return_sequences": True},
            "zeros_last": {"zero_output_for_mask": True},
        }.items():
            yield sequential(
                f"masks/{name.lower()}_{option}",
                [Layer("Masking"), Layer(name.split("_")[0], dict(config, units=5, **more))],
                _floats(),
                batch=6,
                steps=10,
            )


def _then(name: str, layers: list[Layer], versions=BOTH, **options) -> Case:
    """Layers between a mask and a layer that shows what is left of it."""
    last = Layer("LSTM", {"units": 4, "return_sequences": True})
    return sequential(f"masks/through_{name}", [_EMBEDDING, *layers, last], _IDS, batch=6, versions=versions, **options)


_STATES = [
    Layer("Masking", {}, ("x",), "masked"),
    Layer("GRU", {"units": 4, "return_state": True}, ("masked",), "encoder"),
    Layer("Masking", {"mask_value": 1.0}, ("y",), "decoded"),
    Layer("GRU", {"units": 4, "return_sequences": True}, ("decoded",), "decoder", {"initial_state": ("encoder:1",)}),
    Layer("LSTM", {"units": 3, "return_sequences": True}, ("decoder",), "after"),
]


def _merged(name: str, config=None, one_mask=False):
    second = (
        Layer("Masking", {"mask_value": 1.0}, ("y",), "b")
        if not one_mask
        else Layer("Dropout", {"rate": 0.5}, ("y",), "b")
    )
    return functional(
        f"masks/{name.lower()}{'_one' if one_mask else ''}{'_time' if config else ''}",
        [
            Layer("Masking", {}, ("x",), "a"),
            second,
            Layer(name, config or {}, ("a", "b"), "joined"),
            Layer("GRU", {"units": 4, "return_sequences": True}, ("joined",), "gru"),
        ],
        ["gru", "joined"],
        _floats(name="x"),
        _floats(1.0, name="y"),
        batch=6,
    )


CASES = [
    *_loops(),
    sequential("masks/embedding", [_EMBEDDING, Layer("LSTM", {"units": 5})], _IDS, batch=6, steps=10),
    sequential(
        "masks/embedding_int",
        [_EMBEDDING, Layer("SimpleRNN", {"units": 5, "return_sequences": True})],
        Input((7,), ids=9, dtype="int32", padding=0),
        batch=6,
    ),
    *(
        sequential(
            f"masks/value_{str(value).replace('.', '_').replace('-', 'minus_')}",
            [Layer("Masking", {"mask_value": value}), Layer("GRU", {"units": 4, "return_sequences": True})],
            _floats(value),
            batch=6,
        )
        for value in (-1.0, 0.5, 99.0)
    ),
    sequential("masks/values", [Layer("Masking", {"mask_value": -1.0}), Layer("Dense", {"units": 3})], _floats(-1.0)),
    _then("dense", [Layer("Dense", {"units": 3, "activation": "relu"}), Layer("Dropout", {"rate": 0.5})]),
    _then(
        "normalization",
        [Layer("BatchNormalization"), Layer("LayerNormalization"), Layer("Activation", {"activation": "tanh"})],
    ),
    _then("rnn", [Layer("GRU", {"units": 3, "return_sequences": True, "go_backwards": True})]),
    _then("identity_k3", [Layer("Identity")], (KERAS3,)),
    _then("identity_k2", [Layer("Identity")], (KERAS2,)),
    _then("conv", [Layer("Conv1D", {"filters": 3, "kernel_size": 2, "padding": "causal"})]),
    _then("masking_again", [Layer("Masking", {"mask_value": 5.0})]),
    _then("time_distributed", [Layer("TimeDistributed", {"layer": Layer("Dense", {"units": 3})})]),
    _then(
        "sequential",
        [
            Layer(
                "Sequential",
                {"layers": [Layer("Dense", {"units": 3}), Layer("GRU", {"units": 3, "return_sequences": True})]},
            )
        ],
        layout=ZIP,
    ),
    sequential("masks/global_average", [_EMBEDDING, Layer("GlobalAveragePooling1D")], _IDS, batch=5),
    sequential("masks/global_max", [_EMBEDDING, Layer("GlobalMaxPooling1D")], _IDS, batch=6),
    functional(
        "masks/initial_state", _STATES, ["decoder", "after"], _floats(name="x"), _floats(1.0, name="y"), batch=6
    ),
    functional(
        "masks/initial_state_h5",
        _STATES,
        ["decoder", "after"],
        _floats(name="x"),
        _floats(1.0, name="y"),
        batch=6,
        layout=H5,
    ),
    *(_merged(name) for name in ("Add", "Multiply", "Average", "Maximum", "Concatenate")),
    *(_merged(name, one_mask=True) for name in ("Add", "Multiply", "Maximum", "Concatenate")),
    _merged("Concatenate", {"axis": 1}),
    *(
        sequential(
            f"masks/stateful_{name.lower()}",
            [
                Layer("Masking"),
                Layer(name.split("_")[0], dict(config, units=4, stateful=True, return_sequences=True)),
                Layer(name.split("_")[0], dict(config, units=3)),
            ],
            _floats(),
            batch=6,
            chunks=(3, 1, 6),
        )
        for name, config in _RECURRENT.items()
    ),
]
