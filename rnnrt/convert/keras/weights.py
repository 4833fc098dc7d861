"""Which array of the file is which weight: by order, by class and order, in every layout.

Keras matches legacy HDF5 by order: top-level layers with weights in the model's order, and within one
of them the trainable arrays first, then the others. ``.keras`` files go by class and order instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...errors import ConversionError
from ...ir.halves import as_stored, widen
from ..sources.base import OrderedWeights, PathWeights, StoredArray
from .policies import policy_of
from .spec import LayerSpec, ModelSpec

__all__ = ["Layout", "Leaf", "Part", "attention_parts", "load", "snake_case"]


@dataclass(frozen=True)
class Part:
    """One array of a layer: its role (``kernel``), shape, and whether the optimizer moves it.

    read: False for what the file holds beside the weights (a count of integers); zeros stand in its place.
    """

    role: str
    shape: tuple[int, ...]
    trainable: bool = True
    read: bool = True


@dataclass(frozen=True)
class Layout:
    """Another way in which a file may hold a layer's arrays.

    convert: the arrays in the order of parts -> {role: array} of the layer's own parts. attrs: what this
    layout says about the layer (``reset_after``), written into its nodes. native replaces the layer's own
    parts where their shapes differ under those attrs. always: no file holds the arrays as the layer's own parts say.
    """

    name: str
    parts: tuple[Part, ...]
    convert: Callable[[list[np.ndarray]], dict[str, np.ndarray]]
    attrs: dict[str, Any] = field(default_factory=dict)
    native: tuple[Part, ...] | None = None
    always: bool = False


@dataclass
class Leaf:
    """A layer with weights: its declared parts, possible layouts, and the one that the file has."""

    path: str
    spec: LayerSpec
    parts: list[Part]
    layouts: list[Layout]
    vars_at: tuple[str, ...]
    chosen: Layout | None = None


def snake_case(name: str) -> str:
    """``TimeDistributed`` -> ``time_distributed`` as Keras names the folders of its weight files."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def attention_parts(spec: LayerSpec) -> dict[str, LayerSpec]:
    """The dense layers that a MultiHeadAttention makes for itself, in their order."""
    config = {"dtype": spec.config.get("dtype")}
    return {
        name: LayerSpec("EinsumDense", name, config, spec.generation, spec.version, spec.trainable)
        for name in ("query", "key", "value", "attention_output")
    }


def children(spec: LayerSpec, skipped: Sequence[str] = ()) -> Iterator[tuple[LayerSpec, str, tuple[str, ...]]]:
    """(layer, path below, folders below) of what a model or wrapper holds.

    skipped: layers of a model that were saved before; Keras 2 does not count them.
    """
    if isinstance(spec, ModelSpec):
        counts: dict[str, int] = {}
        for layer in spec.layers:
            folder = snake_case(layer.class_name)
            n = counts.get(folder, 0)
            counts[folder] = n + (spec.generation >= 3 or layer.name not in skipped)
            yield layer, layer.name, ("layers", f"{folder}_{n}" if n else folder)
    elif spec.class_name == "TimeDistributed" and "layer" in spec.inner:
        yield spec.inner["layer"], spec.inner["layer"].name, ("layer",)
    elif spec.class_name == "MultiHeadAttention":
        for name, part in attention_parts(spec).items():
            yield part, name, (f"{'output' if name == 'attention_output' else name}_dense",)
    elif spec.class_name == "Bidirectional" and "layer" in spec.inner:
        for attr, folder in (("layer", "forward_layer"), ("backward_layer", "backward_layer")):
            yield spec.inner[attr], spec.inner[attr].name, (folder,)
    elif spec.class_name == "RNN" and "cell" in spec.inner and spec.inner["cell"].class_name == "StackedRNNCells":
        stack: dict[str, int] = {}
        for cell in spec.inner["cell"].inner.values():
            folder = snake_case(cell.class_name)
            n = stack[folder] = stack.get(folder, -1) + 1
            yield cell, cell.name, ("cell", "cells", f"{folder}_{n}" if n else folder)


def _leaves(spec: LayerSpec, path: str, leaves: dict[str, Leaf]) -> list[Leaf]:
    if path in leaves:
        return [leaves[path]]
    return [leaf for c, name, _ in children(spec) for leaf in _leaves(c, f"{path}/{name}", leaves)]


# ---- order within one top-level layer -----------------------------------------------------------

_Slot = tuple[Leaf, int, bool]  # leaf, index of the part, trainable


