"""``rnnrt info``: what is installed and what this machine can do."""

from __future__ import annotations

import argparse
from typing import Any

from .common import Failure, say, say_json, width

EXAMPLE = """
rnnrt info
RNNRT_ISA=portable rnnrt info --json
rnnrt info --device cuda     # is there a GPU that models can run on, and if not, why
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device", metavar="D", help="exit with 1 and the reason where there is no such device: cpu, cuda, cuda:1 ..."
    )


def run(args: argparse.Namespace) -> int:
    import rnnrt
    from rnnrt.summary import table

    facts = rnnrt.info()
    if args.device is not None and args.device not in facts["devices"]:
        wanted = args.device if ":" in args.device else f"{args.device}:0"
        if wanted not in facts["devices"]:
            why = facts["cuda"] if isinstance(facts["cuda"], str) else f"found: {', '.join(facts['devices'])}"
            raise Failure(f"no device {args.device!r}: {why}")
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
