"""What every command shares: its parser, JSON, printing, and errors turned into exit codes."""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Sequence
from importlib import import_module
from typing import Any

__all__ = [
    "Failure",
    "add_device_arguments",
    "add_graph_arguments",
    "graph_arguments",
    "load_model",
    "names",
    "run_command",
    "say",
    "say_json",
    "width",
]


class Failure(Exception):
    """A command failed for a reason that its message tells; exit code 1."""


class _Parser(argparse.ArgumentParser):
    """Puts a usage error on stderr with a pointer to the help; exit code 2."""

    def error(self, message: str):
        self.print_usage(sys.stderr)
        self.exit(2, f"{self.prog}: {message}\n('{self.prog} --help' shows an example)\n")


def run_command(name: str, summary: str, argv: Sequence[str]) -> int:
    """Parse argv for the command and run it; every expected error becomes a message and an exit code."""
    module = import_module(f"{__package__}.{name}")
    parser = _Parser(
        prog=f"rnnrt {name}",
        description=summary[0].upper() + summary[1:] + ".",
        epilog="example:\n" + "\n".join("  " + line for line in module.EXAMPLE.strip().splitlines()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    try:
        args = parser.parse_args(argv)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 2
    return _guarded(name, module, args)


def _guarded(name: str, module: Any, args: argparse.Namespace) -> int:
    from rnnrt.errors import RnnrtError

    try:
        code = module.run(args)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # the reader went away; nothing more may be written, not even at interpreter exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    except (RnnrtError, Failure, OSError, MemoryError, ImportError, ValueError) as e:
        return _failed(name, args, e)
    except Exception as e:  # a fault of ours: still no traceback unless asked for
        if os.environ.get("RNNRT_TRACEBACK"):
            raise
        return _failed(name, args, e, "internal error (RNNRT_TRACEBACK=1 shows where): ")


def _failed(name: str, args: argparse.Namespace, e: Exception, prefix: str = "") -> int:
    kind = type(e).__name__
    text = _message(e)
    if args.json:
        say_json({"error": {"type": kind, "message": text}})
        sys.stdout.flush()
    print(f"rnnrt {name}: {prefix}{text if not prefix else f'{kind}: {text}'}", file=sys.stderr)
    return 1


def _message(e: Exception) -> str:
    if isinstance(e, OSError) and e.strerror and e.filename is not None:
        return f"{e.filename}: {e.strerror}"
    return str(e) or type(e).__name__


def width() -> int:
    """Columns to draw tables in: the terminal's within 60..100; 80 where there is none."""
    if not sys.stdout.isatty():
        return 80
    return min(100, max(60, shutil.get_terminal_size((80, 24)).columns))


def say(text: str) -> None:
    """Print text; box characters become ASCII where stdout cannot show them."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        from rnnrt.summary import ascii_only

        text = ascii_only(text)
    print(text)


def say_report(text: str) -> None:
    """Print a report: lines wider than the terminal are wrapped under their text, tables stay as they are.

    A path that does not even fit on a line of its own is shortened; ``--json`` has it whole.
    """
    from rnnrt.summary import shorten_path

    columns = width()
    lines: list[str] = []
    for line in text.splitlines():
        if len(line) <= columns or line[0] in "┏┃┡│├└":
            lines.append(line)
            continue
        label = re.match(r"\s*(?:\w+:\s+)?", line)
        hang = " " * (label.end() if label else 0)
        words = re.split(r"(\s+)", line)
        line = "".join(shorten_path(w, columns - len(hang)) if "/" in w else w for w in words)
        lines += textwrap.wrap(line, columns, subsequent_indent=hang, break_long_words=False, break_on_hyphens=False)
    say("\n".join(lines))


def plain(value: Any) -> Any:
    """The value as JSON knows it: arrays become lists, NaN and infinities strings."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(v) for v in value]
    if isinstance(value, (str, bool, int)) or value is None:
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if hasattr(value, "dtype") and value.dtype.kind == "f" and value.dtype.itemsize < 8:
        # shortest decimal that gives the same float32 again, not the digits of its double
        return plain(json.loads(_short(value)) if value.ndim == 0 else [plain(v) for v in value])
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return str(value)


def _short(x: Any) -> str:
    f = float(x)
    if math.isfinite(f):
        return str(x)
    return json.dumps(plain(f))


def say_json(value: Any, indent: int | None = 2) -> None:
    """Print the value as one JSON object (valid JSON: no bare NaN)."""
    print(json.dumps(plain(value), indent=indent, allow_nan=False, ensure_ascii=False))


def names(text: str) -> list[str]:
    """An argparse type: ``a,b`` -> ``["a", "b"]``."""
    out = [t.strip() for t in text.split(",") if t.strip()]
    if not out:
        raise argparse.ArgumentTypeError("expected names separated by commas")
    return out


def add_device_arguments(parser: argparse.ArgumentParser) -> None:
    """Where a command runs its model; see :func:`load_model`."""
    parser.add_argument(
        "--device", default="cpu", metavar="D", help="cpu, cuda, cuda:1 ..., or auto: a GPU if it can (default: cpu)"
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=1,
        metavar="N",
        help="threads of a call on the CPU, for large layers (default: 1)",
    )
    parser.add_argument("--math", choices=("fp32", "tf32"), default="fp32", help="of a GPU's products (default: fp32)")


def load_model(args: argparse.Namespace) -> Any:
    """The model that a command's arguments name, on the device that they name."""
    import rnnrt

    return rnnrt.load(args.model, device=args.device, math=args.math, threads=args.threads)


def add_graph_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that convert and check share: which file, and which part of its graph."""
    parser.add_argument("source", metavar="SOURCE", help="a Keras file: .h5, .hdf5, .keras, .weights.h5")
    parser.add_argument("--architecture", metavar="FILE", help="architecture JSON, for a file that holds weights only")
    parser.add_argument("--inputs", type=names, metavar="A,B", help="cut the graph: start at these layers")
    parser.add_argument("--outputs", type=names, metavar="A,B", help="cut the graph: end at these layers")


def graph_arguments(args: argparse.Namespace) -> dict[str, Any]:
    """What was given of :func:`add_graph_arguments`, as keywords of ``rnnrt.convert`` and ``rnnrt.check``."""
    given = {"architecture": args.architecture, "inputs": args.inputs, "outputs": args.outputs}
    return {k: v for k, v in given.items() if v is not None}
