"""Stores: one body over every kind. What is durable, who owns a stream, what a failing store does."""

from __future__ import annotations

import asyncio
import gc
import threading
import time

import numpy as np
import pytest
from cases.graphs import Builder
from redis_server import RedisServer, need_redis
from runtime import model_of, same_bits
from stored import MODEL, X, make_model

import rnnrt
from rnnrt.stores import Entry, Held, MemoryStore, RedisStore, SQLiteStore, Store


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    need_redis()
    running = RedisServer(tmp_path_factory.mktemp("redis"))
    yield running
    running.stop()


@pytest.fixture(params=["memory", "sqlite", "redis"])
def make(request, tmp_path):
    """Makes stores of one kind over the same streams, as processes would; closes them at the end."""
    made: list[Store] = []

    def one(**options) -> Store:
        if request.param == "memory":
            made.append(MemoryStore(made[0] if made else None, **options))
        elif request.param == "sqlite":
            made.append(SQLiteStore(tmp_path / "streams.sqlite", **options))
        else:
            url = request.getfixturevalue("server").url
            made.append(RedisStore(url, prefix=tmp_path.name, **options))
        return made[-1]

    yield one
    for store in made:
        store.close()


def _vanish(store: Store) -> None:
    """The owner dies: no release, no heartbeat any more."""
    store.writer._stop = True
    with store.writer.changed:
        store.writer._streams.clear()
        store.writer._queue.clear()
        store.writer.changed.notify_all()
    store.writer._thread.join()


def test_a_stream_goes_on_where_it_was(make):
    store = make()
    whole = MODEL.predict(X[:, :90])[0]
    s = MODEL.session(id="caller-42", store=store)
    assert (s.steps, s.saved_step, s.lag, s.id, s.store) == (0, 0, 0, "caller-42", store)
    first = [s.step(X[:, t])[0] for t in range(30)]
    more = s.run(X[:, 30:60])[0]
    assert s.steps == 60
    assert s.flush_now() == 60 == s.saved_step and s.lag == 0
    s.close()
    s = MODEL.session(id="caller-42", store=make())
    assert s.steps == s.saved_step == 60 and s.lag == 0
    last = s.run(X[:, 60:90])[0]
    got = np.concatenate([np.stack(first, 1), more, last], axis=1)
    assert same_bits(got, whole)
    s.close()


def test_closing_saves(make):
    with MODEL.session(id="a", store=make()) as s:
        s.run(X[:, :7])
    with MODEL.session(id="a", store=make()) as t:
        assert t.steps == 7
        assert all(same_bits(v, s.get_state()[k]) for k, v in t.get_state().items())
    with pytest.raises(rnnrt.StateError, match="'a': this session is closed"):
        s.step(X[:, 0])


def test_several_rows_states_and_resets_are_kept(make):
    store = make()
    x = np.repeat(X, 3, axis=0)
    s = MODEL.session(batch_size=3, id="b", store=store)
    s.run(x[:, :5])
    s.reset(rows=[1])
    half = s.get_state()
    s.close()
    s = MODEL.session(batch_size=3, id="b", store=store)
    assert s.steps == 5
    assert all(same_bits(v, half[k]) for k, v in s.get_state().items())
    s.set_state({k: v + 1 for k, v in half.items()})
    s.flush_now()
    wanted = s.get_state()
    s.close()
    with pytest.raises(rnnrt.StateError, match="'b' was saved with batch size 3, not 1"):
        MODEL.session(id="b", store=store)
    s = MODEL.session(batch_size=3, id="b", store=store)
    assert all(same_bits(v, wanted[k]) for k, v in s.get_state().items())
    snapshot = MODEL.session(batch_size=3).to_bytes()
    s.restore(snapshot)
    assert s.flush_now() == 5 and not s.get_state()["gru/h"].any()
    s.close()


def test_a_new_stream_may_begin_at_a_state(make):
    store = make()
    plain = MODEL.session()
    plain.run(X[:, :9])
    s = MODEL.session(id="s", store=store, state=plain.to_bytes())
    assert s.steps == 0 and same_bits(s.get_state()["gru/h"], plain.get_state()["gru/h"])
    s.step(X[:, 9])
    s.close()
    s = MODEL.session(id="s", store=store, state=plain.to_bytes())  # resumed: the given state is that of a new stream
    assert s.steps == 1 and not same_bits(s.get_state()["gru/h"], plain.get_state()["gru/h"])
    s.close()


def test_one_owner(make):
    mine, other = make(), make()
    s = MODEL.session(id="a", store=mine)
    s.run(X[:, :5])
    with pytest.raises(rnnrt.StateError, match=f"stream 'a' is owned by {mine.owner}; it is free when it is closed"):
        MODEL.session(id="a", store=other)
    with pytest.raises(rnnrt.StateError, match="'a' is open already in this process"):
        MODEL.session(id="a", store=mine)
    t = MODEL.session(id="b", store=other)  # other streams are free
    s.close()
    u = MODEL.session(id="a", store=other)
    assert u.steps == 5
    t.close()
    u.close()


