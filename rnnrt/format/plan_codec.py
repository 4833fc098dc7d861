"""The plan that a file keeps: tables <-> ``rnnrt.plan`` and its tensors. The rules: FORMAT.md, section "The plan"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..tables import VERSION, WIDTHS, Tables
from .header import Checksum, Entry
from .refusals import refusal
from .strict_json import dumps, loads

__all__ = ["PLAN_KEY", "PLAN_PREFIX", "plan_from_file", "plan_tensors", "plan_text", "same_tables", "seal"]

PLAN_KEY = "rnnrt.plan"
PLAN_PREFIX = "rnnrt.plan/"
_INTEGERS, _REALS = PLAN_PREFIX + "integers", PLAN_PREFIX + "reals"
_SEALED_KEYS = ("rnnrt.format_version", "rnnrt.requires", "rnnrt.session", "rnnrt.graph", "rnnrt.quant", "rnnrt.proof")

# fields of Tables as they stand in the JSON, and what each must be
_FIELDS: dict[str, type] = {
    "row_bytes": int,
    "streams": bool,
    "bounded": bool,
    "sources": list,
    "fixed": list,
    "starts": list,
    "steps": list,
    "symbols": list,
    "places": list,
    "input_names": list,
}
_STRUCTURES = ("input_structure", "output_structure")


def seal(metadata: Mapping[str, str], entries: list[Entry], crc32: Checksum) -> str:
    """Eight hex digits that change with all that a plan is made of, but for the values of weights."""
    lines = [metadata.get(key, "") for key in _SEALED_KEYS]
    tensors = [f"{e.name} {e.dtype} {','.join(map(str, e.shape))}" for e in entries]
    lines += sorted(t for t in tensors if not t.startswith(PLAN_PREFIX))
    text = "\n".join(lines)
    return f"{crc32(text.encode('utf-8'), 0):08x}"


def plan_tensors(tables: Tables) -> dict[str, np.ndarray]:
    """The tensors that hold the numbers of a plan."""
    numbers = np.concatenate([getattr(tables, name).reshape(-1) for name in WIDTHS])
    small = abs(numbers).max(initial=0) < 1 << 31
    return {_INTEGERS: numbers.astype(np.int32) if small else numbers, _REALS: tables.reals}


def plan_text(tables: Tables, sealed: str) -> str:
    """The value of ``rnnrt.plan``."""
    rows = [len(getattr(tables, name)) for name in WIDTHS]
    fields = {name: getattr(tables, name) for name in (*_FIELDS, *_STRUCTURES)}
    return dumps({"version": VERSION, "seal": sealed, "rows": rows, **fields})


def _refuse(text: str) -> Exception:
    return refusal("F30", PLAN_KEY, text)


def _integers(arrays: Mapping[str, np.ndarray], rows: Any) -> dict[str, Any]:
    """Each table of integers."""
    flat = arrays.get(_INTEGERS)
    if flat is None or flat.ndim != 1 or flat.dtype.name not in ("int32", "int64"):
        raise _refuse(f"{_INTEGERS} is missing, or no list of integers")
    if not isinstance(rows, list) or len(rows) != len(WIDTHS) or not all(type(n) is int and n >= 0 for n in rows):
        raise _refuse(f"rows must be {len(WIDTHS)} integers from 0")
    if sum(n * (width or 1) for n, width in zip(rows, WIDTHS.values())) != flat.size:
        raise _refuse(f"the tables do not make up the {flat.size} integers that there are")
    flat = flat.astype(np.int64)
    out: dict[str, Any] = {}
    at = 0
    for n, (name, width) in zip(rows, WIDTHS.items()):
        part = flat[at : at + n * (width or 1)]
        out[name] = part.reshape(n, width) if width else part
        at += part.size
    return out


def _check_fields(found: dict[str, Any], weights: Mapping[str, np.ndarray]) -> None:
    """What the JSON says is of the types that a program takes, and of weights that there are."""
    for name, kind in _FIELDS.items():
        if type(found[name]) is not kind:
            raise _refuse(f"{name} must be of type {kind.__name__}")
    good = all(
        (
            all(isinstance(s, str) for key in ("symbols", "places", "input_names") for s in found[key]),
            all(f is None or (type(f) is int and f >= 0) for f in found["fixed"]),
            all(type(s) is bool for s in (*found["starts"], *found["steps"])),
            all(isinstance(s, list) and len(s) == 2 and type(s[1]) is bool for s in found["sources"]),
        )
    )
    if not good or found["row_bytes"] < 0:
        raise _refuse("a field does not follow its schema")
    for name, _ in found["sources"]:
        if not isinstance(name, str) or name not in weights:
            raise _refuse(f"there is no weight {name!r:.60}")


def plan_from_file(
    metadata: Mapping[str, str], arrays: Mapping[str, np.ndarray], weights: Mapping[str, np.ndarray], sealed: str
) -> Tables | None:
    """The tables that a file keeps, without their weights; None where they are of another version or other contents.

    arrays: all tensors of the file. sealed: the :func:`seal` of the file. Raises FormatError F30.
    """
    found = loads(metadata[PLAN_KEY], PLAN_KEY)
    if not isinstance(found, dict):
        raise _refuse("expected an object")
    if found.get("version") != VERSION or found.get("seal") != sealed:
        return None
    if set(found) != {"version", "seal", "rows", *_FIELDS, *_STRUCTURES}:
        raise _refuse("unknown or missing keys")
    _check_fields(found, weights)
    reals = arrays.get(_REALS)
    if reals is None or reals.ndim != 1 or reals.dtype.name != "float64":
        raise _refuse(f"{_REALS} is missing, or no list of float64")
    fields: dict[str, Any] = {name: found[name] for name in (*_FIELDS, *_STRUCTURES)}
    fields["sources"] = [(name, as_stored) for name, as_stored in found["sources"]]
    integers = _integers(arrays, found["rows"])
    return Tables(reals=reals, session=metadata["rnnrt.session"], **integers, **fields)


def same_tables(a: Tables, b: Tables) -> bool:
    """Whether two plans are the same program, weights apart."""
    return (
        all(np.array_equal(getattr(a, name), getattr(b, name)) for name in WIDTHS)
        and a.reals.tobytes() == b.reals.tobytes()
        and all(getattr(a, name) == getattr(b, name) for name in (*_FIELDS, *_STRUCTURES, "session"))
    )
