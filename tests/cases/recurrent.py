"""What the three recurrent layers have in common: sizes, options, activations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .case import BOTH, KERAS3, ROUNDED_GELU, Case, Input, Layer, Tolerance, functional, sequential

# (units, features, steps, batch): odd sizes on both sides of every vector width, T = 1, batch 1 and 7
SIZES = [
    (1, 1, 1, 7),
    (1, 3, 6, 1),
    (3, 5, 9, 7),
    (17, 28, 1, 1),
    (17, 2, 5, 7),
    (33, 17, 7, 1),
    (33, 64, 3, 7),
    (129, 9, 4, 7),
    (129, 33, 2, 1),
]

# By version, in small groups; each group is one model with a layer per activation.
ACTIVATIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "bounded": (("tanh", "sigmoid", "hard_sigmoid", "softsign", "linear"), BOTH),
    "rectifiers": (("relu", "elu", "selu", "softplus", "exponential"), BOTH),
    "smooth": (("gelu", "swish", "mish"), BOTH),
    "rowwise": (("softmax",), BOTH),
    "more": (
        (
            "relu6",
            "leaky_relu",
            "celu",
            "silu",
            "hard_silu",
            "hard_swish",
            "hard_tanh",
            "log_sigmoid",
            "squareplus",
            "tanh_shrink",
        ),
        (KERAS3,),
    ),
    "sparse": (("hard_shrink", "soft_shrink", "sparse_plus", "sparse_sigmoid"), (KERAS3,)),
    "rowwise_more": (("log_softmax", "sparsemax"), (KERAS3,)),
}


# Some gates and outputs feed on themselves and must stay finite; others cut small values to zero.
_SETTINGS: dict[str, dict[str, Any]] = {
    "bounded": {},
    "rectifiers": {"scale": 0.3, "steps": 3},
    "smooth": {},
    "rowwise": {},
    "more": {},
    "sparse": {"scale": 2.0},
    "rowwise_more": {"scale": 0.3, "steps": 3},
}
_GRU_GATES = {"scale": 0.4, "steps": 4}


def double(group: str) -> float:
    """:attr:`Case.double` of a group: one of them has gelu."""
    return ROUNDED_GELU if group == "smooth" else 1e-11


def sizes(family: str, class_name: str, **config: Any) -> Iterator[Case]:
    """Every size, with whole sequences and last outputs by turns."""
    for k, (units, features, steps, batch) in enumerate(SIZES):
        yield sequential(
            f"{family}/units_{units}_features_{features}_steps_{steps}_batch_{batch}",
            [Layer(class_name, dict(config, units=units, return_sequences=k % 2 == 1))],
            Input((None, features)),
            steps=steps,
            batch=batch,
        )


def options(family: str, class_name: str, states: int, **config: Any) -> Iterator[Case]:
    """Every option that changes what the loop does; unrolled and stateful models too."""
    some = Input((None, 4))

    def one(name: str, **more: Any) -> Case:
        return sequential(f"{family}/{name}", [Layer(class_name, dict(config, units=5, **more))], some, steps=6)

    yield one("return_sequences", return_sequences=True)
    yield one("no_bias", use_bias=False, return_sequences=True)
    yield one("go_backwards", go_backwards=True)
    yield one("go_backwards_return_sequences", go_backwards=True, return_sequences=True)
    yield one("dropout_is_inactive", dropout=0.5, recurrent_dropout=0.3)
    yield sequential(
        f"{family}/unroll",
        [Layer(class_name, dict(config, units=5, unroll=True, return_sequences=True))],
        Input((4, 3)),
    )
    for name, more in {
        "return_state": {},
        "return_state_sequences": {"return_sequences": True},
        "return_state_backwards": {"return_sequences": True, "go_backwards": True},
    }.items():
        yield functional(
            f"{family}/{name}",
            [Layer(class_name, dict(config, units=5, return_state=True, **more), ("x",), "rnn")],
            ["rnn", *(f"rnn:{k + 1}" for k in range(states))],
            Input((None, 4), name="x"),
            batch=7,
        )
    yield sequential(
        f"{family}/stateful",
        [
            Layer(class_name, dict(config, units=5, stateful=True, return_sequences=True)),
            Layer(class_name, dict(config, units=3, stateful=True)),
        ],
        Input((None, 4)),
        chunks=(3, 1, 4),
        batch=3,
    )
    yield sequential(
        f"{family}/stateful_mixed",
        [
            Layer(class_name, dict(config, units=5, stateful=True, return_sequences=True)),
            Layer(class_name, dict(config, units=3, return_sequences=True)),
        ],
        Input((None, 4)),
        chunks=(1, 2, 5),
        batch=1,
    )
    yield sequential(
        f"{family}/stack",
        [
            Layer(class_name, dict(config, units=9, return_sequences=True)),
            Layer(class_name, dict(config, units=6, return_sequences=True)),
            Layer(class_name, dict(config, units=4)),
            Layer("Dense", {"units": 2}),
        ],
        Input((None, 4)),
        batch=7,
    )


def activations(family: str, class_name: str, roles: tuple[str, ...], **config: Any) -> Iterator[Case]:
    """Every activation of each version in each of the roles it can have."""
    for role in roles:
        for group, (names, versions) in ACTIVATIONS.items():
            for version in versions:
                yield functional(
                    f"{family}/{role}_{group}_{version}",
                    [
                        Layer(
                            class_name,
                            dict(config, units=5, return_sequences=True, **{role: name}),
                            ("x",),
                            name,
                        )
                        for name in names
                    ],
                    list(names),
                    Input((None, 4), name="x"),
                    versions=(version,),
                    double=double(group),
                    **(_GRU_GATES if (class_name, role) == ("GRU", "recurrent_activation") else _SETTINGS[group]),
                )


def cells(family: str, cell: str, **config: Any) -> Iterator[Case]:
    """RNN(cell), which means what the layer means."""
    for name, more in {
        "cell": {},
        "cell_return_sequences": {"return_sequences": True},
        "cell_go_backwards": {"return_sequences": True, "go_backwards": True},
    }.items():
        yield sequential(
            f"{family}/{name}",
            [Layer("RNN", {"cell": Layer(cell, dict(config, units=6)), **more})],
            Input((None, 3)),
        )
    yield sequential(
        f"{family}/cell_stateful",
        [Layer("RNN", {"cell": Layer(cell, dict(config, units=6)), "stateful": True})],
        Input((None, 3)),
        chunks=(2, 3),
    )


def drift(family: str, class_name: str, **config: Any) -> Iterator[Case]:
    """A thousand steps with Keras's default scale: the error must not grow beyond a few times Keras's."""
    for units, features in ((33, 16), (128, 64)):
        yield sequential(
            f"{family}/drift_1000_steps_units_{units}",
            [Layer(class_name, dict(config, units=units, return_sequences=True))],
            Input((None, features)),
            steps=1000,
            batch=1,
            rounded=units > 64,
            tolerance=Tolerance(0.0, 3.0, "default-scale weights, 1,000 steps: within 3x of Keras's own error"),
        )
