"""PyTorch's own modules with the model's weights, one thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...ir.graph import Node
from . import Peer
from .exportable import nodes_of, refuse, weights_of

__all__ = ["open"]

_JOINS = ("add", "subtract", "multiply", "maximum", "minimum")


def open(model: Any, source: str | None) -> Peer:
    """The model as torch modules; streams carry hidden states from call to call."""
    import torch

    torch.set_num_threads(1)
    weights = weights_of(model)
    graph = model.graph
    calls = [(n, _operation(torch, model, n, weights)) for n in nodes_of(model)]

    def run(arrays: list[np.ndarray], states: dict[str, Any] | None) -> list[np.ndarray]:
        with torch.inference_mode():
            values = {i.tensor: torch.from_numpy(x) for i, x in zip(graph.inputs, arrays)}
            for node, call in calls:
                values[node.outputs[0]] = call([values[t] for t in node.inputs], states)
            return [values[t].numpy() for t in graph.outputs]

    def stepper(arrays: list[np.ndarray]) -> Callable[[], list[np.ndarray]]:
        states: dict[str, Any] = {}
        return lambda: run(arrays, states)

    return Peer("torch", torch.__version__.split("+")[0], lambda arrays: run(arrays, None), stepper)


def _function(torch: Any, node: Node, name: str) -> Callable[[Any], Any]:
    functions = {
        "linear": lambda x: x,
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "relu": torch.relu,
        "softmax": lambda x: torch.softmax(x, -1),
    }
    if name not in functions:
        raise refuse(node, f"activation {name} is not exported")
    return functions[name]


def _operation(torch: Any, model: Any, node: Node, weights: dict[str, np.ndarray]) -> Callable[[list, Any], Any]:
    def tensor(role: str) -> Any:
        return torch.from_numpy(np.array(weights[node.weights[role]]))

    if node.op in ("lstm", "gru", "simple_rnn"):
        return _recurrent(torch, model, node, weights)
    if node.op == "dense":
        kernel = tensor("kernel").T.contiguous()
        bias = tensor("bias") if node.attrs["use_bias"] else None
        act = _function(torch, node, node.attrs["activation"].name)
        return lambda x, _: act(torch.nn.functional.linear(x[0], kernel, bias))
    if node.op == "embedding":
        table = tensor("embeddings")
        return lambda x, _: torch.nn.functional.embedding(x[0].long(), table)
    if node.op == "activation":
        act = _function(torch, node, node.attrs["activation"].name)
        return lambda x, _: act(x[0])
    if node.op == "concatenate":
        axis = node.attrs["axis"]
        return lambda x, _: torch.cat(x, axis)
    if node.op in _JOINS and len(node.inputs) == 2:
        join = {"maximum": torch.maximum, "minimum": torch.minimum}.get(node.op) or getattr(torch, node.op)
        return lambda x, _: join(x[0], x[1])
    raise refuse(node, f"{node.op} is not exported")


def _recurrent(torch: Any, model: Any, node: Node, weights: dict[str, np.ndarray]) -> Callable[[list, Any], Any]:
    a = node.attrs
    functions = (a["activation"].name, getattr(a.get("recurrent_activation"), "name", None))
    kinds = {
        "lstm": (torch.nn.LSTM, (("tanh", "sigmoid"),)),
        "gru": (torch.nn.GRU, (("tanh", "sigmoid"),)),
        "simple_rnn": (torch.nn.RNN, (("tanh", None), ("relu", None))),
    }
    make, known = kinds[node.op]
    if functions not in known or not a.get("reset_after", True):
        raise refuse(node, "torch has no such cell (activations, or reset_after=False)")
    kernel, recurrent = (weights[node.weights[k]] for k in ("kernel", "recurrent_kernel"))
    units, more = a["units"], {"nonlinearity": functions[0]} if node.op == "simple_rnn" else {}
    layer = make(kernel.shape[0], units, batch_first=True, **more)
    gates = [1, 0, 2] if node.op == "gru" else range(kernel.shape[1] // units)  # Keras z r h is torch's r z n

    def ordered(w: np.ndarray) -> Any:
        parts = [w[..., g * units : (g + 1) * units] for g in gates]
        return torch.from_numpy(np.ascontiguousarray(np.concatenate(parts, axis=-1).T))

    bias = weights[node.weights["bias"]] if a["use_bias"] else np.zeros(kernel.shape[1], "float32")
    rows = bias if bias.ndim == 2 else np.stack([bias, np.zeros_like(bias)])
    with torch.no_grad():
        layer.weight_ih_l0.copy_(ordered(kernel))
        layer.weight_hh_l0.copy_(ordered(recurrent))
        layer.bias_ih_l0.copy_(ordered(rows[0]))
        layer.bias_hh_l0.copy_(ordered(rows[1]))
    layer.eval()

    def call(x: list, states: dict[str, Any] | None) -> Any:
        data = x[0].flip(1) if a["go_backwards"] else x[0]
        y, state = layer(data, None if states is None else states.get(node.id))
        if states is not None:
            states[node.id] = state
        if not a["return_sequences"]:
            return y[:, -1]
        return y.flip(1) if a["reverse_output"] else y

    return call
