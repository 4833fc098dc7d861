"""From a source to (Graph, weights): cutting, pruning, structures, names, session meaning."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ...errors import ConversionError, UnsupportedLayerError
from ...ir.graph import Graph, InputSpec, Node, WeightSpec
from ...ir.halves import dtype_of
from ...ir.ops import OPS, ShapeMismatch
from ...ir.validate import validate
from ..sources.base import Source
from .architecture import parse_architecture
from .call import LayerCall, Value
from .graph import GraphBuilder, flatten
from .layers import REGISTRY
from .operations import is_operation
from .sharing import one_of_equals, refuse_shared_states, repeats
from .spec import ALL, LayerSpec, ModelSpec, TensorRef, map_structure, refs
from .weights import load

__all__ = ["Assembly", "KerasFace", "KerasLayer", "Survey", "assemble", "survey"]


@dataclass(frozen=True)
class KerasLayer:
    """A layer as ``model.layers`` of Keras lists it, also where it does nothing at inference; shapes of its outputs."""

    name: str
    class_name: str
    shapes: tuple[tuple[int | None, ...], ...]


@dataclass(frozen=True)
class KerasFace:
    """What Keras's own object would tell: the model's class, its layers in order, the batch size if it is fixed."""

    class_name: str
    layers: tuple[KerasLayer, ...]
    batch_size: int | None


@dataclass
class Assembly:
    """A model as built: the graph, its weights by name, and what was passed over."""

    graph: Graph
    weights: dict[str, np.ndarray]
    generation: int
    ignored: dict[str, list[str]] = field(default_factory=dict)
    layers: list[tuple[str, str]] = field(default_factory=list)
    face: KerasFace | None = None


@dataclass
class Survey:
    """The walk alone: layers that convert, and each that does not with its error."""

    model: ModelSpec
    builder: GraphBuilder
    outputs: Any


def _find(model: ModelSpec, name: str, what: str) -> tuple[LayerSpec, int | None]:
    """The layer (and call) that a cut names: ``name``, or ``name:k`` for call number k of a shared layer."""
    by_name = {x.name: x for x in model.layers}
    if name in by_name:
        return by_name[name], None
    base, _, k = name.rpartition(":")
    if base in by_name and k.isdigit():
        return by_name[base], int(k)
    known = ", ".join(list(by_name)[:20])
    raise ConversionError(f"{what}: no layer is named {name!r}; the model's layers are {known}")


def _output_refs(model: ModelSpec, names: Sequence[str]) -> list[TensorRef]:
    """All tensors of each named layer."""
    out = []
    for name in names:
        layer, call = _find(model, name, "outputs")
        count = max(1, len(layer.calls))
        if call is None and count > 1:
            raise ConversionError(
                f"outputs: {name!r} is called {count} times; name a call as '{name}:0' to '{name}:{count - 1}'"
            )
        if call is not None and call >= count:
            raise ConversionError(f"outputs: {layer.name!r} is called {count} times, there is no call {call}")
        out.append(TensorRef(layer.name, call or 0, ALL))
    return out


def _names(value: str | Iterable[str] | None, what: str) -> list[str] | None:
    if value is None:
        return None
    names = [value] if isinstance(value, str) else list(value)
    if not names or not all(isinstance(n, str) for n in names):
        raise ConversionError(f"{what} must be one or more layer names")
    if len(set(names)) != len(names):
        raise ConversionError(f"{what}: a name is given twice")
    return names


def survey(source: Source, inputs: Any = None, outputs: Any = None) -> Survey:
    """Walk the model and find every layer that is refused, without reading any weight."""
    model = parse_architecture(source.architecture, source.keras_version)
    in_names, out_names = _names(inputs, "inputs"), _names(outputs, "outputs")
    cut = set()
    for name in in_names or ():
        layer, call = _find(model, name, "inputs")
        if call is not None:
            raise ConversionError(f"inputs: {name!r}: name the layer itself")
        if layer.class_name != "InputLayer":
            cut.add(layer.name)
    builder = GraphBuilder(backend=source.backend)
    if out_names is None:
        wanted: Any = model.outputs
        if in_names is None:  # an input that nothing reads is still an input
            wanted = [wanted, model.inputs]
    else:
        wanted = _output_refs(model, out_names)
    values = builder.model(model, "", None, wanted, frozenset(cut))
    if out_names is None and in_names is None:
        values = values[0]
    elif out_names is not None:
        values = _one_or_list(values)
    return Survey(model, builder, _finished(builder, values))


def _finished(builder: GraphBuilder, values: Any) -> Any:
    """The outputs' structure with each value in the dtype that Keras returns it in."""
    if isinstance(values, Value):
        return _as_keras(builder, values)
    if isinstance(values, dict):
        return {k: _finished(builder, v) for k, v in values.items()}
    return [_finished(builder, v) for v in values]


