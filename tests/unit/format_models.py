"""Graphs, weights and proofs for the tests of the file; no test in here."""

from __future__ import annotations

import json
import zlib
from contextlib import suppress

import numpy as np

from rnnrt.errors import FormatError
from rnnrt.format import header
from rnnrt.format.proof import RUNS, Proof, ProofCase, budget
from rnnrt.format.replay import sample_output
from rnnrt.ir.activations import Activation
from rnnrt.ir.dims import BATCH, symbol
from rnnrt.ir.graph import Graph, InputSpec, Node, TensorSpec, WeightSpec


def _weights(*specs: tuple[str, tuple[int, ...]]) -> dict[str, WeightSpec]:
    return {name: WeightSpec(name, shape) for name, shape in specs}


def lstm_graph(features: int = 3, units: int = 5, classes: int = 4, steps: int | None = None) -> Graph:
    """LSTM, Dense(softmax), LeakyReLU; the length free unless given."""
    time = symbol("x:1") if steps is None else steps
    u = units
    return Graph(
        name="clässifier",
        inputs=[InputSpec("x", "x")],
        outputs=["z"],
        nodes=[
            Node(
                "0",
                "lstm",
                "encoder/lstm",
                ("x",),
                ("h",),
                {"units": u, "activation": Activation("hard_tanh")},
                {
                    "kernel": "encoder/lstm.kernel",
                    "recurrent_kernel": "encoder/lstm.rk",
                    "bias": "encoder/lstm.bias",
                },
                layer_class="LSTM",
            ),
            Node(
                "1",
                "dense",
                "dense",
                ("h",),
                ("y",),
                {"units": classes, "activation": Activation("softmax")},
                {"kernel": "dense.kernel", "bias": "dense.bias"},
                layer_class="Dense",
            ),
            Node("2", "activation", "act", ("y",), ("z",), {"activation": Activation("relu_general")}),
        ],
        tensors={
            "x": TensorSpec("x", (BATCH, time, features)),
            "h": TensorSpec("h", (BATCH, u)),
            "y": TensorSpec("y", (BATCH, classes)),
            "z": TensorSpec("z", (BATCH, classes)),
        },
        weights=_weights(
            ("encoder/lstm.kernel", (features, 4 * u)),
            ("encoder/lstm.rk", (u, 4 * u)),
            ("encoder/lstm.bias", (4 * u,)),
            ("dense.kernel", (u, classes)),
            ("dense.bias", (classes,)),
        ),
        output_names=["act"],
    )


def rnn_graph(units: int = 2, features: int = 3, steps: int | None = None, state: bool = False) -> Graph:
    """A SimpleRNN that returns its sequence; with state, its initial state is an input."""
    time = symbol("x:1") if steps is None else steps
    tensors = {
        "x": TensorSpec("x", (BATCH, time, features)),
        "y": TensorSpec("y", (BATCH, time, units)),
    }
    inputs = [InputSpec("x", "x")]
    if state:
        tensors["s"] = TensorSpec("s", (BATCH, units))
        inputs.append(InputSpec("s", "start", "state"))
    names = {r: f"rnn.{r}" for r in ("kernel", "recurrent_kernel", "bias")}
    node = Node(
        "0",
        "simple_rnn",
        "rnn",
        ("x",),
        ("y",),
        {"units": units, "return_sequences": True},
        names,
        initial_state=("s",) if state else (),
    )
    return Graph(
        "rnn",
        inputs,
        ["y"],
        [node],
        tensors,
        _weights(
            ("rnn.kernel", (features, units)),
            ("rnn.recurrent_kernel", (units, units)),
            ("rnn.bias", (units,)),
        ),
        input_structure={"x": 0, "start": 1} if state else [0],
        output_structure={"out": 0},
        output_names=["rnn"],
    )


def ids_graph(dtype: str = "int32", input_dim: int = 50) -> Graph:
    """Ids through a Reshape and a cast into an Embedding; all of it also flattened."""
    t = symbol("ids:1")
    return Graph(
        "ids",
        [InputSpec("ids", "ids")],
        ["e"],
        [
            Node("0", "reshape", "reshape", ("ids",), ("r",), {"target_shape": (-1,)}),
            Node("1", "cast", "cast", ("r",), ("c",), {"dtype": "int64"}),
            Node(
                "2",
                "embedding",
                "embedding",
                ("c",),
                ("e",),
                {"input_dim": input_dim, "output_dim": 2},
                {"embeddings": "embedding.embeddings"},
            ),
        ],
        {
            "ids": TensorSpec("ids", (BATCH, t), dtype),
            "r": TensorSpec("r", (BATCH, t), dtype),
            "c": TensorSpec("c", (BATCH, t), "int64"),
            "e": TensorSpec("e", (BATCH, t, 2)),
        },
        _weights(("embedding.embeddings", (input_dim, 2))),
        output_names=["embedding"],
    )


def weights_of(graph: Graph, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {k: rng.standard_normal(w.shape).astype(w.dtype) for k, w in graph.weights.items()}


def proof_of(graph: Graph, shape: tuple[int, ...] = (2, 4), *, time: bool = False, dtype: str = "float32") -> Proof:
    """A proof with invented values of the right form."""
    y = np.linspace(-3, 3, int(np.prod(shape))).reshape(shape)
    return Proof(
        (ProofCase(7, 2, 8, RUNS, (sample_output(y, 1e-5, time=time, limit=budget(0), dtype=dtype),), (3, 5)),)
    )


# ---------------------------------------------------------------- a file taken apart


def split(blob: bytes) -> tuple[dict, bytes]:
    """(header as JSON, data)."""
    n = int.from_bytes(blob[:8], "little")
    return json.loads(blob[8 : 8 + n]), blob[8 + n :]


def seal(text: bytes, data: bytes) -> bytes:
    """Length, header and data, with the header's checksum made right where there is one."""
    text += b" " * (-(8 + len(text)) % 64)
    with suppress(FormatError):  # no checksum, or none that could be made right
        stored, computed = header.header_crc32(text, zlib.crc32)
        text = text.replace(b'32":"' + stored.encode(), b'32":"' + computed.encode())
    return len(text).to_bytes(8, "little") + text + data


def join(top: dict, data: bytes) -> bytes:
    return seal(json.dumps(top, separators=(",", ":"), ensure_ascii=False).encode(), data)