def test_the_lease_of_a_living_owner_does_not_end(make):
    mine, other = make(lease=0.3), make()
    s = MODEL.session(id="a", store=mine)
    end = time.monotonic() + 1.0
    while time.monotonic() < end:
        with pytest.raises(rnnrt.StateError, match="is owned by"):
            MODEL.session(id="a", store=other)
        time.sleep(0.05)
    s.close()


def test_a_dead_owner_and_its_late_write(make):
    mine, other = make(lease=0.3), make()
    s = MODEL.session(id="a", store=mine)
    s.run(X[:, :8])
    s.flush_now()
    stream = s._stream
    s.run(X[:, 8:20])
    _vanish(mine)
    with pytest.raises(rnnrt.StateError, match="is owned by"):
        MODEL.session(id="a", store=other)
    time.sleep(0.35)
    t = MODEL.session(id="a", store=other)
    saved = t.steps
    assert saved in (8, 20)  # what was durable when it died
    replay = MODEL.session()
    replay.run(X[:, :saved])
    assert all(same_bits(v, replay.get_state()[k]) for k, v in t.get_state().items())
    # the dead one wakes up and writes what it held: rejected by its fence, and it learns whose the stream is
    late = Entry("a", stream.fence, 999, MODEL.file.fingerprint, s.to_bytes())
    assert mine.save([late]) == [other.owner]
    mine.release([("a", stream.fence)])
    t.step(X[:, 20])
    assert t.flush_now() == saved + 1
    assert isinstance(mine.claim(["a"], mine.owner, 1.0)[0], Held)
    t.close()


def test_an_owner_that_was_too_slow_is_told(make):
    mine, other = make(), make()
    s = MODEL.session(id="a", store=mine)
    s.run(X[:, :8])
    s.flush_now()
    mine.retire(mine.owner)  # as if its lease had run out
    t = MODEL.session(id="a", store=other)
    before = s.get_state()
    s.step(X[:, 8])  # it does not know yet
    with pytest.raises(rnnrt.StateError, match=f"'a' is owned by {other.owner} now; what .* after step 8 is not saved"):
        s.flush_now()
    assert other.owner in str(s.store_error) and s.saved_step == 8 and s.lag == 1
    after = s.get_state()
    with pytest.raises(rnnrt.StateError, match="is owned by"):
        s.step(X[:, 9])
    assert all(same_bits(v, after[k]) for k, v in s.get_state().items()) and not same_bits(
        before["gru/h"], after["gru/h"]
    )
    with pytest.raises(rnnrt.StateError, match="is owned by"):
        s.close()
    t.step(X[:, 8])
    assert t.flush_now() == 9
    t.close()
    MODEL.session(id="a", store=mine).close()


def test_another_model_is_refused(make):
    store = make()
    with MODEL.session(id="a", store=store) as s:
        s.step(X[:, 0])
    other = make_model(units=5)
    for _ in range(2):  # and the refusal does not keep it
        with pytest.raises(rnnrt.StateError, match=r"saved by another model .*store.remove\('a'\)"):
            other.session(id="a", store=store)
    with MODEL.session(id="a", store=store) as s:
        assert s.steps == 1
    assert store.remove("a") and not store.remove("a")
    with other.session(id="a", store=store) as t:
        assert t.steps == 0


def test_a_removed_stream(make):
    store = make()
    s = MODEL.session(id="a", store=store)
    s.step(X[:, 0])
    s.flush_now()
    assert store.remove("a")
    s.step(X[:, 1])
    with pytest.raises(rnnrt.StateError, match="'a' is no longer in the store: it was removed"):
        s.flush_now()


def test_idle_streams_expire_and_open_ones_do_not(make):
    store, looking = make(lease=0.3, ttl=0.4), make()
    for id in ("kept", "idle"):
        with MODEL.session(id=id, store=store) as s:
            s.step(X[:, 0])
    kept = MODEL.session(id="kept", store=store)
    end = time.monotonic() + 10
    while time.monotonic() < end:  # the thread of the store sweeps
        time.sleep(0.7)
        with MODEL.session(id="idle", store=looking) as s:
            if s.steps == 0:
                break
    else:
        pytest.fail("an idle stream was not removed")
    kept.step(X[:, 1])
    assert kept.flush_now() == 2
    kept.close()
    with MODEL.session(id="kept", store=looking) as s:
        assert s.steps == 2


def test_a_stream_that_never_took_a_step_leaves_nothing(make):
    store = make()
    MODEL.session(id="a", store=store).close()
    assert store.remove("a") is False


