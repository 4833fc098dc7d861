"""Masks at conversion: how each Keras makes, joins and hands on the mask of a tensor.

A mask is a bool tensor of the graph, named in :attr:`~.call.Value.mask`. Here is what depends on the version:
the join of merge layers, and the mask that a layer's call is given beside the one that goes on with its output.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .call import LayerCall, Value
from .joining import agree_axes

__all__ = ["join_masks", "mask_of", "mask_op", "merged_mask", "rank_of", "reduced_mask", "with_masks"]


def mask_op(c: LayerCall, op: str, inputs: Sequence[str], **attrs: Any) -> str:
    """The output of a mask op; the same op on the same tensors is made once in a graph.

    Keras 3 writes the computation of masks into its files beside the layers that compute them: both are one then.
    """
    key = (op, tuple(inputs), tuple(sorted(attrs.items())))
    known = c.builder.mask_ops
    if key not in known:
        known[key] = c.emit(op, [Value(t) for t in inputs], attrs)[0].tensor or ""
    return known[key]


def rank_of(c: LayerCall, tensor: str) -> int:
    """The rank of a graph tensor."""
    return len(c.builder.tensors[tensor].shape)


def mask_of(c: LayerCall, value: Value) -> str:
    """The value's mask, made of ones (batch, time) where it has none."""
    return value.mask or mask_op(c, "ones_mask", [value.tensor or ""])


def reduced_mask(c: LayerCall, mask: str, mode: str = "any", rank: int = 2) -> str:
    """A mask of more axes brought to ``rank`` by any (or all) over its last ones."""
    while rank_of(c, mask) > rank:
        mask = mask_op(c, "reduce_mask", [mask], mode=mode)
    return mask


def join_masks(c: LayerCall, op: str, masks: Sequence[str]) -> str:
    """``logical_and`` or ``logical_or`` of one or more masks."""
    unique = list(dict.fromkeys(masks))
    if len(unique) == 1:
        return unique[0]
    shapes = {c.builder.tensors[m].shape for m in unique}
    if len({len(s) for s in shapes}) > 1:
        raise c.refuse(f"it joins masks of the shapes {sorted(map(str, shapes))}")
    return mask_op(c, op, unique)


def merged_mask(c: LayerCall, values: Sequence[Value], axis: int = -1) -> str | None:
    """The mask of a merge layer's output, or None.

    Keras 1 and 2 take the AND of the masks that exist. Keras 3 takes the OR, and none where one input has none.
    A Concatenate along time joins the masks in time, with ones for an input that has none; along the features it
    does as the others do (a missing mask counts as ones: nothing to ``all``, everything to ``any``). Dot drops
    them. axis is Concatenate's own, as the layer writes it.
    """
    name = c.spec.class_name
    masks = [v.mask for v in values]
    have = [m for m in masks if m is not None]
    if not have or name == "Dot":
        return None
    modern = c.spec.generation >= 3
    if name == "Concatenate":
        rank = len(c.tensor(values[0]).shape)
        at = axis % rank
        if any(rank_of(c, m) != rank - 1 for m in have) and (modern or at != 1):
            raise c.refuse("it joins a tensor with a mask of another rank")
        if at == 1 and rank > 2:
            if any(rank_of(c, m) != 2 for m in have):
                raise c.refuse("it joins masks of places, not of steps, in time")
            return mask_op(c, "concat_masks", [mask_of(c, v) for v in values])
        if at != rank - 1:
            raise c.refuse(f"it joins masked tensors along axis {axis}")
    if modern:
        return join_masks(c, "logical_or", have) if len(have) == len(masks) else None
    return join_masks(c, "logical_and", have)


def with_masks(c: LayerCall, values: Sequence[Any], given: Any) -> list[Any]:
    """The values with the masks of an explicit ``mask=`` (a tensor, or a list with None) in the place of their own."""
    if given is None:
        return list(values)
    masks = list(given) if isinstance(given, (list, tuple)) else [given]
    if len(masks) > len(values):
        raise c.refuse(f"it is called with {len(masks)} masks for {len(values)} tensors")
    out = []
    for k, value in enumerate(values):
        mask = masks[k] if k < len(masks) else None
        if mask is None:
            out.append(value)
            continue
        if not isinstance(mask, Value):
            raise c.refuse("it is called with a constant as mask")
        spec, rank = c.tensor(mask), len(c.tensor(value).shape)
        if len(spec.shape) >= rank + (c.spec.class_name == "Softmax"):  # its mask is one of places, not of steps
            raise c.refuse(f"it is called with a mask of rank {len(spec.shape)} for a tensor of rank {rank}")
        if len(spec.shape) > 1 and (c.spec.class_name != "Softmax" or len(spec.shape) == rank):
            agree_axes(c, [value, mask], [1, 1])  # an input given as a mask is as long as what it masks
        if spec.dtype != "bool":
            mask = c.emit("cast", [mask], {"dtype": "bool"})[0]
        out.append(Value(value.tensor, mask.tensor))
    return out
