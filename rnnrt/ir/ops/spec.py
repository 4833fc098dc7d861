"""What an op is: the record that each op registers, and the rule that applies it to a node."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ...records import Record, field
from ..activations import Activation
from ..dims import format_shape
from ..graph import Node, Shape, TensorSpec
from .table import ByFamily

__all__ = ["OPS", "Attr", "OpSpec", "ShapeMismatch", "StateSpec", "check_attrs", "infer_node", "register"]


class ShapeMismatch(ValueError):
    """Shapes, attributes or weights of a node do not fit each other."""


class Attr(Record):
    """An attribute: kind is ``int | float | bool | str | activation | ints | floats``; choices for strings."""

    kind: str
    default: Any = None
    choices: tuple[str, ...] = ()
    minimum: int | None = None


class StateSpec(Record):
    """One state of an op: Keras's name for it and its shape without the batch; keras: whether Keras knows it."""

    name: str
    shape: tuple[int, ...]
    keras: bool = True


ShapeRule = Callable[[dict, Sequence[TensorSpec]], list]
WeightRule = Callable[[dict, Sequence[TensorSpec]], dict]
StateRule = Callable[[dict], list]


class OpSpec(Record):
    """One op.

    Attributes
    ----------
    infer
        (attrs, input tensors) -> list of (shape, dtype) of the outputs.
    weights
        (attrs, input tensors) -> {role: shape}, every role that the op must have.
    states
        attrs -> list of StateSpec, () for ops without.
    time
        How the op treats the time axis (axis 1 of its first input), for streaming:
        ``step`` (each step by itself: elementwise, last axis), ``recurrent``, ``source``
        (makes a time axis out of ids (B, T)), ``last`` (gives the last
        step), ``mix`` (needs the whole sequence).
        A callable (attrs, inputs) -> (kind, reason) where it depends.
    """

    name: str
    infer: ShapeRule
    attrs: dict[str, Attr] = field(default_factory=dict)
    weights: WeightRule = lambda attrs, inputs: {}
    states: StateRule = lambda attrs: []
    n_inputs: tuple[int, int] = (1, 1)
    takes_mask: bool = False
    time: Any = "step"


OPS: ByFamily[OpSpec] = ByFamily(__package__)


def register(spec: OpSpec) -> OpSpec:
    """Add an op to the list."""
    OPS.put(spec.name, spec)
    return spec


def _is_int(v: Any) -> bool:
    return isinstance(v, int) and not isinstance(v, bool) and abs(v) < 2**48


def _is_number(v: Any) -> bool:
    return isinstance(v, (int, float)) and not isinstance(v, bool) and v == v


_KINDS: dict[str, Callable[[Any], bool]] = {
    "int": _is_int,
    "float": _is_number,
    "bool": lambda v: isinstance(v, bool),
    "str": lambda v: isinstance(v, str),
    "activation": lambda v: isinstance(v, Activation),
    "ints": lambda v: isinstance(v, (list, tuple)) and all(map(_is_int, v)),
    "floats": lambda v: isinstance(v, (list, tuple)) and all(_is_number(i) and abs(i) < math.inf for i in v),
}


def check_attrs(spec: OpSpec, attrs: dict) -> dict:
    """The node's attributes with defaults filled in; ShapeMismatch for unknown or ill-typed ones."""
    unknown = set(attrs) - set(spec.attrs)
    if unknown:
        raise ShapeMismatch(f"unknown attribute {sorted(unknown)[0]!r} of op {spec.name}")
    out = {}
    for name, a in spec.attrs.items():
        v = attrs.get(name, a.default)
        ok = _KINDS[a.kind](v)
        if not ok or (a.choices and v not in a.choices) or (a.minimum is not None and v < a.minimum):
            raise ShapeMismatch(f"attribute {name}={v!r} of op {spec.name} is not valid")
        out[name] = tuple(v) if a.kind in ("ints", "floats") else v
    return out


def infer_node(node: Node, tensors: dict[str, TensorSpec]) -> list[tuple[Shape, str]]:
    """(shape, dtype) of each output of a node, after checking attributes, inputs and mask.

    Raises ShapeMismatch (with the node's name) where they do not fit.
    """
    spec = OPS.get(node.op)
    if spec is None:
        raise ShapeMismatch(f"{node.name}: unknown op {node.op!r}")
    lo, hi = spec.n_inputs
    if not lo <= len(node.inputs) <= hi:
        raise ShapeMismatch(f"{node.name}: op {node.op} takes {lo} to {hi} inputs, got {len(node.inputs)}")
    if node.mask is not None and not spec.takes_mask:
        raise ShapeMismatch(f"{node.name}: op {node.op} takes no mask")
    try:
        attrs = check_attrs(spec, node.attrs)
        ins = [tensors[t] for t in node.inputs]
        out = spec.infer(attrs, ins)
    except ShapeMismatch as e:
        raise ShapeMismatch(f"{node.name}: {e}") from None
    if node.mask is not None:
        mask = tensors[node.mask]
        if mask.dtype != "bool" or len(mask.shape) != 2:
            raise ShapeMismatch(
                f"{node.name}: the mask must be bool (batch, time), got {mask.dtype} {format_shape(mask.shape)}"
            )
    states = [s for s in spec.states(attrs) if s.keras]
    if node.initial_state and len(node.initial_state) != len(states):
        raise ShapeMismatch(f"{node.name}: {len(states)} initial states expected, got {len(node.initial_state)}")
    for t, s in zip(node.initial_state, states):
        if tensors[t].shape[1:] != s.shape:
            want = format_shape((tensors[t].shape[0], *s.shape))
            raise ShapeMismatch(
                f"{node.name}: initial state {s.name}: expected {want}, got {format_shape(tensors[t].shape)}"
            )
    return out
