"""The rows of a graph's summary: one per layer, as ``model.summary()`` and the conversion report show them."""

from __future__ import annotations

import math

from ...summary import SummaryRow
from ..dims import format_shape
from ..graph import Graph, Node
from ..ops import OPS
from ..ops.spec import check_attrs

__all__ = ["layer_rows", "parameter_count"]


def parameter_count(graph: Graph) -> int:
    """The number of weights, shared ones once."""
    return sum(math.prod(w.shape) for w in graph.weights.values())


def _shapes(graph: Graph, node: Node, before: SummaryRow | None) -> str:
    """The shapes of a node's outputs; a mask does not stand for its layer."""
    if before is not None and all(graph.tensors[t].dtype == "bool" for t in node.outputs):
        return before.shape
    return ", ".join(format_shape(graph.tensors[t].shape) for t in node.outputs)


def layer_rows(graph: Graph) -> list[SummaryRow]:
    """One row per layer in the graph's order: several nodes of one layer make one row.

    The shape is that of the layer's last node; a shared layer's weights are counted in its first row.
    """
    owner = {i.tensor: i.name for i in graph.inputs}
    rows: dict[str, SummaryRow] = {}
    for i in graph.inputs:
        kind = "State input" if i.role == "state" else "InputLayer"
        rows[i.name] = SummaryRow(i.name, kind, format_shape(graph.tensors[i.tensor].shape), 0)
    counted: set[str] = set()
    for n in graph.nodes:
        new = set(n.weights.values()) - counted
        counted |= new
        before = rows.get(n.name)
        states = OPS[n.op].states(check_attrs(OPS[n.op], n.attrs))
        reads = tuple(dict.fromkeys(owner[t] for t in graph.reads(n) if owner[t] != n.name))
        rows[n.name] = SummaryRow(
            n.name,
            n.layer_class,
            _shapes(graph, n, before),
            sum(math.prod(graph.weights[w].shape) for w in new) + (before.params if before else 0),
            ", ".join(f"{s.name} {'x'.join(map(str, s.shape))}" for s in states) or (before.state if before else ""),
            tuple(dict.fromkeys((*(before.inputs if before else ()), *reads))),
        )
        owner.update(dict.fromkeys(n.outputs, n.name))
    return list(rows.values())
