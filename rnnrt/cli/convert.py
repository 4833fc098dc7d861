"""``rnnrt convert``: a Keras file in, one .rnnrt file out."""

from __future__ import annotations

import argparse

from .common import add_graph_arguments, graph_arguments, say_json, say_report

EXAMPLE = """
rnnrt convert model.h5
rnnrt convert weights.h5 --architecture model.json -o model.rnnrt
rnnrt convert seq2seq.h5 --outputs encoder_lstm -o encoder.rnnrt
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_graph_arguments(parser)
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="where to write (default: the source's name with .rnnrt)"
    )
    parser.add_argument(
        "--weights",
        choices=("float32", "float16", "int8"),
        help="how weights are stored (default: float32)",
    )


def run(args: argparse.Namespace) -> int:
    import rnnrt

    options = graph_arguments(args)
    if args.weights is not None:
        options["weights"] = args.weights
    report = rnnrt.convert(args.source, args.output, **options)
    if args.json:
        say_json(report.to_dict())
    else:
        say_report(str(report))
    return 0
