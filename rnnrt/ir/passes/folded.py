"""What lies inside a TimeDistributed: rows of batch * time, each with a sequence of its own."""

from __future__ import annotations

from ..graph import Graph

__all__ = ["folded_tensors"]


def folded_tensors(graph: Graph) -> frozenset[str]:
    """The tensors between ``fold_time`` and ``unfold_time``. Shapes do not tell: one step leaves the batch as it is."""
    inside: set[str] = set()
    for n in graph.nodes:
        if n.op == "unfold_time":
            folded = n.inputs[1] in inside
        else:
            folded = n.op == "fold_time" or any(t in inside for t in graph.reads(n))
        if folded:
            inside.update(n.outputs)
    return frozenset(inside)
