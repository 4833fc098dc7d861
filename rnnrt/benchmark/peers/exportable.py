"""What of a graph every exported peer can be given, checked in one place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ...errors import BackendError
from ...ir.graph import Graph, Node
from ...ir.ops import OPS
from ...ir.ops.spec import check_attrs

__all__ = ["nodes_of", "refuse", "states_of", "weights_of"]

_CELLS = ("simple_rnn", "lstm", "gru")


def refuse(node: Node, why: str) -> BackendError:
    """The error for a layer that a peer is not given."""
    return BackendError(f"{node.name}: {why}")


def nodes_of(model: Any) -> list[Node]:
    """The nodes with all attributes; BackendError for what no peer takes."""
    graph: Graph = model.graph
    if any(i.role != "data" for i in graph.inputs):
        raise BackendError("inputs that are initial states are not exported")
    out = []
    for node in graph.nodes:
        a = check_attrs(OPS[node.op], node.attrs)
        if node.mask is not None:
            raise refuse(node, "masks are not exported")
        if node.initial_state:
            raise refuse(node, "initial states are not exported")
        if node.op in _CELLS and a["go_backwards"] != a["reverse_output"]:
            raise refuse(node, "go_backwards without Bidirectional is not exported")
        if node.op in _CELLS and a["return_state"]:
            raise refuse(node, "return_state is not exported")
        out.append(replace(node, attrs=a))
    return out


def weights_of(model: Any) -> dict[str, np.ndarray]:
    """The weights; BackendError where they are not float32."""
    wrong = next((n for n, w in model.file.weights.items() if w.dtype != np.float32), None)
    if wrong:
        raise BackendError(f"{wrong}: peers run float32 weights, these are {model.file.weights[wrong].dtype}")
    return dict(model.file.weights)


def states_of(nodes: list[Node]) -> list[tuple[Node, list[int]]]:
    """The recurrent nodes and the widths of their states."""
    return [(n, [s.shape[0] for s in OPS[n.op].states(n.attrs)]) for n in nodes if n.op in _CELLS]
