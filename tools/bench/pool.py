"""A pool against stepping its streams one by one, and what astep and submit add.

    python tools/bench/pool.py            # the table below, best of many short runs taken in turn
    python tools/bench/pool.py --streams 256 --units 128

The machine may be shared, so ways are measured in turn and the best of each counts.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

from cases.graphs import Builder  # noqa: E402
from runtime import model_of  # noqa: E402


def best(ways: dict[str, Callable[[], object]], rounds: int = 60, seconds: float = 0.004) -> dict[str, float]:
    """Shortest time of one call of each way, in microseconds."""
    loops = {}
    for name, call in ways.items():
        call()
        begin = time.perf_counter()
        call()
        loops[name] = max(1, int(seconds / (time.perf_counter() - begin)))
    out = dict.fromkeys(ways, np.inf)
    for _ in range(rounds):
        for name, call in ways.items():
            begin = time.perf_counter()
            for _ in range(loops[name]):
                call()
            out[name] = min(out[name], (time.perf_counter() - begin) / loops[name] * 1e6)
    return out


def measure(units: int, features: int, streams: int, kernels: str | None = None) -> dict[str, float]:
    """Microseconds for one step of all streams, by way."""
    b = Builder()
    x = b.input("x", None, features)
    (y,) = b.add("lstm", "lstm", x, units=units, return_sequences=True)
    model = model_of(*b.done(y), kernels)
    xs = list(np.random.default_rng(0).standard_normal((streams, 1, features)).astype("float32"))
    sessions = [model.session() for _ in xs]
    together, all_x = model.session(batch_size=streams), np.concatenate(xs)
    pool, batch = model.pool(), {f"stream-{i}": x[0] for i, x in enumerate(xs)}
    loop, tasks = asyncio.new_event_loop(), model.pool()

    async def ask() -> None:
        await asyncio.gather(*(tasks.astep(i, x) for i, x in batch.items()))

    def one_by_one() -> None:
        for session, x in zip(sessions, xs):
            session.step(x)

    def submit() -> None:
        for f in [pool.submit(i, x) for i, x in batch.items()]:
            f.result()

    ways = {
        "one by one": one_by_one,
        "pool": lambda: pool.step(batch),
        "one session": lambda: together.step(all_x),
        "astep": lambda: loop.run_until_complete(ask()),
        "submit": submit,
    }
    out = best(ways)
    loop.close()
    return out


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--units", type=int, nargs="*", default=[64, 128, 256, 512])
    parser.add_argument("--features", type=int, default=64)
    parser.add_argument("--kernels", default=None)
    args = parser.parse_args()
    for units in args.units:
        us = measure(units, args.features, args.streams, args.kernels)
        ratio = us["one by one"] / us["pool"]
        print(f"LSTM({units}), {args.features} features: " + ", ".join(f"{k} {v:.1f} us" for k, v in us.items()))
        print(f"    the pool is {ratio:.2f} times as fast as one by one", flush=True)


if __name__ == "__main__":
    main()
