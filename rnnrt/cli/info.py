"""``rnnrt info``: what is installed and what this machine can do."""

from __future__ import annotations

import argparse
from typing import Any

from .common import say, say_json, width

EXAMPLE = """
rnnrt info
RNNRT_ISA=portable rnnrt info --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    pass


def run(args: argparse.Namespace) -> int:
    import rnnrt
    from rnnrt.summary import table

    facts = rnnrt.info()
    if args.json:
        say_json(facts)
    else:
        rows = [(key.replace("_", " "), _text(value)) for key, value in facts.items() if key != "rnnrt"]
        say(table(("rnnrt", str(facts.get("rnnrt", ""))), rows, width=width()))
    return 0


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{k}: {_text(v)}" for k, v in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_text, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
