"""load: a file becomes a Model."""

from __future__ import annotations

import os
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from .errors import FormatError
from .format.reader import ModelFile, read
from .model import Model, on_device
from .native import _native as native

if TYPE_CHECKING:
    import numpy as np

    from .ir.graph import Graph
    from .tables import Tables

__all__ = ["load", "planned"]

_KERAS_SIGNATURES = (b"\x89HDF\r\n\x1a\n", b"PK\x03\x04")


class _Converted(ModelFile):
    """A Keras file converted in memory: a ModelFile that was never written. face: its layers as Keras lists them."""

    face: Any = None


def _given(custom_objects: dict[str, Any] | None) -> Any:
    if custom_objects is None:
        return nullcontext()
    from .custom import given

    return given(custom_objects)


def planned(graph: Graph, weights: dict[str, np.ndarray]) -> Tables | None:
    """The tables that a file of this graph keeps; None where ops are run by classes of the user's own."""
    from .planner.lower import lower

    plan = lower(graph, weights, native.op_kinds())
    return None if plan.host_nodes else plan


def _is_keras(path: str) -> bool:
    """By content: HDF5 or zip."""
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as f:
        start = f.read(8)
    return any(start.startswith(s) for s in _KERAS_SIGNATURES)


def _convert_in_memory(path: str) -> ModelFile:
    from .convert import build
    from .convert.proof import make

    built = build(path)
    producer = f"rnnrt, in memory, from Keras {built.source['keras_version']}"
    metadata = {"rnnrt.source_sha256": built.source["sha256"], "rnnrt.producer": producer}
    proof = make(built.graph, built.weights)
    size = os.path.getsize(path)
    return _Converted(path, built.graph, built.weights, proof, metadata, size, False, face=built.face)


def load(
    path: str | os.PathLike[str],
    *,
    device: str = "cpu",
    math: str = "fp32",
    threads: int = 1,
    verify: bool = False,
    custom_objects: dict[str, Any] | None = None,
) -> Model:
    """Open a model.

    Parameters
    ----------
    path
        A ``.rnnrt`` file, or a Keras file (HDF5, ``.keras``), which is converted in memory.
    device
        ``cpu``, ``cuda``, ``cuda:1`` ..., or ``auto``: a GPU where the plugin, a device and all layers of the model
        are to be had, else the CPU, with one line in the log ``rnnrt`` that says why.
    math
        Of products on a GPU: ``fp32`` (within 1e-5 of the CPU's), or ``tf32`` (faster, about 1e-3). The CPU always
        takes float32.
    threads
        Threads of one call on the CPU, with the caller's own: steps of large layers and large batches are shared
        out, with the same bits. For single streams and sequences on cores that have nothing else to do; a service
        with many streams had best stay at 1, where a model may be called from any number of threads at once.
        Steps of fewer than about 40,000 multiply-adds (LSTM(64)) stay on the caller's thread, and so do layers
        other than recurrent, dense and convolutional ones: small models gain nothing.
        BackendError on a GPU, but for ``auto``, where they are those of the CPU if it comes to that.
    custom_objects
        Classes by name for cells and layers of your own, before those of :func:`rnnrt.register_cell` and
        :func:`rnnrt.register_layer`; see :mod:`rnnrt.custom`.
    verify
        Replay the proof that the file carries: FormatError where this machine does not give what its maker got.

    Raises
    ------
    FormatError, ConversionError
        The file is damaged, or not one that this version reads.
    BackendError
        The device or the kernel table (``RNNRT_ISA``) cannot be had, or the device cannot run a layer.
    """
    name = os.fsdecode(os.fspath(path))
    with _given(custom_objects):
        file = _convert_in_memory(name) if _is_keras(name) else read(name, native.crc32)
        model = on_device(file, device, math, threads)
    if verify:
        if file.proof is None:
            raise FormatError(f"{name}: the file carries no proof to verify")
        from .format.replay import replay

        file.check_tables(model.plan)
        result = replay(model, file.proof, file.graph)
        if not result.ok:
            bad = result.failures[0]
            raise FormatError(
                f"{name}: the proof fails on this machine: output {bad.output!r}, {bad.run} run: "
                f"error {bad.error:.3g}, allowed {bad.tolerance:.3g}"
            )
    return model
