"""The safetensors container: header text <-> tensor entries and metadata, every rule checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..records import Record
from .refusals import refusal
from .strict_json import MAX_INT, dumps, loads

__all__ = ["DTYPES", "Entry", "build", "header_crc32", "parse", "parse_sums"]

MAX_HEADER = 16 << 20
MAX_TENSORS = 65_536
MAX_RANK = 8
ALIGNMENT = 64
CRC_KEY = "rnnrt.header_crc32"

# safetensors' name -> (ours, numpy's; bfloat16 has none and travels as its bits, bytes per value)
DTYPES: dict[str, tuple[str, str, int]] = {
    "F32": ("float32", "<f4", 4),
    "F64": ("float64", "<f8", 8),
    "F16": ("float16", "<f2", 2),
    "BF16": ("bfloat16", "<u2", 2),
    "I8": ("int8", "|i1", 1),
    "I16": ("int16", "<i2", 2),
    "I32": ("int32", "<i4", 4),
    "I64": ("int64", "<i8", 8),
    "U8": ("uint8", "|u1", 1),
    "U16": ("uint16", "<u2", 2),
    "U32": ("uint32", "<u4", 4),
    "U64": ("uint64", "<u8", 8),
    "BOOL": ("bool", "|b1", 1),
}
CODES = {ours: code for code, (ours, _, _) in DTYPES.items()}

# (bytes, crc32 so far) -> crc32, as zlib's
Checksum = Callable[[bytes | memoryview, int], int]

_HEX = frozenset("0123456789abcdef")


class Entry(Record):
    """A tensor of the file; begin and end count from the start of the data."""

    name: str
    dtype: str  # safetensors' name
    shape: tuple[int, ...]
    begin: int
    end: int


def _entry(name: str, value: Any) -> Entry:
    """One entry of the header; FormatError F09 to F14."""
    place = f"header, tensor {name!r}"
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise refusal("F09", place, "expected exactly dtype, shape and data_offsets")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    for what, items in (("shape", shape), ("data_offsets", offsets)):
        if not isinstance(items, list) or not all(type(i) is int and i >= 0 for i in items):
            raise refusal("F09", place, f"{what} must be a list of integers from 0, got {items!r:.80}")
    if len(offsets) != 2:
        raise refusal("F09", place, f"data_offsets must be a pair, got {len(offsets)} numbers")
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise refusal("F10", place, f"unknown dtype {dtype!r:.40}; known: {', '.join(DTYPES)}")
    if len(shape) > MAX_RANK:
        raise refusal("F11", place, f"{len(shape)} axes, at most {MAX_RANK} are allowed")
    size, cap = DTYPES[dtype][2], DTYPES[dtype][2]
    for n in shape:
        size *= n
        cap *= max(n, 1)  # a zero must not hide what else would overflow
        if cap >= MAX_INT:
            raise refusal("F13", place, f"shape {tuple(shape)} is too large")
    begin, end = offsets
    if end - begin != size:
        raise refusal("F14", place, f"data_offsets [{begin}, {end}] span {end - begin} bytes, expected {size}")
    return Entry(name, dtype, tuple(shape), begin, end)


def parse(raw: bytes) -> tuple[list[Entry], dict[str, str]]:
    """Entries in the order of their data, and the metadata, of a header's bytes (padding included).

    Raises FormatError, F04 to F15 and F17.
    """
    if raw[:1] != b"{":
        raise refusal("F04", "header", "does not start with '{': not a safetensors file")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as e:
        raise refusal("F04", "header", f"not UTF-8 at byte {e.start}") from None
    top = loads(text, "header")
    metadata = top.pop("__metadata__", None)
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise refusal("F17", "header", "__metadata__ is missing or holds something else than strings")
    if len(top) > MAX_TENSORS:
        raise refusal("F12", "header", f"{len(top)} tensors, at most {MAX_TENSORS} are allowed")
    entries = sorted((_entry(k, v) for k, v in top.items()), key=lambda t: (t.begin, t.end))
    at = 0
    for t in entries:
        if t.begin != at:
            kind = "hole" if t.begin > at else "overlap"
            raise refusal("F15", f"header, tensor {t.name!r}", f"{kind}: begins at {t.begin}, expected {at}")
        at = t.end
    return entries, metadata


def is_hex(digits: str, count: int) -> bool:
    """Whether these are so many hex digits, in lower case."""
    return len(digits) == count and _HEX.issuperset(digits)


def _digits_of_crc(raw: bytes) -> tuple[int, int]:
    """Where the digits of the header's own checksum stand; FormatError F22 unless they do at exactly one place."""
    key = f'"{CRC_KEY}":"'.encode()
    at = raw.find(key)
    first, last = at + len(key), at + len(key) + 8
    if at >= 0 and is_hex(raw[first:last].decode("latin-1"), 8) and raw[last : last + 1] == b'"':
        if raw.count(key[:-2]) == 1:
            return first, last
    import re  # as other tools write it

    pattern = rb'"rnnrt\.header_crc32"[ \t\r\n]*:[ \t\r\n]*"([0-9a-f]{8})"'
    found = [m.span(1) for m in re.finditer(pattern, raw)]
    if len(found) != 1:
        raise refusal("F22", "header", f"{CRC_KEY} is not eight hex digits")
    return found[0]


def header_crc32(raw: bytes, crc32: Checksum) -> tuple[str, str]:
    """(stored, computed) checksum of a header, both eight hex digits; FormatError F22 where there is none."""
    a, b = _digits_of_crc(raw)
    crc = crc32(raw[b:], crc32(b"00000000", crc32(raw[:a], 0)))
    return raw[a:b].decode("ascii"), f"{crc:08x}"


def parse_sums(text: str, names: Iterable[str]) -> dict[str, int]:
    """The table ``rnnrt.crc32``: exactly these tensors, eight hex digits each; FormatError F23."""
    table = loads(text, "rnnrt.crc32")
    wanted = set(names)
    if not isinstance(table, dict) or set(table) != wanted:
        raise refusal("F23", "rnnrt.crc32", "does not list each tensor of the file once")
    for name, digits in table.items():
        if not isinstance(digits, str) or not is_hex(digits, 8):
            raise refusal("F23", "rnnrt.crc32", f"{name!r}: expected eight hex digits, got {digits!r:.40}")
    return {name: int(digits, 16) for name, digits in table.items()}


def build(entries: Iterable[Entry], metadata: dict[str, str]) -> bytes:
    """Length and header as they stand in the file, padded so that data start at a multiple of 64.

    ``metadata`` gets its header checksum here. Raises FormatError where something cannot be written.
    """
    top: dict[str, Any] = {"__metadata__": {**metadata, CRC_KEY: "00000000"}}
    for e in entries:
        top[e.name] = {"dtype": e.dtype, "shape": list(e.shape), "data_offsets": [e.begin, e.end]}
    try:
        raw = dumps(top).encode("utf-8")
    except UnicodeEncodeError:
        raise refusal("F06", "header", "a name holds a lone surrogate") from None
    raw += b" " * (-(8 + len(raw)) % ALIGNMENT)
    if len(raw) > MAX_HEADER:
        raise refusal("F03", "header", f"{len(raw)} bytes, at most {MAX_HEADER} are allowed")
    from zlib import crc32

    _, crc = header_crc32(raw, crc32)
    a, b = _digits_of_crc(raw)
    raw = raw[:a] + crc.encode("ascii") + raw[b:]
    return len(raw).to_bytes(8, "little") + raw
