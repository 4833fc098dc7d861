"""Recurrent layers: cells and their options, stacks, both directions, states from layer to layer, ConvLSTM."""

from __future__ import annotations

from typing import Any

from ..case import Layer
from .local import conv_length
from .sketch import Sketch, Tensor, piece

_KINDS = ("LSTM", "GRU", "SimpleRNN")
_STATES = {"LSTM": 2, "GRU": 1, "SimpleRNN": 1}


def _cell(s: Sketch, kind: str) -> dict[str, Any]:
    """The options of a cell, units aside."""
    config: dict[str, Any] = {}
    if s.maybe(0.4):
        config["activation"] = s.function()
    if kind != "SimpleRNN" and s.maybe(0.35):
        config["recurrent_activation"] = s.function() if s.maybe(0.5) else s.pick("hard_sigmoid", "sigmoid", "tanh")
    if s.maybe(0.2):
        config["use_bias"] = False
    if kind == "GRU" and s.maybe(0.5):
        config["reset_after"] = s.maybe(0.3)
    if kind == "LSTM" and s.maybe(0.1):
        config["unit_forget_bias"] = False
    if s.maybe(0.1):
        config |= {"dropout": 0.3, "recurrent_dropout": 0.2}
    if s.policy in ("float16", "bfloat16"):
        config["recurrent_initializer"] = "glorot_uniform"  # Keras cannot draw an orthogonal one in 16 bits
    return config


def _loop(s: Sketch, x: Tensor, sequences: bool, backwards: bool | None = None) -> dict[str, Any]:
    """The options of a loop; backwards None for by chance."""
    config: dict[str, Any] = {"return_sequences": sequences}
    if s.maybe(0.2) if backwards is None else backwards:
        config["go_backwards"] = True
    if s.maybe(0.15):
        config["zero_output_for_mask"] = True
    if x.shape[0] is not None and s.maybe(0.1):
        config["unroll"] = True
    if s.stateful and s.maybe(0.6):
        config["stateful"] = True
    return config


def _recurrent(s: Sketch, x: Tensor, sequences: bool, units: int = 0, backwards: bool | None = None):
    """(layer, units of its output, units of each state) of a layer, an RNN over a cell, or over a stack."""
    loop = _loop(s, x, sequences, backwards)
    if s.maybe(0.25):
        n = s.pick(1, 1, 2, 3)
        kinds = [s.pick(*_KINDS) for _ in range(n)]
        sizes = [s.size() for _ in range(n - 1)] + [units or s.size()]
        cells = [Layer(f"{k}Cell", {"units": u, **_cell(s, k)}) for k, u in zip(kinds, sizes)]
        cell: Any = cells
        if s.maybe(0.4):
            cell = Layer("StackedRNNCells", {"cells": cells})
        elif n == 1 and s.maybe(0.7):
            cell = cells[0]
        states = [u for k, u in zip(kinds, sizes) for _ in range(_STATES[k])]
        return Layer("RNN", {"cell": cell, **loop}), sizes[-1], states
    kind, units = s.pick(*_KINDS), units or s.size()
    return Layer(kind, {"units": units, **_cell(s, kind), **loop}), units, [units] * _STATES[kind]


def _shape(x: Tensor, sequences: bool, units: int):
    return ((x.shape[0], units), (x.real[0], units)) if sequences else ((units,), (units,))


def _states(units: list[int]):
    return [((u,), (u,)) for u in units]


@piece("loops", 2, weight=4)
def loop(s: Sketch, x: Tensor) -> list[Tensor]:
    """One direction."""
    sequences = s.maybe(0.7)
    layer, units, states = _recurrent(s, x, sequences)
    more = {"return_state": True} if s.maybe(0.25) else {}
    outputs = [_shape(x, sequences, units), *(_states(states) if more else [])]
    return s.add(layer.class_name, {**layer.config, **more}, [x], *outputs)


@piece("wrappers", 2, weight=3)
def both_ways(s: Sketch, x: Tensor) -> list[Tensor]:
    """Bidirectional, with a second layer of its own now and then."""
    sequences, units, mode = s.maybe(0.7), s.size(), s.pick("concat", "concat", "sum", "mul", "ave", None)
    turned = s.keras2 and s.maybe(0.2)
    with_states = s.maybe(0.25)
    more: dict[str, Any] = {"return_state": True} if with_states else {}
    stateful = s.stateful and s.maybe(0.6)
    if stateful:
        more["stateful"] = True
    first, n, states = _recurrent(s, x, sequences, units, turned)
    plain = {k: v for k, v in first.config.items() if k != "stateful"}
    config: dict[str, Any] = {"layer": Layer(first.class_name, {**plain, **more}), "merge_mode": mode}
    if s.keras2 or s.maybe(0.9):
        second = states
        if s.maybe(0.3):
            # two outputs that are not merged may have different lengths
            other, n2, second = _recurrent(s, x, sequences, n if mode != "concat" else s.size(), not turned)
            plain = {k: v for k, v in other.config.items() if k != "stateful"}
            config["backward_layer"] = Layer(other.class_name, {**plain, **more})
        else:
            n2 = n
    else:
        second, n2 = states, n
    one = [_shape(x, sequences, n), _shape(x, sequences, n2)]
    joined = one if mode is None else [_shape(x, sequences, n + n2 if mode == "concat" else n)]
    return s.add("Bidirectional", config, [x], *joined, *(_states(states + second) if with_states else []))


