"""The ``layers/<class>[_n]/.../vars/<k>`` tree of ``.keras`` and ``*.weights.h5``."""

from __future__ import annotations

import h5py

from ...errors import ConversionError
from . import hdf5
from .base import StoredArray

__all__ = ["ROOTS", "VarsTree"]

# writers of 2022 and 2023 used the second name
ROOTS = ("layers", "_layer_checkpoint_dependencies")


class VarsTree:
    """Arrays by class-and-order path; implements :class:`.base.PathWeights`."""

    def __init__(self, file: h5py.File, place: str) -> None:
        self._file = file
        self._place = place

    def _find(self, path: tuple[str, ...]) -> h5py.Group | None:
        here: h5py.Group | None = self._file
        for part in path:
            names = ROOTS if part == "layers" else (part,)
            for name in names:
                below = hdf5.child(here, name, self._place) if here is not None else None
                if isinstance(below, h5py.Group):
                    here = below
                    break
            else:
                return None
        return here

    def arrays(self, path: tuple[str, ...]) -> list[StoredArray]:
        """The arrays of a layer, in order 0, 1, ...; [] where it has none."""
        where = f"{self._place}: {'/'.join(path)}"
        with hdf5.guard(where):
            here = self._find((*path, "vars"))
            count = 0 if here is None else len(here)
        if here is None or not count:
            return []
        if count > 4096:
            raise ConversionError(f"{where}: {count} variables in one layer")
        return [hdf5.dataset(here, str(k), where) for k in range(count)]