def _as_keras(builder: GraphBuilder, value: Value) -> Value:
    """Cast where Keras's dtype is another; NumPy has no bfloat16, so that becomes float32, rounded."""
    if value.tensor is None or not value.dtype:
        return value
    maker = next((n for n in builder.nodes if value.tensor in n.outputs), None)
    path, name = (maker.name, maker.layer_class) if maker is not None else (value.tensor, "InputLayer")
    call = LayerCall(builder, LayerSpec(name, path.rsplit("/", 1)[-1], {}, 3), path, [])
    out = call.emit("cast", [value], {"dtype": value.dtype})[0]
    if value.dtype == "bfloat16":
        out = call.emit("cast", [out], {"dtype": "float32"})[0]
    if value.tensor in builder.labels and out.tensor is not None:
        builder.labels[out.tensor] = builder.labels[value.tensor]
    return out


def _refuse(builder: GraphBuilder) -> None:
    if not builder.refused:
        return
    # the one that can say where to cut tells the most
    path, _, first = next((r for r in builder.refused if "outputs=['" in str(r[2])), builder.refused[0])
    others = [p for p, _, _ in builder.refused if p != path]
    if others:
        shown = ", ".join(others[:8]) + (", ..." if len(others) > 8 else "")
        raise UnsupportedLayerError(f"{first} (refused too: {shown})", path)
    raise first


def assemble(source: Source, inputs: Any = None, outputs: Any = None) -> Assembly:
    """Build the graph and read its weights.

    inputs, outputs: layer names at which the model is cut. Raises UnsupportedLayerError for the first layer
    that does not convert (naming the others), ConversionError for a file that does not fit together.
    """
    found = survey(source, inputs, outputs)
    builder, model = found.builder, found.model
    _refuse(builder)
    out_structure, out_tensors = _flat_outputs(found.outputs)
    out_structure = 0 if out_structure == [0] else out_structure  # Keras gives a list of one as the one
    is_cut = inputs is not None or outputs is not None
    nodes, feeds = list(builder.nodes), {i.tensor: i.name for i in builder.inputs}
    if inputs is not None:
        nodes, feeds = _close(builder, nodes, feeds, out_tensors, _names(inputs, "inputs") or [])
    nodes, live = _prune(nodes, out_tensors)
    if is_cut:
        order = [t for t in _input_order(builder, feeds, inputs) if t in live]
        structure: Any = 0 if len(order) == 1 else list(range(len(order)))
    else:
        order, structure = _model_inputs(model, feeds)
    if not order:
        raise ConversionError("nothing of the model's inputs is left between the cuts")
    used = {w for n in nodes for w in n.weights.values()}
    # a nested model's arrays lie together, also those of an output that nobody reads
    top = {p.split("/")[0] for p, leaf in builder.leaves.items() if any(f"{p}.{x.role}" in used for x in leaf.parts)}
    keep = {p: leaf for p, leaf in builder.leaves.items() if p.split("/")[0] in top}
    same = repeats(model)
    weights = load(model, keep, source.weights, _weighted, source.path, same)
    nodes = _with_layout_attrs(nodes, keep)
    one = one_of_equals(keep.values(), weights, same)
    refuse_shared_states(nodes, one)
    nodes = [replace(n, weights={r: one.get(w, w) for r, w in n.weights.items()}) for n in nodes]
    weights = {k: v for k, v in weights.items() if k in {one.get(w, w) for w in used}}
    tensors = {t: builder.tensors[t] for t in (*order, *(t for n in nodes for t in n.outputs))}
    graph = Graph(
        name=model.name,
        inputs=[InputSpec(t, feeds[t], _role(t, nodes, out_tensors)) for t in order],
        outputs=out_tensors,
        nodes=nodes,
        tensors=tensors,
        weights={k: WeightSpec(k, tuple(v.shape), dtype_of(v)) for k, v in weights.items()},
        input_structure=structure,
        output_structure=out_structure,
        session="calls" if any(n.attrs.get("stateful") for n in nodes) else "sequence",
        output_names=_output_names(out_tensors, nodes, feeds, builder.labels),
    )
    try:
        validate(graph)
    except ShapeMismatch as e:
        raise ConversionError(str(e)) from None
    return Assembly(graph, weights, model.generation, builder.ignored, builder.built, _face(model, builder))


def _face(model: ModelSpec, builder: GraphBuilder) -> KerasFace:
    layers, batch = [], None
    for x in model.layers:
        shapes = builder.shapes.get(x.name, [])
        given = x.config.get("batch_shape") if x.class_name == "InputLayer" else None
        if isinstance(given, (list, tuple)) and given:
            shapes = [builder.tensors[x.name].shape] if x.name in builder.tensors else []
            batch = given[0] if isinstance(given[0], int) else batch
        if model.functional or x.class_name != "InputLayer":
            free = tuple(tuple(d if isinstance(d, int) else None for d in s) for s in shapes)
            layers.append(KerasLayer(x.name, x.class_name, free))
    return KerasFace(model.class_name, tuple(layers), batch)


def _flat_outputs(values: Any) -> tuple[Any, list[str]]:
    """(structure of indices, tensors)."""
    tensors: list[str] = []

    def leaf(v: Any) -> Any:
        if isinstance(v, Value):
            tensors.append(v.tensor or "")
            return len(tensors) - 1
        if isinstance(v, dict):
            return {k: leaf(x) for k, x in v.items()}
        return [leaf(x) for x in v]

    return leaf(values), tensors


