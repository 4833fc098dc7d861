"""Walks a graph node by node; knows about states and sessions, and nothing about any op."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..ir.dims import format_shape
from ..ir.graph import Graph, Node
from ..ir.halves import widen
from ..ir.narrow import dequantise, scale_name
from ..ir.ops import OPS
from ..ir.ops.spec import check_attrs
from ..ir.passes.folded import folded_tensors
from . import (  # noqa: F401  (they register)
    activations,
    attention,
    axes,
    batch_normalization,
    conv,
    conv_lstm,
    dense,
    embedding,
    functions,
    gru,
    host,
    lstm,
    masks,
    merge,
    normalize,
    shape,
    simple_rnn,
)
from .int8 import Int8Matrix
from .registry import REFERENCE, OpCall

__all__ = ["Interpreter", "ReferenceSession"]

State = dict[str, dict[str, np.ndarray]]  # node id -> what its op carries


class Interpreter:
    """A graph with its weights, run in NumPy.

    Parameters
    ----------
    graph
        A validated graph.
    weights
        Weight name -> array, as stored, and the scales of int8 ones.
    dtype
        ``np.float64``, or ``np.float32`` for an estimate of float32's rounding.
    nudge
        Added to inputs of int8 products before they are rounded, see :class:`~rnnrt.reference.int8.Int8Matrix`.
    """

    def __init__(
        self, graph: Graph, weights: Mapping[str, np.ndarray], dtype: Any = np.float64, nudge: Any = 0.0
    ) -> None:
        self.graph = graph
        self.dtype = np.dtype(dtype).type
        self._folded = folded_tensors(graph)
        self._attrs = {n.id: check_attrs(OPS[n.op], n.attrs) for n in graph.nodes}
        self._weights = {
            n.id: {role: self._weight(weights, role, w, nudge) for role, w in n.weights.items()} for n in graph.nodes
        }

    def _weight(self, weights: Mapping[str, np.ndarray], role: str, name: str, nudge: Any) -> Any:
        """A weight as the reference of an op takes it."""
        if self.graph.weights[name].dtype != "int8":
            return widen(weights[name]).astype(self.dtype)
        scale = weights[scale_name(name)]
        if role == "embeddings":
            return dequantise(weights[name], scale, role).astype(self.dtype)
        return Int8Matrix(weights[name], scale, role == "recurrent_kernel", nudge)

    def predict(self, inputs: Sequence[Any]) -> list[np.ndarray]:
        """Outputs in the order of ``graph.outputs`` for arrays in the order of ``graph.inputs``.

        Raises ValueError where an array has the wrong rank or length, or an op refuses its values.
        """
        return self._evaluate(self.feed(inputs), {})

    def session(self, batch_size: int = 1, initial_state: Mapping[str, np.ndarray] | None = None) -> ReferenceSession:
        """A session; ``initial_state`` maps names of state inputs to arrays (zero where absent)."""
        return ReferenceSession(self, batch_size, initial_state)

    def _feed(self, tensor: str, x: Any, free_time: bool = False) -> np.ndarray:
        """The array of a model input in its dtype; a written time length is ignored with ``free_time``."""
        spec, x = self.graph.tensors[tensor], np.asarray(x)
        fits = x.ndim == len(spec.shape) and all(
            not isinstance(d, int) or d == n or (free_time and axis == 1)
            for axis, (d, n) in enumerate(zip(spec.shape, x.shape))
        )
        if not fits:
            raise ValueError(f"input {tensor!r}: expected {format_shape(spec.shape)}, got {x.shape}")
        if spec.dtype == "float16":
            return x.astype(np.float16).astype(self.dtype)
        if spec.dtype in ("bfloat16", "float32", "float64"):
            return x.astype(self.dtype)
        return x.astype(spec.dtype)

    def _evaluate(self, values: dict[str, np.ndarray], state: State) -> list[np.ndarray]:
        """Run every node. ``state`` is updated: each stateful node starts from its entry there."""
        for node in self.graph.nodes:
            outputs, carried = self.run_node(node, values, state.get(node.id))
            values.update(zip(node.outputs, outputs))
            if carried:
                state[node.id] = carried
        return [values[t] for t in self.graph.outputs]

    def run_node(
        self, node: Node, values: Mapping[str, np.ndarray], carried: dict[str, np.ndarray] | None = None
    ) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
        """(outputs, what the op carries on) of one node; ``values`` holds what it reads, as ``graph.reads`` lists it.

        carried: what it carried so far, which is updated; without it the node starts a sequence.
        """
        call = OpCall(
            node.name,
            self._attrs[node.id],
            [values[t] for t in node.inputs],
            self._weights[node.id],
            None if node.mask is None else values[node.mask],
            carried or self._initial(node, values),
            self.dtype,
            tuple(self.graph.tensors[t].dtype for t in node.inputs),
        )
        with np.errstate(all="ignore"):  # infinity and NaN are answers here, as they are in Keras
            return REFERENCE[node.op](call), call.state

    def feed(self, inputs: Sequence[Any]) -> dict[str, np.ndarray]:
        """The tensors that arrays in the order of ``graph.inputs`` are; raises as :meth:`predict`."""
        if len(inputs) != len(self.graph.inputs):
            raise ValueError(f"expected {len(self.graph.inputs)} inputs, got {len(inputs)}")
        return {s.tensor: self._feed(s.tensor, x) for s, x in zip(self.graph.inputs, inputs)}

    def _initial(self, node: Node, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """A node's state at the start of a sequence: the tensors it names, or nothing, which is zero."""
        specs = OPS[node.op].states(self._attrs[node.id])
        return {s.name: values[t] for s, t in zip(specs, node.initial_state)}


