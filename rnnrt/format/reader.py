"""Reads a .rnnrt file into private memory and trusts nothing in it. Rules: FORMAT.md."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType

import numpy as np

from ..errors import FormatError
from ..ir.graph import Graph
from ..records import Record
from . import codec, header
from .header import ALIGNMENT, CODES, DTYPES, Checksum, Entry
from .proof import Proof
from .proof_codec import PROOF_PREFIX, proof_from_file
from .refusals import refusal
from .strict_json import loads

__all__ = ["FORMAT_VERSION", "SUPPORTED_FEATURES", "ModelFile", "read"]

FORMAT_VERSION = "1"
# names of codec.features that this version can run
SUPPORTED_FEATURES: frozenset[str] = frozenset({"float64", "float16", "bfloat16", "int8", "host"})

REQUIRED_KEYS = ("rnnrt.format_version", "rnnrt.requires", "rnnrt.graph", "rnnrt.session")
CHECKSUM_KEYS = ("rnnrt.crc32", header.CRC_KEY)
OPTIONAL_KEYS = ("rnnrt.proof", "rnnrt.quant", "rnnrt.source_sha256", "rnnrt.producer")


class ModelFile(Record):
    """All that a file holds.

    weights: name -> read-only array (views of one private buffer; bfloat16 as uint16 bits), the scales of int8 ones
    among them.
    metadata: the strings of ``__metadata__`` as they stand. nbytes: size of the file.
    checked: whether the file carries checksums (they were right).
    """

    path: str
    graph: Graph
    weights: Mapping[str, np.ndarray]
    proof: Proof | None
    metadata: Mapping[str, str]
    nbytes: int
    checked: bool

    @property
    def weights_nbytes(self) -> int:
        """Bytes of all weights."""
        return sum(w.nbytes for w in self.weights.values())

    @property
    def source_sha256(self) -> str:
        """SHA-256 (hex) of the Keras file, or an empty string."""
        return self.metadata.get("rnnrt.source_sha256", "")

    @property
    def producer(self) -> str:
        """Who wrote the file, or an empty string."""
        return self.metadata.get("rnnrt.producer", "")

    @cached_property
    def fingerprint(self) -> str:
        """See :func:`rnnrt.format.codec.fingerprint`; computed when first asked for."""
        return codec.fingerprint(self.graph, self.weights)


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
    shift = -raw.ctypes.data % ALIGNMENT
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


def _check_metadata(metadata: dict[str, str]) -> list[str]:
    """Features, then keys, so that a newer file is refused by what it needs; the features. F20, F21."""
    requires = loads(metadata.get("rnnrt.requires", "[]"), "rnnrt.requires")
    if not isinstance(requires, list) or not all(isinstance(f, str) for f in requires):
        raise refusal("F21", "rnnrt.requires", "expected a list of names")
    for f in requires:
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
    return requires


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


def _check_quant(metadata: dict[str, str], graph: Graph) -> None:
    """``rnnrt.quant`` says of each int8 weight what this version does with it, and is there only then. F21."""
    want = codec.quantisation(graph)
    if "rnnrt.quant" not in metadata:
        if want is not None:
            raise refusal("F21", "metadata", "key 'rnnrt.quant' is missing, the graph has int8 weights")
    elif want is None or loads(metadata["rnnrt.quant"], "rnnrt.quant") != want:
        raise refusal("F21", "rnnrt.quant", "does not describe the graph's int8 weights as this version quantises them")


def _check_weights(graph: Graph, entries: list[Entry]) -> None:
    """Each weight of the graph is in the file as its op implies, and nothing else is. F26, F27."""
    found = {e.name: e for e in entries if not e.name.startswith(PROOF_PREFIX)}
    for name, spec in codec.stored_weights(graph).items():
        e = found.pop(name, None)
        if e is None:
            raise refusal("F26", name, "the weight is not in the file")
        if e.dtype != CODES[spec.dtype] or e.shape != tuple(spec.shape):
            raise refusal("F27", name, f"expected {spec.dtype} {tuple(spec.shape)}, got {DTYPES[e.dtype][0]} {e.shape}")
    if found:
        raise refusal("F26", min(found), "the graph names no such weight")


def _zlib_crc32() -> Checksum:
    from zlib import crc32

    return crc32


def _model(path: str, fd: int, crc32: Checksum) -> ModelFile:
    raw, entries, metadata, data, sums, nbytes = _read_raw(fd, crc32)
    checked = _check_identity(metadata)
    if checked:
        _check_sums(raw, entries, metadata, sums, crc32)
    requires = _check_metadata(metadata)
    graph = codec.graph_from_json(loads(metadata["rnnrt.graph"], "rnnrt.graph"))
    for f in codec.features(graph):
        if f not in requires:
            raise refusal("F20", "rnnrt.requires", f"the graph needs {f!r}, which is not declared")
    if metadata["rnnrt.session"] != graph.session:
        raise refusal("F21", "rnnrt.session", f"says {metadata['rnnrt.session']!r:.40}, the graph {graph.session!r}")
    _check_quant(metadata, graph)
    _check_weights(graph, entries)
    arrays = {e.name: _array(data, e) for e in entries}
    weights = {name: arrays.pop(name) for name in codec.stored_weights(graph)}
    proof = None
    if "rnnrt.proof" in metadata:
        total = sum(w.nbytes for w in weights.values())
        proof = proof_from_file(metadata["rnnrt.proof"], arrays, graph, total)
    elif arrays:
        raise refusal("F28", min(arrays), "the file has no rnnrt.proof for this tensor")
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
