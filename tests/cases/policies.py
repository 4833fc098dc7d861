"""Dtype policies: models in float64, which compute in double, and in 16 bits, which keep their weights as they are."""

from .case import BOTH, H5, WEIGHTS_H5, ZIP, Input, Layer, Tolerance, functional, sequential
from .recurrent import ACTIVATIONS, double

_DOUBLE = Tolerance(1e-12, 1.0, "double arithmetic: the last digits alone differ")
_GELU = Tolerance(1e-7, 1.0, "Keras keeps gelu's constant in float32")
_HALF = {
    "float16": Tolerance(2.0**-10, 1.0, "Keras's own distance from float64, or the last digit of float16"),
    "bfloat16": Tolerance(2.0**-7, 1.0, "Keras's own distance from float64, or the last digit of bfloat16"),
}
# Keras cannot draw an orthogonal matrix in bfloat16
_PLAIN = {"recurrent_initializer": "glorot_uniform"}

_LAYERS = [
    Layer("Embedding", {"input_dim": 12, "output_dim": 5}),
    Layer("LSTM", {"units": 17, "return_sequences": True, **_PLAIN}),
    Layer("BatchNormalization", {"scale": False}),
    Layer("GRU", {"units": 9, "return_sequences": True, **_PLAIN}),
    Layer("Dropout", {"rate": 0.5}),
    Layer("GRU", {"units": 5, "reset_after": False, "return_sequences": True, **_PLAIN}),
    Layer("TimeDistributed", {"layer": Layer("Dense", {"units": 11, "activation": "relu"})}),
    Layer("SimpleRNN", {"units": 4, "use_bias": False, **_PLAIN}),
    Layer("Dense", {"units": 10}),
    Layer("Softmax"),
]


def _double(name, layers, *inputs, **options):
    more = {"policy": "float64", "gives": "float64", "tolerance": _DOUBLE, "double": 1e-12} | options
    return sequential(f"policies/float64_{name}", layers, *inputs, **more)


def _functions():
    """Every function in double, as a layer and within a cell."""
    for group, (names, versions) in ACTIVATIONS.items():
        for version in versions:
            yield functional(
                f"policies/float64_{group}_{version}",
                [Layer("Activation", {"activation": n}, ("x",), n) for n in names],
                list(names),
                Input((None, 6), dtype="float64", name="x"),
                versions=(version,),
                policy="float64",
                gives="float64",
                tolerance=_GELU if double(group) > 1e-11 else _DOUBLE,
                double=double(group),
            )


def _half(policy, versions=BOTH):
    gives = policy.removeprefix("mixed_")
    options = {"policy": policy, "gives": gives, "tolerance": _HALF[gives], "double": 2.0 ** (-10, -7)[gives[0] == "b"]}
    for version, layout in zip(versions, (H5, ZIP)):
        yield sequential(
            f"policies/{policy}_{version}",
            _LAYERS,
            Input((None,), ids=12, dtype="int32"),
            versions=(version,),
            layout=layout,
            **options,
        )
    yield sequential(
        f"policies/{policy}_head",
        [Layer("LSTM", {"units": 6, **_PLAIN}), Layer("Dense", {"units": 3, "dtype": "float32"})],
        Input((None, 4)),
        versions=versions,
        **options | {"gives": "float32"},
    )
    yield functional(
        f"policies/{policy}_states",
        [
            Layer("GRU", {"units": 6, "return_state": True, "return_sequences": True, **_PLAIN}, ("x",), "gru"),
            Layer("Flatten", {}, ("gru:1",), "flat"),
        ],
        ["gru", "flat", "gru:1"],
        Input((None, 4), name="x"),
        versions=versions,
        **options,
    )


