"""The graph: what a .rnnrt file says a model computes. Plain data, no behaviour of layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..records import Record, field
from .dims import DimLike

__all__ = ["Graph", "InputSpec", "Node", "Shape", "TensorSpec", "WeightSpec"]

Shape = tuple[DimLike, ...]


class TensorSpec(Record):
    """A value that flows along an edge.

    ``shape`` has the batch first, as in Keras: ``(BATCH, T, features)``. dtype is one of
    ``float32 float64 float16 bfloat16 int32 int64 bool``.
    """

    name: str
    shape: Shape
    dtype: str = "float32"


class WeightSpec(Record):
    """A stored array, in Keras's orientation and gate order, named ``<layer path>.<weight>``."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"


class InputSpec(Record):
    """A model input: the tensor that it feeds, the name users give it by, and its role.

    role: ``data``, or ``state`` for an input that is used only as an ``initial_state``.
    """

    tensor: str
    name: str
    role: str = "data"


class Node(Record):
    """One op of the closed list in :mod:`rnnrt.ir.ops`.

    name is the path of the Keras layer (for messages, states and the summary); several nodes
    may carry the same name (a Bidirectional is two recurrent ops), ``id`` is unique.
    weights maps the op's roles (``kernel``) to weight names. mask is the tensor (bool, (B, T))
    of the steps that count, or None. initial_state: tensors in the order of the op's states,
    or () for zero (predict) or carried (sessions).
    """

    id: str
    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, str] = field(default_factory=dict)
    mask: str | None = None
    initial_state: tuple[str, ...] = ()
    layer_class: str = ""  # Keras's class name, for the summary


class Graph(Record, frozen=False):
    """A whole model.

    nodes are in topological order. input_structure and output_structure mirror what Keras's
    ``predict`` takes and gives, with the index into ``inputs`` / ``outputs`` at each leaf: ``0``
    for a single array, ``[0, 1]`` for a list, ``{"a": 0}`` for a dict. session is ``sequence``
    or ``calls`` (some layer was saved with ``stateful=True``). A length that the file wrote is an
    int in the shapes; the planner frees the time axis where the graph streams.
    """

    name: str
    inputs: list[InputSpec]
    outputs: list[str]
    nodes: list[Node]
    tensors: dict[str, TensorSpec]
    weights: dict[str, WeightSpec]
    input_structure: Any = 0
    output_structure: Any = 0
    session: str = "sequence"
    output_names: list[str] = field(default_factory=list)

    def producers(self) -> dict[str, Node]:
        """The node that makes each tensor."""
        return {t: n for n in self.nodes for t in n.outputs}

    def consumers(self) -> dict[str, list[Node]]:
        """The nodes that read each tensor, masks and initial states included."""
        out: dict[str, list[Node]] = {}
        for n in self.nodes:
            for t in self.reads(n):
                out.setdefault(t, []).append(n)
        return out

    @staticmethod
    def reads(node: Node) -> Iterator[str]:
        """All tensors that a node reads."""
        yield from node.inputs
        yield from node.initial_state
        if node.mask is not None:
            yield node.mask
