"""HDF5 with weights only, of either layout, beside an architecture that the user gives."""

from __future__ import annotations

import json
import os
from typing import Any

import h5py
import numpy as np

from ...errors import ConversionError
from . import hdf5, jsontext
from .base import OrderedWeights, PathWeights, Source
from .legacy_group import read_group
from .vars_tree import VarsTree, has_root

__all__ = ["open_weights_h5", "read_architecture"]


def read_architecture(architecture: Any) -> dict:
    """An architecture given as JSON text, as the path of a JSON file, or as Python data.

    ``model.to_json()``, ``model.get_config()`` and the bare list of layers of old Sequential models all do.
    """
    if isinstance(architecture, (dict, list)):
        return _with_class(jsontext.parse(_as_text(architecture), "architecture"), "architecture")
    if isinstance(architecture, bytes) or (
        isinstance(architecture, str) and architecture[:64].lstrip('\ufeff" \r\n\t').startswith(("{", "["))
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
    return _with_class(out, place)


def _as_text(value: Any) -> str:
    """Python data as JSON: tuples become lists, NumPy's numbers numbers."""

    def plain(x: Any) -> Any:
        if isinstance(x, np.generic):
            return x.item()
        raise ConversionError(f"architecture: holds a {type(x).__name__}, only plain data is read")

    try:
        return json.dumps(value, default=plain)
    except (TypeError, ValueError, RecursionError) as e:
        raise ConversionError(f"architecture: not plain data ({str(e)[:200]})") from None


def _with_class(value: Any, place: str) -> dict:
    """``{"class_name", "config"}`` around a bare config; ConversionError for what is neither."""
    if isinstance(value, list):
        return {"class_name": "Sequential", "config": value}
    if isinstance(value, dict) and "class_name" not in value and isinstance(value.get("layers"), list):
        version = {k: value[k] for k in ("keras_version", "backend") if k in value}
        return {"class_name": "Functional" if "input_layers" in value else "Sequential", "config": value, **version}
    if not isinstance(value, dict):
        raise ConversionError(f"{place}: an object with 'class_name' and 'config' expected")
    return value


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
