"""State that survives a restart: each run goes on where the last one stopped, or was killed.

    python tools/examples/restart.py /tmp/streams.sqlite
    python tools/examples/restart.py /tmp/streams.sqlite            # goes on
    python tools/examples/restart.py /tmp/streams.sqlite --crash    # ends without closing
    python tools/examples/restart.py /tmp/streams.sqlite            # goes on from the last saved step

A sensor sends a value each moment and the model forecasts the next one. A model that begins anew does not know the
signal and forecasts badly; a stream from the store forecasts as well as if nothing had happened. ``session.steps``
tells the client from which value on to send, ``saved_step`` and ``lag`` what a crash would cost.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np

import rnnrt

MODEL = Path(__file__).parents[2] / "models" / "sine_gru" / "model.rnnrt"
WARM = 24  # values at the begin by which a forecast is judged


def sensor(t: int) -> float:
    """What the sensor sends at a moment; anyone can ask again."""
    return 0.8 * np.sin(2 * np.pi * t / 14.3 + 1.0) + 0.3 * np.sin(2 * np.pi * t / 23.7)


def follow(session: rnnrt.Session, first: int, n: int, pace: float = 0.0) -> float:
    """Step through n values of the sensor, one each pace seconds; the rms error of the first WARM forecasts."""
    errors = []
    for t in range(first, first + n):
        forecast = session.step(np.array([[sensor(t)]], np.float32))[0, 0]
        errors.append(forecast - sensor(t + 1))
        time.sleep(pace)
    return float(np.sqrt(np.mean(np.square(errors[:WARM]))))


def open_stream(model: rnnrt.Model, store: rnnrt.stores.Store, id: str) -> rnnrt.stores.StoredSession:
    """The stream, as soon as the lease of a process that was killed has ended."""
    end = time.monotonic() + 2 * store.lease
    while True:
        try:
            return model.session(id=id, store=store)
        except rnnrt.StateError as e:
            if "is owned by" not in str(e) or time.monotonic() > end:
                raise
            print(e, file=sys.stderr)
            time.sleep(store.lease / 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", help="where streams are kept; made when it is not there")
    parser.add_argument("--id", default="sensor-7")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--pace", type=float, default=0.001, help="seconds between two values")
    parser.add_argument("--crash", action="store_true", help="end as a killed process does")
    options = parser.parse_args()

    model = rnnrt.load(MODEL)
    store = rnnrt.stores.SQLiteStore(options.file, lease=2.0)
    session = open_stream(model, store, options.id)
    first = session.steps
    print(f"{options.id}: {'resumed at' if first else 'new, at'} step {first}")
    error = follow(session, first, options.steps, options.pace)
    print(f"error of the first {WARM} forecasts: {error:.3f}; by a session without a past: ", end="")
    print(f"{follow(model.session(), first, WARM):.3f}")
    print(f"step {session.steps}, saved {session.saved_step}, lag {session.lag}", flush=True)
    if options.crash:
        os._exit(1)
    session.close()
    store.close()


if __name__ == "__main__":
    main()
