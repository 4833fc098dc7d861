"""Reads a .rnnrt file into private memory and trusts nothing in it. Rules: FORMAT.md."""

from __future__ import annotations

import os
import stat
from types import MappingProxyType

import numpy as np

from ..errors import FormatError
from ..tables import Tables
from . import header
from .file import ModelFile, UnreadFile, features_of, weights_among
from .header import ALIGNMENT, DTYPES, Checksum, Entry
from .plan_codec import PLAN_KEY, plan_from_file, seal
from .refusals import refusal

__all__ = ["FORMAT_VERSION", "SUPPORTED_FEATURES", "ModelFile", "read"]

FORMAT_VERSION = "1"
# names of codec.features that this version can run
SUPPORTED_FEATURES: frozenset[str] = frozenset({"float64", "float16", "bfloat16", "int8", "host"})

REQUIRED_KEYS = ("rnnrt.format_version", "rnnrt.requires", "rnnrt.graph", "rnnrt.session")
CHECKSUM_KEYS = ("rnnrt.crc32", header.CRC_KEY)
OPTIONAL_KEYS = ("rnnrt.proof", "rnnrt.quant", PLAN_KEY, "rnnrt.source_sha256", "rnnrt.producer")


def _fill(fd: int, buffer: memoryview) -> int:
    """Read until the buffer is full or the file ends; the number of bytes read."""
    at = 0
    while at < len(buffer):
        n = os.readv(fd, [buffer[at : at + (1 << 30)]])
        if n == 0:
            break
        at += n
    return at


def _aligned(nbytes: int) -> np.ndarray:
    """Private uninitialised bytes that begin at a multiple of 64."""
    raw = np.empty(nbytes + ALIGNMENT, np.uint8)
    shift = -raw.__array_interface__["data"][0] % ALIGNMENT
    return raw[shift : shift + nbytes]


# what is read at once, so that a checksum finds it in the cache
_PIECE = 1 << 18


def _fill_summed(fd: int, data: memoryview, entries: list[Entry], crc32: Checksum) -> tuple[int, list[int]]:
    """As :func:`_fill` for data that the entries cover in order; also the checksum of each."""
    at = 0
    sums: list[int] = []
    for e in entries:
        value = 0
        for first in range(e.begin, e.end, _PIECE):
            piece = data[first : min(first + _PIECE, e.end)]
            n = _fill(fd, piece)
            at += n
            if n < len(piece):
                return at, sums
            value = crc32(piece, value)
        sums.append(value)
    return at, sums


def _read_raw(fd: int, crc32: Checksum) -> tuple[bytes, list[Entry], dict[str, str], np.ndarray, list[int], int]:
    """Header bytes, entries, metadata, data, its checksums by entry and file size; FormatError F01 to F17."""
    info = os.fstat(fd)
    if not stat.S_ISREG(info.st_mode):
        raise refusal("F01", "file", "not a regular file")
    first = bytearray(8)
    if _fill(fd, memoryview(first)) < 8:
        raise refusal("F02", "file", f"{info.st_size} bytes are too short for any model")
    n = int.from_bytes(first, "little")
    if not 2 <= n <= header.MAX_HEADER:
        raise refusal("F03", "header", f"length {n}, expected 2 to {header.MAX_HEADER}: not an .rnnrt file")
    raw = bytearray(min(n, max(0, info.st_size - 8)))
    if len(raw) < n or _fill(fd, memoryview(raw)) < n:
        raise refusal("F02", "header", f"truncated: {n} bytes announced, {len(raw)} there")
    entries, metadata = header.parse(bytes(raw))
    end = entries[-1].end if entries else 0
    there = info.st_size - 8 - n
    if there != end:
        raise refusal("F16", "data", f"expected {end} bytes, the file has {there}")
    data = _aligned(end)
    got, sums = _fill_summed(fd, data.data, entries, crc32) if end else (0, [0] * len(entries))
    if got != end or os.read(fd, 1):
        raise refusal("F16", "data", "the file was changed while it was read")
    return bytes(raw), entries, metadata, data, sums, info.st_size


def _check_identity(metadata: dict[str, str]) -> bool:
    """Format and version; whether the file has checksums. FormatError F18, F19, F21."""
    if metadata.get("format") != "rnnrt":
        raise refusal("F18", "metadata", f'"format" is {metadata.get("format")!r:.40}, expected "rnnrt"')
    version = metadata.get("rnnrt.format_version")
    if version is None:
        raise refusal("F21", "metadata", "key 'rnnrt.format_version' is missing")
    if version != FORMAT_VERSION:
        raise refusal("F19", "rnnrt.format_version", f"version {version:.20} is not known; update rnnrt")
    sums = [key for key in CHECKSUM_KEYS if key in metadata]
    if len(sums) == 1:
        raise refusal("F21", "metadata", f"{sums[0]!r} stands alone; a file has both checksum keys or neither")
    return bool(sums)


