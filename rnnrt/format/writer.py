"""Writes a .rnnrt file: all of it, or nothing."""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress

import numpy as np

from ..ir.graph import Graph
from ..tables import Tables
from . import codec, header
from .file import PROOF_PREFIX
from .header import ALIGNMENT, CODES, DTYPES, Entry
from .plan_codec import PLAN_KEY, PLAN_PREFIX, plan_tensors, plan_text, seal
from .proof import Proof
from .proof_codec import proof_to_file
from .reader import FORMAT_VERSION
from .refusals import refusal
from .strict_json import dumps, loads

__all__ = ["write"]

_RESERVED = ("__metadata__", PROOF_PREFIX, PLAN_PREFIX)


def _check_weights(graph: Graph, weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The weights, contiguous, in the graph's names, shapes and dtypes; FormatError F26, F27."""
    out = {}
    specs = codec.stored_weights(graph)
    for name, spec in specs.items():
        if name.startswith(_RESERVED):
            raise refusal("F26", name, "the name is reserved")
        if name not in weights:
            raise refusal("F26", name, "the weight is missing")
        w = np.asarray(weights[name])
        dtype = np.dtype(DTYPES[CODES[spec.dtype]][1])
        if w.shape != tuple(spec.shape) or w.dtype != dtype:
            raise refusal("F27", name, f"expected {spec.dtype} {tuple(spec.shape)}, got {w.dtype} {w.shape}")
        out[name] = np.ascontiguousarray(w).reshape(w.shape)  # NumPy makes a scalar one-dimensional
    for name in weights:
        if name not in specs:
            raise refusal("F26", name, "the graph names no such weight")
    return out


def _layout(tensors: Mapping[str, np.ndarray], dtypes: Mapping[str, str]) -> list[Entry]:
    """Places for the tensors: multiples of 64 bytes first, so that these begin at one; then wide dtypes."""
    order = sorted(tensors, key=lambda n: (tensors[n].nbytes % ALIGNMENT != 0, -tensors[n].itemsize, n))
    entries, at = [], 0
    for name in order:
        t = tensors[name]
        entries.append(Entry(name, CODES[dtypes[name]], t.shape, at, at + t.nbytes))
        at += t.nbytes
    return entries


def _bytes(array: np.ndarray) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def encode(
    graph: Graph,
    weights: Mapping[str, np.ndarray],
    *,
    proof: Proof | None = None,
    source_sha256: str = "",
    producer: str = "",
    tables: Tables | None = None,
) -> list[bytes | memoryview]:
    """The file's pieces in order: length and header, then each tensor. Arguments as in :func:`write`."""
    text = dumps(codec.graph_to_json(graph))
    codec.graph_from_json(loads(text, "rnnrt.graph"))
    tensors = _check_weights(graph, weights)
    dtypes = {name: spec.dtype for name, spec in codec.stored_weights(graph).items()}
    metadata = {
        "format": "rnnrt",
        "rnnrt.format_version": FORMAT_VERSION,
        "rnnrt.requires": dumps(codec.features(graph)),
        "rnnrt.session": graph.session,
        "rnnrt.graph": text,
    }
    if proof is not None:
        values, metadata["rnnrt.proof"] = proof_to_file(proof, graph, sum(t.nbytes for t in tensors.values()))
        for name, v in values.items():
            tensors[name] = np.ascontiguousarray(v)
            dtypes[name] = v.dtype.name
    quantised = codec.quantisation(graph)
    if quantised is not None:
        metadata["rnnrt.quant"] = dumps(quantised)
    if source_sha256:
        if len(source_sha256) != 64 or set(source_sha256) - set("0123456789abcdef"):
            raise refusal("F21", "rnnrt.source_sha256", "expected 64 hex digits")
        metadata["rnnrt.source_sha256"] = source_sha256
    if producer:
        metadata["rnnrt.producer"] = producer
    if tables is not None:
        metadata[PLAN_KEY] = plan_text(tables, seal(metadata, _layout(tensors, dtypes), zlib.crc32))
        for name, v in plan_tensors(tables).items():
            tensors[name] = v
            dtypes[name] = v.dtype.name
    entries = _layout(tensors, dtypes)
    pieces = [_bytes(tensors[e.name]) for e in entries]
    metadata["rnnrt.crc32"] = dumps({e.name: f"{zlib.crc32(p):08x}" for e, p in zip(entries, pieces)})
    head = header.build(entries, metadata)
    header.parse(head[8:])  # the reader's own rules: what cannot be read is not written
    return [head, *pieces]


def _sync_directory(folder: str) -> None:
    """Make the renaming durable, where the file system knows of such a thing."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:  # a folder may be writable and not readable
        return
    try:
        os.fsync(fd)
    except OSError as e:
        if e.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EROFS):
            raise
    finally:
        os.close(fd)


def _write_all(fd: int, pieces: Iterable[bytes | memoryview]) -> None:
    for piece in pieces:
        rest = memoryview(piece)
        while len(rest):
            rest = rest[os.write(fd, rest[: 1 << 30]) :]


def write(
    path: str | os.PathLike[str],
    graph: Graph,
    weights: Mapping[str, np.ndarray],
    *,
    proof: Proof | None = None,
    source_sha256: str = "",
    producer: str = "",
    tables: Tables | None = None,
) -> None:
    """Write a model file in one step: readers see the old file or the new one, never a part.

    Parameters
    ----------
    path
        The target; its directory takes the temporary file.
    weights
        Name -> array, exactly ``graph.weights`` in names, shapes and dtypes (bfloat16 as uint16 bits), and the
        scales of int8 ones.
    proof
        At most :func:`rnnrt.format.proof.budget` bytes of expected values.
    source_sha256, producer
        Written where not empty.
    tables
        The plan of the graph, for a load that need not make it.

    The same arguments give the same bytes. Raises FormatError before anything is written where the
    arguments break a rule of FORMAT.md, OSError where the disk refuses; after any error the target is
    what it was, and no temporary file stays.
    """
    pieces = encode(graph, weights, proof=proof, source_sha256=source_sha256, producer=producer, tables=tables)
    target = os.path.abspath(os.fsdecode(path))
    folder = os.path.dirname(target)
    temporary = os.path.join(folder, f".rnnrt-{os.urandom(8).hex()}.tmp")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        try:
            _write_all(fd, pieces)
            os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_directory(folder)
