"""Inbound nodes of functional models, of every version, as :class:`~.spec.Call`."""

from __future__ import annotations

from typing import Any

from ...errors import ConversionError
from .spec import Call, LayerSpec, ModelSpec, TensorRef, refs

__all__ = ["parse_calls", "parse_references", "rebase"]

_MAX_INDEX = 1 << 20


def _index(value: Any, place: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _MAX_INDEX:
        raise ConversionError(f"{place}: {str(value)[:40]!r} is not a node or tensor index")
    return value


def _triple(value: Any) -> bool:
    return (
        isinstance(value, (list, tuple))
        and len(value) in (3, 4)
        and isinstance(value[0], str)
        and all(isinstance(v, int) and not isinstance(v, bool) for v in value[1:3])
        and (len(value) == 3 or isinstance(value[3], dict))
    )


def _constant(value: Any) -> bool:
    return isinstance(value, list) and len(value) in (3, 4) and value[0] == "_CONSTANT_VALUE" and value[1] == -1


def _ref(value: Any, place: str) -> TensorRef:
    return TensorRef(value[0], _index(value[1], place), _index(value[2], place))


def _keras3(value: Any, place: str) -> Any:
    """An argument of a Keras 3 node: KerasTensors become TensorRefs."""
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            config = value.get("config")
            history = config.get("keras_history") if isinstance(config, dict) else None
            if not isinstance(history, list) or not _triple(history[:3]):
                raise ConversionError(f"{place}: a tensor without a history")
            shape = config.get("shape") if isinstance(config, dict) else None
            known = isinstance(shape, list) and all(d is None or isinstance(d, int) for d in shape)
            ref = _ref(history, place)
            return TensorRef(ref.layer, ref.call, ref.tensor, tuple(shape) if known and shape else None)
        return {k: _keras3(v, place) for k, v in value.items()}
    if isinstance(value, list):
        return [_keras3(v, place) for v in value]
    return value


def _keras2_argument(value: Any, place: str) -> Any:
    """A value inside a Keras 2 node's kwargs: bare triples are tensors."""
    if _triple(value) and len(value) == 3:
        return _ref(value, place)
    if isinstance(value, list):
        return [_keras2_argument(v, place) for v in value]
    if isinstance(value, dict):
        return {k: _keras2_argument(v, place) for k, v in value.items()}
    return value


def _keras2(node: Any, place: str) -> Call:
    """A Keras 1 or 2 node: a list of [layer, node, tensor, kwargs], or one such entry by itself (TFOpLambda)."""
    entries: Any = [node] if _triple(node) or _constant(node) else node
    kwargs: dict[str, Any] = {}

    def entry(e: Any) -> Any:
        if _triple(e) and not _constant(e):
            if len(e) == 4:
                kwargs.update(_keras2_argument(e[3], place))
            return _ref(e, place)
        if _constant(e):
            if len(e) == 4 and isinstance(e[3], dict):
                kwargs.update(_keras2_argument(e[3], place))
            return e[2]
        if isinstance(e, list):
            return [entry(x) for x in e]
        if isinstance(e, dict):
            return {k: entry(x) for k, x in e.items()}
        raise ConversionError(f"{place}: an inbound node that Keras does not write: {str(e)[:80]}")

    args = entry(entries)
    return Call([args[0] if isinstance(args, list) and len(args) == 1 else args], kwargs)


def parse_calls(inbound: Any, place: str) -> list[Call]:
    """The calls of a layer. args[0] is the tensor, or the list of tensors, that it was called on.

    Raises ConversionError for what no Keras writes.
    """
    if inbound is None:
        return []
    if not isinstance(inbound, list):
        raise ConversionError(f"{place}: inbound_nodes must be a list")
    calls = []
    for node in inbound:
        if isinstance(node, dict) and "args" in node:
            args, kwargs = node.get("args"), node.get("kwargs", {})
            if not isinstance(args, list) or not isinstance(kwargs, dict):
                raise ConversionError(f"{place}: an inbound node without args and kwargs")
            calls.append(Call(_keras3(args, place), _keras3(kwargs, place)))
        else:
            calls.append(_keras2(node, place))
    return calls


def parse_references(value: Any, generation: int, place: str) -> Any:
    """``input_layers`` or ``output_layers``: a structure of TensorRefs.

    Keras 3 mirrors the user's structure: a flat triple is one tensor, ``[triple]`` a list of one.
    Keras 1 and 2 write a list in both cases, and give an array for a list of one.
    """
    out = _keras2_argument(value, place)
    if generation <= 2 and isinstance(out, list) and len(out) == 1:
        out = out[0]

    def check(v: Any) -> None:
        if isinstance(v, TensorRef):
            return
        if isinstance(v, list) and v:
            for x in v:
                check(x)
        elif isinstance(v, dict) and v:
            for x in v.values():
                check(x)
        else:
            raise ConversionError(f"{place}: not a tensor of the model: {str(v)[:80]}")

    check(out)
    return out


def rebase(model: ModelSpec, place: str) -> None:
    """Make call indices count from 0, in place.

    Keras 1 and 2 number the calls of nested models from 1 (node 0 is the model's own making). Keras 3 does so for
    functional models in ``output_layers``; in the arguments of other layers it left the model's own node out at
    some time, so that there the smallest number tells.
    """
    layers = {layer.name: layer for layer in model.layers}
    calls = [part for layer in model.layers for call in layer.calls for part in (call.args, call.kwargs)]
    ends = [model.inputs, model.outputs]
    groups = [calls, ends] if model.generation >= 3 else [[*calls, *ends]]
    bases: list[dict[str, int]] = []
    for group in groups:
        used: dict[str, set[int]] = {}
        for ref in refs(group):
            used.setdefault(ref.layer, set()).add(ref.call)
        inside = group is calls
        bases.append({name: _base(layers.get(name), numbers, inside, place) for name, numbers in used.items()})

    def shift(value: Any, base: dict[str, int]) -> Any:
        if isinstance(value, TensorRef):
            layer = layers.get(value.layer)
            if layer is None:
                raise ConversionError(f"{place}: refers to the layer {value.layer!r}, which is not there")
            call = value.call - base[value.layer]
            if not 0 <= call < max(1, len(layer.calls)):
                raise ConversionError(f"{place}: refers to call {value.call} of {value.layer!r}, which is not there")
            return TensorRef(value.layer, call, value.tensor, value.shape)
        if isinstance(value, list):
            return [shift(v, base) for v in value]
        if isinstance(value, dict):
            return {k: shift(v, base) for k, v in value.items()}
        return value

    for layer in model.layers:
        for call in layer.calls:
            call.args = shift(call.args, bases[0])
            call.kwargs = shift(call.kwargs, bases[0])
    model.inputs = shift(model.inputs, bases[-1])
    model.outputs = shift(model.outputs, bases[-1])


#: Keras 3 versions that certainly leave a nested model's own node out of the numbers in arguments
_WITHOUT_OWN_NODE = (3, 8)


def _base(layer: LayerSpec | None, used: set[int], inside: bool, place: str) -> int:
    """What the calls of a layer are counted from. inside: in the arguments of Keras 3's layers."""
    if not isinstance(layer, ModelSpec) or 0 in used:
        return 0
    if max(used) == len(layer.calls):
        return 1
    if not inside:
        return 1 if layer.generation <= 2 or layer.functional else 0
    if layer.version[:2] < _WITHOUT_OWN_NODE:
        raise ConversionError(
            f"{place}: {layer.name!r} is called {len(layer.calls)} times, and this version of Keras does not tell "
            "which call is read; load the model in a later Keras 3 and save it again"
        )
    return 0
