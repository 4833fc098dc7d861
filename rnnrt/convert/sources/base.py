"""What every source gives, whatever its layout: the architecture as stored and its weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

__all__ = ["OrderedWeights", "PathWeights", "Source", "StoredArray"]


@dataclass(frozen=True)
class StoredArray:
    """An array in the file, known by shape and read on demand.

    name is the weight's name as stored (``lstm/lstm_cell/kernel:0``, or ``.../vars/0``). read() gives
    float16, float32 or float64, or uint16 with the bits of bfloat16, and
    raises ConversionError where the stored bytes cannot be what the shape declares.
    """

    name: str
    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]


@dataclass
class OrderedWeights:
    """Weights as HDF5 of Keras 1 and 2, and Keras 3's legacy HDF5, hold them.

    layers: (layer name, its arrays) in the file's order, weightless layers included. keras1: the
    arrays are in Keras 1's layout (the group carries no version).
    """

    layers: list[tuple[str, list[StoredArray]]]
    keras1: bool = False

    def weighted(self) -> list[tuple[str, list[StoredArray]]]:
        """The layers that hold arrays."""
        return [(name, arrays) for name, arrays in self.layers if arrays]


class PathWeights(Protocol):
    """Weights as ``.keras`` and ``*.weights.h5`` hold them: by class and order, not by name."""

    def arrays(self, path: tuple[str, ...]) -> list[StoredArray]:
        """The arrays of ``layers/<path>/vars`` in order 0, 1, ...; [] where there are none."""
        ...


@dataclass
class Source:
    """A Keras file, opened.

    architecture is the model's ``{"class_name", "config"}`` as stored, keras_version the version
    whose semantics hold ("" where the file does not say).
    """

    path: str
    layout: str
    architecture: dict[str, Any]
    keras_version: str
    backend: str
    weights: OrderedWeights | PathWeights
    sha256: str
    ignored: list[str] = field(default_factory=list)
    close: Callable[[], None] = lambda: None

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
