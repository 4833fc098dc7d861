"""Whole-model HDF5: ``model_config`` at the root, ``model_weights`` below it (Keras 1, 2, 3)."""

from __future__ import annotations

import h5py

from ...errors import ConversionError
from . import hdf5, jsontext
from .base import Source
from .legacy_group import read_group

__all__ = ["open_whole_h5"]


def open_whole_h5(file: h5py.File, path: str, sha256: str) -> Source:
    """Read the architecture and list the weights of a whole-model file."""
    text = hdf5.attr_text(file, "model_config", path)
    architecture = jsontext.parse(text or "", f"{path}: model_config")
    if not isinstance(architecture, dict):
        raise ConversionError(f"{path}: model_config is not an object")
    weights = read_group(hdf5.group(file, "model_weights", path), f"{path}: model_weights")
    ignored = []
    if hdf5.attr_text(file, "training_config", path) is not None:
        ignored.append("the training configuration")
    if hdf5.has(file, "optimizer_weights", path):
        ignored.append("the optimizer's weights")
    return Source(
        path=path,
        layout="whole-model HDF5",
        architecture=architecture,
        keras_version=hdf5.attr_text(file, "keras_version", path) or "",
        backend=hdf5.attr_text(file, "backend", path) or "",
        weights=weights,
        sha256=sha256,
        ignored=ignored,
        close=file.close,
    )
