"""A process that steps stored streams until it is killed; run by test_store_crash.

    python crash_worker.py sqlite PATH | redis URL

Prints ``stream step`` whenever a stream's saved step has grown: what it then promises to be durable.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from cases.graphs import Builder  # noqa: E402
from runtime import model_of  # noqa: E402

import rnnrt  # noqa: E402
from rnnrt.stores import RedisStore, SQLiteStore, Store  # noqa: E402

STREAMS, LEASE = 6, 0.3
TABLE = np.random.default_rng(11).standard_normal((STREAMS, 997, 3)).astype("float32")


def make_model() -> rnnrt.Model:
    b = Builder()
    x = b.input("x", None, 3)
    (y,) = b.add("gru", "gru", x, units=24, return_sequences=True)
    (y,) = b.add("lstm", "lstm", y, units=16, return_sequences=True)
    return model_of(*b.done(y))


def inputs(stream: int, first: int, last: int) -> np.ndarray:
    """Steps first..last-1 of a stream: known to everybody for ever."""
    return TABLE[stream][np.arange(first, last) % TABLE.shape[1]][None]


def open_store(kind: str, where: str) -> Store:
    options = {"lease": LEASE, "interval": 0.001}
    return SQLiteStore(where, **options) if kind == "sqlite" else RedisStore(where, **options)


def open_all(model: rnnrt.Model, store: Store) -> list:
    """All streams; the leases of the one that died are waited for."""
    sessions: list = []
    end = time.monotonic() + 60
    while len(sessions) < STREAMS:
        try:
            sessions.append(model.session(id=f"stream-{len(sessions)}", store=store))
        except rnnrt.StateError as e:
            if "is owned by" not in str(e) or time.monotonic() > end:
                raise
            time.sleep(0.02)
    return sessions


def main() -> None:
    model = make_model()
    sessions = open_all(model, open_store(*sys.argv[1:3]))
    told = [-1] * STREAMS
    while True:
        for k, s in enumerate(sessions):
            if (s.steps + k) % 7:
                s.step(inputs(k, s.steps, s.steps + 1)[:, 0])
            else:
                s.run(inputs(k, s.steps, s.steps + 9))
            if s.saved_step != told[k]:
                told[k] = s.saved_step
                print(k, told[k], flush=True)


if __name__ == "__main__":
    main()
