"""Snapshots: rows of state as bytes. The layout is that of ``rnnrt/format/SNAPSHOT.md``."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from .errors import StateError

__all__ = ["SnapshotCodec"]

MAGIC = b"\x89rnnrtS\n"
VERSION = 1
_DTYPES = {"float32": 0, "float64": 1, "int32": 2}
_ITEM = {0: 4, 1: 8, 2: 4}
_FIXED = struct.Struct("<8sHHI32sQII")
_SLOT = struct.Struct("<HBBII")
_MAX_HEADER = 16 << 20
_MAX_ROWS = 1 << 40

_Slot = tuple[str, int, int, int]  # name, dtype, offset, bytes


def _refuse(why: str) -> StateError:
    return StateError(f"this is not a snapshot that can be restored: {why}")


class SnapshotCodec:
    """Packs and unpacks the rows of one model.

    fingerprint: the model's, in hex. slots: records with ``name``, ``shape``, ``dtype`` and ``offset``.
    """

    def __init__(self, fingerprint: str, slots: Sequence[Any], row_bytes: int) -> None:
        self.fingerprint = bytes.fromhex(fingerprint)
        self.row_bytes = row_bytes
        self.slots: list[_Slot] = []
        for s in sorted(slots, key=lambda s: s.offset):
            nbytes = int(np.prod(s.shape, dtype=np.int64)) * np.dtype(s.dtype).itemsize
            self.slots.append((s.name, _DTYPES[s.dtype], s.offset, nbytes))
        self.head = self._head()
        self.flags = [(o, n) for _, d, o, n in self.slots if d == _DTYPES["int32"]]

    def _head(self) -> bytes:
        """Everything before the number of rows."""
        body = b""
        for name, dtype, offset, nbytes in self.slots:
            text = name.encode("utf-8")
            body += _SLOT.pack(len(text), dtype, 0, offset, nbytes) + text
        length = -(-(_FIXED.size + len(body) + 8) // 64) * 64
        fixed = (MAGIC, VERSION, 0, length, self.fingerprint, self.row_bytes, len(self.slots), 0)
        return (_FIXED.pack(*fixed) + body).ljust(length - 8, b"\0")

    def pack(self, rows: np.ndarray) -> bytes:
        """The snapshot of rows, uint8 (n, row_bytes)."""
        data = b"".join((self.head, len(rows).to_bytes(8, "little"), rows.tobytes()))
        return data + zlib.crc32(data).to_bytes(4, "little")

    def unpack(self, data: Any) -> np.ndarray:
        """The rows of a snapshot, uint8 (n, row_bytes), laid out as this model has them.

        Raises StateError where the snapshot is damaged, or that of another model.
        """
        try:
            raw = memoryview(data).cast("B")
        except TypeError:
            raise StateError(f"a snapshot is bytes, got {type(data).__name__}") from None
        if len(raw) < _FIXED.size + 12 or raw[:8] != MAGIC:
            raise _refuse(f"{len(raw)} bytes that do not begin as a snapshot does")
        _, version, flags, length, fingerprint, row_bytes, n_slots, zero = _FIXED.unpack_from(raw)
        if version != VERSION or flags or zero:
            raise _refuse(f"version {version}.{flags | zero}; this rnnrt reads version {VERSION}.0")
        if length % 64 or not _FIXED.size + 8 <= length <= _MAX_HEADER or length + 4 > len(raw):
            raise _refuse(f"truncated: a header of {length} bytes, {len(raw)} in all")
        n = int.from_bytes(raw[length - 8 : length], "little")
        if not 1 <= n <= _MAX_ROWS or row_bytes > _MAX_HEADER << 16 or len(raw) != length + n * row_bytes + 4:
            raise _refuse(f"truncated: {n} rows of {row_bytes} bytes expected, {len(raw)} bytes in all")
        if zlib.crc32(raw[:-4]) != int.from_bytes(raw[-4:], "little"):
            raise _refuse("damaged: the checksum is wrong")
        if fingerprint != self.fingerprint:
            raise _refuse(f"it is of another model ({fingerprint.hex()[:16]}..., not {self.fingerprint.hex()[:16]}...)")
        rows = np.frombuffer(raw, np.uint8, n * row_bytes, length).reshape(n, row_bytes)
        known = {s[0]: s for s in self.slots}
        out = np.zeros((n, self.row_bytes), np.uint8)
        for name, dtype, offset, nbytes in self._read_slots(raw, length, n_slots, row_bytes):
            mine = known.pop(name, None)
            if mine is None or mine[1] != dtype or mine[3] != nbytes:
                raise _refuse(f"state {name!r} is unknown, named twice, or of another size")
            out[:, mine[2] : mine[2] + nbytes] = rows[:, offset : offset + nbytes]
        if known:
            raise _refuse(f"state {next(iter(known))!r} is missing")
        for offset, nbytes in self.flags:
            flag = out[:, offset : offset + nbytes].view(np.int32)
            flag[...] = flag != 0
        return out

    @staticmethod
    def _read_slots(raw: memoryview, length: int, n_slots: int, row_bytes: int) -> list[_Slot]:
        slots: list[_Slot] = []
        at, end, last = _FIXED.size, length - 8, 0
        for _ in range(n_slots):
            if at + _SLOT.size > end:
                raise _refuse("its slots are longer than its header")
            size, dtype, zero, offset, nbytes = _SLOT.unpack_from(raw, at)
            at += _SLOT.size
            if dtype not in _ITEM or zero or nbytes % _ITEM[dtype] or offset % 8 or offset < last:
                raise _refuse(f"slot {len(slots)} makes no sense")
            last = offset + nbytes
            if last > row_bytes or at + size > end:
                raise _refuse(f"slot {len(slots)} lies outside its row")
            try:
                name = bytes(raw[at : at + size]).decode("utf-8")
            except UnicodeDecodeError:
                raise _refuse(f"the name of slot {len(slots)} is not UTF-8") from None
            slots.append((name, dtype, offset, nbytes))
            at += size
        return slots
