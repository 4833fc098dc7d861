"""``rnnrt check``: what would be refused, and why, without writing anything."""

from __future__ import annotations

import argparse

from .common import add_graph_arguments, graph_arguments, say_json, say_report

EXAMPLE = """
rnnrt check model.h5              # exit code 0: it converts, 1: it does not
rnnrt check --json model.keras
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_graph_arguments(parser)


def run(args: argparse.Namespace) -> int:
    import rnnrt

    report = rnnrt.check(args.source, **graph_arguments(args))
    if args.json:
        say_json(report.to_dict())
    else:
        say_report(str(report))
    return 0 if report.ok else 1
