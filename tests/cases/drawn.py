"""Cases that chance drew once and that stay as they are: ``tools/golden/freeze.py`` writes them beside the goldens."""

from __future__ import annotations

import json
import lzma
from dataclasses import fields
from pathlib import Path
from typing import Any

from .case import Case, Input, Layer, Tolerance

__all__ = ["CASES", "FILE", "dump"]

FILE = Path(__file__).parent.parent / "data" / "goldens" / "chance.json.xz"
_CLASSES = {c.__name__: c for c in (Case, Input, Layer, Tolerance)}


def _plain(value: Any) -> Any:
    """JSON of a case: records as ``{"=": class, ...}``, tuples as ``{"=": "tuple", "of": [...]}``."""
    if type(value) in _CLASSES.values():
        own = {f.name: getattr(value, f.name) for f in fields(value)}
        given = {k: _plain(v) for k, v in own.items() if k == "name" or own[k] != _default(type(value), k)}
        return {"=": type(value).__name__, **given}
    if isinstance(value, tuple):
        return {"=": "tuple", "of": [_plain(v) for v in value]}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return {k: _plain(v) for k, v in value.items()} if isinstance(value, dict) else value


def _default(cls: Any, name: str) -> Any:
    f = next(f for f in fields(cls) if f.name == name)
    return f.default_factory() if callable(f.default_factory) else f.default


def _made(value: Any) -> Any:
    if isinstance(value, list):
        return [_made(v) for v in value]
    if not isinstance(value, dict):
        return value
    kind = value.get("=")
    if kind == "tuple":
        return tuple(_made(v) for v in value["of"])
    given = {k: _made(v) for k, v in value.items() if k != "="}
    return _CLASSES[kind](**given) if kind else given


def dump(cases: list[Case]) -> None:
    """Write the frozen cases."""
    text = "\n".join(json.dumps(_plain(c), sort_keys=True) for c in cases)
    FILE.write_bytes(lzma.compress(text.encode(), preset=9))


CASES: list[Case] = [_made(json.loads(line)) for line in lzma.decompress(FILE.read_bytes()).decode().splitlines()]
