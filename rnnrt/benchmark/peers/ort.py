"""ONNX Runtime, one thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import Peer
from .onnx_graph import onnx_bytes

__all__ = ["open"]


def open(model: Any, source: str | None) -> Peer:
    """The model in ONNX Runtime; streams as a graph with states in and out, over bound buffers."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3

    def session(stepping: bool) -> tuple[Any, list[tuple[str, int]]]:
        data, states = onnx_bytes(model, stepping)
        return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"]), states

    whole, _ = session(False)
    names = [i.tensor for i in model.graph.inputs]

    def predict(arrays: list[np.ndarray]) -> list[np.ndarray]:
        return whole.run(None, dict(zip(names, arrays)))

    def stepper(arrays: list[np.ndarray]) -> Callable[[], list[np.ndarray]]:
        one, states = session(True)
        flow = [{n: np.zeros((1, len(arrays[0]), width), "float32") for n, width in states} for _ in range(2)]
        outputs = [np.empty(_sizes(model, t, len(arrays[0])), "float32") for t in model.graph.outputs]
        bindings = []
        for k in range(2):  # the states of one step are the inputs of the next: two bindings take turns
            b = one.io_binding()
            for name, x in zip(names, arrays):
                b.bind_cpu_input(name, x)
            for name in flow[0]:
                b.bind_cpu_input(name, flow[k][name])
                _bind(b, f"{name}/next", flow[1 - k][name])
            for name, y in zip(model.graph.outputs, outputs):
                _bind(b, name, y)
            bindings.append(b)
        turn = [0]

        def step() -> list[np.ndarray]:
            one.run_with_iobinding(bindings[turn[0]])
            turn[0] ^= 1
            return outputs

        return step

    return Peer("onnxruntime", ort.__version__, predict, stepper)


def _bind(binding: Any, name: str, y: np.ndarray) -> None:
    binding.bind_output(name, "cpu", 0, np.float32, y.shape, y.ctypes.data)


def _sizes(model: Any, tensor: str, batch: int) -> tuple[int, ...]:
    """The shape of an output of one step."""
    info = model.plan.output_info[model.graph.outputs.index(tensor)]
    return info.sizes({s: batch if s == "B" else 1 for s in model.plan.symbols})
