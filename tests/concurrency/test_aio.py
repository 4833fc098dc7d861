"""asyncio: the bits of single streams, a loop that is never held for long, and cancelled tasks that hurt nobody."""

from __future__ import annotations

import asyncio
import os
import threading

import numpy as np
import pytest
from cases.graphs import Builder
from runtime import model_of, same_bits

import rnnrt
from rnnrt.streams.aio import INLINE_NS, executor


def _model(units: int = 16, features: int = 5):
    b = Builder()
    x = b.input("x", None, features)
    (y,) = b.add("lstm", "lstm", x, units=units, return_sequences=True)
    return model_of(*b.done(y))


def _words():
    b = Builder()
    x = b.input("ids", None)
    (e,) = b.add("embedding", "table", x, input_dim=9, output_dim=4)
    (y,) = b.add("lstm", "lstm", e, units=8, return_sequences=True)
    return model_of(*b.done(y))


def _x(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


@pytest.mark.parametrize("units", [8, 400])  # in the loop, in a thread
def test_sessions(units):
    model, x = _model(units), _x(2, 20, 5)
    want = model.predict(x)
    assert (model.estimate(2, 1) < INLINE_NS) == (units == 8)

    async def main() -> None:
        s = model.session(batch_size=2)
        ys = [(await s.astep(x[:, t]))[:, None] for t in range(10)]
        ys.append(await s.arun(x[:, 10:]))
        assert same_bits(np.concatenate(ys, axis=1), want)
        with pytest.raises(rnnrt.ShapeError):
            await s.astep(x[:, 0, :3])
        s.reset()
        assert same_bits(await s.arun(x.tolist()), want)

    asyncio.run(main())


@pytest.mark.parametrize("units", [8, 400])
@pytest.mark.parametrize("window_us", [0, 2000])
def test_a_pool_gathers_the_steps_of_tasks(units, window_us):
    model, n = _model(units), 30
    x = _x(n, 8, 5)
    want = model.predict(x)
    pool, sizes = model.pool(max_batch=64, window_us=window_us), []
    advance = pool.advance
    pool.advance = lambda batch: sizes.append(len(batch)) or advance(batch)

    async def client(i: int) -> None:
        for t in range(8):
            assert same_bits(await pool.astep(i, x[i, t]), want[i, t])

    async def main() -> None:
        await asyncio.gather(*(client(i) for i in range(n)))

    asyncio.run(main())
    asyncio.run(main_again(pool, x, model))  # another loop
    assert sum(sizes) == n * 8 + 1 and max(sizes) == n


async def main_again(pool, x, model) -> None:
    assert same_bits(await pool.astep("new", x[0, 0]), model.predict(x[:1, :1])[0, 0])


def test_steps_of_one_stream_keep_their_order():
    model, x = _model(), _x(1, 40, 5)
    pool = model.pool()

    async def main() -> None:
        ys = await asyncio.gather(*(pool.astep("a", x[0, t]) for t in range(40)))
        assert same_bits(np.stack(ys), model.predict(x)[0])

    asyncio.run(main())


def test_chunks_of_a_pool():
    model, x = _model(200), _x(2, 300, 5)
    pool, want = model.pool(), model.predict(x)

    async def main() -> None:
        got = await pool.arun({0: x[0, :3], 1: x[1, :200]})
        assert same_bits(got[0], want[0, :3]) and same_bits(got[1], want[1, :200])
        got = await pool.arun({0: x[0, 3:], 2: x[0, 0, :2]}, return_exceptions=True)
        assert same_bits(got[0], want[0, 3:]) and isinstance(got[2], rnnrt.ShapeError)

    asyncio.run(main())


def test_errors_and_cancelled_tasks_hit_their_own_stream():
    model = _words()
    pool = model.pool(window_us=20_000)

    async def main() -> None:
        tasks = {i: asyncio.create_task(pool.astep(i, i % 9)) for i in range(20)}
        bad = asyncio.create_task(pool.astep("bad", 9))
        await asyncio.sleep(0)
        tasks[4].cancel()
        done = await asyncio.gather(*tasks.values(), bad, return_exceptions=True)
        assert isinstance(done[4], asyncio.CancelledError) and isinstance(done[-1], rnnrt.ShapeError)
        for i, y in enumerate(done[:-1]):
            assert i == 4 or same_bits(y, model.session().step(np.array([i % 9]))[0])
        assert 4 not in pool and "bad" not in pool

    asyncio.run(main())


def test_a_cancelled_call_of_a_session_is_done_as_a_whole():
    model, x = _model(400), _x(1, 90, 5)
    begun, go_on = threading.Event(), threading.Event()

    async def main() -> None:
        s = model.session()
        run = s.run

        def held(chunk: np.ndarray) -> np.ndarray:
            begun.set()
            go_on.wait(60)
            return run(chunk)

        s.run = held
        task = asyncio.create_task(s.arun(x[:, :60]))
        await asyncio.to_thread(begun.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        s.run = run
        after = asyncio.create_task(s.arun(x[:, 60:]))
        await asyncio.sleep(0.02)
        assert not after.done()  # waits for the one that goes on
        go_on.set()
        assert same_bits(await after, model.predict(x)[:, 60:])

    asyncio.run(main())


def test_a_call_that_is_cancelled_in_time_is_not_begun():
    model, x = _model(400), _x(1, 60, 5)
    go_on = threading.Event()

    async def main() -> None:
        s = model.session()
        blockers = [executor().submit(go_on.wait, 60) for _ in range(32)]
        task = asyncio.create_task(s.arun(x))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
        await asyncio.wait([asyncio.wrap_future(b) for b in blockers])
        assert same_bits(await s.arun(x), model.predict(x))

    asyncio.run(main())


def test_two_tasks_in_one_session():
    model, x = _model(400), _x(1, 300, 5)

    async def main() -> None:
        s = model.session()
        done = await asyncio.gather(s.arun(x), s.arun(x), return_exceptions=True)
        assert isinstance(done[1], rnnrt.StateError) and "another task" in str(done[1])
        assert same_bits(done[0], model.predict(x))

    asyncio.run(main())


def test_the_loop_is_not_held():
    """While long calls run, and while short ones never wait, a ticker goes on."""
    model, x = _model(300), _x(64, 400, 5)
    small, pool = _model(8).session(), model.pool()
    ticks: list[bool] = []
    busy = False

    async def ticker(stop: asyncio.Event) -> None:
        while not stop.is_set():
            ticks.append(busy)
            await asyncio.sleep(0)

    async def main() -> None:
        nonlocal busy
        stop = asyncio.Event()
        task = asyncio.create_task(ticker(stop))
        await asyncio.sleep(0)
        busy = True
        await model.session(batch_size=64).arun(x)
        busy = False
        await asyncio.gather(*(pool.astep(i, x[i, 0]) for i in range(64)))
        before = len(ticks)
        for _ in range(2000):
            await small.astep(x[:1, 0])
        assert len(ticks) - before >= 2000 * model_ns(small) // INLINE_NS // 2
        stop.set()
        await task

    asyncio.run(main())
    assert sum(ticks) > 20  # of a loop that the long call holds: one


def model_ns(session) -> int:
    return session.model.estimate(1, 1)


def test_import_brings_no_asyncio():
    import subprocess
    import sys

    code = "import sys, rnnrt; print('asyncio' in sys.modules, 'concurrent.futures' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ))
    assert out.stdout.split() == ["False", "False"]


def test_loops_in_several_threads_share_a_pool():
    model, x = _model(), _x(30, 10, 5)
    pool, want, failed = model.pool(), model.predict(x), []

    async def client(i: int) -> None:
        for t in range(10):
            assert same_bits(await pool.astep(i, x[i, t]), want[i, t])

    async def main(k: int) -> None:
        await asyncio.gather(*(client(i) for i in range(10 * k, 10 * k + 10)))

    def work(k: int) -> None:
        try:
            asyncio.run(main(k))
        except BaseException as e:
            failed.append(e)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failed
