"""Graph <-> JSON, strict both ways. The schema is in FORMAT.md, section "The graph"."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from ..errors import FormatError
from ..ir.activations import activation_from_json, activation_to_json
from ..ir.dims import Dim, dim_from_json, dim_to_json, symbols_of
from ..ir.graph import Graph, InputSpec, Node, TensorSpec, WeightSpec
from ..ir.narrow import scale_name, scale_shapes
from ..ir.ops import OPS
from ..ir.ops.spec import check_attrs
from ..ir.ops.table import HOST_OPS
from ..ir.validate import validate
from .header import MAX_RANK
from .refusals import refusal
from .strict_json import MAX_INT, dumps

__all__ = ["features", "fingerprint", "graph_from_json", "graph_to_json", "quantisation", "stored_weights"]

TENSOR_DTYPES = ("float32", "float64", "float16", "bfloat16", "int32", "int64", "bool")
WEIGHT_DTYPES = ("float32", "float64", "float16", "bfloat16", "int8")
_DTYPE_FEATURES = frozenset({"float64", "float16", "bfloat16", "int8"})

_GRAPH_KEYS = (
    "name inputs outputs output_names nodes tensors weights input_structure output_structure session"
).split()
_NODE_KEYS = "id op name inputs outputs attrs weights mask initial_state layer_class".split()

# what the rules of rnnrt.ir raise on graphs that no converter makes
_SENSELESS = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    AssertionError,
)


def features(graph: Graph) -> list[str]:
    """The named features that a runtime must have to run this graph, sorted (``rnnrt.requires``)."""
    used = {t.dtype for t in graph.tensors.values()} | {w.dtype for w in graph.weights.values()}
    host = {"host"} if any(n.op in HOST_OPS for n in graph.nodes) else set()
    return sorted(used & _DTYPE_FEATURES | host)


def stored_weights(graph: Graph) -> dict[str, WeightSpec]:
    """All weights of a file: the graph's, then the scales of its int8 ones."""
    scales = {name: WeightSpec(name, shape) for name, shape in scale_shapes(graph).items()}
    return {**graph.weights, **scales}


def quantisation(graph: Graph) -> dict[str, Any] | None:
    """``rnnrt.quant``: how int8 weights are meant; None for a graph without them."""
    names = sorted(w.name for w in graph.weights.values() if w.dtype == "int8")
    return {"scheme": 1, "scales": {w: scale_name(w) for w in names}} if names else None


# ---------------------------------------------------------------- checks of JSON values


def _fail(place: str, text: str) -> FormatError:
    return refusal("F24", place, text)


def _keys(obj: Any, keys: list[str], place: str) -> dict:
    """obj, if it is an object with exactly these keys."""
    if not isinstance(obj, dict):
        raise _fail(place, f"expected an object, got {obj!r:.60}")
    for k in obj:
        if k not in keys:
            raise _fail(place, f"unknown key {k!r}")
    for k in keys:
        if k not in obj:
            raise _fail(place, f"key {k!r} is missing")
    return obj


def _str(value: Any, place: str) -> str:
    if not isinstance(value, str):
        raise _fail(place, f"expected a string, got {value!r:.60}")
    return value


def _name(value: Any, place: str) -> str:
    if not _str(value, place):
        raise _fail(place, "expected a name, got an empty string")
    return value


def _list(value: Any, place: str) -> list:
    if not isinstance(value, (list, tuple)):
        raise _fail(place, f"expected a list, got {value!r:.60}")
    return list(value)


