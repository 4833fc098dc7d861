"""Attention with every score, with and without masks, and dense layers over several axes."""

from .case import KERAS3, Input, Layer, functional, sequential

_Q, _V = Input((None, 6), name="q"), Input((None, 6), name="v")
_MASKED_Q, _MASKED_V = Input((None, 6), name="q", padding=0.0), Input((None, 6), name="v", padding=0.0)


def _cross(name, layer, config, masks="", call=None, outputs="y", **options):
    """[query, value]; masks: which of them is masked."""
    layers = [Layer("Masking", {}, (m,), f"{m}_masked") for m in masks]
    names = tuple(f"{x}_masked" if x in masks else x for x in "qv")
    layers.append(Layer(layer, config, names, "y", call=call or {}))
    inputs = (_MASKED_Q if "q" in masks else _Q, _MASKED_V if "v" in masks else _V)
    return functional(f"attention/{name}", layers, outputs, *inputs, **options)


def _behind(name, *layers):
    """A masked input, a MultiHeadAttention over it, which deletes its mask in Keras 3, and layers behind both."""
    first = [
        Layer("Masking", {}, ("q",), "x"),
        Layer("MultiHeadAttention", {"num_heads": 2, "key_dim": 4}, ("x", "x"), "a"),
    ]
    return functional(f"attention/behind_heads_{name}", [*first, *layers], "y", _MASKED_Q, batch=3, versions=(KERAS3,))


_HEADS = {"num_heads": 3, "key_dim": 4}
_SCORES = {"return_attention_scores": True}

CASES = [
    _cross("dot", "Attention", {}),
    _cross("dot_scale", "Attention", {"use_scale": True}, call=_SCORES, outputs=["y", "y:1"]),
    _cross("dot_causal", "Attention", {}, call={"use_causal_mask": True}),
    _cross("concat", "Attention", {"score_mode": "concat"}),
    _cross("concat_scale", "Attention", {"score_mode": "concat", "use_scale": True}),
    _cross("additive", "AdditiveAttention", {}),
    _cross("additive_no_scale", "AdditiveAttention", {"use_scale": False}, call={"use_causal_mask": True}),
    _cross("dot_value_mask", "Attention", {}, "v", batch=3),
    _cross("dot_both_masks", "Attention", {}, "qv", batch=3, call={"use_causal_mask": True}),
    _cross("additive_query_mask", "AdditiveAttention", {}, "q", batch=3),
    functional(
        "attention/key",
        [Layer("Attention", {}, ("q", "v", "k"), "y")],
        "y",
        _Q,
        Input((4, 3), name="v"),
        Input((4, 6), name="k"),
    ),
    _cross("heads", "MultiHeadAttention", _HEADS),
    _cross("heads_value_dim", "MultiHeadAttention", {**_HEADS, "value_dim": 5, "output_shape": 7}),
    _cross("heads_no_bias", "MultiHeadAttention", {**_HEADS, "use_bias": False}, call={"use_causal_mask": True}),
    _cross("heads_scores", "MultiHeadAttention", _HEADS, call=_SCORES, outputs=["y", "y:1"]),
    _cross("heads_value_mask", "MultiHeadAttention", _HEADS, "v", batch=3),
    _cross("heads_dropout_value_mask", "MultiHeadAttention", {**_HEADS, "dropout": 0.3}, "v", batch=3),
    _cross(
        "heads_dropout_query_mask", "MultiHeadAttention", {**_HEADS, "dropout": 0.3}, "q", batch=3, versions=(KERAS3,)
    ),
    functional(
        "attention/heads_of_itself",
        [
            Layer("LSTM", {"units": 8, "return_sequences": True}, ("q",), "rnn"),
            Layer("MultiHeadAttention", {"num_heads": 2, "key_dim": 4}, ("rnn", "rnn"), "att"),
            Layer("LayerNormalization", {}, ("att",), "norm"),
            Layer("GlobalAveragePooling1D", {}, ("norm",), "pool"),
        ],
        "pool",
        _Q,
    ),
    _behind(
        "blocks",
        Layer("Add", {}, ("x", "a"), "sum"),
        Layer("LayerNormalization", {}, ("sum",), "norm"),
        Layer("MultiHeadAttention", {"num_heads": 2, "key_dim": 3}, ("norm", "norm"), "b"),
        Layer("Add", {}, ("norm", "b"), "again"),
        Layer("LSTM", {"units": 5, "return_sequences": True}, ("again",), "y"),
    ),
    _behind("gate", Layer("Add", {}, ("x", "a"), "sum"), Layer("Multiply", {}, ("sum", "a"), "y")),
    _behind("maximum", Layer("Dense", {"units": 6}, ("a",), "d"), Layer("Maximum", {}, ("d", "a"), "y")),
    _behind("minimum", Layer("Minimum", {}, ("x", "a"), "m"), Layer("GRU", {"units": 4}, ("m",), "y")),
    _behind("dot", Layer("Attention", {}, ("a", "x"), "y")),
    _behind("cross", Layer("MultiHeadAttention", {"num_heads": 2, "key_dim": 4}, ("a", "x"), "y")),
    *(
        sequential(f"attention/einsum_{name}", [Layer("EinsumDense", config)], Input(shape))
        for name, config, shape in (
            ("flat", {"equation": "ab,bc->ac", "output_shape": 10, "bias_axes": "c"}, (6,)),
            ("steps", {"equation": "...x,xy->...y", "output_shape": 5, "activation": "relu"}, (None, 4)),
            ("heads", {"equation": "abc,cde->abde", "output_shape": (None, 2, 3), "bias_axes": "de"}, (None, 4)),
            ("joined", {"equation": "abcd,cde->abe", "output_shape": (None, 9), "bias_axes": "e"}, (None, 2, 3)),
        )
    ),
]
