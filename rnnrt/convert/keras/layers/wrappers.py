"""TimeDistributed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..call import LayerCall, UnknownInput, Value
from ..masks import rank_of, reduced_mask
from ..spec import LayerSpec, ModelSpec
from .registry import REGISTRY, layer


@layer("TimeDistributed", options=("layer",), weighted=True, per_step=True, mask="own", note="over any layer or model")
def time_distributed(c: LayerCall) -> list[Value]:
    """The inner layer on every step.

    A layer that treats (batch, time, ...) as it treats (batch, ...) is applied as it is; any other layer, and a
    model, works on batch * time rows. Keras 3 and 1 hand the mask that comes in on; Keras 2 asks the inner layer.
    """
    inner = c.spec.inner.get("layer")
    if inner is None:
        raise c.refuse("the inner layer is missing")
    if any(v.tensor is None for v in c.inputs):
        raise UnknownInput
    for v in c.inputs:
        rank = len(c.tensor(v).shape)
        if rank - c.rank_shift < (2 if inner.class_name == "Embedding" else 3):
            raise c.refuse(f"it needs an input of rank >= 3, got rank {rank}")
    entry = REGISTRY.get(inner.class_name)
    kwargs = {k: v for k, v in c.kwargs.items() if k == "training"}
    path = f"{c.path}/{inner.name}"
    if entry is not None and entry.per_step and not isinstance(inner, ModelSpec):
        out = c.builder.call_layer(inner, path, _one_or_list(_inputs(c, inner)), kwargs, c.rank_shift + 1)
    else:
        out = _folded(c, inner, path, kwargs)
    return _masks(c, inner, out)


def _one_or_list(values: list[Value]) -> list:
    return [values[0] if len(values) == 1 else values]


def _inputs(c: LayerCall, inner: LayerSpec) -> list[Value]:
    """The inputs as the inner layer gets them: Keras 1 hands no mask in."""
    if c.mask is not None and inner.class_name == "Softmax":
        raise c.refuse("TimeDistributed(Softmax) under a mask is not supported")
    return c.inputs if c.spec.generation >= 2 else [Value(v.tensor) for v in c.inputs]


def _folded(c: LayerCall, inner: LayerSpec, path: str, kwargs: dict[str, Any]) -> list[Value]:
    """The inner layer over rows of batch * time; its masks come back with the time axis."""
    values = _inputs(c, inner)
    if c.rank_shift and c.mask is not None:
        raise c.refuse("TimeDistributed inside TimeDistributed under a mask is not supported")
    before = len(c.builder.nodes)
    like = [values[0]]
    rows = [Value(v.tensor, v.mask) for v in values]
    for k in range(c.rank_shift + 1):
        rows = [Value(_fold(c, v.tensor or ""), v.mask and _fold(c, v.mask)) for v in rows]
        if k < c.rank_shift:
            like.append(rows[0])
    out = c.builder.call_layer(inner, path, _one_or_list(rows), kwargs)
    if any(n.attrs.get("stateful") for n in c.builder.nodes[before:]):
        raise c.refuse("a stateful layer inside TimeDistributed is not supported")
    if any(v.tensor is None for v in out):
        raise UnknownInput
    for back in reversed(like):
        out = [Value(_unfold(c, v.tensor or "", back), v.mask and _unfold(c, v.mask, back)) for v in out]
    return out


def _fold(c: LayerCall, tensor: str) -> str:
    return c.emit("fold_time", [Value(tensor)])[0].tensor or ""


def _unfold(c: LayerCall, tensor: str, like: Value) -> str:
    return c.emit("unfold_time", [Value(tensor), Value(like.tensor)])[0].tensor or ""


def _masks(c: LayerCall, inner: LayerSpec, out: list[Value]) -> list[Value]:
    """The masks that go on."""
    given = c.inputs[0].mask
    if c.spec.generation != 2:
        return [replace(v, mask=given) for v in out]
    if given is None:
        return out
    entry = REGISTRY.get(inner.class_name)
    if entry is not None and entry.mask == "stop":
        raise c.refuse(f"Keras 2 refuses a mask at TimeDistributed({inner.class_name})")
    return [v if v.mask is not None else replace(v, mask=_two_axes(c, given)) for v in out]


def _two_axes(c: LayerCall, mask: str) -> str:
    return reduced_mask(c, mask) if rank_of(c, mask) > 2 else mask
