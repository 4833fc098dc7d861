"""``rnnrt inspect``: layers, states, session meaning and file facts."""

from __future__ import annotations

import argparse
from typing import Any

from .common import say, say_json, width

EXAMPLE = """
rnnrt inspect model.rnnrt
rnnrt inspect model.rnnrt --batch 32 --steps 100     # memory of such a predict
"""

SHOWN_ABOVE = ("name", "path", "parameters", "layers", "state_bytes")  # the summary has them


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a .rnnrt file (or a Keras file, converted in memory)")
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="sequences a predict (default: 1)")
    parser.add_argument("--steps", type=int, metavar="T", help="timesteps of a sequence")


def run(args: argparse.Namespace) -> int:
    import rnnrt

    model = rnnrt.load(args.file)
    facts = model.describe()
    if args.json:
        say_json(facts)
        return 0
    say(model.summary(batch=args.batch, steps=args.steps))
    from rnnrt.summary import shorten_path, table

    rows = [(k.replace("_", " "), text_of(v)) for k, v in facts.items() if k not in SHOWN_ABOVE and v != ""]
    say(table(("File", shorten_path(args.file, width() - 25)), rows, width=width()))
    return 0


def text_of(value: Any) -> str:
    """A fact as text for people: several lines for lists of tensors, numbers with commas."""
    if value is None or value == [] or value == {}:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, dict):
        if "name" in value and "shape" in value:
            shape = ", ".join("None" if d is None else str(d) for d in value["shape"])
            rest = [str(value[k]) for k in ("dtype", "role", "meaning") if value.get(k) not in (None, "data")]
            return f"{value['name']} ({shape}) {' '.join(rest)}".strip()
        return "\n".join(f"{k}: {text_of(v)}" for k, v in value.items())
    if isinstance(value, (list, tuple)):
        texts = [text_of(v) for v in value]
        return ("\n" if any(isinstance(v, dict) for v in value) else ", ").join(texts)
    return str(value)
