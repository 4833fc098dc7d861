"""Conversion of Keras files, without Keras: :func:`convert`, :func:`build`, :func:`check`."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import ConversionError
from ..ir.graph import Graph
from .detect import open_source
from .keras.assemble import assemble

__all__ = ["Built", "build"]


@dataclass
class Built:
    """A converted model in memory.

    weights: {name: float32 array, C-contiguous, in Keras's orientation and gate order}. source: facts about
    the file (path, layout, keras_version, sha256). ignored: what has no part in prediction, by kind.
    layers: (path, class) of every layer that was built.
    """

    graph: Graph
    weights: dict[str, np.ndarray]
    source: dict[str, str]
    ignored: dict[str, list[str]] = field(default_factory=dict)
    layers: list[tuple[str, str]] = field(default_factory=list)


def build(
    src: str | os.PathLike,
    *,
    architecture: Any = None,
    inputs: Any = None,
    outputs: Any = None,
    custom_objects: dict | None = None,
) -> Built:
    """Convert a Keras file in memory.

    src: a whole-model HDF5, a ``.keras`` file, or HDF5 with weights only beside ``architecture`` (the path of a
    JSON file, JSON text or a dict). inputs, outputs: names of layers at which the model is cut.

    Raises ConversionError (UnsupportedLayerError for a layer that rnnrt does not compute).
    """
    if custom_objects:
        raise ConversionError("custom_objects: custom layers and cells are not supported yet")
    with open_source(src, architecture) as source:
        a = assemble(source, inputs, outputs)
        facts = {
            "path": source.path,
            "layout": source.layout,
            "keras_version": source.keras_version or f"{a.generation} (by its words; the file does not say)",
            "sha256": source.sha256,
        }
        ignored = dict(a.ignored)
        for what in source.ignored:
            ignored.setdefault(what, [])
        return Built(a.graph, a.weights, facts, ignored, a.layers)