def _object(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        raise _fail(place, f"expected an object, got {value!r:.60}")
    for k, v in value.items():
        yield _name(k, place), v


def _names(value: Any, place: str) -> list[str]:
    return [_name(v, f"{place}[{i}]") for i, v in enumerate(_list(value, place))]


def _choice(value: Any, choices: tuple[str, ...], place: str) -> str:
    if _str(value, place) not in choices:
        raise _fail(place, f"{value!r} is not one of {', '.join(choices)}")
    return value


def _int(value: Any, place: str, lowest: int = 0) -> int:
    if type(value) is not int or not lowest <= value < MAX_INT:
        raise _fail(place, f"expected an integer from {lowest} to below 2^48, got {value!r:.60}")
    return value


def _axes(value: Any, place: str) -> list:
    shape = _list(value, place)
    if len(shape) > MAX_RANK:
        raise _fail(place, f"{len(shape)} axes, at most {MAX_RANK} are allowed")
    return shape


def _structure(value: Any, place: str) -> Any:
    """An input or output structure: an index, a list or an object of structures."""
    if isinstance(value, dict):
        return {_str(k, place): _structure(v, f"{place}.{k}") for k, v in value.items()}
    if isinstance(value, list):
        return [_structure(v, f"{place}[{i}]") for i, v in enumerate(value)]
    return _int(value, place)


def _canonical(value: Any, decode: Callable, encode: Callable, place: str) -> Any:
    """decode(value), refused where encoding it again gives something else."""
    try:
        out = decode(value)
        if encode(out) != value:
            raise ValueError(f"not in canonical form: {value!r:.80}")
    except _SENSELESS as e:
        raise _fail(place, str(e)) from None
    return out


# ---------------------------------------------------------------- attributes


def _float_to_json(value: float) -> Any:
    return ("inf" if value > 0 else "-inf") if math.isinf(value) else float(value)


def _float_from_json(value: Any, place: str) -> float:
    if value in ("inf", "-inf"):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise _fail(place, f'expected a number, "inf" or "-inf", got {value!r:.60}')
    return float(value)


def _attr_to_json(kind: str, value: Any) -> Any:
    if kind == "activation":
        return activation_to_json(value)
    if kind == "float":
        return _float_to_json(value)
    if kind == "floats":
        return [float(v) for v in value]
    return list(value) if kind == "ints" else value


def _attr_from_json(kind: str, value: Any, place: str) -> Any:
    if kind == "activation":
        return _canonical(value, activation_from_json, activation_to_json, place)
    if kind == "float":
        return _float_from_json(value, place)
    if kind == "int":
        return _int(value, place, 1 - MAX_INT)
    if kind == "ints":
        return tuple(_int(v, f"{place}[{i}]", 1 - MAX_INT) for i, v in enumerate(_list(value, place)))
    if kind == "floats":
        return tuple(_float_from_json(v, f"{place}[{i}]") for i, v in enumerate(_list(value, place)))
    if kind == "bool" and not isinstance(value, bool):
        raise _fail(place, f"expected true or false, got {value!r:.60}")
    return value if kind == "bool" else _str(value, place)


def _attrs_to_json(node: Node, place: str, sparse: bool) -> dict:
    """All attributes of the op in its order; without those at their defaults if sparse."""
    spec = OPS.get(node.op)
    if spec is None:
        raise _fail(place, f"unknown op {node.op!r}")
    try:
        attrs = check_attrs(spec, node.attrs)
    except ValueError as e:
        raise refusal("F25", place, str(e)) from None
    return {
        k: _attr_to_json(a.kind, attrs[k])
        for k, a in spec.attrs.items()
        if not (sparse and a.default is not None and attrs[k] == a.default)
    }


def _attrs_from_json(op: str, obj: Any, place: str) -> dict:
    spec = OPS.get(op)
    if spec is None:
        raise _fail(place, f"unknown op {op!r}")
    out = {}
    for k, v in _object(obj, f"{place}.attrs"):
        if k not in spec.attrs:
            raise _fail(f"{place}.attrs", f"unknown attribute {k!r} of op {op}")
        out[k] = _attr_from_json(spec.attrs[k].kind, v, f"{place}.attrs.{k}")
    return out


# ---------------------------------------------------------------- graph -> JSON


def graph_to_json(graph: Graph, *, sparse: bool = False) -> dict:
    """The graph as JSON values (dict, list, str, int, float, bool, None), attributes written out.

    sparse leaves out attributes at their defaults: the form that the fingerprint is taken over.
    Raises FormatError with the place for anything that :func:`graph_from_json` would refuse by type.
    """
    tensors = {}
    for key, t in graph.tensors.items():
        place = f"graph.tensors.{key}"
        if t.name != key:
            raise _fail(place, f"holds the tensor {t.name!r}")
        shape = [dim_to_json(d) for d in _axes(t.shape, place)]
        tensors[_name(key, place)] = {"shape": shape, "dtype": _choice(t.dtype, TENSOR_DTYPES, place)}
    weights = {}
    for key, w in graph.weights.items():
        place = f"graph.weights.{key}"
        if w.name != key:
            raise _fail(place, f"holds the weight {w.name!r}")
        axes = [_int(n, place) for n in _axes(w.shape, place)]
        weights[_name(key, place)] = {"shape": axes, "dtype": _choice(w.dtype, WEIGHT_DTYPES, place)}
    out = {
        "name": graph.name,
        "inputs": [{"tensor": s.tensor, "name": s.name, "role": s.role} for s in graph.inputs],
        "outputs": list(graph.outputs),
        "output_names": list(graph.output_names),
        "nodes": [
            {
                "id": n.id,
                "op": n.op,
                "name": n.name,
                "inputs": list(n.inputs),
                "outputs": list(n.outputs),
                "attrs": _attrs_to_json(n, f"graph.nodes[{i}] ({n.name})", sparse),
                "weights": {r: n.weights[r] for r in sorted(n.weights)},
                "mask": n.mask,
                "initial_state": list(n.initial_state),
                "layer_class": n.layer_class,
            }
            for i, n in enumerate(graph.nodes)
        ],
        "tensors": tensors,
        "weights": weights,
        "input_structure": _structure(graph.input_structure, "graph.input_structure"),
        "output_structure": _structure(graph.output_structure, "graph.output_structure"),
        "session": graph.session,
    }
    _decode(out)  # what is not a string where one belongs is refused here, not by whoever reads the file
    return out


# ---------------------------------------------------------------- JSON -> graph


def _node_from_json(obj: Any, place: str) -> Node:
    o = _keys(obj, _NODE_KEYS, place)
    name = _name(o["name"], f"{place}.name")
    place = f"{place} ({name})"
    op = _str(o["op"], f"{place}.op")
    return Node(
        id=_name(o["id"], f"{place}.id"),
        op=op,
        name=name,
        inputs=tuple(_names(o["inputs"], f"{place}.inputs")),
        outputs=tuple(_names(o["outputs"], f"{place}.outputs")),
        attrs=_attrs_from_json(op, o["attrs"], place),
        weights={k: _name(v, f"{place}.weights.{k}") for k, v in _object(o["weights"], f"{place}.weights")},
        mask=None if o["mask"] is None else _name(o["mask"], f"{place}.mask"),
        initial_state=tuple(_names(o["initial_state"], f"{place}.initial_state")),
        layer_class=_str(o["layer_class"], f"{place}.layer_class"),
    )


def _decode(obj: Any) -> Graph:
    """A Graph from JSON values, types and keys checked, not yet validated."""
    o = _keys(obj, _GRAPH_KEYS, "graph")
    inputs = []
    for i, v in enumerate(_list(o["inputs"], "graph.inputs")):
        place = f"graph.inputs[{i}]"
        s = _keys(v, ["tensor", "name", "role"], place)
        role = _choice(s["role"], ("data", "state"), f"{place}.role")
        inputs.append(InputSpec(_name(s["tensor"], place), _name(s["name"], place), role))
    tensors = {}
    for k, v in _object(o["tensors"], "graph.tensors"):
        place = f"graph.tensors.{k}"
        s = _keys(v, ["shape", "dtype"], place)
        shape = tuple(_canonical(d, dim_from_json, dim_to_json, place) for d in _axes(s["shape"], place))
        tensors[k] = TensorSpec(k, shape, _choice(s["dtype"], TENSOR_DTYPES, place))
    weights = {}
    for k, v in _object(o["weights"], "graph.weights"):
        place = f"graph.weights.{k}"
        s = _keys(v, ["shape", "dtype"], place)
        axes = tuple(_int(n, place) for n in _axes(s["shape"], place))
        weights[k] = WeightSpec(k, axes, _choice(s["dtype"], WEIGHT_DTYPES, place))
    nodes = [_node_from_json(v, f"graph.nodes[{i}]") for i, v in enumerate(_list(o["nodes"], "graph.nodes"))]
    return Graph(
        name=_str(o["name"], "graph.name"),
        inputs=inputs,
        outputs=_names(o["outputs"], "graph.outputs"),
        nodes=nodes,
        tensors=tensors,
        weights=weights,
        input_structure=_structure(o["input_structure"], "graph.input_structure"),
        output_structure=_structure(o["output_structure"], "graph.output_structure"),
        session=_str(o["session"], "graph.session"),
        output_names=_names(o["output_names"], "graph.output_names"),
    )


def _check_sense(graph: Graph) -> None:
    """validate, and what it leaves to the file: bound symbols, weights in use; FormatError F25, F26."""
    try:
        validate(graph)
    except _SENSELESS as e:
        raise refusal("F25", "graph", str(e) or type(e).__name__) from None
    bound = {"B"}
    for spec in graph.inputs:
        for d in graph.tensors[spec.tensor].shape:
            if isinstance(d, Dim) and d.kind == "sym":
                bound.add(d.args[0])
    for t in graph.tensors.values():
        for d in t.shape:
            free = symbols_of(d) - bound
            if free:
                raise refusal("F25", f"graph.tensors.{t.name}", f"no input binds the length {min(free)!r}")
    used = {w for n in graph.nodes for w in n.weights.values()}
    for w in graph.weights:
        if w not in used:
            raise refusal("F26", w, "is read by no node")


def graph_from_json(obj: Any) -> Graph:
    """The inverse of :func:`graph_to_json`; the result has passed :func:`rnnrt.ir.validate.validate`.

    ``obj`` comes from :func:`rnnrt.format.strict_json.loads`. Raises FormatError (F24 to F26) with
    the place for unknown or missing keys, wrong types and graphs that make no sense. Attributes that
    are absent get their defaults.
    """
    graph = _decode(obj)
    _check_sense(graph)
    for node in graph.nodes:
        node.attrs.update(check_attrs(OPS[node.op], node.attrs))
    return graph


def fingerprint(graph: Graph, weights: Mapping[str, np.ndarray]) -> str:
    """SHA-256 (hex) over the graph and its weights, the same for a model in memory and its file.

    Over the graph's shortest JSON without attributes at their defaults, then per weight in the order
    of names: name, dtype, shape, bytes; each field preceded by its length as 8 bytes little-endian.
    """
    import hashlib  # brings OpenSSL

    h = hashlib.sha256()

    def field(data: Any, nbytes: int) -> None:
        h.update(nbytes.to_bytes(8, "little"))
        h.update(data)

    text = dumps(graph_to_json(graph, sparse=True)).encode("utf-8")
    field(text, len(text))
    specs = stored_weights(graph)
    for name in sorted(specs):
        spec = specs[name]
        for s in (name, spec.dtype, ",".join(map(str, spec.shape))):
            field(s.encode("utf-8"), len(s.encode("utf-8")))
        w = np.ascontiguousarray(weights[name]).reshape(-1).view(np.uint8)
        field(w, w.nbytes)
    return h.hexdigest()
