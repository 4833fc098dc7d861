"""Stores under everything at once: owners that lose their leases, saves that fail, streams that come and go.

The input of a step is known by its number, so a stream's state is known by its number of steps: whatever a store
ever holds, and whatever a stream is resumed at, must be one of these states. RNNRT_CHAOS: how many acts.
"""

from __future__ import annotations

import os
import random
import threading

import numpy as np
import pytest
from cases.graphs import Builder
from runtime import model_of, same_bits

import rnnrt
from rnnrt.stores import MemoryStore

ACTS = int(os.environ.get("RNNRT_CHAOS", "4000"))
STREAMS, LONGEST = 7, 400


def _model():
    b = Builder()
    x = b.input("x", None, 2)
    (y,) = b.add("gru", "gru", x, units=5, return_sequences=True)
    return model_of(*b.done(y))


MODEL = _model()
X = np.random.default_rng(1).standard_normal((LONGEST, 2)).astype("float32")


@pytest.fixture(scope="module")
def states() -> list[bytes]:
    """The snapshot after each number of steps."""
    s = MODEL.session()
    out = [s.to_bytes()]
    for x in X:
        s.step(x[None])
        out.append(s.to_bytes())
    return out


class _Checked(MemoryStore):
    """Checks all that it is asked to save; fails now and then, before or after it has saved."""

    def __init__(self, states: list[bytes], seed: int, of: _Checked | None = None) -> None:
        super().__init__(of, lease=5.0)
        self.states, self.rng, self.wrong = states, random.Random(seed), [] if of is None else of.wrong

    def save(self, entries):
        fate = self.rng.random()
        if fate < 0.1:
            raise OSError("the disk is away")
        for e in entries:
            if e.data != self.states[e.step]:
                self.wrong.append((e.id, e.step))
        with self._shelf.lock:
            before = {k: (s.fence, s.step) for k, s in self._shelf.streams.items()}
        answers = super().save(entries)
        for e, owner in zip(entries, answers):
            if owner is None and e.id in before and before[e.id][0] == e.fence and before[e.id][1] > e.step:
                self.wrong.append((e.id, e.step, "an older state over a newer one"))
        if fate < 0.2:
            raise OSError("saved, but the answer was lost")
        return answers


def _one_process(states: list[bytes], store: _Checked, rivals: list[_Checked], seed: int, wrong: list) -> None:
    """Random acts of one process on all streams, by sessions and by a pool."""
    rng = random.Random(seed)
    sessions: dict[str, rnnrt.stores.StoredSession] = {}
    pool = MODEL.pool(store=store, max_resident=2)
    for _ in range(ACTS):
        id = f"s{rng.randrange(STREAMS)}"
        act = rng.random()
        try:
            if id in sessions:
                s = sessions[id]
                if act < 0.05:
                    del sessions[id]  # dropped, not closed
                elif act < 0.12:
                    del sessions[id]
                    s.close()
                elif act < 0.15:
                    s.flush_now()
                elif s.steps < LONGEST - 9:
                    n = rng.randint(1, 9)
                    s.run(X[None, s.steps : s.steps + n])
                else:
                    store.remove(id)  # it begins anew
                if s.to_bytes() != states[s.steps]:
                    wrong.append((id, s.steps))
            elif act < 0.3:
                s = sessions[id] = MODEL.session(id=id, store=store)
                if s.to_bytes() != states[s.steps]:
                    wrong.append((id, s.steps, "resumed"))
            elif act < 0.32:
                victim = rng.choice(rivals)
                victim.retire(victim.owner)  # its lease runs out
            else:
                if id not in pool:
                    pool.open(id)
                at = pool.steps(id)
                if at < LONGEST - 9:
                    y = pool.step({id: X[at]})[id]
                    if not same_bits(y[None], MODEL.predict(X[None, : at + 1])[0, -1:]):
                        wrong.append((id, at, "pool"))
                else:
                    store.remove(id)
        except (rnnrt.StateError, rnnrt.BatchError):
            if id in sessions and sessions[id]._stream.lost is not None:
                del sessions[id]
    for s in sessions.values():
        try:
            s.close()
        except rnnrt.StateError:
            pass


@pytest.mark.parametrize("seed", range(2))
def test_a_stream_is_always_at_a_state_that_it_had(states, seed):
    first = _Checked(states, seed)
    stores = [first, _Checked(states, seed + 10, first), _Checked(states, seed + 20, first)]
    wrong: list = []
    threads = [
        threading.Thread(
            target=_one_process, args=(states, s, [r for r in stores if r is not s], 100 * seed + k, wrong), daemon=True
        )
        for k, s in enumerate(stores)
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join(240)
    assert not any(t.is_alive() for t in threads), "somebody waits for ever"
    assert not wrong and not first.wrong
    held = {id: (s.step, s.data) for id, s in first._shelf.streams.items()}
    assert first._shelf.fence > ACTS / 50  # streams changed hands
    assert all(data is None or data == states[step] for step, data in held.values())
    for store in stores:
        store.rng = random.Random()
        store.rng.random = lambda: 1.0  # type: ignore[method-assign]
        try:
            store.close()
        except rnnrt.StateError as e:
            assert any(why in str(e) for why in ("is owned by", "will be tried again", "was removed"))
