"""An asyncio service with a thousand streams at once in one process.

    python tools/examples/service.py [--callers 1000] [--values 100]
    python tools/examples/service.py --store /tmp/streams.sqlite --resident 200    # at most 200 in memory

Each caller is a task that sends a value now and then and gets the forecast of its next one. Shows ``pool.astep``:
what callers ask for at the same time shares one batch, every caller gets the numbers that it would get alone, an
error hits its own caller only, and the loop stays free for everything else. With a store the callers' states outlive
the process, and those that are idle leave memory until their next value comes.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path

import numpy as np

import rnnrt

MODEL = Path(__file__).parents[2] / "models" / "sine_gru" / "model.rnnrt"


class Service:
    """What a web framework's handlers would call."""

    def __init__(self, pool: rnnrt.Pool) -> None:
        self.pool = pool
        self.seconds: list[float] = []  # of each answer

    async def forecast(self, caller: str, value: float) -> float:
        """The next value of a caller's signal. Raises ShapeError for what is not a number."""
        begin = time.perf_counter()
        y = await self.pool.astep(caller, np.array([value], np.float32))
        self.seconds.append(time.perf_counter() - begin)
        return float(y[0])


async def call(service: Service, k: int, values: int, pause: float) -> float:
    """One caller: its own tone, its own rhythm. Returns the rms error of the later half of the forecasts."""
    rng = np.random.default_rng(k)
    period, phase = rng.uniform(9, 19), rng.uniform(0, 2 * np.pi)
    tone = 0.8 * np.sin(2 * np.pi * np.arange(values + 1) / period + phase)
    errors = []
    for t in range(values):
        await asyncio.sleep(rng.exponential(pause))
        errors.append(await service.forecast(f"caller-{k}", tone[t]) - tone[t + 1])
    return float(np.sqrt(np.mean(np.square(errors[values // 2 :]))))


async def clumsy_call(service: Service) -> str:
    """A caller that sends nonsense: only it is told."""
    try:
        await service.pool.astep("clumsy", np.zeros(3, np.float32))
    except rnnrt.ShapeError as e:
        return str(e)
    return "no error"


async def watch(gaps: list[float]) -> None:
    """How late the loop is for a task that wants to run each 5 ms."""
    while True:
        begin = time.perf_counter()
        await asyncio.sleep(0.005)
        gaps.append(time.perf_counter() - begin - 0.005)


async def serve(pool: rnnrt.Pool, callers: int, values: int, pause: float) -> None:
    service, gaps = Service(pool), [0.0]
    watching = asyncio.create_task(watch(gaps))
    begin = time.perf_counter()
    calls = [call(service, k, values, pause) for k in range(callers)]
    *errors, clumsy = await asyncio.gather(*calls, clumsy_call(service))
    took = time.perf_counter() - begin
    watching.cancel()
    n, late = len(service.seconds), 1e3 * max(gaps)
    p50, p99 = np.quantile(service.seconds, [0.5, 0.99]) * 1e3
    print(f"{callers} callers, {n} answers in {took:.2f} s: {n / took:,.0f} a second")
    print(f"an answer took {p50:.2f} ms, 1 in 100 more than {p99:.2f} ms; the loop was late by {late:.1f} ms at most")
    print(f"error of the forecasts: {np.median(errors):.3f} in the middle, {max(errors):.3f} at worst")
    print(f"the clumsy caller heard: {clumsy}")
    print(f"streams in memory: {len(pool)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--callers", type=int, default=1000)
    parser.add_argument("--values", type=int, default=100, help="that each caller sends")
    parser.add_argument("--pause", type=float, default=0.02, help="seconds between two values of a caller, on average")
    parser.add_argument("--store", help="file that keeps the streams")
    parser.add_argument("--resident", type=int, help="streams in memory at most; needs --store")
    options = parser.parse_args()

    model = rnnrt.load(MODEL)
    if options.store is None:
        asyncio.run(serve(model.pool(max_batch=256), options.callers, options.values, options.pause))
        return
    with rnnrt.stores.SQLiteStore(options.store) as store:
        pool = model.pool(max_batch=256, store=store, max_resident=options.resident)
        asyncio.run(serve(pool, options.callers, options.values, options.pause))


if __name__ == "__main__":
    main()
