"""``rnnrt verify``: replay a file's own proof, or compare it with Keras."""

from __future__ import annotations

import argparse

from .common import say_json, say_report

EXAMPLE = """
rnnrt verify model.rnnrt
rnnrt verify model.rnnrt --keras model.h5      # where Keras is installed
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a .rnnrt file")
    parser.add_argument(
        "--keras",
        metavar="SOURCE",
        help="the Keras file that it was made from: compare with what Keras computes",
    )


def run(args: argparse.Namespace) -> int:
    import rnnrt

    report = rnnrt.verify(args.file, keras=args.keras)
    if args.json:
        say_json(report.to_dict())
    else:
        say_report(str(report))
    return 0 if report.ok else 1