def _keras2_order(spec: LayerSpec, path: str, leaves: dict[str, Leaf], choice: dict) -> tuple[list, list]:
    """(trainable, non-trainable) slots as ``trainable_weights`` and ``non_trainable_weights`` list them."""
    leaf = leaves.get(path)
    if leaf is not None:
        own = [(leaf, k, p.trainable) for k, p in enumerate(choice[path].parts)]
        t, n = [s for s in own if s[2]], [s for s in own if not s[2]]
        return (t, n) if spec.trainable else ([], t + n)
    pairs = [_keras2_order(c, f"{path}/{name}", leaves, choice) for c, name, _ in children(spec)]
    if spec.trainable:
        return [s for t, _ in pairs for s in t], [s for _, n in pairs for s in n]
    if isinstance(spec, ModelSpec):
        return [], [s for t, _ in pairs for s in t] + [s for _, n in pairs for s in n]
    return [], [s for t, n in pairs for s in (*t, *n)]


def _natural(spec: LayerSpec, path: str, leaves: dict[str, Leaf], choice: dict, frozen: bool) -> list[_Slot]:
    leaf = leaves.get(path)
    if leaf is not None:
        live = spec.trainable or not frozen
        return [(leaf, k, p.trainable and live) for k, p in enumerate(choice[path].parts)]
    return [s for c, name, _ in children(spec) for s in _natural(c, f"{path}/{name}", leaves, choice, frozen)]


def _orders(spec: LayerSpec, path: str, leaves: dict[str, Leaf], choice: dict) -> list[list[_Slot]]:
    """Possible orders of the arrays of a top-level layer, the likeliest first."""
    t, n = _keras2_order(spec, path, leaves, choice)
    keras2 = t + n
    natural = _natural(spec, path, leaves, choice, frozen=True)
    keras3 = natural if not spec.trainable else sorted(natural, key=lambda s: not s[2])
    # layers made with trainable=False keep trainable variables, as far as Keras 3's models see
    made_frozen = sorted(_natural(spec, path, leaves, choice, frozen=False), key=lambda s: not s[2])
    first = [keras3, keras2] if spec.generation >= 3 else [keras2, keras3]
    out: list[list[_Slot]] = []
    for order in (*first, made_frozen, natural):
        if [s[:2] for s in order] not in [[s[:2] for s in o] for o in out]:
            out.append(order)
    return out


def _name_parts(name: str) -> tuple[str, str]:
    """(layer, role) that a weight's name tells: ``inner/dense_4/kernel:0`` -> (dense_4, kernel)."""
    parts = name.rsplit(":", 1)[0].split("/")
    return (parts[-2] if len(parts) > 1 else "", parts[-1])


_ROLES = {"kernel", "recurrent_kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance", "embeddings"}


def _evidence(order: list[_Slot], stored: list[StoredArray], choice: dict) -> int | None:
    """How many names speak for an order; None where a name or a shape speaks against it."""
    score = 0
    for (leaf, k, _), array in zip(order, stored):
        part = choice[leaf.path].parts[k]
        layer, role = _name_parts(array.name)
        if part.shape != array.shape or (role in _ROLES and part.role in _ROLES and role != part.role):
            return None
        score += layer == leaf.spec.name
    return score


def _choices(leaves: list[Leaf], stored: list[StoredArray], keras1: bool) -> Iterator[dict[str, Layout]]:
    """Layouts for the leaves of one top-level layer whose number of arrays fits the file's."""
    own = {leaf.path: _own(leaf) for leaf in leaves}
    shapes = [a.shape for a in stored]
    families = sorted({lay.name for leaf in leaves for lay in leaf.layouts})
    picks: list[dict[str, Layout]] = [own] + [
        {leaf.path: next((x for x in leaf.layouts if x.name == f), own[leaf.path]) for leaf in leaves} for f in families
    ]
    # a mixture: each leaf in the first of its layouts whose shapes all occur in the file
    picks.append(
        {
            leaf.path: next(
                (x for x in (own[leaf.path], *leaf.layouts) if all(p.shape in shapes for p in x.parts)),
                own[leaf.path],
            )
            for leaf in leaves
        }
    )
    if keras1:
        picks.sort(key=lambda pick: not any(x.name.startswith("keras1") for x in pick.values()))
    for pick in picks:
        if sum(len(x.parts) for x in pick.values()) == len(stored):
            yield pick


