"""TensorFlowOpLayer (TensorFlow 2.0 to 2.3): a node of TensorFlow's own graph with its constants."""

from __future__ import annotations

from typing import Any

from ..call import LayerCall

__all__ = ["unpack"]

_REDUCE = ("Sum", "Mean", "Max", "Min", "Prod", "Any", "All")
_TYPES = {"DT_FLOAT": "float32", "DT_INT32": "int32", "DT_INT64": "int64", "DT_BOOL": "bool"}


def _attributes(node: dict[str, Any]) -> dict[str, Any]:
    """Attributes as plain values; protobuf's JSON writes integers as strings."""

    def plain(v: Any) -> Any:
        if not isinstance(v, dict) or len(v) != 1:
            return v
        (kind, value), *_ = v.items()
        if kind == "i":
            return int(value)
        if kind == "list":
            return [int(x) for x in value.get("i", [])] if isinstance(value, dict) else []
        return value

    stored = node.get("attr")
    return {k: plain(v) for k, v in stored.items()} if isinstance(stored, dict) else {}


def _constant(value: Any) -> Any:
    """A constant, also as later versions wrap NumPy values."""
    if isinstance(value, dict) and value.get("class_name") == "__numpy__" and isinstance(value.get("config"), dict):
        return value["config"].get("value")
    return value


def _slices(c: LayerCall, begin: Any, end: Any, strides: Any, attr: dict[str, Any]) -> list[Any]:
    """The index of a StridedSlice, whose masks say what its numbers mean."""
    lists = [v if isinstance(v, list) else [v] for v in (begin, end, strides)]
    if any(isinstance(v, bool) or not isinstance(v, int) for part in lists for v in part):
        raise c.refuse("a slice by tensors", "slice with constants")

    def bit(mask: str, k: int) -> int:
        return int(attr.get(mask, 0)) >> k & 1

    key: list[Any] = []
    for k, (b, e, s) in enumerate(zip(*lists)):
        if bit("ellipsis_mask", k):
            key.append("...")
        elif bit("new_axis_mask", k):
            key.append(None)
        elif bit("shrink_axis_mask", k):
            key.append(b)
        else:
            start, stop = (None if bit("begin_mask", k) else b), (None if bit("end_mask", k) else e)
            key.append({"start": start, "stop": stop, "step": s})
    return key


def unpack(c: LayerCall, args: list[Any]) -> tuple[str, list[Any], dict[str, Any]]:
    """(name in the table of TensorFlow's functions, positional arguments, keywords)."""
    node, constants = c.get("node_def"), c.get("constants") or {}
    if not isinstance(node, dict) or not isinstance(node.get("op"), str) or not isinstance(constants, dict):
        raise c.refuse("its node_def is not one that TensorFlow writes")
    op, attr = str(node["op"]), _attributes(node)
    tensors = iter(args[0] if args and isinstance(args[0], list) else args)
    known = {int(k): _constant(v) for k, v in constants.items() if str(k).isdigit()}
    count = len(known) + len(args[0] if args and isinstance(args[0], list) else args)
    if any(k >= count for k in known):
        raise c.refuse("its constants do not fit its inputs")
    xs = [known[k] if k in known else next(tensors) for k in range(count)]
    if op in _REDUCE and len(xs) == 2:
        return op, xs, {"keepdims": attr.get("keep_dims", False)}
    if op == "ConcatV2":
        return "concat", [xs[:-1], xs[-1]], {}
    if op == "Pack":
        return "stack", [xs], {"axis": attr.get("axis", 0)}
    if op == "AddN":
        return op, [xs], {}
    if op == "StridedSlice" and len(xs) == 4:
        return "__operators__.getitem", [xs[0], _slices(c, xs[1], xs[2], xs[3], attr)], {}
    if op == "Squeeze":
        return "squeeze", xs, {"axis": attr.get("squeeze_dims") or None}
    if op == "Cast":
        return "cast", xs, {"dtype": _TYPES.get(str(attr.get("DstT")), "another dtype")}
    if op == "MatMul":
        return "linalg.matmul", xs, {k: attr.get(k, False) for k in ("transpose_a", "transpose_b")}
    if op in ("BatchMatMul", "BatchMatMulV2"):
        return "linalg.matmul", xs, {"transpose_a": attr.get("adj_x", False), "transpose_b": attr.get("adj_y", False)}
    plain: dict[str, str] = {
        "ExpandDims": "expand_dims",
        "Reshape": "reshape",
        "Transpose": "transpose",
        "Tile": "tile",
        "Pad": "pad",
    }
    return plain.get(op, op), xs, {}
