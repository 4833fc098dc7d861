"""``rnnrt stream``: stdin to stdout, one step a line."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from .common import Failure, add_device_arguments, load_model, plain

EXAMPLE = """
tail -f sensor.csv | rnnrt stream model.rnnrt
seq 1 5 | rnnrt stream char_model.rnnrt --json    # ids; JSON lines out
a blank line ends a sequence: the state goes back to its start
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a .rnnrt file (or a Keras file, converted in memory)")
    add_device_arguments(parser)
    parser.add_argument(
        "--input-format",
        choices=("auto", "csv", "json"),
        default="auto",
        help="a line is numbers, or a JSON array or object by input name (default: its first letter tells)",
    )


def run(args: argparse.Namespace) -> int:
    model = load_model(args)
    session = model.session(batch_size=1)
    # a state input is no part of a step: it stays at zero
    steps = [spec for spec in model.inputs if getattr(spec, "role", "data") == "data"]
    for n, line in enumerate(sys.stdin, 1):
        if not line.strip():
            session.reset()
            print(flush=True)
            continue
        try:
            step = parse_step(line, steps, args.input_format)
            result = session.step(step[0] if len(step) == 1 else step)
        except (ValueError, Failure) as e:
            raise Failure(f"line {n}: {e}") from None
        # one line out for each line in, at once: somebody may be waiting for it
        print(format_step(result, model.outputs, args.json), flush=True)
    return 0


def parse_step(line: str, specs: Any, form: str) -> list:
    """One timestep of a batch of one for each input, ``(1, *features)``, from a line of csv or JSON."""
    import numpy as np

    from .arrays import parse_numbers

    if form == "json" or (form == "auto" and line.lstrip()[0] in "[{"):
        try:
            value = json.loads(line)
        except json.JSONDecodeError as e:
            raise Failure(f"not JSON: {e}") from None
    else:
        value = parse_numbers(line, "csv")
    if isinstance(value, dict):
        missing = [s.name for s in specs if s.name not in value]
        if missing or len(value) != len(specs):
            raise Failure(f"expected the inputs {', '.join(s.name for s in specs)}, got {', '.join(value)}")
        values = [value[s.name] for s in specs]
    elif len(specs) == 1:
        values = [value]
    else:
        raise Failure(f"the model has {len(specs)} inputs: give a JSON object {{name: [numbers]}}")
    out = []
    for v, spec in zip(values, specs):
        try:
            array = np.asarray(v, np.float64)
        except (TypeError, ValueError):
            raise Failure(f"input {spec.name!r}: not an array of numbers") from None
        shape = tuple(spec.shape[2:])  # without batch and time
        if None not in shape:
            size = int(np.prod(shape, dtype=np.int64))
            if array.size != size:
                raise Failure(f"input {spec.name!r}: expected {size} number(s) a step, got {array.size}")
            array = array.reshape(1, *shape)
        else:
            array = array[None]
        kind = np.dtype(spec.dtype)
        if kind.kind in "iu" and not np.array_equal(array, np.trunc(array)):
            raise Failure(f"input {spec.name!r}: ids must be whole numbers, got {array.ravel()[0]:g}")
        out.append(array.astype(kind))
    return out


def format_step(result: Any, specs: Any, as_json: bool) -> str:
    """One line for the outputs of one step: numbers separated by commas, or JSON."""
    import numpy as np

    from ..nested import leaves

    arrays = [np.asarray(a)[0] for a in leaves(result)]
    if as_json:
        value = plain(arrays[0]) if len(arrays) == 1 else {s.name: plain(a) for s, a in zip(specs, arrays)}
        return json.dumps(value, allow_nan=False)
    return ",".join(str(x) for a in arrays for x in np.atleast_1d(a).ravel())
