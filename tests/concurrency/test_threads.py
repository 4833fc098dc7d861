"""Threads in one model and one pool, submit, and processes that fork or spawn beside them."""

from __future__ import annotations

import multiprocessing
import signal
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import CancelledError, ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np
import pytest
from cases.graphs import Builder
from children import in_child
from runtime import model_of, same_bits

import rnnrt

TESTS = Path(__file__).resolve().parents[1]


def _model(units: int = 24, features: int = 5):
    b = Builder()
    x = b.input("x", None, features)
    (y,) = b.add("lstm", "lstm", x, units=units, return_sequences=True)
    (z,) = b.add("dense", "dense", y, units=3)
    return model_of(*b.done(z))


def _words():
    b = Builder()
    x = b.input("ids", None)
    (e,) = b.add("embedding", "table", x, input_dim=9, output_dim=4)
    (y,) = b.add("lstm", "lstm", e, units=64, return_sequences=True)
    return model_of(*b.done(y))


def _x(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def _together(work, n: int = 4) -> None:
    """Run work(k) in n threads; the first exception of any."""
    with ThreadPoolExecutor(n) as threads:
        for f in [threads.submit(work, k) for k in range(n)]:
            f.result()


def test_a_model_in_many_threads():
    model, x = _model(units=64), _x(3, 40, 5)
    want = model.predict(x)

    def work(k: int) -> None:
        session = model.session(batch_size=3)
        for i in range(40):
            assert same_bits(model.predict(x[: 1 + i % 3, : 1 + i]), want[: 1 + i % 3, : 1 + i])
            assert same_bits(session.step(x[:, i]), want[:, i])

    _together(work)


@pytest.mark.parametrize("units", [8, 96])
def test_threads_with_streams_of_their_own_in_one_pool(units):
    model = _model(units)
    pool, x = model.pool(max_batch=8), _x(40, 50, 5)
    want = model.predict(x)

    def work(k: int) -> None:
        mine = range(10 * k, 10 * k + 10)
        for t in range(0, 50, 2):
            got = pool.step({i: x[i, t] for i in mine})
            assert all(same_bits(got[i], want[i, t]) for i in mine)
            got = pool.run({i: x[i, t + 1 : t + 2] for i in mine})
            assert all(same_bits(got[i][0], want[i, t + 1]) for i in mine)
            if t % 10 == 0:  # rows move to other places
                for i in mine[:3]:
                    data = pool.to_bytes(i)
                    pool.close(i)
                    pool.put(i, data)
                pool.fork(mine[5], (k, t))

    _together(work)
    assert len(pool) == 40 + 4 * 5


def test_threads_in_one_stream_are_refused_not_mixed():
    model = _model(units=256)
    pool, chunk = model.pool(), _x(400, 5)
    done, refused = [], []

    def work(k: int) -> None:
        for _ in range(6):
            given = pool.run({"one": chunk, k: chunk[:5]}, return_exceptions=True)
            assert isinstance(given[k], np.ndarray)
            y = given["one"]
            if isinstance(y, rnnrt.StateError):
                assert "'one' is in use by another call" in str(y)
                refused.append(y)
            else:
                done.append(y[-1].tobytes())
            try:
                pool.to_bytes("one")
            except rnnrt.StateError:
                pass

    _together(work)
    assert len(done) + len(refused) == 24 and done
    s = model.session()
    assert {s.run(chunk[None])[0, -1].tobytes() for _ in done} == set(done)
    assert pool.to_bytes("one") == s.to_bytes()


@pytest.mark.parametrize("lengths", [[3000, 3000, 3000], [10, 800, 5000]])
def test_an_interrupt_leaves_all_streams_as_they_were(lengths):
    """Ctrl-C in the middle of long chunks."""
    model = _model(units=256)
    pool = model.pool(max_batch=2)
    x = {i: _x(n, 5, seed=i) for i, n in enumerate(lengths)}
    pool.run({i: c[:7] for i, c in x.items()})
    before = {i: pool.to_bytes(i) for i in pool}
    timer = threading.Timer(0.05, signal.raise_signal, [signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        for _ in range(1000):
            pool.run({**x, "new": x[2]})
            for i, data in before.items():
                pool.put(i, data)
            pool.close("new")
    timer.join()
    assert {i: pool.to_bytes(i) for i in before} == before and set(pool) <= {*before, "new"}
    got = pool.run(x)
    assert all(same_bits(got[i], model.session(state=before[i]).run(c[None])[0]) for i, c in x.items())


@pytest.mark.parametrize("window_us", [0, 500])
def test_submit(window_us):
    model = _model()
    pool, x = model.pool(max_batch=16, window_us=window_us), _x(40, 12, 5)
    want = model.predict(x)
    futures: dict = {}

    def work(k: int) -> None:
        for t in range(12):
            for i in range(10 * k, 10 * k + 10):
                futures[i, t] = pool.submit(i, x[i, t])

    _together(work)
    # each stream's steps in their order, though nobody waited in between
    assert all(same_bits(f.result(timeout=60), want[i, t]) for (i, t), f in futures.items())


def test_submit_gathers_within_its_window():
    model = _model()
    pool, sizes = model.pool(max_batch=8, window_us=200_000), []
    advance = pool.advance
    pool.advance = lambda batch: sizes.append(len(batch)) or advance(batch)
    x = _x(8, 5)
    futures = [pool.submit(i, x[i]) for i in range(5)]
    wait(futures, timeout=60)
    assert sizes == [5]


def test_a_full_batch_does_not_wait():
    model, x = _model(), _x(8, 5)
    pool = model.pool(max_batch=8, window_us=1e9)  # a quarter of an hour
    futures = [pool.submit(i, x[i]) for i in range(8)]
    assert not wait(futures, timeout=60).not_done


def test_cancelled_and_failed_futures_leave_others_alone():
    model = _words()
    pool = model.pool(window_us=100_000)
    futures = {i: pool.submit(i, i % 9) for i in range(20)}
    futures[20] = pool.submit(20, 9)
    assert futures[3].cancel() and futures[7].cancel()
    for i, f in futures.items():
        if i in (3, 7):
            with pytest.raises(CancelledError):
                f.result()
        elif i == 20:
            with pytest.raises(rnnrt.ShapeError, match="id 9"):
                f.result(timeout=60)
        else:
            assert same_bits(f.result(timeout=60), model.session().step(np.array([i % 9]))[0])
    assert 3 not in pool and 7 not in pool and 20 not in pool
    with pytest.raises(TypeError):
        pool.submit([], 1)


def test_a_pool_that_nobody_holds_serves_what_was_asked_and_ends_its_thread():
    model = _model()
    pool = model.pool(window_us=30_000)
    future, thread, gone = pool.submit(0, _x(5)), pool._batcher.thread, weakref.ref(pool)
    del pool
    assert same_bits(future.result(timeout=60), model.predict(_x(1, 1, 5, seed=0).reshape(1, 1, 5))[0, 0])
    thread.join(timeout=60)
    assert not thread.is_alive() and gone() is None


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_fork_while_threads_run():
    model, x = _model(units=32), _x(8, 30, 5)
    want, pool, stop = model.predict(x), model.pool(max_batch=4), threading.Event()
    pool.step({i: x[i, 0] for i in range(8)})
    pool.submit("s", x[0, 0]).result(timeout=60)

    def noise(k: int) -> None:
        while not stop.is_set():
            model.predict(x)
            pool.step({(k, 0): x[0, 0], (k, 1): x[1, 0]})
            pool.submit((k, 2), x[2, 0]).result()

    def child() -> None:
        assert same_bits(model.predict(x), want)
        got = pool.step({i: x[i, 1] for i in range(8)})
        assert all(same_bits(got[i], want[i, 1]) for i in range(8))
        assert same_bits(pool.submit("new", x[0, 0]).result(timeout=60), want[0, 0])
        for k in range(3):  # those of the parent's threads: at rest, or lost, and then said to be
            for i in range(2):
                y = pool.step({(k, i): x[i, 0]}, return_exceptions=True)[k, i]
                assert isinstance(y, np.ndarray) or "forked" in str(y)
                pool.reset((k, i))
                assert same_bits(pool.step({(k, i): x[i, 0]})[k, i], want[i, 0])

    threads = [threading.Thread(target=noise, args=(k,)) for k in range(3)]
    for t in threads:
        t.start()
    try:
        while (2, 1) not in pool:
            time.sleep(0.01)
        for _ in range(15):
            in_child(child)
    finally:
        stop.set()
        for t in threads:
            t.join()
    got = pool.step({i: x[i, 1] for i in range(8)})  # the children's steps were their own
    assert all(same_bits(got[i], want[i, 1]) for i in range(8))


def test_spawn():
    """A spawned worker loads the model anew and goes on from a snapshot."""
    code = """if True:
        import sys; sys.path.insert(0, sys.argv[1])
        import multiprocessing
        from concurrency.worker import go_on, model_and_input
        if __name__ == "__main__":
            model, x = model_and_input()
            pool = model.pool()
            pool.run({"a": x[:10]})
            with multiprocessing.get_context("spawn").Pool(1) as workers:
                y = workers.apply(go_on, (pool.to_bytes("a"), x[10:]))
            assert y.tobytes() == pool.run({"a": x[10:]})["a"].tobytes()"""
    assert "spawn" in multiprocessing.get_all_start_methods()
    subprocess.run([sys.executable, "-c", code, str(TESTS)], check=True, timeout=120)
