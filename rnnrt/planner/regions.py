"""Which ops walk the time axis together, tile by tile, and which need the whole of it.

A *walkable* op handles each step by itself or carries a state (``step`` and ``recurrent``); ops that walk the same
time axis and need nothing complete from each other share a region. All other ops form plain regions.
"""

from __future__ import annotations

from ..ir.dims import DimLike
from ..ir.graph import Graph, Node, TensorSpec
from ..ir.passes.folded import folded_tensors
from ..ir.passes.streamability import time_kind
from ..records import Record

__all__ = ["ALIAS_OPS", "Schedule", "schedule"]

# Row-major order is Keras's order, so these only give the same bytes another shape.
ALIAS_OPS = frozenset(("reshape", "flatten", "expand_dims", "squeeze", "fold_time", "unfold_time"))

_Key = tuple[int, bool, str]  # (level, walks, time dimension)


class Schedule(Record, frozen=False):
    """Ops in running order with their region, and where each tensor is made."""

    nodes: list[Node]
    region_of: dict[str, int]  # node id -> region
    times: list[DimLike | None]  # per region: the dimension that is walked
    home: dict[str, int]  # tensor -> region that makes it (-1: an input)


def _walks(node: Node, tensors: dict[str, TensorSpec], timed: dict[str, bool], inside: frozenset[str]) -> bool:
    kind, _ = time_kind(node, tensors)
    read = node.inputs if kind == "step" else node.inputs[:1]
    if kind not in ("step", "recurrent", "last", "causal") or not read or not all(timed[t] for t in read):
        return False
    # what lies inside a TimeDistributed, and sequences of different lengths, are not cut
    lengths = {tensors[t].shape[1] for t in (*read, *([node.mask] if node.mask else [])) if timed[t]}
    return len(lengths) == 1 and not inside.intersection(node.inputs)


def schedule(graph: Graph, tensors: dict[str, TensorSpec], timed: dict[str, bool]) -> Schedule:
    """Group the graph's ops (aliases left out) into regions."""
    inside = folded_tensors(graph)
    key_of: dict[str, _Key] = {}  # tensor -> key of its maker
    node_key: dict[str, _Key] = {}
    for n in graph.nodes:
        if n.op in ALIAS_OPS:
            if n.inputs[0] in key_of:
                key_of[n.outputs[0]] = key_of[n.inputs[0]]
            continue
        walks = _walks(n, tensors, timed, inside)
        time = str(tensors[n.inputs[0]].shape[1]) if walks else ""
        level = 0
        for t in graph.reads(n):
            if t not in key_of:
                continue
            at, made_walking, made_time = key_of[t]
            together = made_walking == walks and made_time == time and (not walks or timed[t])
            level = max(level, at if together else at + 1)
        node_key[n.id] = (level, walks, time)
        for t in n.outputs:
            key_of[t] = node_key[n.id]
    keys = sorted(set(node_key.values()))
    number = {k: i for i, k in enumerate(keys)}
    ordered = sorted((n for n in graph.nodes if n.id in node_key), key=lambda n: number[node_key[n.id]])
    times: list[DimLike | None] = [None] * len(keys)
    for n in ordered:
        k = node_key[n.id]
        if k[1]:
            times[number[k]] = tensors[n.inputs[0]].shape[1]
    home = {t: number[k] for t, k in key_of.items()}
    return Schedule(ordered, {i: number[k] for i, k in node_key.items()}, times, home)
