"""``rnnrt predict``: run a model on arrays in files."""

from __future__ import annotations

import argparse
import time
from typing import Any

from .common import Failure, add_device_arguments, load_model, say, say_json

EXAMPLE = """
rnnrt predict model.rnnrt x.npy -o y.npy
rnnrt predict model.rnnrt steps.csv             # csv to stdout; a blank line begins a sequence
rnnrt predict model.rnnrt words=w.npy times=t.npy -o y.npz
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a .rnnrt file (or a Keras file, converted in memory)")
    add_device_arguments(parser)
    parser.add_argument(
        "inputs",
        metavar="INPUT",
        nargs="+",
        help="FILE or NAME=FILE: .npy, .npz (arrays by input name, or in_0, in_1 ...), .csv",
    )
    parser.add_argument("-o", "--output", metavar="FILE", help=".npy, .npz or .csv (default: csv to stdout)")
    parser.add_argument("--batch-size", type=_positive, default=32, metavar="N", help="sequences a call (default: 32)")


def _positive(text: str) -> int:
    n = int(text)
    if n < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {n}")
    return n


def run(args: argparse.Namespace) -> int:
    from .arrays import check_target, read_inputs, write_outputs

    model = load_model(args)
    check_target(args.output, len(model.outputs))
    inputs = read_inputs(args.inputs, model.inputs)
    start = time.perf_counter()
    named = predict_in_batches(model, inputs, args.batch_size)
    seconds = time.perf_counter() - start
    if args.json and args.output is None:
        say_json({"outputs": named, "seconds": seconds}, indent=None)
        return 0
    write_outputs(args.output, named)
    if args.output is not None:
        facts = {
            "output": args.output,
            "outputs": {k: {"shape": list(v.shape), "dtype": str(v.dtype)} for k, v in named.items()},
            "seconds": seconds,
        }
        if args.json:
            say_json(facts)
        else:
            shapes = ", ".join(f"{k} {tuple(v.shape)}" for k, v in named.items())
            say(f"{args.output}: {shapes} in {seconds:.3g} s")
    return 0


def predict_in_batches(model: Any, inputs: list, batch_size: int) -> dict[str, Any]:
    """Outputs by name, run batch_size sequences at a time with a progress bar.

    All inputs must hold the same number of sequences; a row's result does not depend on its batch.
    """
    import numpy as np

    from ..nested import leaves
    from .progress import Progress

    for array, spec in zip(inputs, model.inputs):
        if np.ndim(array) == 0:
            raise Failure(f"input {spec.name!r}: a single number; expected an array of shape {spec.shape}")
    rows = len(inputs[0])
    for array, spec in zip(inputs, model.inputs):
        if len(array) != rows:
            raise Failure(f"input {spec.name!r} holds {len(array)} sequences, {model.inputs[0].name!r} {rows}")
    outputs: list = []
    with Progress(rows, "sequences") as bar:
        # the first piece also runs for no rows at all, so that the model itself says what is wrong
        for k in range(0, max(rows, 1), batch_size):
            piece = [np.ascontiguousarray(a[k : k + batch_size]) for a in inputs]
            result = leaves(model.predict(piece[0] if len(piece) == 1 else piece))
            if rows <= batch_size:
                outputs = result
                break
            if not outputs:
                outputs = [np.empty((rows, *r.shape[1:]), r.dtype) for r in result]
            for whole, part in zip(outputs, result):
                whole[k : k + batch_size] = part
            bar.advance(len(piece[0]))
    return {spec.name: array for spec, array in zip(model.outputs, outputs)}
