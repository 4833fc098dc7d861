"""What loading a model takes over reading its file and packing its weights, each once in a fresh process.

    python tools/bench/load.py            # 20 MB of float32; medians of turns
    python tools/bench/load.py --model model.rnnrt

read: the file's bytes from the page cache, ``open(path, "rb").read()``; readinto: into an array of NumPy's, which has
large pages from 4 MB on, as the reader's buffer and packed weights have. pack: the kernels' own packing, of weights
that lie in memory. load: :func:`rnnrt.load`, which does both, the checksums, every check of the file, and the plan.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

import rnnrt
from rnnrt.backends import kernels_wanted, open_device
from rnnrt.format.reader import read
from rnnrt.format.writer import write
from rnnrt.loading import planned
from rnnrt.native import _native as native
from rnnrt.planner.lower import lower
from rnnrt.tables import arrays_of

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

WAYS = ("read", "readinto", "pack", "load")


def write_model(path: Path, megabytes: float) -> None:
    """LSTMs of 512 units one after the other, until there are so many bytes of weights."""
    from cases.graphs import Builder

    b = Builder()
    h = b.input("x", None, 512)
    layers = max(1, round(megabytes * 1e6 / (2 * 512 * 2048 * 4)))
    for k in range(layers):
        (h,) = b.add("lstm", f"lstm_{k}", h, units=512, return_sequences=k < layers - 1)
    graph, weights = b.done(h)
    write(path, graph, weights, tables=planned(graph, weights))


def once(way: str, path: Path) -> float:
    """Seconds of one of the ways in this process."""
    if way == "pack":
        file = read(path, native.crc32)
        plan = lower(file.graph, dict(file.weights), native.op_kinds())
        arrays = arrays_of(plan.sources, file.weights)
        program, cpu, kernels = native.Program.__new__(native.Program), open_device("cpu").backend, kernels_wanted()
    begin = perf_counter()
    if way == "read":
        kept: object = path.read_bytes()
    elif way == "readinto":
        kept = np.empty(path.stat().st_size, np.uint8)
        with open(path, "rb", buffering=0) as f:
            f.readinto(kept)  # type: ignore[arg-type]
    elif way == "load":
        kept = rnnrt.load(path)
    else:
        kept = program.__init__(cpu, plan, arrays, kernels)  # type: ignore[misc]
    seconds = perf_counter() - begin
    del kept
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--megabytes", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--once", choices=WAYS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.once:
        print(once(args.once, args.model))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = args.model or Path(folder) / "m.rnnrt"
        if not args.model:
            write_model(path, args.megabytes)
        times: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(args.rounds):
            for way in WAYS:
                child = [sys.executable, __file__, "--once", way, "--model", str(path)]
                times[way].append(float(subprocess.run(child, check=True, capture_output=True, text=True).stdout))
        print(f"{path.stat().st_size / 1e6:.1f} MB")
        for way in WAYS:
            print(f"{way}: {median(times[way]) * 1e3:6.2f} ms, best {min(times[way]) * 1e3:6.2f}")
        for how in WAYS[:2]:
            ratios = [load / (r + p) for r, p, load in zip(times[how], times["pack"], times["load"])]
            best = min(times["load"]) / (min(times[how]) + min(times["pack"]))
            print(f"load / ({how} + pack): {median(ratios):.2f}, of the best times {best:.2f}")


if __name__ == "__main__":
    main()
