"""Our graph as an ONNX model of native LSTM, GRU and RNN nodes (opset 17), states in and out for streaming.

Operators: onnx.ai/onnx/operators. ONNX's recurrent nodes are time-major and order gates i o f c (LSTM), z r h (GRU).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ir.activations import Activation
from ...ir.dims import Dim
from ...ir.graph import Node
from .exportable import nodes_of, refuse, states_of, weights_of

__all__ = ["onnx_bytes"]

_PLAIN = {
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
    "relu": "Relu",
    "softsign": "Softsign",
    "softplus": "Softplus",
    "exponential": "Exp",
    "selu": "Selu",
}
_CELL = {"tanh": "Tanh", "sigmoid": "Sigmoid", "relu": "Relu", "softsign": "Softsign", "softplus": "Softplus"}
_SIGMOIDS = {"hard_sigmoid_k2": 0.2, "hard_sigmoid_k3": 1 / 6}
_JOINS = {"add": "Add", "multiply": "Mul", "maximum": "Max", "minimum": "Min", "average": "Mean", "subtract": "Sub"}
_GATES = {"lstm": (0, 3, 1, 2), "gru": (0, 1, 2), "simple_rnn": (0,)}  # of Keras's order, in ONNX's


class _Writer:
    def __init__(self, model: Any, stepping: bool) -> None:
        import onnx

        self.onnx, self.model, self.stepping = onnx, model, stepping
        self.weights = weights_of(model)
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, op: str, inputs: list[str], outputs: list[str], **attrs: Any) -> str:
        self.nodes.append(self.onnx.helper.make_node(op, inputs, outputs, **attrs))
        return outputs[0]

    def activation(self, a: Activation, x: str, y: str, at: Node) -> None:
        if a.name == "linear":
            self.node("Identity", [x], [y])
        elif a.name in _PLAIN:
            self.node(_PLAIN[a.name], [x], [y])
        elif a.name in _SIGMOIDS:
            self.node("HardSigmoid", [x], [y], alpha=_SIGMOIDS[a.name], beta=0.5)
        elif a.name == "softmax":
            self.node("Softmax", [x], [y], axis=-1)
        elif a.name in ("leaky_relu", "elu"):
            self.node({"leaky_relu": "LeakyRelu", "elu": "Elu"}[a.name], [x], [y], alpha=float(a.params[0]))
        else:
            raise refuse(at, f"activation {a.name} is not exported")

    def cell_activations(self, node: Node) -> dict[str, list]:
        """Names and parameters of a recurrent node's functions."""
        act, rec = node.attrs["activation"], node.attrs.get("recurrent_activation")
        order = {"lstm": [rec, act, act], "gru": [rec, act], "simple_rnn": [act]}[node.op]
        names, alpha, beta = [], [], []
        for a in order:
            if a.name in _SIGMOIDS:
                names.append("HardSigmoid")
                alpha.append(_SIGMOIDS[a.name])
                beta.append(0.5)
            elif a.name in _CELL:
                names.append(_CELL[a.name])
            else:
                raise refuse(node, f"a cell with activation {a.name} is not exported")
        found: dict[str, list] = {"activations": names}
        return {**found, "activation_alpha": alpha, "activation_beta": beta} if alpha else found

    def gates(self, node: Node, role: str) -> np.ndarray:
        """A weight (in, gates * units) as ONNX has it: (1, gates * units, in)."""
        w, units = self.weights[node.weights[role]], node.attrs["units"]
        parts = [w[..., g * units : (g + 1) * units] for g in _GATES[node.op]]
        return np.concatenate(parts, axis=-1).T[None]

    def biases(self, node: Node) -> np.ndarray:
        units = node.attrs["units"]
        n = len(_GATES[node.op]) * units
        b = self.weights[node.weights["bias"]] if node.attrs["use_bias"] else np.zeros(n, "float32")
        rows = b if b.ndim == 2 else np.stack([b, np.zeros_like(b)])
        ordered = [np.concatenate([r[g * units : (g + 1) * units] for g in _GATES[node.op]]) for r in rows]
        return np.concatenate(ordered)[None]

    def recurrent(self, node: Node) -> None:
        units, (x,), (y,) = node.attrs["units"], node.inputs, node.outputs
        op = {"lstm": "LSTM", "gru": "GRU", "simple_rnn": "RNN"}[node.op]
        more: dict[str, Any] = {"linear_before_reset": int(node.attrs["reset_after"])} if node.op == "gru" else {}
        if node.attrs["go_backwards"]:
            more["direction"] = "reverse"
        states = ["h", "c"] if node.op == "lstm" else ["h"]
        given = ["", *(f"{node.id}/{s}" for s in states)] if self.stepping else []
        made = [f"{node.id}/seq", *(f"{node.id}/{s}/next" for s in states)]
        self.node(
            op,
            [
                self.node("Transpose", [x], [f"{node.id}/major"], perm=[1, 0, 2]),
                self.constant(f"{node.id}/W", self.gates(node, "kernel")),
                self.constant(f"{node.id}/R", self.gates(node, "recurrent_kernel")),
                self.constant(f"{node.id}/B", self.biases(node)),
                *given,
            ],
            made,
            hidden_size=units,
            **self.cell_activations(node),
            **more,
        )
        if self.stepping:
            for s in states:
                shape = [1, "B", units]
                self.inputs.append(self.spec(f"{node.id}/{s}", "float32", shape))
                self.outputs.append(self.spec(f"{node.id}/{s}/next", "float32", shape))
        if node.attrs["return_sequences"]:
            one = self.node("Squeeze", [made[0], self.constant(f"{node.id}/axis", np.array([1]))], [f"{node.id}/one"])
            self.node("Transpose", [one], [y], perm=[1, 0, 2])
        else:
            self.node("Squeeze", [made[1], self.constant(f"{node.id}/axis", np.array([0]))], [y])

    def dense(self, node: Node) -> None:
        y = node.outputs[0]
        z = self.node(
            "MatMul", [node.inputs[0], self.constant(f"{y}/kernel", self.weights[node.weights["kernel"]])], [f"{y}/z"]
        )
        if node.attrs["use_bias"]:
            z = self.node("Add", [z, self.constant(f"{y}/bias", self.weights[node.weights["bias"]])], [f"{y}/zb"])
        self.activation(node.attrs["activation"], z, y, node)

    def embedding(self, node: Node) -> None:
        y = node.outputs[0]
        ids = self.node("Cast", [node.inputs[0]], [f"{y}/ids"], to=self.onnx.TensorProto.INT64)
        self.node("Gather", [self.constant(f"{y}/table", self.weights[node.weights["embeddings"]]), ids], [y])

    def normalization(self, node: Node) -> None:
        w = {k: self.weights[n].astype("float64") for k, n in node.weights.items()}
        scale = w.get("gamma", 1.0) / np.sqrt(w["moving_variance"] + node.attrs["epsilon"])
        shift = w.get("beta", 0.0) - w["moving_mean"] * scale
        y, rank = node.outputs[0], len(self.model.graph.tensors[node.inputs[0]].shape)
        if node.attrs.get("axis", rank - 1) not in (-1, rank - 1):
            raise refuse(node, "BatchNormalization of another axis than the last is not exported")
        z = self.node("Mul", [node.inputs[0], self.constant(f"{y}/s", scale.astype("float32"))], [f"{y}/z"])
        self.node("Add", [z, self.constant(f"{y}/t", shift.astype("float32"))], [y])

    def write(self, node: Node) -> None:
        if node.op in _GATES:
            self.recurrent(node)
        elif node.op == "dense":
            self.dense(node)
        elif node.op == "embedding":
            self.embedding(node)
        elif node.op == "activation":
            self.activation(node.attrs["activation"], node.inputs[0], node.outputs[0], node)
        elif node.op == "batch_normalization":
            self.normalization(node)
        elif node.op == "concatenate":
            self.node("Concat", list(node.inputs), [node.outputs[0]], axis=node.attrs["axis"])
        elif node.op in _JOINS and len(node.inputs) > 1:
            self.node(_JOINS[node.op], list(node.inputs[:2]), [node.outputs[0]])
            if len(node.inputs) > 2:
                raise refuse(node, f"{node.op} of more than two tensors is not exported")
        else:
            raise refuse(node, f"{node.op} is not exported")

    def spec(self, name: str, dtype: str, shape: list | None) -> Any:
        kind = self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.onnx.helper.make_tensor_value_info(name, kind, shape)

    def shape(self, tensor: str) -> list | None:
        """As the file says; a step does not keep to the file's length."""
        t = self.model.graph.tensors[tensor]
        if self.stepping:
            return [None] * len(t.shape)
        return [str(d) if isinstance(d, Dim) else d for d in t.shape]


def onnx_bytes(model: Any, stepping: bool = False) -> tuple[bytes, list[tuple[str, int]]]:
    """(the model as ONNX, its states: name and width).

    stepping: every recurrent layer's states are inputs (1, batch, units), and outputs by the same name with
    ``/next``. BackendError names the first layer that is not exported; ImportError where onnx is not installed.
    """
    graph = model.graph
    w = _Writer(model, stepping)
    for i in graph.inputs:
        w.inputs.append(w.spec(i.tensor, graph.tensors[i.tensor].dtype, w.shape(i.tensor)))
    nodes = nodes_of(model)
    for node in nodes:
        w.write(node)
    firsts = [w.spec(t, graph.tensors[t].dtype, w.shape(t)) for t in graph.outputs]
    proto = w.onnx.helper.make_model(
        w.onnx.helper.make_graph(w.nodes, "rnnrt", w.inputs, [*firsts, *w.outputs], w.constants),
        opset_imports=[w.onnx.helper.make_opsetid("", 17)],
        ir_version=8,
    )
    w.onnx.checker.check_model(proto)
    states = [(f"{node.id}/{'hc'[k]}", width) for node, widths in states_of(nodes) for k, width in enumerate(widths)]
    return proto.SerializeToString(), states
