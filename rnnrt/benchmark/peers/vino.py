"""OpenVINO on the ONNX graph, one thread."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import Peer
from .onnx_graph import onnx_bytes

__all__ = ["open"]


def open(model: Any, source: str | None) -> Peer:
    """The model in OpenVINO with the latency hint; predict only."""
    import openvino

    data, _ = onnx_bytes(model)
    core = openvino.Core()
    settings = {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(data), "CPU", settings)
    request = compiled.create_infer_request()

    def predict(arrays: list[np.ndarray]) -> list[np.ndarray]:
        found = request.infer(arrays, share_inputs=True, share_outputs=True)
        return [found[k] for k in range(len(model.graph.outputs))]

    return Peer("openvino", openvino.__version__.split("-")[0], predict)
