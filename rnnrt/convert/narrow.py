"""``weights="float16"`` and ``"int8"``: which layers take them, and what that does to the model's output.

Errors are those of the float64 reference with the new weights (int8: and inputs rounded as the kernels round
them) against the float64 reference with the weights of the file: max \\|y - ref\\| / max(1, \\|ref\\|).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..errors import ConversionError
from ..format.replay import draw_inputs
from ..ir.dims import evaluate, symbols_of
from ..ir.graph import Graph, Node, WeightSpec
from ..ir.halves import as_stored, dtype_of, widen
from ..ir.narrow import INT8_INPUTS, NARROW_ROLES, quantise, scale_name
from ..reference import Interpreter

__all__ = ["CHOICES", "Narrowed", "NarrowedLayer", "narrow"]

CHOICES = ("float32", "float16", "int8")

BATCH, STEPS, SEED = 8, 32, 0  # of the inputs drawn where nobody gives any

Weights = dict[str, np.ndarray]


@dataclass
class NarrowedLayer:
    """A layer with weights: its path, what its matrices are stored as, why not as asked ("" if so), and the error
    that the model's output has where this layer alone is stored as asked (None where it cannot be)."""

    path: str
    dtype: str
    reason: str = ""
    error: float | None = None


@dataclass
class Narrowed:
    """The outcome.

    asked: ``float16`` or ``int8``. error, mean_error: of the model's outputs, all chosen layers narrow, the largest
    and the root of the mean square. outputs: the largest of each output by name. inputs: what it was measured on.
    """

    asked: str
    error: float
    mean_error: float
    outputs: dict[str, float]
    inputs: str
    max_error: float | None
    layers: list[NarrowedLayer] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "weights": self.asked,
            "error": self.error,
            "mean_error": self.mean_error,
            "outputs": self.outputs,
            "inputs": self.inputs,
            "max_error": self.max_error,
            "layers": [{"path": x.path, "dtype": x.dtype, "error": x.error, "reason": x.reason} for x in self.layers],
        }

    def lines(self) -> list[str]:
        """For people."""
        bound = "" if self.max_error is None else f", {self.max_error:.3g} allowed"
        out = [f"Weights:  {self.asked}; worst error {self.error:.2g} (root mean square {self.mean_error:.2g}){bound}"]
        out.append(f"          against float64 with the original weights, on {self.inputs}")
        width = max((len(x.path) for x in self.layers), default=0)
        for x in self.layers:
            alone = "" if x.error is None else f"  alone {x.error:.2g}"
            out.append(f"          {x.path:<{width}}  {x.dtype}{alone}" + (f"  ({x.reason})" if x.reason else ""))
        return out


@dataclass
class _Group:
    """Layers that share matrices: all narrow, or none."""

    paths: list[str]
    matrices: dict[str, str]  # weight -> role
    reason: str = ""
    error: float | None = None


def _refusal(graph: Graph, weights: Weights, node: Node, matrices: dict[str, str], asked: str) -> str:
    """Why the matrices of a node cannot be stored as asked, or ""."""
    for name in matrices:
        stored = dtype_of(weights[name])
        values = widen(weights[name])
        if stored == "float64":
            return "a float64 layer"
        if asked == "float16" and stored != "float32":
            return f"stored as {stored} by Keras"
        if not np.isfinite(values).all():
            return f"{name} holds values that are not finite"
        if asked == "float16" and np.abs(values).max(initial=0.0) >= 65520:
            return f"{name} holds {np.abs(values).max():.3g}, float16 ends at 65504"
        if asked == "int8" and node.op != "embedding" and values.shape[0] > INT8_INPUTS:
            return f"{name} has {values.shape[0]} rows, int8 allows {INT8_INPUTS}"
        if scale_name(name) in graph.weights:
            return f"{scale_name(name)} is the name of a weight"
    return ""


def _groups(graph: Graph, weights: Weights, asked: str) -> tuple[list[_Group], list[NarrowedLayer]]:
    """The groups, and the layers with weights whose op has no narrow kernels."""
    groups: list[_Group] = []
    others: dict[str, NarrowedLayer] = {}
    for node in graph.nodes:
        roles = NARROW_ROLES.get(node.op)
        if roles is None:
            if node.weights:
                dtype = graph.weights[next(iter(node.weights.values()))].dtype
                why = f"{node.layer_class or node.op} has no {asked} kernels"
                others.setdefault(node.name, NarrowedLayer(node.name, dtype, why))
            continue
        matrices = {node.weights[r]: r for r in roles}
        group = _Group([node.name], matrices, _refusal(graph, weights, node, matrices, asked))
        for old in [g for g in groups if g.matrices.keys() & matrices.keys()]:
            if any(old.matrices[w] != r for w, r in matrices.items() if w in old.matrices):
                group.reason = "its weights are read as embeddings and as a kernel"
            groups.remove(old)
            group.paths = old.paths + [p for p in group.paths if p not in old.paths]
            group.matrices = {**old.matrices, **group.matrices}
            group.reason = old.reason or group.reason
        groups.append(group)
    elsewhere = {w for n in graph.nodes for r, w in n.weights.items() if r not in NARROW_ROLES.get(n.op, ())}
    for g in groups:
        if not g.reason and g.matrices.keys() & elsewhere:
            g.reason = "its weights are read by another kind of layer too"
    return groups, list(others.values())