def _check_metadata(metadata: dict[str, str]) -> None:
    """Features, then keys, so that a newer file is refused by what it needs. F20, F21."""
    for f in features_of(metadata):
        if f not in SUPPORTED_FEATURES:
            raise refusal("F20", "rnnrt.requires", f"this version of rnnrt cannot do {f!r}")
    known = (*REQUIRED_KEYS, *CHECKSUM_KEYS, *OPTIONAL_KEYS)
    for key in metadata:
        if key.startswith("rnnrt.") and key not in known:
            raise refusal("F21", "metadata", f"unknown key {key!r}")
    for key in REQUIRED_KEYS:
        if key not in metadata:
            raise refusal("F21", "metadata", f"key {key!r} is missing")
    source = metadata.get("rnnrt.source_sha256", "")
    if source and not header.is_hex(source, 64):
        raise refusal("F21", "rnnrt.source_sha256", "expected 64 hex digits")


def _check_sums(
    raw: bytes, entries: list[Entry], metadata: dict[str, str], computed_sums: list[int], crc32: Checksum
) -> None:
    """Both kinds of checksum; FormatError F22 and F23."""
    stored, computed = header.header_crc32(raw, crc32)
    if stored != computed:
        raise refusal(
            "F22",
            "header",
            f"checksum is {computed}, {stored} is written: the file is damaged, "
            f"or was saved again by a tool that must leave out rnnrt.crc32 and {header.CRC_KEY}",
        )
    sums = header.parse_sums(metadata["rnnrt.crc32"], (e.name for e in entries))
    for e, value in zip(entries, computed_sums):
        if value != sums[e.name]:
            raise refusal("F23", e.name, "the checksum does not match: the file is damaged")


def _array(data: np.ndarray, e: Entry) -> np.ndarray:
    """A read-only view of the data, or a copy where the file does not align the tensor."""
    dtype = np.dtype(DTYPES[e.dtype][1])
    part = data[e.begin : e.end]
    out = (part if e.begin % dtype.itemsize == 0 else part.copy()).view(dtype).reshape(e.shape)
    out.flags.writeable = False
    return out


def _zlib_crc32() -> Checksum:
    from zlib import crc32

    return crc32


def _kept_tables(
    metadata: dict[str, str], entries: list[Entry], arrays: dict[str, np.ndarray], crc32: Checksum
) -> Tables | None:
    """The plan that the file keeps, where its seal says that the writer checked the rest of the header. F30."""
    if PLAN_KEY not in metadata:
        return None
    return plan_from_file(metadata, arrays, weights_among(arrays), seal(metadata, entries, crc32))


def _model(path: str, fd: int, crc32: Checksum) -> ModelFile:
    raw, entries, metadata, data, sums, nbytes = _read_raw(fd, crc32)
    checked = _check_identity(metadata)
    if checked:
        _check_sums(raw, entries, metadata, sums, crc32)
    _check_metadata(metadata)
    arrays = {e.name: _array(data, e) for e in entries}
    tables = _kept_tables(metadata, entries, arrays, crc32) if checked else None
    if tables is not None:
        return UnreadFile(path, entries, arrays, metadata, nbytes, checked, tables)
    from .contents import contents

    graph, weights, proof = contents(metadata, entries, arrays)
    return ModelFile(path, graph, MappingProxyType(weights), proof, MappingProxyType(metadata), nbytes, checked)


def read(path: str | os.PathLike[str], crc32: Checksum | None = None) -> ModelFile:
    """Read and check a model file; crc32 does what ``zlib.crc32`` does, which is taken where None.

    The file is opened once and read into private memory; it may be replaced or removed afterwards.

    Raises
    ------
    FormatError
        Naming the file, the place and the number of the refusal in FORMAT.md.
    OSError
        Where the file cannot be opened or read.
    """
    name = os.fsdecode(path)
    # a FIFO must not block the opening, a terminal must not become ours
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        return _model(name, fd, crc32 or _zlib_crc32())
    except FormatError as e:
        raise FormatError(f"{name}: {e}") from None
    finally:
        os.close(fd)
