"""``rnnrt convert``: a Keras file in, one .rnnrt file out."""

from __future__ import annotations

import argparse
from typing import Any

from .common import Failure, add_graph_arguments, graph_arguments, say_json, say_report
from .progress import Progress

EXAMPLE = """
rnnrt convert model.h5
rnnrt convert weights.h5 --architecture model.json -o model.rnnrt
rnnrt convert seq2seq.h5 --outputs encoder_lstm -o encoder.rnnrt
rnnrt convert model.h5 --weights int8 --calibration x.npy --max-error 0.01
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_graph_arguments(parser)
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="where to write (default: the source's name with .rnnrt)"
    )
    parser.add_argument(
        "--weights",
        choices=("float32", "float16", "int8"),
        help="how matrices of recurrent, Dense and Embedding layers are stored and multiplied (default: float32)",
    )
    parser.add_argument(
        "--calibration",
        metavar="FILE",
        help="inputs that the error of float16 or int8 weights is measured on: .npy, or .npz by names of inputs or "
        "in their order (default: seeded ones)",
    )
    parser.add_argument(
        "--max-error",
        type=float,
        metavar="E",
        help="leave layers as they are whose float16 or int8 weights would make the outputs' error, relative to "
        "max(1, |y|), exceed E; of float32 weights: the largest error of the proof that is accepted",
    )


def _calibration(path: str) -> Any:
    """An array, or from an .npz file a dict of them, or a list where they were saved without names."""
    from zipfile import BadZipFile
    from zlib import error as ZlibError

    import numpy as np

    with open(path, "rb") as f:
        kind = f.read(6)
        if not kind.startswith((b"\x93NUMPY", b"PK")):
            raise Failure(f"{path}: not a .npy or .npz file; numpy.save and numpy.savez make them")
        f.seek(0)
        try:
            if not kind.startswith(b"PK"):
                return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
            with np.load(f, allow_pickle=False) as z:
                arrays = {name: z[name] for name in z.files}
        except (ValueError, EOFError, BadZipFile, ZlibError) as e:
            raise Failure(f"{path}: not a whole .npy or .npz file of numbers: {e}") from None
    unnamed = [f"arr_{k}" for k in range(len(arrays))]
    return [arrays[name] for name in unnamed] if set(arrays) == set(unnamed) else arrays


def run(args: argparse.Namespace) -> int:
    import rnnrt

    options = graph_arguments(args)
    if args.weights is not None:
        options["weights"] = args.weights
    if args.calibration is not None:
        options["calibration"] = _calibration(args.calibration)
    if args.max_error is not None:
        options["max_error"] = args.max_error
    with Progress(1, "runs of layers") as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.advance(done - bar.done)

        if options.get("weights", "float32") != "float32":
            options["progress"] = show
        report = rnnrt.convert(args.source, args.output, **options)
    if args.json:
        say_json(report.to_dict())
    else:
        say_report(str(report))
    return 0
