"""Cells and layers of the user's own: the graph names the class, keeps its config and states its shapes.

The arithmetic is a class registered with rnnrt; no file holds code. What the class said of itself at conversion is
the *signature*, so that a file is checked without it, and against it when it is loaded.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from ...records import Record
from .spec import Attr, OpSpec, ShapeMismatch, StateSpec, register

__all__ = ["Signature", "config_of", "leaf_count", "signature_of", "signature_text"]

_LONGEST = 1 << 20
_MOST = 16  # inputs, states or outputs of one class


class Signature(Record):
    """What a class says of itself.

    inputs, states_in, outputs_in: structures with an index at each leaf. states: (name, shape without the batch).
    outputs: shapes, of a cell those of one step without the batch; of a layer without the batch, None for an axis
    that is as long as that of the first input. weights: (name, shape) in the order in which Keras makes them.
    per_step: a layer that treats each time step by itself.
    """

    inputs: Any
    states: tuple[tuple[str, tuple[int, ...]], ...]
    states_in: Any
    outputs: tuple[tuple[int | None, ...], ...]
    outputs_in: Any
    weights: tuple[tuple[str, tuple[int, ...]], ...]
    per_step: bool = False


def leaf_count(structure: Any) -> int:
    """Number of leaves; ShapeMismatch unless they are 0, 1, ... in order."""
    seen: list[int] = []

    def walk(value: Any, depth: int) -> None:
        if depth > 8:
            raise ShapeMismatch("a structure nested more than 8 deep")
        if isinstance(value, dict):
            for v in value.values():
                walk(v, depth + 1)
        elif isinstance(value, list):
            for v in value:
                walk(v, depth + 1)
        else:
            seen.append(value)

    walk(structure, 0)
    if seen != list(range(len(seen))) or any(isinstance(v, bool) for v in seen):
        raise ShapeMismatch(f"not a structure: {structure!r:.80}")
    return len(seen)


def signature_text(s: Signature) -> str:
    """The signature as the attribute that a file keeps."""
    return json.dumps(
        {
            "inputs": s.inputs,
            "states": [[n, list(d)] for n, d in s.states],
            "states_in": s.states_in,
            "outputs": [list(d) for d in s.outputs],
            "outputs_in": s.outputs_in,
            "weights": [[n, list(d)] for n, d in s.weights],
            "per_step": s.per_step,
        },
        separators=(",", ":"),
    )


def _shape(value: Any, free: bool = False) -> tuple:
    if not isinstance(value, list) or len(value) > 6:
        raise ShapeMismatch(f"not a shape: {value!r:.80}")
    for d in value:
        if not (free and d is None) and (isinstance(d, bool) or not isinstance(d, int) or not 0 < d < 2**31):
            raise ShapeMismatch(f"not a shape: {value!r:.80}")
    return tuple(value)


def _named(value: Any) -> tuple:
    if not isinstance(value, list) or not all(isinstance(v, list) and len(v) == 2 for v in value):
        raise ShapeMismatch("a signature's states and weights are pairs of name and shape")
    names = [v[0] for v in value]
    if not all(isinstance(n, str) and n for n in names) or len(set(names)) != len(names):
        raise ShapeMismatch(f"names must be strings and differ, got {names!r:.80}")
    return tuple((n, _shape(d)) for n, d in value)


@lru_cache(maxsize=256)
def _parse(text: str) -> Signature:
    if len(text) > _LONGEST:
        raise ShapeMismatch("a signature of more than 1 MiB")
    try:
        obj = json.loads(text)
    except (ValueError, RecursionError):
        raise ShapeMismatch("the signature is not JSON") from None
    keys = {"inputs", "states", "states_in", "outputs", "outputs_in", "weights", "per_step"}
    if not isinstance(obj, dict) or set(obj) != keys or not isinstance(obj["per_step"], bool):
        raise ShapeMismatch(f"a signature has exactly the keys {sorted(keys)}")
    if not isinstance(obj["outputs"], list):
        raise ShapeMismatch("a signature's outputs are a list of shapes")
    s = Signature(
        obj["inputs"],
        _named(obj["states"]),
        obj["states_in"],
        tuple(_shape(v, free=True) for v in obj["outputs"]),
        obj["outputs_in"],
        _named(obj["weights"]),
        obj["per_step"],
    )
    counts = leaf_count(s.inputs), leaf_count(s.states_in), leaf_count(s.outputs_in)
    if counts[1:] != (len(s.states), len(s.outputs)) or not s.outputs or not counts[0] or max(counts) > _MOST:
        raise ShapeMismatch(f"a signature whose structures do not fit, or with more than {_MOST} inputs or outputs")
    return s


def signature_of(attrs: dict) -> Signature:
    """The signature of a node, from its attributes."""
    return _parse(attrs["signature"])


def config_of(attrs: dict) -> dict[str, Any]:
    """The config that the class is made with."""
    if len(attrs["config"]) > _LONGEST:
        raise ShapeMismatch("a config of more than 1 MiB")
    try:
        config = json.loads(attrs["config"])
    except (ValueError, RecursionError):
        raise ShapeMismatch("the config is not JSON") from None
    if not isinstance(config, dict):
        raise ShapeMismatch("the config is not an object")
    return config


def _check(attrs: dict, inputs: Sequence, least: int) -> Signature:
    s = signature_of(attrs)
    if not attrs["class_name"]:
        raise ShapeMismatch("the class has no name")
    if leaf_count(s.inputs) != len(inputs):
        raise ShapeMismatch(f"{attrs['class_name']} takes {leaf_count(s.inputs)} inputs, got {len(inputs)}")
    for t in inputs:
        if t.dtype != "float32" or len(t.shape) < least:
            raise ShapeMismatch(f"{attrs['class_name']} takes float32 of rank >= {least}, got {t.dtype} {t.shape}")
    return s


_CLASS = {"class_name": Attr("str", ""), "config": Attr("str", "{}"), "signature": Attr("str", "")}


def _cell_infer(attrs, inputs):
    s = _check(attrs, inputs, 3)
    x = inputs[0]
    if any(t.shape[:2] != x.shape[:2] for t in inputs):
        raise ShapeMismatch(f"its inputs differ in batch or time: {[str(t.shape) for t in inputs]}")
    if any(None in o or not o for o in s.outputs):
        raise ShapeMismatch("the outputs of a cell have known shapes")
    lead = x.shape[:2] if attrs["return_sequences"] else x.shape[:1]
    out = [((*lead, *o), "float32") for o in s.outputs]
    if attrs["return_state"]:
        out += [((x.shape[0], *shape), "float32") for _, shape in s.states]
    return out


def _cell_states(attrs):
    s = signature_of(attrs)
    own = [StateSpec(n, shape) for n, shape in s.states]
    if attrs["holds_output"]:  # under a mask a step repeats the output, which need not be a state
        own += [StateSpec(f"output_{k}", shape, keras=False) for k, shape in enumerate(s.outputs)]  # type: ignore[arg-type]
    return own


def _cell_time(attrs, inputs):
    if attrs["go_backwards"]:
        return "mix", "go_backwards reads the sequence from its end"
    return "recurrent", ""


register(
    OpSpec(
        "host_cell",
        _cell_infer,
        {
            **_CLASS,
            "return_sequences": Attr("bool", False),
            "return_state": Attr("bool", False),
            "go_backwards": Attr("bool", False),
            "reverse_output": Attr("bool", False),
            "stateful": Attr("bool", False),
            "zero_output_for_mask": Attr("bool", False),
            "holds_output": Attr("bool", False),
        },
        lambda attrs, inputs: dict(signature_of(attrs).weights),
        _cell_states,
        n_inputs=(1, _MOST),
        takes_mask=True,
        time=_cell_time,
    )
)


def _layer_infer(attrs, inputs):
    s = _check(attrs, inputs, 1)
    x, out = inputs[0], []
    if s.states:
        raise ShapeMismatch("a layer has no states")
    for o in s.outputs:
        if any(d is None and k + 1 >= len(x.shape) for k, d in enumerate(o)):
            raise ShapeMismatch(f"an output of shape {o} has free axes that the first input lacks")
        if s.per_step and len(x.shape) > 2 and (not o or o[0] is not None):
            raise ShapeMismatch("a layer that works step by step keeps the time axis: its output's first axis is None")
        out.append(((x.shape[0], *(x.shape[k + 1] if d is None else d for k, d in enumerate(o))), "float32"))
    return out


def _layer_time(attrs, inputs):
    if not signature_of(attrs).per_step:
        return (
            "mix",
            "a layer of your own sees the whole sequence, unless its class says per_step = True",
        )
    if any(t.shape[1] != inputs[0].shape[1] for t in inputs):
        return "mix", "its inputs have different lengths"
    return "step", ""


register(
    OpSpec(
        "host_layer",
        _layer_infer,
        _CLASS,
        lambda attrs, inputs: dict(signature_of(attrs).weights),
        n_inputs=(1, _MOST),
        time=_layer_time,
    )
)
