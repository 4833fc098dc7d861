"""Cases by chance under masks: sources of masks, what they pass, wrappers, stacks of cells, branches that join."""

from __future__ import annotations

import random
from typing import Any

from .case import BOTH, H5, KERAS2, KERAS3, WEIGHTS_H5, ZIP, Case, Input, Layer

__all__ = ["draw"]

_SIZES = (1, 2, 3, 4, 7, 16, 17)
_CELLS = ("LSTM", "GRU", "SimpleRNN")
_MERGES = ("Add", "Average", "Multiply", "Maximum", "Minimum", "Subtract", "Concatenate")


def _loop(r: random.Random, sequences: bool, units: int = 0, **more: Any) -> Layer:
    """A recurrent layer, one over a cell, or one over a stack."""
    config: dict[str, Any] = {"return_sequences": sequences, **more}
    if r.random() < 0.2:
        config["zero_output_for_mask"] = True
    if "go_backwards" not in more and r.random() < 0.2:
        config["go_backwards"] = True
    if r.random() < 0.25:
        count = r.choice((1, 2, 2, 3))
        sizes = [r.choice(_SIZES) for _ in range(count - 1)] + [units or r.choice(_SIZES)]
        cells = [Layer(f"{r.choice(_CELLS)}Cell", {"units": n}) for n in sizes]
        return Layer("RNN", {"cell": cells if count > 1 else cells[0], **config})
    kind = r.choice(_CELLS)
    if kind == "GRU" and r.random() < 0.4:
        config["reset_after"] = False
    if kind != "SimpleRNN" and r.random() < 0.3:
        config["recurrent_activation"] = "hard_sigmoid"
    return Layer(kind, {"units": units or r.choice(_SIZES), **config})


def _both_ways(r: random.Random, version: str, sequences: bool) -> Layer:
    units, mode = r.choice(_SIZES), r.choice(("concat", "sum", "mul", "ave"))
    turned = version == KERAS2 and r.random() < 0.2
    config: dict[str, Any] = {"layer": _loop(r, sequences, units, go_backwards=turned), "merge_mode": mode}
    if r.random() < 0.3:
        config["backward_layer"] = _loop(r, sequences, units, go_backwards=not turned)
    return Layer("Bidirectional", config)


def _one(r: random.Random, version: str) -> Layer:
    """A layer from sequence to sequence."""
    kind = r.choice(
        ("loop", "loop", "both", "both", "Dense", "Dropout", "Norm", "Time", "Conv", "Masking", "Activation")
    )
    if kind == "loop":
        return _loop(r, True)
    if kind == "both":
        return _both_ways(r, version, True)
    return {
        "Dense": Layer("Dense", {"units": r.choice(_SIZES), "activation": "tanh"}),
        "Dropout": Layer("Dropout", {"rate": 0.5}),
        "Norm": Layer("BatchNormalization"),
        "Time": Layer("TimeDistributed", {"layer": Layer("Dense", {"units": r.choice(_SIZES)})}),
        "Conv": Layer("Conv1D", {"filters": r.choice(_SIZES), "kernel_size": 2, "padding": "same"}),
        "Masking": Layer("Masking", {"mask_value": 0.0}),
        "Activation": Layer("Activation", {"activation": "relu"}),
    }[kind]


def draw(seed: int) -> Case:
    """The random case of that seed, for one of the two Kerases."""
    r = random.Random(seed)
    version = r.choice(BOTH)
    steps = r.choice((1, 2, 3, 5, 9))
    length = steps if r.random() < 0.4 else None
    if r.random() < 0.5:
        source = Input((length,), ids=9, dtype=r.choice(("float32", "int32")), name="x", padding=0)
        first = Layer("Embedding", {"input_dim": 9, "output_dim": r.choice(_SIZES), "mask_zero": r.random() < 0.8})
    else:
        value = r.choice((0.0, -1.0, 0.5))
        source = Input((length, r.choice(_SIZES)), name="x", padding=value)
        first = Layer("Masking", {"mask_value": value})
    chain = [first, *(_one(r, version) for _ in range(r.choice((0, 1, 2, 3))))]
    last = r.choice((_loop(r, False), _loop(r, True), _both_ways(r, version, False), Layer("Dense", {"units": 2})))
    options: dict[str, Any] = {
        "versions": (version,),
        "batch": r.choice((1, 3, 6)),
        "steps": steps,
        "layout": r.choice((H5, ZIP, WEIGHTS_H5)),
        "rounded": False,
    }
    name = f"chance_masks/{seed}"
    if r.random() < 0.5:
        return Case(name, (*chain, last), (source,), **options)
    named, at = [], "x"
    for k, v in enumerate(chain):
        named.append(_named(v, at, f"layer{k}"))
        at = f"layer{k}"
    units, merge = r.choice(_SIZES), r.choice(_MERGES)
    named.append(Layer("Dense", {"units": units}, (at,), "left"))
    named.append(_named(_loop(r, True, units), at, "right"))
    sides = ["left", "right"]
    if r.random() < 0.4:
        named.append(Layer("Conv1D", {"filters": units, "kernel_size": 1}, ("right",), "unmasked"))
        sides[1] = "unmasked"
    if r.random() < 0.5:
        sides.reverse()
    named.append(Layer(merge, {}, tuple(sides), "joined"))
    if r.random() < 0.5:
        cell = r.choice(("LSTM", "GRU"))
        states = 2 if cell == "LSTM" else 1
        named.append(Layer(cell, {"units": 3, "return_state": True}, ("joined",), "encoder"))
        given = {"initial_state": tuple(f"encoder:{k + 1}" for k in range(states))}
        named.append(Layer(cell, {"units": 3, "return_sequences": True}, ("left",), "decoder", given))
        named.append(_named(last, "decoder", "last"))
        return Case(name, tuple(named), (source,), ("last", "decoder", "joined", "encoder:1"), **options)
    named.append(_named(last, "joined", "last"))
    return Case(name, tuple(named), (source,), ("last", "joined") if version == KERAS3 else "last", **options)


def _named(layer: Layer, source: str, name: str) -> Layer:
    return Layer(layer.class_name, layer.config, (source,), name)
