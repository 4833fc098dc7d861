"""Layers that occur more than once in a file: shared by models that lie in each other.

Only some versions mark them (``shared_object_id``), and none on every occurrence. What all agree on: a shared layer has
one class, name and config wherever it occurs, and files by class and order hold its arrays at its first place only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np

from ...errors import UnsupportedLayerError
from ...ir.graph import Node
from .spec import LayerSpec, ModelSpec
from .weights import Leaf, children, first_place

__all__ = ["one_of_equals", "refuse_shared_states", "repeats"]

_SAYS_NOTHING = ("shared_object_id", "build_config", "registered_name", "module", "inbound_nodes")


def repeats(model: ModelSpec) -> dict[str, str]:
    """{path of a layer: path of the same layer met before it}, in the order in which Keras saves layers."""
    first: dict[tuple[str, str, str], str] = {}
    out: dict[str, str] = {}

    def walk(spec: LayerSpec, path: str) -> None:
        for child, name, _ in children(spec):
            here = f"{path}/{name}" if path else name
            if child.class_name == "InputLayer":
                continue
            key = (child.class_name, child.name, json.dumps(_facts(child.config), sort_keys=True, default=str))
            if key in first:
                out[here] = first[key]
            else:
                first[key] = here
                walk(child, here)

    walk(model, "")
    return out


def _facts(config: Any) -> Any:
    if isinstance(config, dict):
        return {k: _facts(v) for k, v in config.items() if k not in _SAYS_NOTHING}
    return [_facts(v) for v in config] if isinstance(config, list) else config


def one_of_equals(leaves: Iterable[Leaf], weights: dict[str, np.ndarray], same: dict[str, str]) -> dict[str, str]:
    """{weight name: the name under which the same array of the same layer is known already}."""
    known = {leaf.path: leaf for leaf in leaves}
    out: dict[str, str] = {}
    for path in known:
        other = known.get(first_place(path, same))
        if other is None or other.path == path:
            continue
        names = [n for n in weights if n.rpartition(".")[0] == path]
        pairs = {n: f"{other.path}.{n.rpartition('.')[2]}" for n in names}
        if all(b in weights and np.array_equal(weights[a], weights[b]) for a, b in pairs.items()):
            out |= pairs
    return out


def refuse_shared_states(nodes: list[Node], renamed: dict[str, str]) -> None:
    """Raise UnsupportedLayerError where a layer that was saved stateful runs at two places: it has one state there."""
    owners: dict[tuple[str, ...], str] = {}
    for n in nodes:
        if not n.attrs.get("stateful") or not n.weights:
            continue
        arrays = tuple(renamed.get(w, w) for w in n.weights.values())
        if arrays in owners and owners[arrays] != n.name:
            raise UnsupportedLayerError(
                f"{n.name} ({n.layer_class}): a layer saved stateful is shared with {owners[arrays]}, each call going "
                "on from the state of the one before; save it with stateful=False and use a session, or call it once",
                n.name,
            )
        owners[arrays] = n.name
