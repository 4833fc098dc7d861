"""Pools over a store: idle streams leave memory and come back, the same bits as if they had stayed."""

from __future__ import annotations

import asyncio
import random
import re
import threading
import time

import numpy as np
import pytest
from cases.graphs import Builder
from runtime import model_of, same_bits

import rnnrt
from rnnrt.stores import MemoryStore, SQLiteStore
from rnnrt.streams.stored_pool import StoredPool


def _steps_model(units: int = 6):
    b = Builder()
    x = b.input("x", None, 3)
    (y,) = b.add("gru", "gru", x, units=units, return_sequences=True)
    (y,) = b.add("lstm", "lstm", y, units=4, return_sequences=True)
    return model_of(*b.done(y))


MODEL = _steps_model()
X = np.random.default_rng(5).standard_normal((30, 200, 3)).astype("float32")


@pytest.fixture(params=["memory", "sqlite"])
def make(request, tmp_path):
    made: list = []

    def one(**options):
        if request.param == "memory":
            made.append(MemoryStore(made[0] if made else None, **options))
        else:
            made.append(SQLiteStore(tmp_path / "streams.sqlite", interval=0.001, **options))
        return made[-1]

    yield one
    for store in made:
        store.close()


@pytest.mark.parametrize("seed", range(3))
def test_who_is_in_memory_changes_no_bit(make, seed):
    rng = random.Random(seed)
    pool = MODEL.pool(store=make(), max_resident=4)
    alone = [MODEL.session() for _ in range(30)]
    at = [0] * 30
    for _ in range(120):
        some = rng.sample(range(30), rng.randint(1, 7))
        some = [k for k in some if at[k] < 190]
        if rng.random() < 0.3:
            n = {k: rng.randint(1, 9) for k in some}
            got = pool.run({f"s{k}": X[k, at[k] : at[k] + n[k]] for k in some})
            for k in some:
                assert same_bits(got[f"s{k}"], alone[k].run(X[k : k + 1, at[k] : at[k] + n[k]])[0])
                at[k] += n[k]
        else:
            got = pool.step({f"s{k}": X[k, at[k]] for k in some})
            for k in some:
                assert same_bits(got[f"s{k}"], alone[k].step(X[k : k + 1, at[k]])[0])
                at[k] += 1
        assert len(pool) <= 4
        for k in some:
            if f"s{k}" in pool:
                assert pool.steps(f"s{k}") == at[k]
    assert max(at) > 20
    pool.flush_now()
    assert pool.store_error is None
    # and another process finds them all
    pool.store.close()
    again = MODEL.pool(store=make())
    for k in range(30):
        if at[k]:
            assert same_bits(again.step({f"s{k}": X[k, at[k]]})[f"s{k}"], alone[k].step(X[k : k + 1, at[k]])[0])
            assert again.steps(f"s{k}") == at[k] + 1


def test_idle_streams_leave_by_themselves():
    store = MemoryStore(lease=0.3)
    pool = MODEL.pool(store=store, idle_s=0.3)
    pool.step({f"s{k}": X[k, 0] for k in range(5)})
    end = time.monotonic() + 10
    while len(pool) and time.monotonic() < end:
        time.sleep(0.02)
        pool.step({"s0": X[0, 1]})
        if len(pool) == 1:
            break
    assert len(pool) == 1 and "s0" in pool
    while len(pool) and time.monotonic() < end:
        time.sleep(0.02)
    assert not len(pool)
    assert pool.step({"s3": X[3, 1]})["s3"].shape == (4,) and pool.steps("s3") == 2
    store.close()


def test_streams_of_others_fail_alone(make):
    mine, theirs = MODEL.pool(store=make()), MODEL.pool(store=make())
    mine.step({"a": X[0, 0]})
    with pytest.raises(rnnrt.BatchError) as e:
        theirs.step({"a": X[0, 1], "b": X[1, 0], 7: X[1, 0]})
    assert set(e.value.errors) == {"a", 7} and set(e.value.results) == {"b"}
    assert f"is owned by {mine.store.owner}" in str(e.value.errors["a"])
    assert "ids of a pool with a store are strings" in str(e.value.errors[7])
    mine.close("a")
    mine.flush_now()
    deadline = time.monotonic() + 10
    while True:
        y = theirs.step({"a": X[0, 1]}, return_exceptions=True)["a"]
        if not isinstance(y, Exception) or time.monotonic() > deadline:
            break
    assert theirs.steps("a") == 2