def _apply(graph: Graph, weights: Weights, groups: Sequence[_Group], asked: str) -> tuple[Graph, Weights]:
    """The graph and its weights with the matrices of these groups stored as asked."""
    specs, arrays = dict(graph.weights), dict(weights)
    for name, role in ((w, r) for g in groups for w, r in g.matrices.items()):
        values = widen(weights[name])
        if asked == "float16":
            arrays[name] = as_stored(values, "float16")
        else:
            arrays[name], arrays[scale_name(name)] = quantise(values, role)
        specs[name] = WeightSpec(name, specs[name].shape, asked)
    return replace(graph, weights=specs), arrays


def _calibration(graph: Graph, given: Any) -> tuple[list[np.ndarray], str]:
    """(arrays in the order of the inputs, what they are in words); ConversionError where they do not fit."""
    names = [s.name for s in graph.inputs]
    if given is None:
        steps = STEPS
        for t in graph.tensors.values():  # windows may want more than that
            while any(evaluate(d, dict.fromkeys(symbols_of(d), steps)) < 1 for d in t.shape) and steps < 4096:
                steps *= 2
        return draw_inputs(graph, SEED, steps, BATCH), f"seeded inputs ({BATCH} rows, {steps} steps where free)"
    if isinstance(given, Mapping):
        if set(given) != set(names):
            raise ConversionError(f"calibration: expected arrays for {names}, got {sorted(given)}")
        arrays = [np.asarray(given[n]) for n in names]
    else:
        arrays = [np.asarray(a) for a in given] if isinstance(given, (list, tuple)) else [np.asarray(given)]
        if len(arrays) != len(names):
            raise ConversionError(f"calibration: the model takes {len(names)} inputs {names}, got {len(arrays)} arrays")
    if any(not a.size for a in arrays):
        raise ConversionError("calibration: an array is empty")
    shapes = ", ".join("(" + ", ".join(map(str, a.shape)) + ")" for a in arrays)
    return arrays, f"the calibration inputs {shapes}"


def _errors(got: Sequence[np.ndarray], ref: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Relative to max(1, |ref|), by output; infinite where only one of the two is a number."""
    out = []
    for y, r in zip(got, ref):
        y, r = np.asarray(y, np.float64), np.asarray(r, np.float64)
        with np.errstate(invalid="ignore"):
            e = np.where((y == r) | (np.isnan(y) & np.isnan(r)), 0.0, np.abs(y - r) / np.maximum(1.0, np.abs(r)))
        out.append(np.where(np.isnan(e), np.inf, e).ravel())
    return out


def narrow(
    graph: Graph, weights: Weights, asked: str, calibration: Any = None, max_error: float | None = None
) -> tuple[Graph, Weights, Narrowed]:
    """Store the matrices of every layer that can as ``asked``.

    Parameters
    ----------
    graph, weights
        As built from the Keras file.
    asked
        ``float16`` or ``int8``.
    calibration
        An array, a list in the order of the inputs or a dict by their names; None: inputs drawn from a seed.
    max_error
        Layers are left as they are so that the model's error stays at or below it: those whose own error is
        larger, then those that would bring the sum of all before them, the least harmful first, above it.

    Raises
    ------
    ConversionError
        Where the calibration inputs do not fit the model.
    """
    groups, others = _groups(graph, weights, asked)
    inputs, words = _calibration(graph, calibration)
    try:
        ref = Interpreter(graph, weights).predict(inputs)
    except ValueError as e:
        raise ConversionError(f"calibration: {e}") from None

    def measure(chosen: Sequence[_Group]) -> list[np.ndarray]:
        return _errors(Interpreter(*_apply(graph, weights, chosen, asked)).predict(inputs), ref)

    def worst(chosen: Sequence[_Group]) -> float:
        return max((float(e.max(initial=0.0)) for e in measure(chosen)), default=0.0)

    able = [g for g in groups if not g.reason]
    for g in able:
        g.error = worst([g])
    chosen = able
    if max_error is not None and worst(able) > max_error:
        chosen = []
        for g in sorted(able, key=lambda g: g.error or 0.0):
            if g.error is not None and g.error <= max_error and worst([*chosen, g]) <= max_error:
                chosen.append(g)
            else:
                g.reason = f"with it the error would exceed {max_error:.3g}"
    errors = measure(chosen)
    every = np.concatenate(errors)
    result = Narrowed(
        asked,
        float(every.max(initial=0.0)),
        float(np.sqrt(np.mean(every**2))) if every.size else 0.0,
        {n: float(e.max(initial=0.0)) for n, e in zip(graph.output_names, errors)},
        words,
        max_error,
    )
    for g in groups:
        stored = graph.weights[next(iter(g.matrices))].dtype if g.reason else asked
        result.layers += [NarrowedLayer(p, stored, g.reason, g.error) for p in g.paths]
    result.layers += others
    small, arrays = _apply(graph, weights, chosen, asked)
    return small, arrays, result
