"""What the runtime calls for a ``host_cell`` or ``host_layer``: the loop over the steps of one tile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..errors import BackendError
from ..ir.dims import Dim
from ..ir.graph import Graph, Node
from ..ir.halves import widen
from ..ir.ops import OPS
from ..ir.ops.host import signature_of
from ..ir.ops.spec import check_attrs
from ..ir.ops.table import HOST_OPS
from .define import definition_of

__all__ = ["hosts_of", "input_shapes"]


def input_shapes(node: Node, graph: Graph) -> list[tuple[int | None, ...]]:
    """The shapes that the class of a node is asked with: None where free; of a cell without the time axis."""
    shapes = [tuple(None if isinstance(d, Dim) else d for d in graph.tensors[t].shape) for t in node.inputs]
    return [(s[0], *s[2:]) for s in shapes] if node.op == "host_cell" else shapes


def hosts_of(graph: Graph, weights: Mapping[str, np.ndarray]) -> dict[str, Callable]:
    """Node id -> what runs it. Raises where a class is not registered or does not fit the file."""
    out: dict[str, Callable] = {}
    for node in graph.nodes:
        if node.op not in HOST_OPS:
            continue
        attrs = check_attrs(OPS[node.op], node.attrs)
        arrays = {}
        for role, name in node.weights.items():
            arrays[role] = widen(weights[name]).astype(np.float32, copy=False).view()
            arrays[role].flags.writeable = False
        cls = _Cell if node.op == "host_cell" else _Layer
        out[node.id] = cls(definition_of(node, attrs, input_shapes(node, graph)), attrs, arrays)
    return out


class _Host:
    """inputs, outputs, initial and states are arrays over the runtime's memory, gone after the call: all that the
    user's class is given is copied."""

    def __init__(self, definition: Any, attrs: dict[str, Any], weights: dict[str, np.ndarray]) -> None:
        self.definition = definition
        self.attrs = attrs
        self.signature = signature_of(attrs)
        self.weights = weights
        self.specs = OPS["host_cell"].states(attrs) if "holds_output" in attrs else []

    def __call__(self, *tensors: Any) -> None:
        try:
            self.run(*tensors)
        except BackendError:
            raise
        except Exception as e:  # a damaged program
            raise BackendError(f"{self.definition.place}: its tensors do not fit: {e!r:.200}") from e

    def run(self, *tensors: Any) -> None:
        """One tile."""
        raise NotImplementedError

    def _failed(self, error: Exception, at: str = "") -> BackendError:
        return BackendError(f"{self.definition.place}: the registered class failed{at}: {error!r:.200}")


class _Layer(_Host):
    def run(self, inputs: list, outputs: list, *_: Any) -> None:
        try:
            with np.errstate(all="ignore"):
                made = self.definition.call(self.signature, [x.copy() for x in inputs], dict(self.weights))
            for k, (target, value) in enumerate(zip(outputs, made)):
                if np.shape(value) != target.shape:
                    raise ValueError(f"output {k}: expected {target.shape}, got {np.shape(value)}")
                target[...] = value
        except Exception as e:
            raise self._failed(e) from e


class _Cell(_Host):
    """The loop of keras/src/backend/tensorflow/rnn.py over the steps of one tile."""

    def run(  # type: ignore[override]
        self,
        inputs: list,
        outputs: list,
        initial: list,
        mask: np.ndarray | None,
        slots: list,
        has_output: np.ndarray | None,
        position: int,
        local: dict,
    ) -> None:
        s, attrs = self.signature, self.attrs
        batch, steps = inputs[0].shape[:2]
        n_out, n_states = len(s.outputs), len(s.states)
        slots = [v.reshape(batch, *d.shape) for v, d in zip(slots, self.specs)]
        has_output = None if has_output is None else has_output[:, 0]
        if not slots:  # inside a TimeDistributed: nothing is kept between calls
            if position == 0:
                local[id(self)] = self._zeros(batch)
            slots, has_output = local[id(self)]
        states = [np.array(v) for v in (initial or slots[:n_states])]
        held = [np.array(v) for v in slots[n_states:]]
        if mask is not None and has_output is not None:
            seen = has_output.astype(bool)
            for h in held:
                h[~seen] = 0
            mask = mask.astype(bool)
        for k in range(steps):
            t = steps - 1 - k if attrs["go_backwards"] else k
            counts = None if mask is None else mask[:, t]
            made = self._step([x[:, t].copy() for x in inputs], states, position + k)
            new = made[0]
            if counts is None:
                states = made[1]
            else:
                rest = [np.zeros_like(v) for v in new] if attrs["zero_output_for_mask"] or not held else held
                new = [_where(counts, a, b) for a, b in zip(new, rest)]
                states = [_where(counts, a, b) for a, b in zip(made[1], states)]
                held = new if held else held
                seen = seen | counts
            if attrs["return_sequences"]:
                at = steps - 1 - k if attrs["reverse_output"] else k
                for target, value in zip(outputs, new):
                    target[:, at] = value
            elif k == steps - 1:
                for target, value in zip(outputs, new):
                    target[...] = value
        for slot, value in zip(slots, [*states, *held]):
            slot[...] = value
        if mask is not None and has_output is not None:
            has_output[...] = seen
        if attrs["return_state"]:
            for target, value in zip(outputs[n_out:], states):
                target[...] = value

    def _zeros(self, batch: int) -> tuple[list[np.ndarray], np.ndarray]:
        return [np.zeros((batch, *d.shape), np.float32) for d in self.specs], np.zeros(batch, np.int32)

    def _step(self, inputs: list[np.ndarray], states: list[np.ndarray], step: int) -> tuple[list, list]:
        try:
            with np.errstate(all="ignore"):
                made = self.definition.step(self.signature, inputs, [v.copy() for v in states], dict(self.weights))
            # copies: a cell may give the same array as output and state, or keep it
            return tuple([np.array(v, np.float32) for v in part] for part in made)  # type: ignore[return-value]
        except Exception as e:
            raise self._failed(e, f" at step {step}") from e


def _where(counts: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.where(counts.reshape(-1, *[1] * (a.ndim - 1)), a, b)