def _as_is(parts: list[Part]) -> Callable[[list[np.ndarray]], dict[str, np.ndarray]]:
    return lambda arrays: {p.role: a for p, a in zip(parts, arrays)}


def _match(spec: LayerSpec, leaves: list[Leaf], stored: list[StoredArray], keras1: bool, where: str) -> dict:
    """{leaf path: (layout, its arrays)} for one top-level layer."""
    by_path = {leaf.path: leaf for leaf in leaves}
    best: tuple[int, list[_Slot], dict] | None = None
    first: tuple[list[_Slot], dict] | None = None
    for choice in _choices(leaves, stored, keras1):
        for order in _orders(spec, spec.name, by_path, choice):
            score = _evidence(order, stored, choice)
            first = first or (order, choice)
            if score is not None and (best is None or score > best[0]):
                best = (score, order, choice)
    if best is None:
        if first is None:
            want = sum(len(leaf.parts) for leaf in leaves)
            raise ConversionError(f"{where}: {want} arrays expected, the file has {len(stored)}")
        _explain(first[0], stored, first[1])
    assert best is not None
    out: dict[str, tuple[Layout, list]] = {p: (lay, [None] * len(lay.parts)) for p, lay in best[2].items()}
    for (leaf, k, _), array in zip(best[1], stored):
        out[leaf.path][1][k] = array
    return out


def _of_top(
    spec: LayerSpec, leaves: list[Leaf], stored: list[StoredArray], keras1: bool, same: dict[str, str]
) -> list[tuple[Leaf, Layout, list[StoredArray]]]:
    """The leaves of one top-level layer with their arrays; one that occurs twice in it is stored once."""
    first = {leaf.path: first_place(leaf.path, same) for leaf in leaves}
    once = [leaf for leaf in leaves if first[leaf.path] not in first or first[leaf.path] == leaf.path]
    if len(once) < len(leaves) and sum(len(leaf.parts) for leaf in leaves) == len(stored):
        once = leaves  # not the same after all
    found = _match(spec, once, stored, keras1, spec.name)
    places = [leaf.path if leaf.path in found else first[leaf.path] for leaf in leaves]
    return [(leaf, *found[place]) for leaf, place in zip(leaves, places)]


def _explain(order: list[_Slot], stored: list[StoredArray], choice: dict) -> None:
    for (leaf, k, _), array in zip(order, stored):
        part = choice[leaf.path].parts[k]
        if part.shape != array.shape:
            raise ConversionError(
                f"{leaf.path}.{part.role}: expected {part.shape}, got {array.shape} "
                f"({array.name!r} in the file); architecture and weights do not belong together"
            )
    names = [a.name for a in stored]
    raise ConversionError(f"{order[0][0].path}: the arrays {names} do not fit the layer in any known order")


def first_place(path: str, same: dict[str, str]) -> str:
    """The path under which a layer was met first; its own where it was not met before."""
    parts = path.split("/")
    for k in range(len(parts), 0, -1):
        head = "/".join(parts[:k])
        if head in same:
            return "/".join([same[head], *parts[k:]])
    return path


# ---- whole files --------------------------------------------------------------------------------


def _pair(model: ModelSpec, stored: OrderedWeights, weighted: Callable[[LayerSpec], bool | None], place: str) -> dict:
    """{layer name: its arrays} of top-level layers."""
    filed = dict(stored.layers)
    model_names = [x.name for x in model.layers if x.class_name != "InputLayer"]
    inputs = {x.name for x in model.layers if x.class_name == "InputLayer"}
    if [n for n, _ in stored.layers if n not in inputs] == model_names:
        return filed
    mine = [(x, weighted(x)) for x in model.layers]
    theirs = [arrays for _, arrays in stored.weighted()]
    if any(w is None for _, w in mine):  # a class that is not known: only names can tell
        return filed
    named = [x.name for x, w in mine if w]
    if len(named) != len(theirs):
        if set(dict(stored.weighted())) <= set(named):  # some layers may hold weights and hold none
            return filed
        raise ConversionError(
            f"{place}: {len(theirs)} layers with weights in the file, {len(named)} in the architecture; "
            "they do not belong together"
        )
    return dict(zip(named, theirs))


