"""``weights="float16"`` and ``"int8"``: which layers take them, and what that does to the model's output.

Errors are those of the float64 reference with the new weights (int8: and inputs rounded as the kernels round
them) against the float64 reference with the weights of the file: max \\|y - ref\\| / max(1, \\|ref\\|).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..errors import ConversionError
from ..ir.graph import Graph, Node, WeightSpec
from ..ir.halves import as_stored, dtype_of, widen
from ..ir.narrow import INT8_INPUTS, NARROW_ROLES, quantise, scale_name
from ..reference import Interpreter
from .calibration import calibration as calibration_inputs
from .measure import Choice, Measure

__all__ = ["CHOICES", "Narrowed", "NarrowedLayer", "narrow"]

CHOICES = ("float32", "float16", "int8")

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


def _choose(able: Sequence[int], measure: Measure, max_error: float) -> Choice:
    """Those that leave the error at or below max_error, each judged together with those taken before it.

    able: the least harmful first. Several choices are asked for at a time: first as if all will be taken, and after
    one that must not, as if no other may.
    """
    taken: Choice = frozenset()
    rest, hope = list(able), True
    while rest:
        tries = [taken | set(rest[: k + 1] if hope else rest[k : k + 1]) for k in range(len(rest))]
        fits = [e.worst <= max_error for e in measure.errors(tries, max_error)]
        end = fits.index(not hope) if (not hope) in fits else len(rest)
        last = end - 1 if hope else end  # the last of the choices that is taken
        if 0 <= last < len(rest):
            taken = tries[last]
        rest, hope = rest[end + 1 :], not hope
    return taken


def narrow(
    graph: Graph,
    weights: Weights,
    asked: str,
    calibration: Any = None,
    max_error: float | None = None,
    progress: Callable[[int, int], None] | None = None,
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
    progress
        See :class:`~rnnrt.convert.measure.Measure`.

    Raises
    ------
    ConversionError
        Where the calibration inputs do not fit the model, or hold values that are not finite and make its outputs so.
    """
    groups, others = _groups(graph, weights, asked)
    inputs = calibration_inputs(graph, calibration)
    able = [k for k, g in enumerate(groups) if not g.reason]
    owners = {n.id: k for k in able for n in graph.nodes if groups[k].matrices.keys() & set(n.weights.values())}
    measure = Measure(
        graph,
        Interpreter(graph, weights),
        Interpreter(*_apply(graph, weights, [groups[k] for k in able], asked)),
        owners,
        inputs.arrays,
        inputs.lengths,
        progress,
    )

    everything: Choice = frozenset(able)
    try:
        *alone, together = (e.worst for e in measure.errors([*(frozenset({k}) for k in able), everything]))
        for k, error in zip(able, alone):
            groups[k].error = error
        chosen = everything
        if max_error is not None and together > max_error:
            by_harm = sorted((error, k) for k, error in zip(able, alone) if error <= max_error)
            chosen = _choose([k for _, k in by_harm], measure, max_error)
            for k in everything - chosen:
                groups[k].reason = f"with it the error would exceed {max_error:.3g}"
        (errors,) = measure.errors([chosen])
    except ConversionError:
        raise
    except ValueError as e:  # an op that refuses its values
        if calibration is not None:
            raise ConversionError(f"calibration: {e}") from None
        raise ConversionError(f"inputs drawn from a seed: {e}; give the model's own as calibration") from None
    words = inputs.words
    if errors.open:
        words += f"; {errors.open} of {errors.count} output values are not finite to begin with"
    result = Narrowed(asked, errors.worst, errors.mean, dict(zip(graph.output_names, errors.outputs)), words, max_error)
    for g in groups:
        stored = graph.weights[next(iter(g.matrices))].dtype if g.reason else asked
        result.layers += [NarrowedLayer(p, stored, g.reason, g.error) for p in g.paths]
    result.layers += others
    small, arrays = _apply(graph, weights, [groups[k] for k in sorted(chosen)], asked)
    return small, arrays, result