def test_sweep_counts(make):
    store, dead = make(), make(lease=0.2)
    for k in range(5):
        with MODEL.session(id=f"s{k}", store=store) as s:
            s.step(X[:, 0])
    held, late = MODEL.session(id="held", store=store), MODEL.session(id="dead", store=dead)
    held.step(X[:, 0])
    late.step(X[:, 0])
    store.flush()
    dead.flush()
    _vanish(dead)
    assert store.sweep(60.0) == 0
    time.sleep(0.3)
    assert store.sweep(0.05) == 6  # all but the one that is held
    assert store.sweep(0.05) == 0
    held.step(X[:, 1])
    assert held.flush_now() == 2
    del late


def test_flush_in_asyncio(make):
    store = make()

    async def serve() -> None:
        async with MODEL.session(id="a", store=store) as s:
            s.run(X[:, :12])
            assert await s.flush() == 12
            s.step(X[:, 12])
            assert (await asyncio.gather(*(s.flush() for _ in range(5)))) == [13] * 5
            s.step(X[:, 13])
            cancelled = asyncio.ensure_future(s.flush())
            await asyncio.sleep(0)
            cancelled.cancel()
            assert await s.flush() == 14
        with pytest.raises(rnnrt.StateError, match="closed"):
            s.step(X[:, 0])

    asyncio.run(serve())
    with MODEL.session(id="a", store=store) as s:
        assert s.steps == 14


def test_many_streams_and_threads(make):
    store = make()
    sessions = [MODEL.session(id=f"s{k}", store=store) for k in range(40)]

    def work(mine) -> None:
        for t in range(60):
            for s in mine:
                s.step(X[:, t])

    threads = [threading.Thread(target=work, args=(sessions[k::4],)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    store.flush()
    assert [s.saved_step for s in sessions] == [60] * 40 and all(s.store_error is None for s in sessions)
    store.close()
    with pytest.raises(rnnrt.StateError, match="'s0': .* is closed"):
        sessions[0].step(X[:, 0])
    sessions[0].close()
    with pytest.raises(rnnrt.StateError, match="is closed"):
        MODEL.session(id="x", store=store)
    again = make()
    want = MODEL.session()
    want.run(X[:, :60])
    for k in range(40):
        with MODEL.session(id=f"s{k}", store=again) as s:
            assert s.steps == 60 and s.to_bytes() == want.to_bytes()


def test_a_dropped_session_gives_its_stream_back(make):
    store = make()
    s = MODEL.session(id="a", store=store)
    s.run(X[:, :6])
    del s
    gc.collect()
    with MODEL.session(id="a", store=store) as s:  # the writing and the giving back are waited for
        assert s.steps == 6


def test_two_threads_in_one_session(make):
    store = make()
    s = MODEL.session(id="a", store=store)
    done, refused = [], []

    def work() -> None:
        for _ in range(300):
            try:
                s.run(X)
                done.append(1)
            except rnnrt.StateError as e:
                refused.append(str(e))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert s.steps == 400 * len(done) == s.flush_now()
    assert all("in use by another thread" in r for r in refused)
    replay = MODEL.session()
    for _ in done:
        replay.run(X)
    assert s.to_bytes() == replay.to_bytes()
    s.close()


def test_fork_of_a_session_is_nobodys(make):
    s = MODEL.session(id="a", store=make())
    s.run(X[:, :5])
    f = s.fork()
    assert type(f) is rnnrt.Session
    a, b = s.step(X[:, 5])[0], f.step(X[:, 5])[0]
    assert same_bits(a, b)
    f.run(X[:, 6:50])
    assert s.flush_now() == 6
    s.close()


def test_an_error_of_a_step_leaves_all_as_it_was(make):
    s = MODEL.session(id="a", store=make())
    s.run(X[:, :5])
    with pytest.raises(rnnrt.ShapeError):
        s.step(np.zeros((1, 9), "f4"))
    assert s.steps == 5
    s.step(X[:, 5])
    assert s.flush_now() == 6
    s.close()


def test_calls_models_and_tasks(make):
    b = Builder("calls")
    x = b.input("x", None, 3)
    (y,) = b.add("gru", "gru", x, units=5, return_sequences=True)
    (y,) = b.add("lstm", "lstm", y, units=4, return_sequences=True, stateful=True)
    model = model_of(*b.done(y))
    store = make()

    async def serve() -> list:
        s = model.session(id="a", store=store)
        y = [await s.arun(X[:, :4]), await s.astep(X[:, 4])]
        assert s.steps == 5
        await s.aclose()
        s = model.session(id="a", store=store)
        y.append(await s.arun(X[:, 5:9].tolist()))
        assert s.steps == 9
        await s.aclose()
        return y

    plain = model.session()
    want = [plain.run(X[:, :4]), plain.step(X[:, 4]), plain.run(X[:, 5:9])]
    assert all(same_bits(a, b) for a, b in zip(asyncio.run(serve()), want))
