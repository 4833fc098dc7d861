"""One thread against several, on free cores and beside a process that keeps another core busy.

    python tools/bench/threads.py                        # two threads
    python tools/bench/threads.py --threads 4 --seconds 4 --neighbour
    python tools/bench/threads.py --priority -15         # on a shared machine, as root

Both take turns in short blocks. ``ratio`` is the median over pairs of turns of (one thread's median / the threads'
median), ``mean`` that of their means; p50 and p99 are over all calls. ``served`` is the share of the parts of
jobs that the other threads took.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

from cases.graphs import Builder  # noqa: E402
from runtime import model_of  # noqa: E402

from rnnrt.convert.narrow import narrow  # noqa: E402
from rnnrt.native import _native as native  # noqa: E402

#: name, op, units, features, steps (1: a session's step), batch, weights
CASES = [
    ("LSTM(64) T=100", "lstm", 64, 64, 100, 1, "float32"),
    ("LSTM(128) T=100", "lstm", 128, 64, 100, 1, "float32"),
    ("LSTM(256) T=100", "lstm", 256, 64, 100, 1, "float32"),
    ("GRU(256) T=100", "gru", 256, 64, 100, 1, "float32"),
    ("LSTM(256) step", "lstm", 256, 64, 1, 1, "float32"),
    ("LSTM(512) step", "lstm", 512, 256, 1, 1, "float32"),
    ("LSTM(1024) step", "lstm", 1024, 256, 1, 1, "float32"),
    ("LSTM(1024) step, float16", "lstm", 1024, 256, 1, 1, "float16"),
    ("LSTM(1024) step, int8", "lstm", 1024, 256, 1, 1, "int8"),
    ("LSTM(1024) T=50", "lstm", 1024, 256, 50, 1, "float32"),
    ("LSTM(128) T=100, batch 32", "lstm", 128, 64, 100, 32, "float32"),
]
TURN = 0.02  # seconds


def call_of(
    op: str, units: int, features: int, steps: int, batch: int, weights: str, threads: int
) -> Callable[[], object]:
    """A call of a model of one layer on so many threads."""
    b = Builder()
    (y,) = b.add(op, "cell", b.input("x", None, features), units=units)
    graph, arrays = b.done(y)
    if weights != "float32":
        graph, arrays, _ = narrow(graph, arrays, weights)
    model = model_of(graph, arrays, threads=threads)
    x = np.random.default_rng(0).standard_normal((batch, steps, features)).astype("float32")
    if steps > 1:
        return lambda: model.predict(x)
    session, x0, out = model.session(batch), x[:, 0].copy(), np.empty((batch, units), "float32")
    return lambda: session.step(x0, out)


def turns(calls: list[Callable[[], object]], seconds: float) -> list[list[np.ndarray]]:
    """Microseconds of the calls of each turn, of each way."""
    times: list[list[np.ndarray]] = [[] for _ in calls]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for way, call in zip(times, calls):
            call()
            stop, mine = time.perf_counter() + TURN, []
            while not mine or time.perf_counter() < stop:
                begin = time.perf_counter()
                call()
                mine.append(time.perf_counter() - begin)
            way.append(np.array(mine) * 1e6)
    return times


@contextlib.contextmanager
def neighbour(wanted: bool) -> Iterator[None]:
    """A process that computes on the last core that we may use."""
    if not wanted:
        yield
        return
    core = max(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, [{core}])\nwhile True: pass"
    busy = subprocess.Popen([sys.executable, "-c", code])
    try:
        time.sleep(0.3)
        yield
    finally:
        busy.kill()
        busy.wait()


def ahead(priority: int) -> None:
    """This process, and the group that the kernel schedules it in, before others."""
    with contextlib.suppress(OSError):
        os.setsid()
    os.setpriority(os.PRIO_PROCESS, 0, priority)
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(priority))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each case")
    parser.add_argument("--neighbour", action="store_true", help="keep another core busy, with the same priority")
    parser.add_argument("--priority", type=int, default=0)
    parser.add_argument("--cases", default="", help="beginning of their names")
    args = parser.parse_args()
    if args.priority:
        ahead(args.priority)
    print(
        f"{'':28} {'one: p50':>9} {'p99':>8} {'mean':>8}  {args.threads:>5}: p50 {'p99':>8} {'mean':>8}  "
        "ratio  mean served"
    )
    with neighbour(args.neighbour):
        for name, *case in CASES:
            if not name.startswith(args.cases):
                continue
            calls = [call_of(*case, threads) for threads in (1, args.threads)]
            asked, served = native.shared_parts()
            one, many = turns(calls, args.seconds)
            after = native.shared_parts()
            share = (after[1] - served) / max(1, after[0] - asked)
            ratio = np.median([np.median(a) / np.median(b) for a, b in zip(one, many)])
            cells = [
                f(np.concatenate(w)) for w in (one, many) for f in (np.median, lambda v: np.percentile(v, 99), np.mean)
            ]
            print(
                f"{name:28} {cells[0]:9.1f} {cells[1]:8.1f} {cells[2]:8.1f}  {cells[3]:10.1f} {cells[4]:8.1f} "
                f"{cells[5]:8.1f}  {ratio:5.2f} {cells[2] / cells[5]:5.2f}  {share:5.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
