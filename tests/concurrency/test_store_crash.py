"""kill -9 in the middle of saves: every stream comes back at a state that it really had, and says which.

RNNRT_CRASHES: how many kills of each kind of store, 5 by default.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from crash_worker import STREAMS, inputs, make_model, open_all, open_store
from redis_server import RedisServer, need_redis

CRASHES = int(os.environ.get("RNNRT_CRASHES", "5"))


@pytest.fixture(params=["sqlite", "redis"])
def where(request, tmp_path):
    if request.param == "sqlite":
        yield "sqlite", str(tmp_path / "streams.sqlite")
        return
    need_redis()
    server = RedisServer(tmp_path)
    yield "redis", server.url
    server.stop()


def _run_and_kill(where: tuple[str, str], seconds: float) -> list[int]:
    """The saved steps that a worker had promised when it was killed; the clock starts with its first promise."""
    worker = Path(__file__).with_name("crash_worker.py")
    process = subprocess.Popen([sys.executable, str(worker), *where], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(seconds)
    process.kill()
    out, err = process.communicate()
    assert process.returncode == -9, err.decode()
    promised = [0] * STREAMS
    for line in (first + out).splitlines():
        if line.count(b" ") == 1 and line.split()[1:]:
            k, step = map(int, line.split())
            promised[k] = step
    return promised


def test_every_stream_comes_back_at_a_state_that_it_had(where):
    rng = random.Random(os.environ.get("RNNRT_SEED", "3"))
    model = make_model()
    replays = [model.session() for _ in range(STREAMS)]
    at = [0] * STREAMS
    for _ in range(CRASHES):
        promised = _run_and_kill(where, rng.uniform(0.0, 0.4))
        with open_store(*where) as store:
            sessions = open_all(model, store)
            for k, s in enumerate(sessions):
                assert s.steps == s.saved_step >= max(promised[k], at[k])  # what was durable stays
                if s.steps > at[k]:
                    replays[k].run(inputs(k, at[k], s.steps))
                at[k] = s.steps
                assert s.to_bytes() == replays[k].to_bytes(), (k, s.steps)
            for s in sessions:
                s.close()
    assert min(at) > 0