CASES = [
    *(
        _double(f"{layout}", _LAYERS, Input((None,), ids=12, dtype="int32"), layout=layout)
        for layout in (H5, ZIP, WEIGHTS_H5)
    ),
    *(
        _double(
            f"{kind}_{units}",
            [Layer(name, {"units": units, "return_sequences": True, **more}), Layer("Dense", {"units": width})],
            Input((None, features), dtype="float64"),
            batch=batch,
            steps=steps,
        )
        for units, features, width, batch, steps in ((1, 1, 1, 7, 3), (16, 5, 8, 1, 1), (33, 17, 9, 7, 4))
        for kind, name, more in (
            ("lstm", "LSTM", {}),
            ("gru", "GRU", {}),
            ("gru_before", "GRU", {"reset_after": False}),
            ("simple_rnn", "SimpleRNN", {}),
        )
    ),
    _double(
        "softmax_gates",
        [
            Layer("GRU", {"units": 7, "recurrent_activation": "softmax", "return_sequences": True}),
            Layer("LSTM", {"units": 5, "activation": "softmax", "go_backwards": True}),
        ],
        Input((None, 3), dtype="float64"),
    ),
    _double(
        "stateful",
        [Layer("LSTM", {"units": 4, "stateful": True, "return_sequences": True}), Layer("Dense", {"units": 2})],
        Input((None, 3), dtype="float64"),
        chunks=(2, 1, 3),
    ),
    _double(
        "masked",
        [
            Layer("Embedding", {"input_dim": 4, "output_dim": 5, "mask_zero": True}),
            Layer("LSTM", {"units": 6, "return_sequences": True}),
            Layer("GRU", {"units": 3}),
        ],
        Input((None,), ids=4, dtype="int32"),
        steps=9,
        batch=7,
    ),
    _double(
        "bidirectional",
        [
            Layer("Masking"),
            Layer("Bidirectional", {"layer": Layer("LSTM", {"units": 5, "return_sequences": True})}),
            Layer("Bidirectional", {"layer": Layer("GRU", {"units": 3}), "merge_mode": "ave"}),
        ],
        Input((None, 3), dtype="float64"),
        layout=ZIP,
    ),
    functional(
        "policies/float64_merged",
        [
            Layer("LSTM", {"units": 4, "return_sequences": True}, ("x",), "a"),
            Layer("GRU", {"units": 4, "return_sequences": True}, ("x",), "b"),
            Layer("Add", {}, ("a", "b"), "sum"),
            Layer("Multiply", {}, ("sum", "b"), "product"),
            Layer("Concatenate", {}, ("product", "a"), "both"),
            Layer("Dense", {"units": 3}, ("both",), "out"),
        ],
        ["out", "sum"],
        Input((None, 3), dtype="float64", name="x"),
        policy="float64",
        gives="float64",
        tolerance=_DOUBLE,
        double=1e-12,
    ),
    _double(
        "convolutions",
        [
            Layer("Conv1D", {"filters": 6, "kernel_size": 3, "padding": "causal", "activation": "elu"}),
            Layer("SeparableConv1D", {"filters": 5, "kernel_size": 2, "padding": "same"}),
            Layer("MaxPooling1D", {"pool_size": 2}),
            Layer("GRU", {"units": 4}),
        ],
        Input((None, 3), dtype="float64"),
        steps=8,
    ),
    _double(
        "conv_lstm",
        [Layer("ConvLSTM2D", {"filters": 3, "kernel_size": 2, "padding": "same"}), Layer("GlobalAveragePooling2D")],
        Input((None, 4, 3, 2), dtype="float64"),
        steps=3,
    ),
    _double(
        "statistics",
        [
            Layer("Normalization", {"mean": [0.1, 0.7, -0.3], "variance": [0.3, 1.1, 0.9]}),
            Layer("Rescaling", {"scale": 0.1, "offset": [0.3, 0.7, 0.1]}),
            Layer("LayerNormalization", {"epsilon": 0.1}),
            Layer("LSTM", {"units": 6, "return_sequences": True}),
            Layer("GroupNormalization", {"groups": 2, "epsilon": 0.1}),
            Layer("Dense", {"units": 4}),
            Layer("UnitNormalization"),
            Layer("PReLU", {"shared_axes": [1]}),
        ],
        Input((None, 3), dtype="float64"),
    ),
    *(
        functional(
            f"policies/float64_attention_{kind}",
            [
                Layer("GRU", {"units": 4, "return_sequences": True}, ("x",), "a"),
                Layer(name, config, ("a", "a"), "attention"),
                Layer("LSTM", {"units": 3}, ("attention",), "out"),
            ],
            "out",
            Input((None, 3), dtype="float64", name="x"),
            policy="float64",
            gives="float64",
            tolerance=_DOUBLE,
            double=1e-12,
        )
        for kind, name, config in (
            ("heads", "MultiHeadAttention", {"num_heads": 2, "key_dim": 3}),
            ("additive", "AdditiveAttention", {}),
            ("dot", "Attention", {"use_scale": True}),
        )
    ),
    # Keras hands the layer float32 values: an Input is of its own dtype
    _double("of_float32_input", [Layer("LSTM", {"units": 4}), Layer("Dense", {"units": 2})], Input((None, 3))),
    *_functions(),
    # one layer in double, the others not, and the other way round
    *(
        sequential(
            f"policies/one_{which}_{dtype}",
            [
                Layer("GRU", {"units": 5, "return_sequences": True, **({"dtype": dtype} if which == "first" else {})}),
                Layer("LSTM", {"units": 4}),
                Layer("Dense", {"units": 3, **({"dtype": dtype} if which == "last" else {})}),
            ],
            Input((None, 3)),
            gives=dtype if which == "last" else "float32",
            **({} if dtype == "float64" else {"tolerance": _HALF[dtype], "double": 2.0**-10}),
        )
        for which in ("first", "last")
        for dtype in ("float64", "float16")
    ),
    *_half("float16"),
    *_half("mixed_float16"),
    *_half("mixed_bfloat16"),
    *_half("bfloat16"),
]
