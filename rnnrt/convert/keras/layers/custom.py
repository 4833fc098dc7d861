"""Classes of the user's own: an RNN over a registered cell, and a registered layer."""

from __future__ import annotations

import json
from typing import Any

from ....custom.define import Definition, define
from ....custom.registry import CELL, LAYER
from ....errors import ConversionError
from ....ir.dims import BATCH, Dim, format_shape
from ....ir.ops.host import Signature, signature_text
from ..call import LayerCall, Value
from ..joining import bind_length
from ..spec import LayerSpec
from ..weights import Part

__all__ = ["custom_call", "custom_rnn"]

_LOOP = ("return_sequences", "return_state", "go_backwards", "stateful", "zero_output_for_mask")


def custom_call(c: LayerCall, args: list) -> list[Value] | None:
    """The outputs of a call of a registered class; None where the layer is none."""
    if c.spec.class_name == "RNN" and "cell" in c.spec.inner:
        cell = c.spec.inner["cell"]
        found = _definition(CELL, cell, c.path)
        return None if found is None else _cell(c, cell, found, args)
    found = _definition(LAYER, c.spec, c.path)
    return None if found is None else _layer(c, found, args)


def _definition(kind: str, spec: LayerSpec, path: str) -> Definition | None:
    return define(kind, spec.class_name, spec.config, path, spec.registered_name)


def _structure(value: Any, leaves: list[Value], c: LayerCall) -> Any:
    """The structure of a call's argument with indices at its leaves, which are collected."""
    if isinstance(value, dict):
        return {k: _structure(v, leaves, c) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_structure(v, leaves, c) for v in value]
    if not isinstance(value, Value):
        raise c.refuse("it is called with a constant in the place of a tensor")
    leaves.append(c.floats(value))
    return len(leaves) - 1


def _shape(c: LayerCall, value: Value) -> tuple[int | None, ...]:
    return tuple(None if isinstance(d, Dim) else d for d in c.tensor(value).shape)


def _attrs(c: LayerCall, class_name: str, spec: LayerSpec, s: Signature) -> dict[str, Any]:
    try:
        config = json.dumps(spec.config, separators=(",", ":"), allow_nan=False)
    except ValueError:
        raise c.refuse("its config holds NaN or infinity") from None
    return {"class_name": class_name, "config": config, "signature": signature_text(s)}


def _parts(c: LayerCall, s: Signature) -> list[Part]:
    for name, _ in s.weights:
        if "/" in name or "." in name:
            raise ConversionError(f"{c.path}: the name of a weight is {name!r}; it may not hold '/' or '.'")
    return [Part(name, shape) for name, shape in s.weights]


def _no_more(c: LayerCall, rest: list, kwargs: dict) -> None:
    if any(a is not None and not isinstance(a, bool) for a in rest):
        raise c.refuse("it is called with more positional arguments than rnnrt knows")
    for key, value in kwargs.items():
        if value is not None and key not in ("training", "name", "mask"):
            raise c.refuse(f"it is called with {key}=, which is not supported")


def _one_length(c: LayerCall, values: list[Value]) -> None:
    """Make the time axes of several inputs one length, in the whole graph; a cell broadcasts none."""
    lengths = [c.tensor(v).shape[1] for v in values]
    known = next((d for d in lengths if not isinstance(d, Dim)), lengths[0])
    for value in values:
        d = c.tensor(value).shape[1]
        if d == known:
            continue
        if not isinstance(d, Dim) or d.kind != "sym" or d == BATCH:
            shapes = " and ".join(format_shape(c.tensor(v).shape) for v in values)
            raise c.refuse(f"its inputs {shapes} differ in length")
        bind_length(c.builder, d.args[0], known)


def _split(c: LayerCall, value: Any, states: list[tuple[int, ...]]) -> tuple[Any, list | None]:
    """(inputs, initial states): Keras 2 lists the states behind the inputs."""
    count = len(states)
    if not isinstance(value, list) or len(value) <= count or not count:
        return value, None
    last = value[-count:]
    if not all(isinstance(v, Value) and v.tensor is not None for v in last):
        return value, None
    if [c.tensor(v).shape[1:] for v in last] != [tuple(s) for s in states]:
        return value, None
    rest = value[:-count]
    return (rest[0] if len(rest) == 1 else rest), last