def _take(leaf: Leaf, layout: Layout, stored: list[StoredArray]) -> dict[str, np.ndarray]:
    raw = []
    for part, array in zip(layout.parts, stored):
        if array.shape != part.shape:
            raise ConversionError(
                f"{leaf.path}.{part.role}: expected {part.shape}, got {array.shape} ({array.name!r} in the file)"
            )
        raw.append(array.read() if part.read else np.zeros(part.shape))
    leaf.chosen = layout
    parts = layout.native or leaf.parts
    arrays = layout.convert([widen(a) for a in raw])
    policy = policy_of(leaf.spec)
    out = {}
    for p in parts:
        values, name = arrays[p.role], f"{leaf.path}.{p.role}"
        assert values.shape == p.shape, (leaf.path, p.role, values.shape)
        out[name] = as_stored(values, policy.variable if policy is not None else "float32")
        if not np.isfinite(widen(out[name])).all():
            raise ConversionError(f"{name}: holds NaN or infinite values")
    return out


def load(
    model: ModelSpec,
    leaves: dict[str, Leaf],
    stored: OrderedWeights | PathWeights,
    weighted: Callable[[LayerSpec], bool | None],
    place: str,
    same: dict[str, str] | None = None,
) -> dict[str, np.ndarray]:
    """Every declared weight in its layer's dtype (bfloat16 as bits), C-contiguous, in Keras's orientation.

    Sets ``chosen`` of each leaf. weighted tells of a layer class whether it may hold weights (None: not
    known). same: layers that were met before, by path (:func:`.sharing.repeats`). Raises ConversionError with
    the weight's name where the file does not fit.
    """
    out: dict[str, np.ndarray] = {}
    with np.errstate(over="ignore"):
        if isinstance(stored, OrderedWeights):
            pairs = _pair(model, stored, weighted, place)
            for layer in model.layers:
                mine = _leaves(layer, layer.name, leaves)
                if not mine:
                    continue
                if layer.name not in pairs:
                    raise ConversionError(f"{layer.name}: no weights for this layer in {place}")
                for leaf, layout, arrays in _of_top(layer, mine, pairs[layer.name], stored.keras1, same or {}):
                    out.update(_take(leaf, layout, arrays))
        else:
            placed = _by_folders(model, leaves, stored, {})
            if same and any(fit is None for _, fit, _, _ in placed):
                placed = _by_folders(model, leaves, stored, same)
            for leaf, fit, arrays, folders in placed:
                if fit is None and len(arrays) != len(leaf.parts):
                    raise ConversionError(
                        f"{leaf.path}: {len(leaf.parts)} arrays expected in "
                        f"{'/'.join((*folders, *leaf.vars_at))}, the file has {len(arrays)}"
                    )
                out.update(_take(leaf, fit or _own(leaf), arrays))
    return out


_Found = tuple[Leaf, "Layout | None", list[StoredArray], tuple[str, ...]]


def _own(leaf: Leaf) -> Layout:
    """The layout in which today's files hold a layer's arrays."""
    stored = next((x for x in leaf.layouts if x.always), None)
    return stored or Layout("", tuple(leaf.parts), _as_is(leaf.parts))


def _by_folders(model: ModelSpec, leaves: dict[str, Leaf], stored: PathWeights, same: dict[str, str]) -> list[_Found]:
    """The leaves with the layout (None: none fits), arrays and folders that the file has for them.

    same: layers whose arrays lie at another path, since they are the same layer.
    """
    out: list[_Found] = []
    places = dict(_folders(model, "", (), same))
    for leaf in leaves.values():
        folders = places.get(first_place(leaf.path, same), ())
        arrays = stored.arrays((*folders, *leaf.vars_at)) or stored.arrays(_private(folders, leaf))
        shapes = [a.shape for a in arrays]
        fits = (x for x in (_own(leaf), *leaf.layouts) if [p.shape for p in x.parts] == shapes)
        out.append((leaf, next(fits, None), arrays, folders))
    return out


def _private(folders: tuple[str, ...], leaf: Leaf) -> tuple[str, ...]:
    """The folder of an attribute that began with an underscore: ``_query_dense``, until some Keras 3."""
    return (*folders[:-1], f"_{''.join(folders[-1:])}", *leaf.vars_at)


def _folders(
    spec: LayerSpec, path: str, folders: tuple[str, ...], same: dict[str, str]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(path, folders) of every layer that is saved, which those in ``same`` are not."""
    skipped = [name for c, name, _ in children(spec) if (f"{path}/{name}" if path else name) in same]
    for c, name, below in children(spec, skipped):
        here = f"{path}/{name}" if path else name
        if here not in same:
            yield here, (*folders, *below)
            yield from _folders(c, here, (*folders, *below), same)
