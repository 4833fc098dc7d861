"""The command line: ``rnnrt COMMAND ...``, one module a command, loaded when it is called.

Exit codes: 0 done; 1 failed, with the reason on stderr; 2 wrong usage; 130 interrupted. A command module has
``EXAMPLE`` (text for its help), ``add_arguments(parser)`` and ``run(args) -> int``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["COMMANDS", "main"]

COMMANDS = {
    "convert": "turn a Keras file into one .rnnrt file",
    "check": "tell what would be refused, and why, without writing",
    "inspect": "show layers, states, session meaning and file facts",
    "predict": "run a model on npy, npz or csv files",
    "stream": "run a model on stdin, one step a line",
    "verify": "replay the proof that a file carries, or compare with Keras",
    "bench": "time a model on this machine",
    "info": "show version, instruction sets and devices",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line on argv (``sys.argv[1:]`` by default) and return its exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    if args and args[0] in COMMANDS:
        from .common import run_command

        return run_command(args[0], COMMANDS[args[0]], args[1:])
    return _top(args)


def _top(args: list[str]) -> int:
    """``rnnrt`` without a command: help, version, or a usage error."""
    import argparse

    width = max(map(len, COMMANDS))
    listing = "\n".join(f"  {name:<{width}}  {text}" for name, text in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="rnnrt",
        usage="rnnrt COMMAND ...",
        description="Runs Keras recurrent models from one compact file, without Keras.",
        epilog=f"commands:\n{listing}\n\nexample:\n  rnnrt convert model.h5 && rnnrt inspect model.rnnrt\n\n"
        "'rnnrt COMMAND --help' tells more of each.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="show the version and exit")
    parser.add_argument("command", nargs="?", metavar="COMMAND", help="one of the commands below")
    try:
        parsed, _ = parser.parse_known_args(args)
        if parsed.version:
            from importlib.metadata import version

            print(f"rnnrt {version('rnnrt')}")
            return 0
        if parsed.command is None:
            parser.print_help(sys.stderr)
            return 2
        from difflib import get_close_matches

        near = get_close_matches(parsed.command, COMMANDS, 1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; choose from {', '.join(COMMANDS)}"
        parser.error(f"unknown command {parsed.command!r}{hint}")
    except SystemExit as stop:  # argparse leaves with 0 for --help, 2 for a usage error
        return stop.code if isinstance(stop.code, int) else 2
