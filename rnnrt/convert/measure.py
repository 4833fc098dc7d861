"""How far narrow weights move a model's outputs, for many choices of layers at once.

Choices share what they have in common: a node is computed once for all choices in which it reads the same values with
the same weights. Where its inputs alone differ they lie in one batch, so that many choices cost as many products of
matrices as one does, only taller ones. The rows of the inputs go through in blocks, as many as memory takes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..errors import ConversionError
from ..ir.dims import evaluate, numel
from ..ir.graph import Graph, Node
from ..reference import Interpreter

__all__ = ["Choice", "Errors", "Measure"]

#: most values that one node makes at a time: 256 MiB
VALUES = 1 << 25

Choice = frozenset[int]


@dataclass
class Errors:
    """What a choice does to the outputs: the largest \\|y - ref\\| / max(1, \\|ref\\|) of each, in their order, and the
    sum of squares and number over all of their values; open: how many of these are not finite in the reference."""

    outputs: list[float]
    squares: float = 0.0
    count: int = 0
    open: int = 0

    def add(self, output: int, ref: np.ndarray, errors: np.ndarray) -> None:
        """Count in some values of an output."""
        self.outputs[output] = max(self.outputs[output], float(errors.max(initial=0.0)))
        with np.errstate(over="ignore"):
            self.squares += float(np.sum(errors**2))
        self.count += ref.size
        self.open += ref.size - int(np.count_nonzero(np.isfinite(ref)))

    @property
    def worst(self) -> float:
        """The largest of all."""
        return max(self.outputs, default=0.0)

    @property
    def mean(self) -> float:
        """The root of the mean square."""
        return math.sqrt(self.squares / self.count) if self.count else 0.0


@dataclass
class _Step:
    """A node for all choices.

    reads: tensors. runs: for each distinct run whether its weights are narrow, and which of the values of each tensor
    it reads; those with the weights of the file first. done: tensors that nothing reads any more.
    """

    node: Node
    reads: list[str]
    runs: list[tuple[int, ...]]
    done: list[str] = field(default_factory=list)


class Measure:
    """Errors of choices of groups of nodes, each against the same graph without any.

    Parameters
    ----------
    graph
        A validated graph.
    wide, narrow
        The references with the weights of the file, and with all weights narrow.
    groups
        Node id -> its group, of the nodes whose weights differ.
    inputs
        Arrays in the order of ``graph.inputs``, as many rows each.
    lengths
        Symbol of a free axis -> its length in ``inputs``.
    progress
        Called with how many runs of layers are done, and how many are known to come in all.
    """

    def __init__(
        self,
        graph: Graph,
        wide: Interpreter,
        narrow: Interpreter,
        groups: Mapping[str, int],
        inputs: Sequence[np.ndarray],
        lengths: Mapping[str, int],
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.graph, self.groups, self.inputs = graph, groups, inputs
        self._sides = (wide, narrow)
        self._row = {**lengths, "B": 1}
        self._progress = progress
        self._done = self._total = 0
        self._known: dict[Choice, Errors] = {}

    def errors(self, choices: Iterable[Choice], enough: float = math.inf) -> list[Errors]:
        """The errors of each choice, in order; what was asked before is not computed again.

        A choice whose error is seen to exceed ``enough`` is given up: its errors are those of some rows.
        Raises ConversionError where a row of the inputs that holds a value that is not finite gives such outputs, and
        ValueError where an op refuses its values.
        """
        asked = list(choices)
        new = [c for c in dict.fromkeys(asked) if c not in self._known]
        found = self._measure(new, enough) if new else {}
        self._known.update((c, e) for c, e in found.items() if e.worst <= enough)
        return [self._known[c] if c in self._known else found[c] for c in asked]

    def _measure(self, choices: list[Choice], enough: float) -> dict[Choice, Errors]:
        """The errors of the choices, and of the empty one, which is the reference."""
        found = {c: Errors([0.0] * len(self.graph.outputs)) for c in (frozenset(), *choices)}
        first, rows = 0, len(self.inputs[0])
        while first < rows:
            live = [c for c, errors in found.items() if errors.worst <= enough]
            steps, kinds = self._plan(live)
            blocks = -(-(rows - first) // max(1, VALUES // max([1, *map(self._values, steps)])))
            end = first + -(-(rows - first) // blocks)
            self._total = self._done + blocks * sum(len(s.runs) for s in steps)
            values = self._run(steps, [x[first:end] for x in self.inputs])
            for k, t in enumerate(self.graph.outputs):
                self._check_inputs(first, end, values[t], self.graph.output_names[k])
                ref = values[t][kinds[t][0]]
                made = [_error(y, ref) for y in values[t]]
                for choice, kind in zip(live, kinds[t]):
                    found[choice].add(k, ref, made[kind])
            first = end
        return found

    def _check_inputs(self, first: int, end: int, values: list[np.ndarray], output: str) -> None:
        """ConversionError where an output is not finite in one of these rows of the inputs, and they are not either."""
        bad = np.zeros(end - first, bool)
        for y in values:
            bad |= ~np.isfinite(y).reshape(end - first, -1).all(axis=1)
        for row in map(int, first + np.flatnonzero(bad)):
            for spec, x in zip(self.graph.inputs, self.inputs):
                odd = ~np.isfinite(x[row])
                if odd.any():
                    at = (row, *map(int, np.unravel_index(int(odd.argmax()), odd.shape)))
                    raise ConversionError(
                        f"calibration: input {spec.name!r} holds {x[at]} at {list(at)}, and with it the output "
                        f"{output!r} is not finite: leave such rows out"
                    )

    def _plan(self, choices: list[Choice]) -> tuple[list[_Step], dict[str, list[int]]]:
        """The steps, and of each tensor which of its values belongs to each choice."""
        kinds = {s.tensor: [0] * len(choices) for s in self.graph.inputs}
        steps = []
        for node in self.graph.nodes:
            reads = list(dict.fromkeys(self.graph.reads(node)))
            group = self.groups.get(node.id, -1)
            keys = [(int(group in c), *(kinds[t][k] for t in reads)) for k, c in enumerate(choices)]
            runs = sorted(set(keys))
            kinds.update(dict.fromkeys(node.outputs, [runs.index(key) for key in keys]))
            steps.append(_Step(node, reads, runs))
        seen = set(self.graph.outputs)
        for step in reversed(steps):
            step.done = [t for t in dict.fromkeys([*step.reads, *step.node.outputs]) if t not in seen]
            seen.update(step.done)
        return steps, kinds

    def _values(self, step: _Step) -> int:
        """How many values a step makes for one row of the inputs, what its products need meanwhile included."""
        tensors, node = self.graph.tensors, step.node
        sizes = [self.graph.weights[w].shape for w in node.weights.values()]
        width = max((max(s[-1], math.prod(s[:-1])) for s in sizes if s), default=0)
        places = evaluate(numel(tensors[node.inputs[0]].shape[:-1]), self._row)
        made = sum(evaluate(numel(tensors[t].shape), self._row) for t in node.outputs)
        return max(1, len(step.runs) * (made + places * width))

    def _run(self, steps: list[_Step], inputs: list[np.ndarray]) -> dict[str, list[np.ndarray]]:
        """The distinct values of each output."""
        values = {t: [x] for t, x in self._sides[0].feed(inputs).items()}
        for step in steps:
            made: dict[str, list[np.ndarray]] = {t: [] for t in step.node.outputs}
            for side, reference in enumerate(self._sides):
                runs = [r[1:] for r in step.runs if r[0] == side]
                if runs:
                    read = {t: _stack([values[t][r[k]] for r in runs]) for k, t in enumerate(step.reads)}
                    outputs, _ = reference.run_node(step.node, read)
                    for t, y in zip(step.node.outputs, outputs):
                        made[t] += np.split(y, len(runs))
            values.update(made)
            for t in step.done:
                del values[t]
            self._done += len(step.runs)
            if self._progress is not None:
                self._progress(self._done, self._total)
        return values


def _stack(parts: list[np.ndarray]) -> np.ndarray:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _error(got: np.ndarray, ref: np.ndarray) -> np.ndarray:
    """Relative to max(1, |ref|), of each value; infinite where only one of the two is a number."""
    y, ref = np.asarray(got, np.float64), np.asarray(ref, np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        e = np.where((y == ref) | (np.isnan(y) & np.isnan(ref)), 0.0, np.abs(y - ref) / np.maximum(1.0, np.abs(ref)))
    return np.where(np.isnan(e), np.inf, e)