def test_a_lost_stream_is_told_once(make):
    mine, theirs = MODEL.pool(store=make()), MODEL.pool(store=make())
    mine.step({"a": X[0, 0]})
    mine.flush_now()
    mine.store.retire(mine.store.owner)
    theirs.step({"a": X[0, 1]})
    mine.step({"a": X[0, 1]})
    with pytest.raises(rnnrt.StateError, match=f"owned by {theirs.store.owner} now"):
        mine.flush_now()
    for text in ("is owned by .* now; what this", "is owned by .*; it is free when"):
        with pytest.raises(rnnrt.BatchError) as e:
            mine.step({"a": X[0, 2]})
        assert re.search(text, str(e.value.errors["a"]))
    assert "a" not in mine


def test_a_first_step_that_fails_opens_nothing(make):
    store = make()
    pool = MODEL.pool(store=store)
    with pytest.raises(rnnrt.BatchError):
        pool.step({"a": np.zeros(9, "f4"), "b": X[0, 0]})
    assert "a" not in pool and "b" in pool
    with pytest.raises(rnnrt.BatchError):
        pool.step({"b": np.zeros(9, "f4")})
    assert pool.steps("b") == 1
    pool.flush_now()
    store.close()
    other = make()
    assert other.remove("a") is False and other.remove("b") is True


def test_streams_as_values(make):
    pool = MODEL.pool(store=make(), max_resident=1)
    pool.run({"a": X[0, :5]})
    snapshot = pool.to_bytes("a")
    pool.step({"b": X[1, 0]})  # a leaves
    assert "a" not in pool
    assert pool.to_bytes("a") == snapshot and "a" in pool
    pool.fork("a", "c")
    assert pool.to_bytes("c") == snapshot
    y = pool.step({"c": X[0, 5]})["c"]
    want = MODEL.session(state=snapshot)
    assert same_bits(y, want.step(X[:1, 5])[0])
    pool.set_state("b", pool.get_state("c"))
    pool.put("d", snapshot)
    pool.reset("a")
    assert not pool.get_state("a")["gru/h"].any() and pool.steps("a") == 5
    for id in "bcd":
        pool.step({f"other-{id}": X[2, 0]})
        assert same_bits(pool.get_state(id)["gru/h"], pool.get_state("bcd"[1] if id == "b" else id)["gru/h"])
    with pytest.raises(rnnrt.StateError, match="'nobody' is not open, and not in"):
        pool.get_state("nobody")
    with pytest.raises(rnnrt.StateError, match="open already, or in"):
        pool.open_row("d")
    pool.open("e", state=snapshot)
    assert pool.to_bytes("e") == snapshot
    with pytest.raises(rnnrt.StateError, match="'e' is open already"):
        pool.open("e")


def test_a_pool_and_sessions_share_streams(make):
    store = make()
    with MODEL.session(id="a", store=store) as s:
        s.run(X[:1, :9])
    pool = MODEL.pool(store=store)
    pool.step({"a": X[0, 9]})
    assert pool.steps("a") == 10
    with pytest.raises(rnnrt.StateError, match="open already in this process"):
        MODEL.session(id="a", store=store)
    pool.close("a")
    with MODEL.session(id="a", store=store) as s:
        assert s.steps == 10
        want = MODEL.session()
        want.run(X[:1, :10])
        assert s.to_bytes() == want.to_bytes()
    with MODEL.session(3, id="b", store=store) as s:
        s.run(X[:3, :9])
    with pytest.raises(rnnrt.StateError, match="saved by a session of batch size 3"):
        pool.open("b")
    other = _steps_model(5).pool(store=store)
    with pytest.raises(rnnrt.StateError, match="saved by another model"):
        other.open("a")


