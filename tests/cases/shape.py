"""Flatten, Reshape, RepeatVector."""

from .case import Input, Layer, sequential

CASES = [
    sequential("shape/flatten", [Layer("Flatten"), Layer("Dense", {"units": 3})], Input((4, 5)), batch=7),
    sequential("shape/flatten_rank_4", [Layer("Flatten")], Input((2, 3, 4))),
    sequential("shape/flatten_rank_2", [Layer("Flatten")], Input((6,))),
    sequential(
        "shape/flatten_sequence",
        [
            Layer("GRU", {"units": 4, "return_sequences": True}),
            Layer("Flatten"),
            Layer("Dense", {"units": 2}),
        ],
        Input((5, 3)),
    ),
    sequential("shape/reshape", [Layer("Reshape", {"target_shape": (6, 2)})], Input((3, 4))),
    sequential("shape/reshape_minus_one", [Layer("Reshape", {"target_shape": (-1, 2)})], Input((3, 4))),
    sequential(
        "shape/reshape_to_sequence",
        [Layer("Reshape", {"target_shape": (4, 3)}), Layer("LSTM", {"units": 5})],
        Input((12,)),
        batch=7,
    ),
    sequential(
        "shape/reshape_fold_features",
        [Layer("Reshape", {"target_shape": (5, 6)}), Layer("GRU", {"units": 4})],
        Input((5, 2, 3)),
    ),
    sequential(
        "shape/repeat_vector",
        [
            Layer("LSTM", {"units": 6}),
            Layer("RepeatVector", {"n": 4}),
            Layer("LSTM", {"units": 5, "return_sequences": True}),
            Layer("TimeDistributed", {"layer": Layer("Dense", {"units": 3})}),
        ],
        Input((None, 3)),
        batch=7,
    ),
]
