"""The ``layers/<class>[_n]/.../vars/<k>`` tree of ``.keras`` and ``*.weights.h5``.

Files of 2022 and 2023 (TensorFlow 2.11 to 2.13) name the first folder otherwise and count a layer with weights
twice there (``lstm``, ``lstm_2``, ``lstm_4``); on Windows they join the names with backslashes, so that a whole
path is the name of one group in the root (``_layer_checkpoint_dependencies\\lstm_2\\cell``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import h5py

from ...errors import ConversionError
from . import hdf5
from .base import StoredArray

__all__ = ["ROOTS", "VarsTree", "has_root"]

_GAPS = "_layer_checkpoint_dependencies"
ROOTS = ("layers", _GAPS)
_MAX_MEMBERS = 65_536
_COUNTED = re.compile(r"(.*?)(?:_(\d+))?")


def _count(name: str) -> tuple[str, int]:
    """``lstm_2`` -> (lstm, 2), ``lstm`` -> (lstm, 0)."""
    m = _COUNTED.fullmatch(name)
    return (m.group(1), int(m.group(2) or 0)) if m and len(name) <= 256 else (name, 0)


def _in_order(names: Iterable[str], wanted: str) -> str | None:
    """The name of the n-th layer of a class, whatever numbers the file skips."""
    base, n = _count(wanted)
    same = sorted((k, name) for name in names for b, k in [_count(name)] if b == base)
    return same[n][1] if n < len(same) else None


def _members(group: h5py.Group, place: str) -> list[str]:
    with hdf5.guard(place):
        if len(group) > _MAX_MEMBERS:
            raise ConversionError(f"{place}: {len(group)} groups in one")
        return list(group)


def has_root(file: h5py.File, place: str) -> bool:
    """Whether a file holds such a tree."""
    names = _members(file, place)
    return any(name in ROOTS or name.split("\\")[0] in ROOTS for name in names)


class VarsTree:
    """Arrays by class-and-order path; implements :class:`.base.PathWeights`."""

    def __init__(self, file: h5py.File, place: str) -> None:
        self._file = file
        self._place = place
        self._joined: dict[str, Any] = {}  # the tree that names with backslashes stand for
        for name in _members(file, place):
            here = self._joined
            if "\\" in name:
                for part in name.split("\\"):
                    here = here.setdefault(part, {})

    def _in_groups(self, path: tuple[str, ...]) -> h5py.Group | None:
        here: h5py.Group = self._file
        parent = ""
        for part in path:
            names: tuple[str | None, ...] = ROOTS if part == "layers" else (part,)
            if parent == _GAPS:
                names = (_in_order(_members(here, self._place), part),)
            for name in names:
                below = hdf5.child(here, name, self._place) if name is not None else None
                if isinstance(below, h5py.Group):
                    here, parent = below, name or ""
                    break
            else:
                return None
        return here

    def _in_names(self, path: tuple[str, ...]) -> h5py.Group | None:
        here = self._joined
        parts: list[str] = []
        for part in path:
            names: tuple[str | None, ...] = ROOTS if part == "layers" else (part,)
            if parts and parts[-1] == _GAPS:
                names = (_in_order(here, part),)
            name = next((n for n in names if n is not None and n in here), None)
            if name is None:
                return None
            here = here[name]
            parts.append(name)
        found = hdf5.child(self._file, "\\".join(parts), self._place)
        return found if isinstance(found, h5py.Group) else None

    def arrays(self, path: tuple[str, ...]) -> list[StoredArray]:
        """The arrays of a layer, in order 0, 1, ...; [] where it has none."""
        where = f"{self._place}: {'/'.join(path)}"
        with hdf5.guard(where):
            layer = self._in_groups(path) or (self._in_names(path) if self._joined else None)
            here = hdf5.child(layer, "vars", where) if layer is not None else None
            count = len(here) if isinstance(here, h5py.Group) else 0
        if not isinstance(here, h5py.Group) or not count:
            return []
        if count > 4096:
            raise ConversionError(f"{where}: {count} variables in one layer")
        return [hdf5.dataset(here, str(k), where) for k in range(count)]
