"""Dense on any rank, by itself and under TimeDistributed."""

from .case import KERAS2, KERAS3, Input, Layer, sequential


def _dense(**config):
    return Layer("Dense", config)


CASES = [
    *(
        sequential(
            f"dense/units_{units}_features_{features}_batch_{batch}",
            [_dense(units=units)],
            Input((features,)),
            batch=batch,
        )
        for units, features, batch in [
            (1, 1, 7),
            (3, 17, 1),
            (17, 3, 7),
            (33, 129, 1),
            (129, 33, 7),
            (1, 33, 7),
        ]
    ),
    sequential("dense/rank_3", [_dense(units=5, activation="relu")], Input((None, 4)), batch=7),
    sequential("dense/rank_4", [_dense(units=3, activation="tanh")], Input((2, 3, 4))),
    sequential("dense/no_bias", [_dense(units=4, use_bias=False)], Input((6,))),
    sequential("dense/softmax", [_dense(units=10, activation="softmax")], Input((None, 8)), scale=3.0),
    sequential(
        "dense/stack",
        [_dense(units=16, activation="relu"), _dense(units=8, activation="elu"), _dense(units=1)],
        Input((5,)),
        batch=7,
    ),
    sequential(
        "dense/time_distributed",
        [
            Layer("GRU", {"units": 6, "return_sequences": True}),
            Layer("TimeDistributed", {"layer": _dense(units=4, activation="softmax")}),
        ],
        Input((None, 3)),
        batch=7,
    ),
    sequential(
        "dense/time_distributed_rank_4",
        [Layer("TimeDistributed", {"layer": _dense(units=2, use_bias=False)})],
        Input((3, 2, 4)),
    ),
    sequential(
        "dense/layer_as_activation",
        [_dense(units=4, activation=Layer("LeakyReLU", {"negative_slope": 0.1}))],
        Input((5,)),
        versions=(KERAS3,),
    ),
    sequential(
        "dense/layer_as_activation_k2",
        [_dense(units=4, activation=Layer("LeakyReLU", {"alpha": 0.1}))],
        Input((5,)),
        versions=(KERAS2,),
        layout="keras",
    ),
]
