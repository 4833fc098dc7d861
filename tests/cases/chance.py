"""Cases by chance: seeded random models over the layers and options of the table."""

from __future__ import annotations

import random
from typing import Any

from .case import BOTH, H5, KERAS3, WEIGHTS, WEIGHTS_H5, ZIP, Case, Input, Layer
from .recurrent import ACTIVATIONS

__all__ = ["draw"]

_SIZES = (1, 2, 3, 5, 8, 16, 17, 31, 33, 64, 65)
# the ones that neither explode in a recurrence nor jump, whatever the weights
_CALM = ("tanh", "sigmoid", "hard_sigmoid", "softsign", "softmax", "relu", "elu", "linear", "selu", "gelu", "softplus")
_GATES = ("sigmoid", "hard_sigmoid", "softmax", "tanh", "softsign")


def _recurrent(r: random.Random, last: bool, **more: Any) -> Layer:
    kind = r.choice(("LSTM", "GRU", "SimpleRNN"))
    config: dict[str, Any] = {"units": r.choice(_SIZES), "return_sequences": not last, **more}
    cell: dict[str, Any] = {}
    if r.random() < 0.4:
        cell["activation"] = r.choice(("tanh", "sigmoid", "hard_sigmoid", "softsign", "softmax", "relu"))
    if kind != "SimpleRNN" and r.random() < 0.4:
        cell["recurrent_activation"] = r.choice(_GATES)
    if kind == "GRU" and r.random() < 0.5:
        cell["reset_after"] = r.random() < 0.5
    if r.random() < 0.2:
        cell["use_bias"] = False
    if r.random() < 0.2:
        cell["recurrent_dropout"] = 0.2
    if r.random() < 0.15:
        config["go_backwards"] = True
    if r.random() < 0.2 and "return_state" not in more:
        units = config.pop("units")
        return Layer("RNN", {"cell": Layer(f"{kind}Cell", {"units": units, **cell}), **config})
    return Layer(kind, {**config, **cell})


def _between(r: random.Random, version: str, rank: int) -> list[Layer]:
    """Zero to two layers that keep the rank."""
    made = []
    for _ in range(r.choice((0, 0, 1, 1, 2))):
        kind = r.choice(("Dense", "Dropout", "BatchNormalization", "Activation", "TimeDistributed", "Leaky", "ReLU"))
        names = [n for group, vs in ACTIVATIONS.values() if version in vs for n in group if n in _CALM]
        dense = Layer(
            "Dense",
            {"units": r.choice(_SIZES), "activation": r.choice(names), "use_bias": r.random() < 0.8},
        )
        if kind == "Dense":
            made.append(dense)
        elif kind == "TimeDistributed" and rank == 3:
            inner = [dense, Layer("Dropout", {"rate": 0.3}), Layer("Activation", {"activation": "relu"})]
            made.append(Layer("TimeDistributed", {"layer": r.choice(inner)}))
        elif kind == "BatchNormalization":
            made.append(
                Layer(kind, {"scale": r.random() < 0.7, "center": r.random() < 0.7, "trainable": r.random() < 0.8})
            )
        elif kind == "Activation":
            made.append(Layer(kind, {"activation": r.choice(names)}))
        elif kind == "Leaky":
            made.append(Layer("LeakyReLU"))
        elif kind == "ReLU":
            made.append(Layer(kind, {"max_value": r.choice((None, 6.0)), "negative_slope": r.choice((0.0, 0.1))}))
        else:
            made.append(Layer("Dropout", {"rate": 0.5}))
    return made


def draw(seed: int) -> Case:
    """The random case of that seed, for one of the two Kerases."""
    r = random.Random(seed)
    version = r.choice(BOTH)
    steps = r.choice((1, 2, 3, 5, 9))
    length = steps if r.random() < 0.4 else None
    layers: list[Layer] = []
    if r.random() < 0.35:
        source = Input((length,), ids=30, dtype=r.choice(("float32", "int32")), name="x")
        layers.append(Layer("Embedding", {"input_dim": 30, "output_dim": r.choice(_SIZES)}))
    else:
        source = Input((length, r.choice(_SIZES)), name="x")
    depth = r.choice((0, 1, 1, 2, 3))
    collapses = r.random() < 0.6
    layers += _between(r, version, 3)
    for k in range(depth):
        layers.append(_recurrent(r, collapses and k == depth - 1))
        layers += _between(r, version, 2 if collapses and k == depth - 1 else 3)
    if collapses and depth and r.random() < 0.2:
        layers += [Layer("RepeatVector", {"n": r.choice((1, 3))}), _recurrent(r, False)]
    elif not (collapses and depth) and length is not None and r.random() < 0.4:
        layers += [Layer("Flatten"), Layer("Dense", {"units": r.choice(_SIZES)})]
    if not layers:
        layers.append(Layer("Dense", {"units": 3}))
    layouts = (H5, ZIP, WEIGHTS_H5) if version == KERAS3 else (H5, ZIP, WEIGHTS_H5, WEIGHTS)
    options: dict[str, Any] = {
        "versions": (version,),
        "batch": r.choice((1, 2, 7)),
        "steps": steps,
        "layout": r.choice(layouts),
        "rounded": False,
    }
    name = f"chance/{seed}"
    if r.random() < 0.5:
        return Case(name, tuple(layers), (source,), **options)
    named, last, outputs = [], "x", []
    for k, v in enumerate(layers):
        config = dict(v.config)
        label = f"{'qwertyuiopasdfgh'[k % 16]}{k}"
        if v.class_name in ("LSTM", "GRU", "SimpleRNN") and r.random() < 0.3:
            config["return_state"] = True
            outputs += [f"{label}:{i + 1}" for i in range(2 if v.class_name == "LSTM" else 1)]
        elif r.random() < 0.2:
            outputs.append(label)
        named.append(Layer(v.class_name, config, (last,), label))
        last = label
    outputs = [last, *(o for o in dict.fromkeys(outputs) if o != last)]
    return Case(name, tuple(named), (source,), outputs[0] if len(outputs) == 1 else tuple(outputs), **options)
