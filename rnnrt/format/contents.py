"""What a file means: its graph, weights and proof, every rule checked."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..ir.graph import Graph
from . import codec
from .file import features_of, weights_among
from .header import CODES, DTYPES, Entry
from .plan_codec import PLAN_PREFIX
from .proof import Proof
from .proof_codec import proof_from_file
from .refusals import refusal
from .strict_json import loads

__all__ = ["contents"]


def _check_quant(metadata: Mapping[str, str], graph: Graph) -> None:
    """``rnnrt.quant`` says of each int8 weight what this version does with it, and is there only then. F21."""
    want = codec.quantisation(graph)
    if "rnnrt.quant" not in metadata:
        if want is not None:
            raise refusal("F21", "metadata", "key 'rnnrt.quant' is missing, the graph has int8 weights")
    elif want is None or loads(metadata["rnnrt.quant"], "rnnrt.quant") != want:
        raise refusal("F21", "rnnrt.quant", "does not describe the graph's int8 weights as this version quantises them")


def _check_weights(graph: Graph, entries: list[Entry]) -> None:
    """Each weight of the graph is in the file as its op implies, and nothing else is. F26, F27."""
    found = weights_among({e.name: e for e in entries})
    for name, spec in codec.stored_weights(graph).items():
        e = found.pop(name, None)
        if e is None:
            raise refusal("F26", name, "the weight is not in the file")
        if e.dtype != CODES[spec.dtype] or e.shape != tuple(spec.shape):
            raise refusal("F27", name, f"expected {spec.dtype} {tuple(spec.shape)}, got {DTYPES[e.dtype][0]} {e.shape}")
    if found:
        raise refusal("F26", min(found), "the graph names no such weight")


def contents(
    metadata: Mapping[str, str], entries: list[Entry], arrays: Mapping[str, np.ndarray]
) -> tuple[Graph, dict[str, np.ndarray], Proof | None]:
    """Graph, weights in its order, and proof; FormatError F05 to F08, F20, F21, F24 to F29."""
    graph = codec.graph_from_json(loads(metadata["rnnrt.graph"], "rnnrt.graph"))
    requires = features_of(metadata)
    for f in codec.features(graph):
        if f not in requires:
            raise refusal("F20", "rnnrt.requires", f"the graph needs {f!r}, which is not declared")
    if metadata["rnnrt.session"] != graph.session:
        raise refusal("F21", "rnnrt.session", f"says {metadata['rnnrt.session']!r:.40}, the graph {graph.session!r}")
    _check_quant(metadata, graph)
    _check_weights(graph, entries)
    left = {name: a for name, a in arrays.items() if not name.startswith(PLAN_PREFIX)}
    weights = {name: left.pop(name) for name in codec.stored_weights(graph)}
    if "rnnrt.proof" not in metadata:
        if left:
            raise refusal("F28", min(left), "the file has no rnnrt.proof for this tensor")
        return graph, weights, None
    total = sum(w.nbytes for w in weights.values())
    return graph, weights, proof_from_file(metadata["rnnrt.proof"], left, graph, total)
