"""BatchNormalization with moving statistics that are not 0 and 1."""

from .case import Input, Layer, functional, sequential


def _bn(**config):
    return Layer("BatchNormalization", config)


CASES = [
    sequential("normalization/rank_2", [_bn()], Input((7,)), batch=7),
    sequential("normalization/rank_3", [_bn()], Input((None, 5))),
    sequential("normalization/epsilon", [_bn(epsilon=0.1)], Input((4,))),
    sequential("normalization/no_scale", [_bn(scale=False)], Input((4,))),
    sequential("normalization/no_center", [_bn(center=False)], Input((None, 4))),
    sequential("normalization/neither", [_bn(scale=False, center=False)], Input((None, 4))),
    sequential("normalization/axis_1", [_bn(axis=1)], Input((5, 3))),
    sequential(
        "normalization/between_layers",
        [
            Layer("LSTM", {"units": 6, "return_sequences": True}),
            _bn(),
            Layer("GRU", {"units": 5}),
            _bn(),
            Layer("Dense", {"units": 3, "activation": "softmax"}),
        ],
        Input((None, 4)),
        batch=7,
    ),
    functional(
        "normalization/functional",
        [
            Layer("BatchNormalization", {}, ("x",), "bn"),
            Layer("SimpleRNN", {"units": 4, "return_sequences": True}, ("bn",), "rnn"),
            Layer("BatchNormalization", {"trainable": False}, ("rnn",), "frozen"),
        ],
        "frozen",
        Input((None, 3), name="x"),
    ),
]