def _cell(c: LayerCall, cell: LayerSpec, found: Definition, args: list) -> list[Value]:
    if c.flag("time_major"):
        raise c.refuse("time_major=True is not supported", "save the model with time_major=False")
    if c.get("num_constants"):
        raise c.refuse("num_constants: constants beside the inputs are not supported", "give them as inputs")
    kwargs = dict(c.kwargs)
    states = kwargs.pop("initial_state", None)
    first = args[0] if args else None
    _no_more(c, args[1:], kwargs)
    flat: list[Value] = []
    form = _structure(first, flat, c)
    shapes = [_shape(c, v) for v in flat]
    if states is None:
        first, states = _split(c, first, found.state_shapes())
        flat = []
        form = _structure(first, flat, c)
        shapes = [_shape(c, v) for v in flat]
    if any(len(s) < 3 for s in shapes):
        raise c.refuse(f"its cell takes (batch, time, ...), got {shapes}")
    _one_length(c, flat)
    s = found.signature(form, [(d[0], *d[2:]) for d in shapes])
    given: list[Value] = []
    if states is not None:
        _structure(states, given, c)
    mask = _first_mask(first) if not (given and c.spec.generation >= 3) else None
    return _emit_cell(c, cell, s, flat, given, mask, {k: c.flag(k) for k in _LOOP})


def custom_rnn(c: LayerCall, forced: dict[str, bool]) -> list[Value] | None:
    """One direction of a Bidirectional over a registered cell, whose inputs, states and mask are known; or None."""
    cell = c.spec.inner.get("cell")
    found = None if cell is None else _definition(CELL, cell, c.path)
    if cell is None or found is None:
        return None
    x = c.floats(c.input())
    shape = _shape(c, x)
    if len(shape) < 3:
        raise c.refuse(f"its cell takes (batch, time, ...), got {shape}")
    s = found.signature(0, [(shape[0], *shape[2:])])
    if len(s.outputs) != 1:
        raise c.refuse("a cell with several outputs inside Bidirectional is not supported", "use two RNN layers")
    given = [c.floats(v) for v in c.initial_state]
    return _emit_cell(c, cell, s, [x], given, c.mask, {**{k: c.flag(k) for k in _LOOP}, **forced})


def _emit_cell(
    c: LayerCall,
    cell: LayerSpec,
    s: Signature,
    flat: list[Value],
    given: list[Value],
    mask: str | None,
    loop: dict[str, bool],
) -> list[Value]:
    """The op of an RNN over a registered cell."""
    if given and len(given) != len(s.states):
        raise c.refuse(f"{len(given)} initial states given, the cell has {len(s.states)}")
    if given and c.flag("stateful") and c.spec.generation <= 2:
        raise c.refuse(
            "stateful=True with initial_state: Keras 2 uses the recorded state where it is not zero",
            "save the layer with stateful=False and use a session",
        )
    attrs = {**_attrs(c, cell.class_name, cell, s), **loop}
    attrs["holds_output"] = mask is not None and not attrs["zero_output_for_mask"]
    weights = c.weights(_parts(c, s), (), ("cell",))
    out = c.emit("host_cell", flat, attrs, weights, mask=mask, initial_state=given)
    for value, (label, _) in zip(out[len(s.outputs) :], s.states):
        c.builder.labels[value.tensor or ""] = label
    if attrs["return_sequences"]:
        out[0] = Value(out[0].tensor, flat[0].mask)
    return out


def _first_mask(value: Any) -> str | None:
    """That of the first input in the order of sorted keys, which holds for all, as Keras 2 takes it."""
    if isinstance(value, dict):
        return _first_mask(value[min(value)])
    if isinstance(value, list):
        return _first_mask(value[0])
    return value.mask


def _layer(c: LayerCall, found: Definition, args: list) -> list[Value]:
    if c.rank_shift:
        raise c.refuse("a layer of your own inside TimeDistributed is not supported", "let it take (batch, time)")
    _no_more(c, args[1:], c.kwargs)
    flat: list[Value] = []
    form = _structure(args[0] if args else None, flat, c)
    s = found.signature(form, [_shape(c, v) for v in flat])
    if s.per_step and len(flat) > 1:
        _one_length(c, flat)
    out = c.emit("host_layer", flat, _attrs(c, c.spec.class_name, c.spec, s), c.weights(_parts(c, s)))
    return [Value(v.tensor, flat[0].mask) for v in out] if found.supports_masking else out
