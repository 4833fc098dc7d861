"""Conversion of Keras files, without Keras: :func:`convert`, :func:`build`, :func:`check`."""

from __future__ import annotations

import os
import sys
import tempfile
import time
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..custom import given
from ..errors import ConversionError, UnsupportedLayerError
from ..format import writer
from ..format.proof import Proof
from ..format.replay import replay
from ..ir.graph import Graph
from ..ir.passes.layers import parameter_count
from ..tables import Tables
from . import proof as proof_maker
from .detect import open_source
from .keras.assemble import KerasFace, assemble, survey
from .narrow import CHOICES, Narrowed, narrow
from .report import CheckReport, ConversionReport, Refusal, graph_summary, own_classes, stream_facts
from .sources.base import Source

__all__ = ["Built", "CheckReport", "ConversionReport", "Refusal", "build", "check", "convert"]


@dataclass
class Built:
    """A converted model in memory.

    weights: {name: array as stored (bfloat16 as uint16 bits), in Keras's orientation and gate order}.
    source: facts about the file (path, layout, keras_version, sha256). ignored: what has no part in prediction, by
    kind. layers: (path, class) of every layer that was built. face: the layers as Keras's model object lists them.
    """

    graph: Graph
    weights: dict[str, np.ndarray]
    source: dict[str, str]
    ignored: dict[str, list[str]] = field(default_factory=dict)
    layers: list[tuple[str, str]] = field(default_factory=list)
    face: KerasFace | None = None


def _facts(source: Source) -> dict[str, str]:
    return {
        "path": source.path,
        "layout": source.layout,
        "keras_version": source.keras_version or "of no stated version",
        "sha256": source.sha256,
    }


def _ignored(source: Source, found: dict[str, list[str]]) -> dict[str, list[str]]:
    return {**found, **{what: [] for what in source.ignored}}


def build(
    src: str | os.PathLike,
    *,
    architecture: Any = None,
    inputs: Any = None,
    outputs: Any = None,
    custom_objects: dict | None = None,
) -> Built:
    """Convert a Keras file in memory.

    Parameters
    ----------
    src
        A whole-model HDF5 file, a ``.keras`` file, or HDF5 with weights only beside ``architecture``.
    architecture
        The path of a JSON file, JSON text (as ``model.to_json()`` gives it), or ``model.get_config()``.
    inputs, outputs
        A layer's name, or several, at which the model is cut. An input that the rest reaches only as an
        ``initial_state`` need not be named: the state itself becomes an input, ``<layer>/h``.
    custom_objects
        Classes by name for cells and layers of one's own, before the registered ones; see :mod:`rnnrt.custom`.

    Raises
    ------
    ConversionError
        For a file that is not Keras's, is damaged or does not fit together; UnsupportedLayerError for a layer
        that rnnrt does not compute, naming it and all others.
    """
    with given(custom_objects), open_source(src, architecture) as source:
        a = assemble(source, inputs, outputs)
        return Built(a.graph, a.weights, _facts(source), _ignored(source, a.ignored), a.layers, a.face)


def check(
    src: str | os.PathLike,
    *,
    architecture: Any = None,
    inputs: Any = None,
    outputs: Any = None,
    custom_objects: dict | None = None,
) -> CheckReport:
    """What :func:`convert` would do, without writing: every refused layer and why, not only the first.

    Raises ConversionError where the file is no Keras model at all.
    """
    with given(custom_objects), open_source(src, architecture) as source:
        report = CheckReport(False, _facts(source), ignored=_ignored(source, {}))
        try:
            found = survey(source, inputs, outputs).builder
        except UnsupportedLayerError as e:
            report.refused = [Refusal(e.path, str(source.architecture.get("class_name", "")), str(e))]
            return report
        report.layers = found.built
        report.ignored = _ignored(source, found.ignored)
        report.refused = [Refusal(path, name, str(e)) for path, name, e in found.refused]
        if report.refused:
            return report
        try:
            graph = assemble(source, inputs, outputs).graph
        except ConversionError as e:
            report.error = str(e)
            return report
        report.ok = True
        report.params, report.session = parameter_count(graph), graph.session
        report.streams, report.stream_message = stream_facts(graph)
        report.summary = graph_summary(graph)
        report.custom = own_classes(graph)
        return report


