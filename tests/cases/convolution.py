"""Convolutions and pooling: padding, strides, dilation, groups, and what stands behind them."""

from .case import KERAS2, Input, Layer, functional, sequential


def _conv(filters, size, **config):
    return Layer("Conv1D", {"filters": filters, "kernel_size": size, **config})


CASES = [
    *(
        sequential(f"convolution/{padding}_{size}_{name}", [_conv(11, size, padding=padding, **more)], Input((None, 3)))
        for padding in ("valid", "same", "causal")
        for size, name, more in (
            (1, "point", {}),
            (3, "plain", {"activation": "relu"}),
            (4, "strides_2", {"strides": 2}),
            (2, "dilation_2", {"dilation_rate": 2, "use_bias": False}),
        )
    ),
    sequential("convolution/narrow", [_conv(3, 3, padding="causal")], Input((None, 5)), steps=9, batch=3),
    sequential("convolution/longer_than_the_data", [_conv(10, 9, padding="same")], Input((4, 2))),
    sequential("convolution/groups", [_conv(12, 3, groups=3, padding="same")], Input((None, 6))),
    sequential("convolution/groups_causal", [_conv(4, 2, groups=2, padding="causal")], Input((None, 4))),
    sequential("convolution/softmax", [_conv(9, 2, activation="softmax", groups=3)], Input((6, 3))),
    sequential(
        "convolution/causal_stack",
        [
            _conv(9, 3, padding="causal", activation="relu"),
            _conv(8, 2, padding="causal", dilation_rate=4),
            Layer("BatchNormalization"),
            Layer("GRU", {"units": 5, "return_sequences": True}),
            _conv(2, 2, padding="causal"),
        ],
        Input((None, 4)),
        steps=7,
    ),
    sequential(
        "convolution/in_front_of_a_recurrence",
        [
            _conv(16, 5, padding="same", activation="relu"),
            Layer("MaxPooling1D", {"pool_size": 2}),
            Layer("LSTM", {"units": 6}),
            Layer("Dense", {"units": 2}),
        ],
        Input((12, 2)),
    ),
    *(
        sequential(f"convolution/{name.lower()}_{padding}", [Layer(name, {**config, "padding": padding})], Input(shape))
        for name, config, shape in (
            ("SeparableConv1D", {"filters": 5, "kernel_size": 3, "activation": "tanh"}, (None, 4)),
            ("DepthwiseConv1D", {"kernel_size": 3, "depth_multiplier": 2}, (None, 3)),
            ("Conv2D", {"filters": 9, "kernel_size": (3, 2), "strides": (2, 1), "activation": "relu"}, (6, 5, 3)),
            ("DepthwiseConv2D", {"kernel_size": (2, 3), "strides": 2}, (5, 6, 4)),
            ("SeparableConv2D", {"filters": 3, "kernel_size": 2, "depth_multiplier": 2}, (4, 5, 2)),
        )
        for padding in ("valid", "same")
    ),
    sequential(
        "convolution/separable_causal",
        [Layer("SeparableConv1D", {"filters": 4, "kernel_size": 3, "padding": "causal"})],
        Input((None, 3)),
        versions=(KERAS2,),
    ),
    sequential(
        "convolution/conv2d_dilation_groups",
        [Layer("Conv2D", {"filters": 4, "kernel_size": 2, "dilation_rate": (2, 1), "groups": 2, "padding": "same"})],
        Input((5, 4, 2)),
    ),
    *(
        sequential(
            f"convolution/{name.lower()}_{padding}",
            [Layer(name, {"pool_size": 3, "strides": 2, "padding": padding})],
            Input((8, 3) if name.endswith("1D") else (7, 6, 2)),
        )
        for name in ("MaxPooling1D", "AveragePooling1D", "MaxPooling2D", "AveragePooling2D")
        for padding in ("valid", "same")
    ),
    sequential("convolution/pool_default_strides", [Layer("AveragePooling1D", {"pool_size": 2})], Input((None, 3))),
    *(
        sequential(f"convolution/{name.lower()}", [Layer(name, {"keepdims": keep})], Input(shape))
        for name, shape, keep in (
            ("GlobalMaxPooling1D", (None, 4), False),
            ("GlobalAveragePooling1D", (None, 4), True),
            ("GlobalMaxPooling2D", (3, 4, 5), True),
            ("GlobalAveragePooling2D", (3, 4, 5), False),
        )
    ),
    sequential(
        "convolution/masked_average",
        [Layer("Masking"), Layer("GlobalAveragePooling1D")],
        Input((None, 3), padding=0.0),
        batch=4,
        steps=6,
    ),
    functional(
        "convolution/two_branches",
        [
            Layer("Conv1D", {"filters": 4, "kernel_size": 3, "padding": "same"}, ("x",), "a"),
            Layer("GlobalMaxPooling1D", {}, ("a",), "most"),
            Layer("GlobalAveragePooling1D", {}, ("a",), "mean"),
        ],
        ["most", "mean"],
        Input((None, 3), name="x"),
    ),
]