def _one_or_list(values: list) -> Any:
    """The outputs of a cut: an array where there is one, else a flat list."""
    flat = flatten(values)
    return flat[0] if len(flat) == 1 else flat


def _model_inputs(model: ModelSpec, feeds: dict[str, str]) -> tuple[list[str], Any]:
    """The graph's inputs in the order and structure of the model's."""
    by_name = {name: tensor for tensor, name in feeds.items()}
    order = [by_name[r.layer] for r in refs(model.inputs)]
    if len(set(order)) != len(order):
        raise ConversionError(f"{model.name}: an input is listed twice")
    count = iter(range(len(order)))
    return order, map_structure(model.inputs, lambda r: next(count))


def _input_order(builder: GraphBuilder, feeds: dict[str, str], inputs: Any) -> list[str]:
    """All inputs; as the user listed them where he did, states that were cut free last."""
    known = [i.tensor for i in builder.inputs] + [t for t in feeds if t not in {i.tensor for i in builder.inputs}]
    names = _names(inputs, "inputs")
    if names is None:
        return known

    def rank(t: str) -> int:
        base = feeds[t].split("/")[0]
        return names.index(base) if base in names else len(names)

    return sorted(known, key=rank)


def _prune(nodes: list[Node], outputs: list[str]) -> tuple[list[Node], set[str]]:
    """The nodes that the outputs need, and every tensor that is read or given."""
    live = set(outputs)
    kept = []
    for node in reversed(nodes):
        if live.intersection(node.outputs):
            kept.append(node)
            live.update(Graph.reads(node))
    return kept[::-1], live


def _close(
    builder: GraphBuilder, nodes: list[Node], feeds: dict[str, str], outputs: list[str], names: list[str]
) -> tuple[list[Node], dict[str, str]]:
    """Cut off the inputs that were not asked for.

    Where they reach the rest only as an initial_state, that state becomes an input; where they feed data,
    the cut is not possible.
    """
    cut = {i.tensor for i in builder.inputs if i.name.split("/")[0] in names}
    foreign = {t: n for t, n in feeds.items() if t not in cut}  # tensor -> the input that it depends on
    out: list[Node] = []
    needed = _prune(nodes, outputs)[0]
    for node in needed:
        states = list(node.initial_state)
        for k, t in enumerate(states):
            if t not in foreign:
                continue
            label = OPS[node.op].states(node.attrs)[k].name
            name = f"{node.name}/{label}"
            tensor = builder.new_input(name, builder.tensors[t]).tensor or ""
            feeds[tensor] = name
            states[k] = tensor
        node = replace(node, initial_state=tuple(states))
        data = next((foreign[t] for t in (*node.inputs, *([node.mask] if node.mask else [])) if t in foreign), None)
        if data is not None:
            foreign.update(dict.fromkeys(node.outputs, data))
        out.append(node)
    for t in outputs:
        if t in foreign:
            raise ConversionError(f"inputs: the outputs also need the input {foreign[t]!r}; add it to inputs=")
    return out, feeds


def _role(tensor: str, nodes: list[Node], outputs: list[str]) -> str:
    """``state`` for an input that is read as initial_state only."""
    as_state = any(tensor in n.initial_state for n in nodes)
    as_data = tensor in outputs or any(tensor in (*n.inputs, n.mask) for n in nodes)
    return "state" if as_state and not as_data else "data"


def _with_layout_attrs(nodes: list[Node], leaves: dict) -> list[Node]:
    """What only the stored arrays tell (reset_after) goes into the nodes."""
    said = {path: leaf.chosen.attrs for path, leaf in leaves.items() if leaf.chosen and leaf.chosen.attrs}
    return [replace(n, attrs={**n.attrs, **said[n.name]}) if n.name in said else n for n in nodes]


def _output_names(tensors: list[str], nodes: list[Node], feeds: dict[str, str], labels: dict[str, str]) -> list[str]:
    """Layer names, with the state's for a returned state; made unique by a number."""
    made = {t: n.name for n in nodes for t in n.outputs}
    out: list[str] = []
    for t in tensors:
        name = made.get(t) or feeds.get(t, t)
        if t in labels:
            name = f"{name}/{labels[t]}"
        k, unique = 1, name
        while unique in out:
            unique, k = f"{name}_{k}", k + 1
        out.append(unique)
    return out


def _weighted(spec: LayerSpec) -> bool | None:
    """Whether a layer may hold weights; None for a class that is not known."""
    if isinstance(spec, ModelSpec):
        inside = [_weighted(x) for x in spec.layers]
        return True if True in inside else (None if None in inside else False)
    if spec.class_name == "TimeDistributed":
        return _weighted(spec.inner["layer"]) if "layer" in spec.inner else None
    if spec.class_name == "Bidirectional":
        return True
    if is_operation(spec):
        return False
    entry = REGISTRY.get(spec.class_name)
    if entry is None:
        return None
    return entry.weighted