class ReferenceSession:
    """A stream of batches, with one of the two meanings of ``graph.session``.

    *sequence*: every op carries its state from chunk to chunk. *calls*: each ``run`` is one Keras
    call; layers saved with ``stateful=True`` carry, the others start from zero, and masked steps
    that begin a call output zeros (so ``has_output`` restarts).
    """

    def __init__(
        self,
        interpreter: Interpreter,
        batch_size: int = 1,
        initial_state: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self._interpreter = interpreter
        self.batch_size = batch_size
        self.reset(initial_state)

    def reset(self, initial_state: Mapping[str, np.ndarray] | None = None) -> None:
        """Back to the start, from zero or from arrays for the state inputs by name."""
        given = dict(initial_state or {})
        graph = self._interpreter.graph
        self._state: State = {}
        self._given: dict[str, np.ndarray] = {}
        for spec in graph.inputs:
            if spec.role == "state":
                shape = [d for d in graph.tensors[spec.tensor].shape[1:] if isinstance(d, int)]
                zero = np.zeros((self.batch_size, *shape))
                self._given[spec.tensor] = self._interpreter._feed(spec.tensor, given.pop(spec.name, zero))
        if given:
            raise ValueError(f"{next(iter(given))!r} is not a state input")

    def run(self, inputs: Any) -> list[np.ndarray]:
        """The outputs for the next chunk: one array, or a list in the order of the data inputs.

        The time axis may have any length >= 1. After an error the state is what it was.
        """
        interp = self._interpreter
        data = [s.tensor for s in interp.graph.inputs if s.role == "data"]
        if not isinstance(inputs, (list, tuple)):
            inputs = [inputs]
        if len(inputs) != len(data):
            raise ValueError(f"expected {len(data)} inputs, got {len(inputs)}")
        values = dict(self._given)
        for tensor, x in zip(data, inputs):
            values[tensor] = interp._feed(tensor, x, free_time=True)
            if len(values[tensor]) != self.batch_size:
                raise ValueError(f"input {tensor!r}: expected {self.batch_size} rows, got {len(values[tensor])}")
        state = {key: dict(entry) for key, entry in self._state.items()}
        outputs = interp._evaluate(values, state)
        self._state = {n.id: self._kept(n, state[n.id]) for n in interp.graph.nodes if n.id in state}
        return outputs

    def _kept(self, node: Node, entry: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What a node takes to the next chunk; nothing where it has a sequence of its own at each time step."""
        interp = self._interpreter
        if node.inputs[0] in interp._folded:
            return {}
        if interp.graph.session == "sequence":
            return entry
        if not interp._attrs[node.id].get("stateful") or node.initial_state:
            return {}
        return {k: v for k, v in entry.items() if k != "has_output"}

    @property
    def states(self) -> dict[str, np.ndarray]:
        """Copies of all carried arrays by ``<layer path>/<state>``; ``has_output`` is one of them.

        Where several stateful nodes share a path, the node's id stands in its place. Empty before
        the first chunk.
        """
        return {key: self._state[n][s].copy() for key, (n, s) in self._keys().items()}

    def get_state(self) -> dict[str, np.ndarray]:
        """The same as :attr:`states`; what :meth:`set_state` takes."""
        return self.states

    def set_state(self, states: Mapping[str, np.ndarray]) -> None:
        """Take over the state of another session of the same model."""
        state: State = {}
        names = self._places()
        for key, value in states.items():
            place, _, name = key.rpartition("/")
            if place not in names:
                raise ValueError(f"{key!r} is not a state of this model")
            state.setdefault(names[place], {})[name] = np.array(value)
        self._state = state

    def _places(self) -> dict[str, str]:
        """Path (or id, where paths collide) of each stateful node -> its id."""
        nodes = [n for n in self._interpreter.graph.nodes if OPS[n.op].states(self._interpreter._attrs[n.id])]
        paths = [n.name for n in nodes]
        return {n.name if paths.count(n.name) == 1 else n.id: n.id for n in nodes}

    def _keys(self) -> dict[str, tuple[str, str]]:
        return {
            f"{place}/{name}": (node, name)
            for place, node in self._places().items()
            for name in self._state.get(node, {})
        }
