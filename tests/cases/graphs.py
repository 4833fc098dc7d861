"""Small graphs written by hand, for tests below the converter: shapes inferred, weights seeded."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from rnnrt.ir.dims import BATCH, DimLike, symbol
from rnnrt.ir.graph import Graph, InputSpec, Node, TensorSpec, WeightSpec
from rnnrt.ir.ops import OPS, infer_node
from rnnrt.ir.ops.spec import check_attrs
from rnnrt.ir.validate import validate

__all__ = ["Builder"]


class Builder:
    """Adds nodes one by one; tensors are named as their node, or ``node:k`` for a further output."""

    def __init__(self, session: str = "sequence") -> None:
        self.graph = Graph("hand", [], [], [], {}, {}, session=session)
        self.weights: dict[str, np.ndarray] = {}

    def input(self, name: str, *shape: int | None, dtype: str = "float32", role: str = "data", time: str = "") -> str:
        """A model input of that shape without the batch; inputs of one ``time`` share their free length."""
        dims: list[DimLike] = [symbol(f"{time or name}:{k + 1}") if d is None else d for k, d in enumerate(shape)]
        self.graph.tensors[name] = TensorSpec(name, (BATCH, *dims), dtype)
        self.graph.inputs.append(InputSpec(name, name, role))
        return name

    def add(
        self,
        op: str,
        name: str,
        *inputs: str,
        mask: str | None = None,
        initial_state: tuple[str, ...] = (),
        **attrs: Any,
    ) -> list[str]:
        """A node of the closed list; the tensors that it makes. Weights are about N(0, 1 / fan in)."""
        tensors = [self.graph.tensors[t] for t in inputs]
        wanted = OPS[op].weights(check_attrs(OPS[op], attrs), tensors)
        roles = {}
        for role, shape in wanted.items():
            full = roles[role] = f"{name}.{role}"
            random = np.random.RandomState(zlib.crc32(full.encode()))
            values = random.standard_normal(shape) / np.sqrt(shape[0] if len(shape) > 1 else 4)
            dtype = "float64" if tensors[0].dtype == "float64" else "float32"
            self.weights[full] = (np.abs(values) if role == "moving_variance" else values).astype(dtype)
            self.graph.weights[full] = WeightSpec(full, tuple(shape), dtype)
        node = Node(name, op, name, inputs, (), attrs, roles, mask, initial_state)
        made = infer_node(node, self.graph.tensors)
        outputs = tuple(f"{name}:{k}" if k else name for k in range(len(made)))
        self.graph.nodes.append(Node(name, op, name, inputs, outputs, attrs, roles, mask, initial_state))
        for tensor, (shape, dtype) in zip(outputs, made):
            self.graph.tensors[tensor] = TensorSpec(tensor, shape, dtype)
        return list(outputs)

    def done(self, *outputs: str) -> tuple[Graph, dict[str, np.ndarray]]:
        """The validated graph and its weights."""
        g = self.graph
        g.outputs, g.output_names = list(outputs), list(outputs)
        g.output_structure = 0 if len(outputs) == 1 else list(range(len(outputs)))
        g.input_structure = 0 if len(g.inputs) == 1 else list(range(len(g.inputs)))
        validate(g)
        return g, self.weights
