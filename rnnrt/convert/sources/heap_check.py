"""A look at an HDF5 file's global heaps before the library reads them.

Variable-length attributes (Keras's strings) lie there. On a free-space entry of size 0, which a single damaged
byte makes, the HDF5 library of many years loops forever inside C, where nothing can stop it.
Layout: HDF5 File Format Specification, section III.E.
"""

from __future__ import annotations

import struct
from typing import Protocol

from ...errors import ConversionError

__all__ = ["check_heaps"]

_MAGIC = b"GCOL\x01\0\0\0"
_ENTRY = struct.Struct("<HHIQ")  # index, reference count, reserved, size


class _Bytes(Protocol):
    def find(self, sub: bytes, start: int = ..., /) -> int: ...

    def __len__(self) -> int: ...

    def __getitem__(self, key: slice, /) -> bytes: ...


def check_heaps(data: _Bytes, place: str) -> None:
    """Raise ConversionError where a global heap's entries do not lead to its end.

    data: the file's bytes (bytes or mmap).
    """
    at = data.find(_MAGIC)
    while at >= 0:
        (size,) = struct.unpack("<Q", data[at + 8 : at + 16].ljust(8, b"\0"))
        end = at + size
        if 16 <= size and end <= len(data):
            entry = at + 16
            while entry + _ENTRY.size <= end:
                index, _, _, length = _ENTRY.unpack(data[entry : entry + _ENTRY.size])
                step = length if index == 0 else _ENTRY.size + (length + 7) // 8 * 8
                if step == 0 or step > end - entry:
                    raise ConversionError(f"{place}: damaged HDF5 (a global heap at byte {at} has a broken entry)")
                entry += step
        at = data.find(_MAGIC, at + len(_MAGIC))
