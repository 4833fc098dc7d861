"""A long life of a pool: steps over many streams with opens, closes, forks, snapshots and errors.

    python tools/soak.py --steps 1000000 --streams 1000

Every stream has a twin of numbers: what it must give is known from one predict of its whole input. Reports memory
growth and the latency of calls; exit code 1 where a number is wrong, a stream is lost, or memory grows.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from array import array
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import rnnrt

LENGTH = 256  # steps that a stream lives at most
TALES = 64  # different inputs
ROOT = Path(__file__).resolve().parents[1]


@dataclass
class Report:
    """What a soak found. Latencies are of one pool call, in microseconds; cpu_p99_us leaves out what other processes
    of the machine took."""

    steps: int
    calls: int
    opened: int
    closed: int
    forked: int
    refused: int
    wrong: int
    lost: int
    seconds: float
    p50_us: float
    p99_us: float
    max_us: float
    cpu_p99_us: float
    grown_bytes: int
    allocations: int

    @property
    def ok(self) -> bool:
        """Whether all numbers were right, no stream was lost and memory did not grow."""
        return not (self.wrong or self.lost or self.allocations) and self.grown_bytes < 4 << 20


def rss() -> int:
    """Resident bytes of this process."""
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmRSS"))


def default_model() -> rnnrt.Model:
    """The small GRU of models/, freed of its length."""
    return rnnrt.load(ROOT / "models" / "sine_gru" / "model.rnnrt")


class Soak:
    """The pool, and what each stream has seen: (tale, position)."""

    def __init__(self, model: rnnrt.Model, streams: int, seed: int) -> None:
        self.model, self.streams = model, streams
        self.rng = np.random.default_rng(seed)
        width = model.inputs[0].shape[-1]
        self.tales = self.rng.standard_normal((TALES, LENGTH, width)).astype("float32")
        whole = model.session(batch_size=TALES)
        ys = [whole.step(self.tales[:, t]) for t in range(LENGTH)]
        self.want = np.stack([y[0] if isinstance(y, list) else y for y in ys], axis=1)
        self.pool = model.pool(max_batch=64)
        self.at: dict[str, tuple[int, int]] = {}
        self.serial = 0
        self.counts = dict.fromkeys(("opened", "closed", "forked", "refused", "wrong"), 0)
        self.latencies, self.cpu = array("d"), array("d")  # eight bytes a call: the soak itself must not grow
        self.done = 0

    def born(self) -> str:
        """A name that no stream had."""
        self.serial += 1
        return f"stream-{self.serial}"

    def fill(self) -> None:
        """Open streams until there are enough."""
        while len(self.at) < self.streams:
            name = self.born()
            self.at[name] = int(self.rng.integers(TALES)), 0
            self.counts["opened"] += 1

    def step(self, names: list[str]) -> None:
        """One pool call; some streams get an input that does not fit."""
        bad = {n for n in names if self.rng.random() < 0.01 and n in self.pool}
        batch = {n: self.tales[self.at[n]] for n in names}
        batch.update(dict.fromkeys(bad, np.zeros(99, "f4")))
        begin, cpu = time.perf_counter(), time.thread_time()
        got = self.pool.step(batch, return_exceptions=True)
        self.latencies.append(time.perf_counter() - begin)
        self.cpu.append(time.thread_time() - cpu)
        for n in names:
            tale, t = self.at[n]
            y = got[n][0] if isinstance(got[n], list) else got[n]
            if n in bad:
                self.counts["refused"] += isinstance(y, rnnrt.ShapeError)
                self.counts["wrong"] += not isinstance(y, rnnrt.ShapeError)
            else:
                self.counts["wrong"] += y.tobytes() != self.want[tale, t].tobytes()
                self.at[n] = tale, t + 1
                self.done += 1

    def live(self) -> None:
        """Ends, forks and moves between two calls."""
        for n in [n for n, (_, t) in self.at.items() if t == LENGTH]:
            self.end(n)
        some = list(self.at)[: max(1, self.streams // 100)]
        for n in some:
            act = self.rng.random()
            if n not in self.pool:
                continue
            if act < 0.3:
                self.end(n)
            elif act < 0.6:
                new = self.born()
                self.pool.fork(n, new)
                self.at[new] = self.at[n]
                self.counts["forked"] += 1
            elif act < 0.8:
                self.pool.put(n, self.pool.to_bytes(n))
            else:
                self.pool.reset(n)
                self.at[n] = self.at[n][0], 0
        while len(self.at) > self.streams:
            self.end(next(iter(self.at)))
        self.fill()

    def end(self, name: str) -> None:
        """Close a stream."""
        if name in self.pool:
            self.pool.close(name)
        del self.at[name]
        self.counts["closed"] += 1

    def run(self, steps: int) -> Report:
        """Until that many steps are done; the first tenth is the warming up that memory is measured after."""
        from rnnrt.native import _native as native

        self.fill()
        begin, base, made = time.perf_counter(), 0, 0
        while self.done < steps:
            if not base and self.done * 10 >= steps:
                base, made = rss(), native.allocations()
            names = [n for n in self.at if self.rng.random() < 0.9]
            self.step(names)
            self.live()
        us = np.array(self.latencies) * 1e6
        return Report(
            steps=self.done,
            calls=len(us),
            lost=len({n for n, (_, t) in self.at.items() if t} - set(self.pool)),
            seconds=time.perf_counter() - begin,
            p50_us=float(np.percentile(us, 50)),
            p99_us=float(np.percentile(us, 99)),
            max_us=float(us.max()),
            cpu_p99_us=float(np.percentile(self.cpu, 99)) * 1e6,
            grown_bytes=rss() - base,
            allocations=native.allocations() - made,
            **self.counts,
        )


def main(argv: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", help="a model with one input and one output; default: a small GRU")
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    model = rnnrt.load(args.model) if args.model else default_model()
    report = Soak(model, args.streams, args.seed).run(args.steps)
    print(json.dumps(vars(report), indent=2))
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
