"""Checks that a graph means something before anyone runs it; used by the reader and by conversion."""

from __future__ import annotations

from typing import Any

from .dims import BATCH, Dim, format_shape
from .graph import Graph, TensorSpec
from .narrow import check_int8
from .ops import OPS, ShapeMismatch, infer_node
from .ops.spec import check_attrs

__all__ = ["leaves", "validate"]


def leaves(structure: Any) -> list[int]:
    """The indices at the leaves of an input or output structure, in order."""
    if isinstance(structure, bool):
        raise ShapeMismatch("a structure's leaf must be an index")
    if isinstance(structure, int):
        return [structure]
    if isinstance(structure, dict):
        return [i for v in structure.values() for i in leaves(v)]
    if isinstance(structure, list):
        return [i for v in structure for i in leaves(v)]
    raise ShapeMismatch(f"not a structure: {structure!r}")


def validate(graph: Graph) -> None:
    """Raise ShapeMismatch (with the place) unless every edge, shape, dtype, weight and name fits."""
    defined: dict[str, TensorSpec] = {}
    names = set()
    for spec in graph.inputs:
        t = graph.tensors.get(spec.tensor)
        if t is None or t.name != spec.tensor or spec.tensor in defined:
            raise ShapeMismatch(f"input {spec.name!r}: tensor {spec.tensor!r} is missing or fed twice")
        if spec.name in names or spec.role not in ("data", "state"):
            raise ShapeMismatch(f"input {spec.name!r}: duplicate name or unknown role {spec.role!r}")
        if not t.shape or t.shape[0] != BATCH:
            raise ShapeMismatch(f"input {spec.name!r}: the first axis must be the batch")
        names.add(spec.name)
        defined[spec.tensor] = t
    ids = set()
    for node in graph.nodes:
        if node.id in ids:
            raise ShapeMismatch(f"{node.name}: duplicate node id {node.id!r}")
        ids.add(node.id)
        for edge in graph.reads(node):
            if edge not in defined:
                raise ShapeMismatch(f"{node.name}: reads {edge!r}, which nothing before it makes")
        inferred = infer_node(node, defined)
        if len(inferred) != len(node.outputs):
            raise ShapeMismatch(
                f"{node.name}: op {node.op} makes {len(inferred)} outputs, {len(node.outputs)} are named"
            )
        for name, (shape, dtype) in zip(node.outputs, inferred):
            t = graph.tensors.get(name)
            if name in defined or t is None or t.name != name:
                raise ShapeMismatch(f"{node.name}: output {name!r} is missing or made twice")
            if t.shape != shape or t.dtype != dtype:
                want, got = f"{dtype} {format_shape(shape)}", f"{t.dtype} {format_shape(t.shape)}"
                raise ShapeMismatch(f"{node.name}: output {name!r}: expected {want}, got {got}")
            defined[name] = t
        spec_ = OPS[node.op]
        attrs = check_attrs(spec_, node.attrs)
        roles = spec_.weights(attrs, [defined[t] for t in node.inputs])
        if set(roles) != set(node.weights):
            raise ShapeMismatch(f"{node.name}: weights {sorted(roles)} expected, got {sorted(node.weights)}")
        for role, shape in roles.items():
            w = graph.weights.get(node.weights[role])
            if w is None:
                raise ShapeMismatch(f"{node.weights[role]}: missing weight")
            if (w.dtype == "float64") != (inferred[0][1] == "float64"):
                raise ShapeMismatch(f"{w.name}: a {w.dtype} weight of a layer that gives {inferred[0][1]}")
            if any(isinstance(d, Dim) for d in shape) or tuple(shape) != tuple(w.shape):
                raise ShapeMismatch(f"{w.name}: expected {tuple(shape)}, got {tuple(w.shape)}")
    check_int8(graph)
    if set(graph.tensors) != set(defined):
        raise ShapeMismatch(f"tensor {sorted(set(graph.tensors) - set(defined))[0]!r} is made by nothing")
    for out in graph.outputs:
        if out not in defined:
            raise ShapeMismatch(f"output {out!r} is made by nothing")
    if not graph.outputs or not graph.inputs:
        raise ShapeMismatch("a model needs inputs and outputs")
    if sorted(leaves(graph.input_structure)) != list(range(len(graph.inputs))):
        raise ShapeMismatch("the input structure does not name each input once")
    if sorted(leaves(graph.output_structure)) != list(range(len(graph.outputs))):
        raise ShapeMismatch("the output structure does not name each output once")
    if len(graph.output_names) != len(graph.outputs):
        raise ShapeMismatch("each output needs a name")
    if graph.session not in ("sequence", "calls"):
        raise ShapeMismatch(f"unknown session meaning {graph.session!r}")