def convert(
    src: str | os.PathLike,
    dst: str | os.PathLike | None = None,
    *,
    architecture: Any = None,
    inputs: Any = None,
    outputs: Any = None,
    weights: str = "float32",
    calibration: Any = None,
    max_error: float | None = None,
    custom_objects: dict | None = None,
    progress: Callable[[int, int], None] | None = None,
    load: Callable[[str], Any] | None = None,
    plan: Callable[[Graph, dict[str, np.ndarray]], Tables | None] | None = None,
) -> ConversionReport:
    """Convert a Keras file to a ``.rnnrt`` file.

    The file appears only when all is well: it is written beside the target, its proof is replayed through
    ``load``, and then it takes the target's name.

    Parameters
    ----------
    src, architecture, inputs, outputs
        See :func:`build`.
    dst
        The file to write; src with the suffix ``.rnnrt`` by default.
    weights
        ``"float16"`` or ``"int8"``: how the matrices of recurrent, Dense and Embedding layers are stored and
        multiplied; int8 with a scale for each output channel, and inputs rounded at run time. The report names
        the layers that stay as they are, and tells the error of the model's outputs.
    calibration
        Inputs to measure that error on: an array, a list, or a dict by names of inputs; seeded ones without it.
    max_error
        With ``weights`` of float16 or int8: layers whose use would make the model's error, relative to
        max(1, \\|ref\\|), exceed it stay as they are. With float32: the largest error of the proof that is
        accepted, beside the proof's own tolerances.
    progress
        Called while the error of narrow weights is measured, with how many runs of layers that took and how many are
        known to come in all.
    load
        Opens a ``.rnnrt`` file as a model to replay the proof with (``rnnrt.load``, which ``rnnrt.convert``
        passes). Without it the proof is stored, not replayed.
    plan
        Makes the plan that the file keeps, so that a load need not make it (``rnnrt.convert`` passes it).

    Raises
    ------
    ConversionError
        As :func:`build`, and where the proof fails on this machine.
    """
    started = time.perf_counter()
    if weights not in CHOICES:
        raise ConversionError(f"weights={weights!r}: expected one of {', '.join(CHOICES)}")
    if calibration is not None and weights == "float32":
        raise ConversionError("calibration= measures what weights='float16' or 'int8' change; ask for one of them")
    if max_error is not None and not max_error >= 0:
        raise ConversionError(f"max_error={max_error!r}: expected a number from 0")
    source_path = os.fsdecode(os.fspath(src))
    target = os.fsdecode(os.fspath(dst)) if dst is not None else _default_target(source_path)
    built = build(src, architecture=architecture, inputs=inputs, outputs=outputs, custom_objects=custom_objects)
    if os.path.exists(target) and os.path.samefile(target, source_path):
        raise ConversionError(f"{target}: the result would replace its source; give another dst")
    narrowed: Narrowed | None = None
    with given(custom_objects):
        if weights != "float32":
            built.graph, built.weights, narrowed = narrow(
                built.graph, built.weights, weights, calibration, max_error, progress
            )
            max_error = None  # spent on the choice of layers
        proof = proof_maker.make(built.graph, built.weights)
    with tempfile.TemporaryDirectory(prefix=".rnnrt-", dir=os.path.dirname(os.path.abspath(target))) as folder:
        part = os.path.join(folder, "model.rnnrt")
        writer.write(
            part,
            built.graph,
            built.weights,
            proof=proof,
            source_sha256=built.source["sha256"],
            producer=f"rnnrt, from Keras {built.source['keras_version']}",
            tables=plan(built.graph, built.weights) if plan is not None else None,
        )
        with given(custom_objects):
            error, tolerance = _replay(part, target, built.graph, proof, max_error, load)
        nbytes = os.path.getsize(part)
        os.replace(part, target)
    streams, message = stream_facts(built.graph)
    return ConversionReport(
        path=target,
        summary=graph_summary(built.graph, sum(w.nbytes for w in built.weights.values())),
        params=parameter_count(built.graph),
        nbytes=nbytes,
        session=built.graph.session,
        streams=streams,
        stream_message=message,
        source=built.source,
        proof_error=error,
        proof_tolerance=tolerance,
        custom=own_classes(built.graph),
        ignored=built.ignored,
        narrowed=narrowed,
        seconds=time.perf_counter() - started,
    )


def _default_target(source: str) -> str:
    base = source
    for suffix in (".weights.h5", ".h5", ".hdf5", ".keras", ".hdf"):
        if source.lower().endswith(suffix):
            base = source[: -len(suffix)]
            break
    return base + ".rnnrt"


def _replay(
    part: str, target: str, graph: Graph, proof: Proof, max_error: float | None, load: Callable[[str], Any] | None
) -> tuple[float | None, float | None]:
    """(worst error, its tolerance) of the proof on this machine; ConversionError where it fails."""
    if load is None:
        return None, None
    result = replay(load(part), proof, graph)
    if not result.ok:
        bad = result.failures[0]
        raise ConversionError(
            f"{target}: not written: the {bad.run} run of the proof gives the output {bad.output!r} with an error of "
            f"{bad.error:.3g}, {bad.tolerance:.3g} is allowed; please report this with the file"
        )
    if max_error is not None and result.error > max_error:
        raise ConversionError(
            f"{target}: not written: the proof's worst error is {result.error:.3g}, max_error is {max_error:.3g}"
        )
    return result.error, result.tolerance


class _Room(types.ModuleType):
    """This package, callable: importing it binds ``rnnrt.convert`` to the package, over the function of that name."""

    def __call__(self, src: Any, dst: Any = None, **options: Any) -> ConversionReport:
        face = sys.modules["rnnrt.loading"]
        return convert(src, dst, load=face.load, plan=face.planned, **options)


sys.modules[__name__].__class__ = _Room