def test_threads_on_one_pool(make):
    pool = MODEL.pool(store=make(), max_resident=6)
    wrong: list = []

    def work(mine: range) -> None:
        alone = {k: MODEL.session() for k in mine}
        for t in range(60):
            got = pool.step({f"s{k}": X[k, t] for k in mine}, return_exceptions=True)
            for k in mine:
                if not isinstance(got[f"s{k}"], np.ndarray) or not same_bits(
                    got[f"s{k}"], alone[k].step(X[k : k + 1, t])[0]
                ):
                    wrong.append(got[f"s{k}"])

    threads = [threading.Thread(target=work, args=(range(k, 20, 4),)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
    pool.flush_now()


class _Broken(MemoryStore):
    broken = False

    def save(self, entries):
        if self.broken:
            raise OSError(28, "No space left on device")
        return super().save(entries)


def test_eviction_to_a_store_that_fails_loses_nothing():
    store = _Broken()
    pool = MODEL.pool(store=store, max_resident=2)
    pool.step({f"s{k}": X[k, 0] for k in range(6)})
    pool.flush_now()
    store.broken = True
    alone = [MODEL.session() for _ in range(6)]
    for k in range(6):
        alone[k].step(X[k : k + 1, 0])
    for t in range(1, 9):
        for k in range(6):  # each comes back from what waits to be written
            y = pool.step({f"s{k}": X[k, t]})[f"s{k}"]
            assert same_bits(y, alone[k].step(X[k : k + 1, t])[0])
    assert len(pool) == 2
    with pytest.raises(rnnrt.StateError, match="No space left"):
        pool.flush_now()
    assert "No space left" in str(pool.store_error)
    store.broken = False
    pool.flush_now()
    assert pool.store_error is None and {s.step for s in store._shelf.streams.values()} == {9}
    store.close()


def test_asyncio(make):
    pool = MODEL.pool(store=make(), max_resident=8)

    async def caller(k: int) -> np.ndarray:
        return np.stack([await pool.astep(f"s{k}", X[k, t]) for t in range(20)])

    async def serve() -> list[np.ndarray]:
        done = await asyncio.gather(*(caller(k) for k in range(30)))
        await pool.flush()
        return done

    for k, y in enumerate(asyncio.run(serve())):
        assert same_bits(y, MODEL.predict(X[k : k + 1, :20])[0])
    assert len(pool) <= 8


def test_submit(make):
    pool = MODEL.pool(store=make(), max_resident=3)
    futures = [(k, t, pool.submit(f"s{k}", X[k, t])) for t in range(12) for k in range(10)]
    want = MODEL.predict(X[:10, :12])
    assert all(same_bits(f.result(60), want[k, t]) for k, t, f in futures)
    pool.flush_now()
    assert len(pool) <= 3


def test_the_loop_does_not_wait_for_the_store():
    class Slow(MemoryStore):
        def claim(self, ids, owner, lease):
            assert served.wait(10), "the loop waits for the store"
            return super().claim(ids, owner, lease)

    served = threading.Event()
    store = Slow()
    pool = MODEL.pool(store=store)

    async def serve() -> None:
        asked = asyncio.ensure_future(pool.astep("a", X[0, 0]))
        for _ in range(50):
            await asyncio.sleep(0.001)
            assert not asked.done()
        served.set()
        await asked

    asyncio.run(serve())
    store.close()


@pytest.mark.parametrize(
    "options, text",
    [
        ({"max_resident": 0}, "max_resident: expected a positive integer, got 0"),
        ({"max_resident": 1.5}, "max_resident"),
        ({"idle_s": 0}, "idle_s: expected a positive number of seconds, got 0"),
        ({"idle_s": True}, "idle_s"),
    ],
)
def test_wrong_options(options, text):
    with MemoryStore() as store, pytest.raises(rnnrt.StateError, match=text):
        MODEL.pool(store=store, **options)
    with pytest.raises(rnnrt.StateError, match="store"):
        MODEL.pool(**options)


def test_a_pool_with_a_store_is_a_pool():
    with MemoryStore() as store:
        pool = MODEL.pool(16, store=store)
        assert isinstance(pool, rnnrt.Pool) and isinstance(pool, StoredPool) and pool.max_batch == 16
        assert "kept by" in repr(pool)