@piece("states", 2, weight=3)
def decoder(s: Sketch, x: Tensor) -> list[Tensor]:
    """A layer that begins with the states of another, or with any vectors, or with inputs."""
    kind, units = s.pick(*_KINDS), s.size()
    n = _STATES[kind]
    twice = s.maybe(0.25)
    how = s.pick("encoder", "encoder", "dense", "input")
    if how == "encoder":
        source = s.pick(*s.others(lambda t: len(t.shape) == 2 and t.shape[1] is not None))
        inner = {"units": units, **_cell(s, kind), **_loop(s, source, s.maybe(0.5), False), "return_state": True}
        first = _shape(source, inner["return_sequences"], units * (1 + twice))
        if twice:
            made = s.add("Bidirectional", {"layer": Layer(kind, inner)}, [source], first, *_states([units] * n * 2))
        else:
            made = s.add(kind, inner, [source], first, *_states([units] * n))
        states = made[1:]
    elif how == "dense":
        vectors = s.others(lambda t: len(t.shape) == 1 and t.shape[0] is not None)
        if not vectors:
            return []
        states = [s.dense(s.pick(*vectors), units) for _ in range(n * (1 + twice))]
    else:
        if s.stateful:
            return []
        states = [s.input((units,), (units,)) for _ in range(n * (1 + twice))]
    sequences = s.maybe(0.7)
    config = {"units": units, **_cell(s, kind), **_loop(s, x, sequences, False if twice else None)}
    config.pop("stateful", None) if s.keras2 else None
    given = {"initial_state": tuple(t.name for t in states)}
    more = {"return_state": True} if s.maybe(0.3) else {}
    after = _states([units] * n * (1 + twice)) if more else []
    if twice:
        both = Layer(kind, {**config, **more})
        return s.add("Bidirectional", {"layer": both}, [x], _shape(x, sequences, 2 * units), *after, given=given)
    return s.add(kind, {**config, **more}, [x], _shape(x, sequences, units), *after, given=given)


@piece("masks", 2)
def masked_by_an_input(s: Sketch, x: Tensor) -> list[Tensor]:
    """A loop under a mask that is an input of its own."""
    if s.stateful and s.keras2:
        return []
    mask = s.input((x.shape[0],), (x.real[0],), dtype="bool")
    s.tensors.remove(mask)
    kind, sequences, units = s.pick(*_KINDS), s.maybe(0.7), s.size()
    config = {"units": units, **_cell(s, kind), **_loop(s, x, sequences)}
    return s.add(kind, config, [x], _shape(x, sequences, units), given={"mask": mask.name})


def _conv_lstm(s: Sketch, x: Tensor, axes: int) -> list[Tensor]:
    filters, kernel = s.pick(1, 2, 3), tuple(s.pick(1, 2, 3) for _ in range(axes))
    padding = s.pick("same", "valid")
    config: dict[str, Any] = {"filters": filters, "kernel_size": kernel, "padding": padding}
    strides = dilation = (1,) * axes
    if s.maybe(0.25):
        strides = config["strides"] = tuple(s.pick(1, 2) for _ in range(axes))
    elif s.maybe(0.2):
        dilation = config["dilation_rate"] = tuple(s.pick(1, 2) for _ in range(axes))
    lengths = [conv_length(n, *o, padding) for n, *o in zip(x.shape[1:-1], kernel, strides, dilation)]
    if any(n is None or n < 1 for n in lengths):
        return []
    if s.maybe(0.3):
        config["activation"] = s.pick("relu", "tanh", "softsign", "linear")
    if s.maybe(0.3):
        config["recurrent_activation"] = s.pick("hard_sigmoid", "sigmoid", "tanh")
    if s.maybe(0.2):
        config["use_bias"] = False
    if s.maybe(0.2):
        config["go_backwards"] = True
    if s.stateful and s.maybe(0.5):
        config["stateful"] = True
    if s.policy in ("float16", "bfloat16"):
        config["recurrent_initializer"] = "glorot_uniform"
    sequences, state = s.maybe(0.5), s.maybe(0.2)
    config |= {"return_sequences": sequences, "return_state": state}
    one = (*lengths, filters)
    whole = ((x.shape[0], *one), (x.real[0], *one)) if sequences else (one, one)
    return s.add(f"ConvLSTM{axes}D", config, [x], whole, *([(one, one)] * 2 if state else []))


@piece("conv_lstm", 3, weight=2)
def conv_lstm_1d(s: Sketch, x: Tensor) -> list[Tensor]:
    """ConvLSTM over one axis."""
    return _conv_lstm(s, x, 1)


@piece("conv_lstm", 4, weight=3)
def conv_lstm_2d(s: Sketch, x: Tensor) -> list[Tensor]:
    """ConvLSTM over two axes."""
    return _conv_lstm(s, x, 2)


@piece("stacks", 2)
def deep(s: Sketch, x: Tensor) -> list[Tensor]:
    """Several loops one upon the other."""
    made: list[Tensor] = []
    for _ in range(s.pick(2, 3, 4)):
        layer, units, _states_of = _recurrent(s, x, True)
        made = s.add(layer.class_name, dict(layer.config), [x], _shape(x, True, units))
        x = made[0]
    return made
