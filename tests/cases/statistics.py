"""Normalisation by a value's own statistics or adapted ones, slopes, softmax over axes, codes of ids."""

from .case import KERAS2, KERAS3, Input, Layer, sequential


def _one(name, class_name, shape, **config):
    return sequential(f"statistics/{name}", [Layer(class_name, config)], Input(shape))


CASES = [
    _one("layer", "LayerNormalization", (None, 20)),
    _one("layer_axis_1", "LayerNormalization", (4, 3), axis=1),
    _one("layer_two_axes", "LayerNormalization", (3, 4, 5), axis=[2, 3], epsilon=0.1),
    _one("layer_all_axes", "LayerNormalization", (3, 4), axis=[1, 2], scale=False),
    _one("layer_inner_axes", "LayerNormalization", (3, 4, 5), axis=[1, 2], center=False),
    _one("layer_neither", "LayerNormalization", (None, 5), center=False, scale=False),
    sequential(
        "statistics/layer_rms_scaling",
        [Layer("LayerNormalization", {"rms_scaling": True})],
        Input((None, 7)),
        versions=(KERAS3,),
    ),
    sequential("statistics/rms", [Layer("RMSNormalization")], Input((None, 7)), versions=(KERAS3,)),
    sequential(
        "statistics/layer_between_recurrences",
        [
            Layer("LSTM", {"units": 6, "return_sequences": True}),
            Layer("LayerNormalization"),
            Layer("SimpleRNN", {"units": 4, "return_sequences": True}),
        ],
        Input((None, 3)),
    ),
    _one("group", "GroupNormalization", (None, 6), groups=3),
    _one("group_axis_1", "GroupNormalization", (4, 3, 2), groups=2, axis=1),
    _one("group_each", "GroupNormalization", (3, 4), groups=-1, scale=False),
    _one("unit", "UnitNormalization", (None, 5)),
    _one("unit_axes", "UnitNormalization", (3, 4), axis=[1, 2]),
    _one("adapted", "Normalization", (None, 4)),
    _one("adapted_scalar", "Normalization", (5, 3), axis=None),
    _one("adapted_inverse", "Normalization", (4,), invert=True),
    _one("adapted_two_axes", "Normalization", (3, 4), axis=[1, 2]),
    _one("given", "Normalization", (None, 3), mean=[1.5, -2.0, 0.25], variance=[4.0, 0.5, 1.0]),
    _one("given_scalar", "Normalization", (None, 3), axis=None, mean=3.0, variance=2.0),
    _one("rescaling", "Rescaling", (None, 3), scale=0.25, offset=-1.5),
    _one("prelu", "PReLU", (4, 3)),
    _one("prelu_shared", "PReLU", (None, 5), shared_axes=[1]),
    _one("prelu_inner", "PReLU", (3, 4, 2), shared_axes=[1, 3]),
    _one("softmax_axis_1", "Softmax", (None, 4), axis=1),
    _one("softmax_two_axes", "Softmax", (3, 4, 2), axis=[2, 3]),
    *(
        sequential(
            f"statistics/{mode}_{name}",
            [Layer("CategoryEncoding", {"num_tokens": 6, "output_mode": mode})],
            Input(shape, ids=6),
            versions=versions,
            batch=3,
        )
        for mode, name, shape, versions in (
            ("one_hot", "single", (1,), (KERAS2, KERAS3)),
            ("one_hot", "several", (4,), (KERAS3,)),
            ("multi_hot", "several", (4,), (KERAS2, KERAS3)),
            ("count", "several", (5,), (KERAS2, KERAS3)),
        )
    ),
]
