"""HDF5 with weights only, of either layout, beside an architecture that the user gives."""

from __future__ import annotations

import os
from typing import Any

import h5py

from ...errors import ConversionError
from . import hdf5, jsontext
from .base import OrderedWeights, PathWeights, Source
from .legacy_group import read_group
from .vars_tree import VarsTree, has_root

__all__ = ["open_weights_h5", "read_architecture"]


def read_architecture(architecture: Any) -> dict:
    """An architecture given as a dict, as JSON text or as the path of a JSON file."""
    if isinstance(architecture, dict):
        return architecture
    if isinstance(architecture, bytes) or (
        isinstance(architecture, str) and architecture[:64].lstrip('\ufeff" \r\n\t').startswith("{")
    ):
        value: str | bytes = architecture
        place = "architecture"
    elif isinstance(architecture, (str, os.PathLike)):
        place = os.fspath(architecture)
        try:
            size = os.stat(place).st_size
            if size > jsontext.MAX_TEXT:
                raise ConversionError(f"{place}: {size} bytes of JSON, at most {jsontext.MAX_TEXT} are read")
            with open(place, "rb") as f:
                value = f.read(jsontext.MAX_TEXT + 1)
        except (OSError, ValueError) as e:
            if isinstance(e, ConversionError):
                raise
            reason = getattr(e, "strerror", None) or str(e)
            raise ConversionError(f"{place[:200]}: cannot read the architecture ({reason})") from None
    else:
        raise ConversionError(f"architecture must be a path, JSON text or a dict, got {type(architecture).__name__}")
    out = jsontext.parse(value, place)
    if isinstance(out, str):  # json.dump(model.to_json()) encodes twice
        out = jsontext.parse(out, place)
    if not isinstance(out, dict):
        raise ConversionError(f"{place}: an object with 'class_name' and 'config' expected")
    return out


def open_weights_h5(file: h5py.File, path: str, sha256: str, architecture: Any) -> Source:
    """Weights by layer name and order, or by class and order, with the given architecture.

    The architecture's own ``keras_version`` decides the semantics; the weight file's only where the
    architecture has none.
    """
    weights: OrderedWeights | PathWeights
    if hdf5.attr_names(file, "layer_names", path) is not None:
        weights, layout = read_group(file, path), "HDF5 with weights by layer"
    elif has_root(file, path):
        weights, layout = VarsTree(file, path), "HDF5 with weights by class and order"
    elif hdf5.has(file, "model_weights", path):
        weights = read_group(hdf5.group(file, "model_weights", path), f"{path}: model_weights")
        layout = "HDF5 with weights by layer"
    else:
        raise ConversionError(f"{path}: an HDF5 file, but not one that Keras wrote: no layers in it")
    if architecture is None:
        raise ConversionError(
            f"{path}: holds weights only; give the model's architecture too "
            "(architecture='model.json', as model.to_json() writes it)"
        )
    config = read_architecture(architecture)
    version = config.get("keras_version")
    if not isinstance(version, str):
        version = hdf5.attr_text(file, "keras_version", path)
    return Source(
        path=path,
        layout=layout,
        architecture=config,
        keras_version=version or "",
        backend=hdf5.attr_text(file, "backend", path) or "",
        weights=weights,
        sha256=sha256,
        close=file.close,
    )
