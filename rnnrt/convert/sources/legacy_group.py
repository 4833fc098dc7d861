"""The weight group of HDF5 files of Keras 1, 2 and (legacy) 3: layer_names, weight_names."""

from __future__ import annotations

import h5py

from ...errors import ConversionError
from . import hdf5
from .base import OrderedWeights

__all__ = ["read_group"]


def read_group(group: h5py.Group, place: str) -> OrderedWeights:
    """The layers of a weight group with their arrays, in the file's order.

    An empty ``weight_names`` is stored as float64 of shape (0,); it means no weights.
    """
    names = hdf5.attr_names(group, "layer_names", place)
    if names is None:
        raise ConversionError(f"{place}: no 'layer_names'; this is not a Keras weight file")
    layers = []
    for name in names:
        where = f"{place}: layer {name!r}"
        sub = hdf5.group(group, name, where)
        weight_names = hdf5.attr_names(sub, "weight_names", where) or []
        layers.append((name, [hdf5.dataset(sub, w, where) for w in weight_names]))
    return OrderedWeights(layers, keras1=hdf5.attr_text(group, "keras_version", place) is None)
