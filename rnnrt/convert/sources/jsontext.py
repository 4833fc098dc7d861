"""JSON from files that somebody else wrote: bounded size and depth, no duplicate keys."""

from __future__ import annotations

import json
import re
from typing import Any

from ...errors import ConversionError

__all__ = ["MAX_DEPTH", "MAX_TEXT", "parse"]

MAX_TEXT = 64 << 20
MAX_DEPTH = 256  # a model nested 20 deep needs about 120

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.S)


def _depth(text: str) -> int:
    deepest = depth = 0
    for m in _TOKEN.finditer(text):
        c = m.group()[0]
        if c in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif c in "]}":
            depth -= 1
    return deepest


def parse(text: str | bytes, place: str) -> Any:
    """The value of a JSON text.

    Raises ConversionError (with the place) for text that is not JSON, is larger than 64 MiB, is
    nested deeper than 256 levels or names a key twice in one object.
    """
    if len(text) > MAX_TEXT:
        raise ConversionError(f"{place}: {len(text)} bytes of JSON, at most {MAX_TEXT} are read")
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8-sig")
        except UnicodeDecodeError as e:
            raise ConversionError(f"{place}: not UTF-8 text ({e})") from None
    if _depth(text) > MAX_DEPTH:
        raise ConversionError(f"{place}: JSON nested deeper than {MAX_DEPTH} levels")

    def unique(pairs: list) -> dict:
        out = dict(pairs)
        if len(out) != len(pairs):
            names = [k for k, _ in pairs]
            twice = next(k for k in names if names.count(k) > 1)
            raise ConversionError(f"{place}: the key {twice[:80]!r} occurs twice in one object")
        return out

    try:
        return json.loads(text, object_pairs_hook=unique)
    except ConversionError:
        raise
    except (ValueError, RecursionError) as e:
        raise ConversionError(f"{place}: not JSON ({str(e)[:200]})") from None
