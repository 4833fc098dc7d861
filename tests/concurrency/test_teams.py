"""Calls on several threads: the bits of one thread, and teams that survive forks, crowds, interrupts and exits."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from cases.graphs import Builder
from children import in_child
from runtime import RUNNABLE, model_of, same_bits

import rnnrt
from rnnrt.convert.narrow import narrow
from rnnrt.errors import BackendError
from rnnrt.ir.activations import Activation
from rnnrt.native import _native as native

TESTS = Path(__file__).resolve().parents[1]
RELU = {"activation": Activation("relu"), "recurrent_activation": Activation("hard_sigmoid_k2")}
SOFT = {"activation": Activation("softmax"), "recurrent_activation": Activation("sigmoid")}
CELLS = {
    "lstm": ("lstm", {}),
    "lstm relu": ("lstm", RELU),
    "lstm softmax": ("lstm", SOFT),
    "gru": ("gru", {"reset_after": True}),
    "gru before": ("gru", {"reset_after": False}),
    "gru before softmax": ("gru", {"reset_after": False, **SOFT}),
    "simple_rnn": ("simple_rnn", {}),
}
SHAPES = [(33, 5, 1, 41), (100, 17, 3, 12), (130, 8, 1, 7), (20, 3, 14, 9), (20, 3, 31, 9)]


@pytest.fixture(autouse=True)
def everything_is_shared_out():
    """However small, so that small models show what large ones do."""
    native.share_always(True)
    yield
    native.share_always(False)


def _graph(cell: str, units: int, features: int, *, masked: bool = False, dtype: str = "float32", **options):
    op, attrs = CELLS[cell]
    b = Builder()
    x = b.input("x", None, features, dtype=dtype)
    mask = b.add("masking", "masking", x)[0] if masked else None
    (y,) = b.add(op, "cell", x, units=units, return_sequences=True, mask=mask, **attrs, **options)
    (z,) = b.add("dense", "wide", y, units=75, activation=Activation("tanh"))
    (w,) = b.add("dense", "head", z, units=3, activation=Activation("softmax"))
    return b.done(w, y)


def _x(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def _lstm(units: int = 64, threads: int = 2, features: int = 5):
    return model_of(*_graph("lstm", units, features), threads=threads)


def _workers() -> list[str]:
    """The threads of all teams, by their number in this process."""
    found = []
    for tid in os.listdir("/proc/self/task"):
        try:
            if Path(f"/proc/self/task/{tid}/comm").read_text() == "rnnrt\n":
                found.append(tid)
        except OSError:  # it has just ended
            pass
    return found


def _soon(condition) -> bool:
    """Whether something comes true within a minute."""
    for _ in range(6000):
        if condition():
            return True
        time.sleep(0.01)
    return False


def _same(a, b) -> bool:
    return all(same_bits(np.ascontiguousarray(p), q) for p, q in zip(a, b))


def _check(graph, weights, table: str, x: np.ndarray, want) -> None:
    """predict and sessions of any cut, on 2, 3 and 5 threads."""
    before = native.shared_parts()[0]
    for threads in (2, 3, 5):
        model = model_of(graph, weights, table, threads=threads)
        assert _same(model.predict(x), want) and _same(model.predict(x), want)
        session = model.session(batch_size=x.shape[0])
        pieces = [session.run(x[:, :4]), *(session.step(x[:, t]) for t in (4, 5)), session.run(x[:, 6:])]
        cut = [np.concatenate([p[k] if p[k].ndim == 3 else p[k][:, None] for p in pieces], 1) for k in range(2)]
        assert _same(cut, want), (table, threads)
    # the scalar judge has one block of everything, but of int8 weights
    assert native.shared_parts()[0] > before or table == "oracle"


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("table", RUNNABLE)
def test_the_bits_of_one_thread(table, cell):
    for units, features, rows, steps in SHAPES:
        graph, weights = _graph(cell, units, features)
        x = _x(rows, steps, features)
        _check(graph, weights, table, x, model_of(graph, weights, table).predict(x))


@pytest.mark.parametrize("asked", ["float16", "int8"])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("table", RUNNABLE)
def test_the_bits_of_one_thread_with_narrow_weights(table, cell, asked):
    for units, features, rows, steps in [(33, 5, 1, 19), (150, 8, 3, 8)]:
        graph, weights = _graph(cell, units, features)
        small, arrays, _ = narrow(graph, weights, asked)
        x = _x(rows, steps, features)
        _check(small, arrays, table, x, model_of(small, arrays, table).predict(x))


@pytest.mark.parametrize("cell", CELLS)
def test_doubles_share_rows(cell):
    b, (op, attrs) = Builder(), CELLS[cell]
    seen = b.input("x", None, 6, dtype="float64")
    (mask,) = b.add("masking", "masking", seen)
    graph, weights = b.done(*b.add(op, "cell", seen, units=20, return_sequences=True, mask=mask, **attrs))
    x = _x(11, 16, 6).astype("float64")
    x[np.random.default_rng(1).random((11, 16)) < 0.3] = 0.0
    want, before = model_of(graph, weights).predict(x), native.shared_parts()[0]
    for threads in (2, 5):
        assert same_bits(model_of(graph, weights, threads=threads).predict(x), want), threads
    assert native.shared_parts()[0] - before >= 1 + 4


@pytest.mark.parametrize("cell", ["lstm", "gru", "gru before", "simple_rnn"])
def test_masks_and_directions(cell):
    for options in ({"masked": True}, {"go_backwards": True}, {"masked": True, "go_backwards": True}):
        graph, weights = _graph(cell, 50, 6, **options)
        for rows in (1, 4, 26):
            x = _x(rows, 30, 6)
            x[np.random.default_rng(1).random((rows, 30)) < 0.3] = 0.0
            want = model_of(graph, weights).predict(x)
            for threads in (2, 4):
                assert _same(model_of(graph, weights, threads=threads).predict(x), want), (options, threads)


def test_each_row_waits_for_its_first_step():
    """Outputs before it are zero, also where the state is not."""
    b = Builder()
    x, h = b.input("x", None, 6), b.input("h", 50)
    (mask,) = b.add("masking", "masking", x)
    attrs = CELLS["gru"][1]
    graph, weights = b.done(
        *b.add("gru", "cell", x, units=50, return_sequences=True, mask=mask, initial_state=(h,), **attrs)
    )
    given = [_x(26, 8, 6), _x(26, 50, seed=1)]
    given[0][13:, :4] = 0.0
    want = model_of(graph, weights).predict(given)
    assert not want[13:, :4].any() and want[:13].all()
    assert same_bits(model_of(graph, weights, threads=2).predict(given), want)


def test_convolutions_and_dense_layers():
    b = Builder()
    x = b.input("x", None, 6)
    window = {"kernel_size": [5], "strides": [1], "dilation_rate": [1], "padding": "causal"}
    (y,) = b.add("conv", "conv", x, channels=6, filters=70, **window)
    (z,) = b.add("dense", "dense", y, units=130, activation=Activation("relu"))
    graph, weights = b.done(z)
    for rows, steps in ((1, 300), (3, 7)):
        x = _x(rows, steps, 6)
        want = model_of(graph, weights).predict(x)
        before = native.shared_parts()[0]
        assert same_bits(model_of(graph, weights, threads=3).predict(x), want)
        assert native.shared_parts()[0] > before


def test_pools_and_asyncio():
    graph, weights = _graph("lstm", 70, 5)
    x = _x(12, 10, 5)
    want = model_of(graph, weights).predict(x)
    model = model_of(graph, weights, threads=3)
    pool = model.pool(max_batch=8)
    for t in range(10):
        got = pool.step({i: x[i, t] for i in range(12)})
        assert all(_same(got[i], [want[k][i, t] for k in range(2)]) for i in range(12))

    async def steps():
        sessions = [model.session() for _ in range(12)]
        for t in range(10):
            got = await asyncio.gather(*(s.astep(x[i : i + 1, t]) for i, s in enumerate(sessions)))
            assert all(_same(got[i], [want[k][i : i + 1, t] for k in range(2)]) for i in range(12))

    asyncio.run(steps())


def test_threads_are_asked_for_and_shown():
    model = _lstm(threads=3)
    assert model.threads == 3 and model.describe()["threads"] == 3
    assert "Threads of a call: 3" in model.summary()
    assert "Threads" not in _lstm(threads=1).summary()
    for bad in (0, -1, 65, 1.5, True, "2"):
        with pytest.raises(BackendError, match="threads: expected an integer from 1 to 64"):
            _lstm(threads=bad)


def test_steps_allocate_nothing():
    model, x = _lstm(), _x(1, 5)
    session, out = model.session(), None
    before = native.allocations()
    for _ in range(50):
        out = session.step(x)
    assert native.allocations() == before and out is not None


def test_workers_start_late_sleep_and_take_no_signals():
    others = set(_workers())
    model, x = _lstm(threads=4), _x(1, 50, 5)
    assert set(_workers()) == others  # none before the first call that uses them
    want = model.predict(x)
    assert _soon(lambda: len(set(_workers()) - others) == 3)
    for tid in set(_workers()) - others:
        status = dict(
            line.split(":\t", 1)
            for line in Path(f"/proc/self/task/{tid}/status").read_text().splitlines()
            if ":\t" in line
        )
        blocked, some = int(status["SigBlk"], 16), (signal.SIGINT, signal.SIGTERM, signal.SIGALRM, signal.SIGUSR1)
        assert all(blocked >> (s - 1) & 1 for s in some)
        # asleep, not without a core: what looks for work is always ready to run
        stat = Path(f"/proc/self/task/{tid}/stat")
        assert _soon(lambda p=stat: p.read_text().rsplit(") ", 1)[1][0] == "S")
    assert _same(model.predict(x), want)
    del model
    gc.collect()
    assert set(_workers()) == others


def test_workers_do_take_parts():
    """Given a core, sooner or later."""
    model, x = _lstm(units=256), _x(1, 100, 5)
    before = native.shared_parts()[1]
    assert _soon(lambda: (model.predict(x), native.shared_parts()[1] > before)[1])


@pytest.mark.parametrize("threads", [16, 64])
def test_many_more_threads_than_cores(threads):
    graph, weights = _graph("gru before", 90, 5)
    x = _x(2, 60, 5)
    want = model_of(graph, weights).predict(x)
    model = model_of(graph, weights, threads=threads)
    for _ in range(5):
        assert _same(model.predict(x), want)


def test_many_models_with_threads_at_once():
    graphs = [_graph(cell, 40 + 9 * k, 5) for k, cell in enumerate(["lstm", "gru", "gru before", "simple_rnn"] * 2)]
    x = _x(2, 40, 5)
    wants = [model_of(*g).predict(x) for g in graphs]
    models = [model_of(*g, threads=2 + k % 3) for k, g in enumerate(graphs)]
    bad = []

    def work(k: int) -> None:
        for i in range(15):
            m = (k + i) % len(models)  # also two calls of one model at once: one of them has its team
            if not _same(models[m].predict(x), wants[m]):
                bad.append(m)

    together = [threading.Thread(target=work, args=(k // 2,)) for k in range(16)]
    for t in together:
        t.start()
    for t in together:
        t.join()
    assert bad == []


def test_a_session_in_two_threads_is_refused():
    session, x, refused = _lstm(units=200).session(), _x(1, 400, 5), []

    def work() -> None:
        for _ in range(10):
            try:
                session.run(x)
            except rnnrt.StateError:
                refused.append(1)

    together = [threading.Thread(target=work) for _ in range(3)]
    for t in together:
        t.start()
    for t in together:
        t.join()
    assert len(refused) < 30
    session.reset()
    assert _same(session.run(x), _lstm(units=200, threads=1).session().run(x))


def test_an_interrupt_stops_all_threads_and_changes_nothing():
    session, x = _lstm(units=256).session(), _x(1, 3000, 5)
    session.run(x[:, :9])
    before = session.to_bytes()
    timer = threading.Timer(0.05, signal.raise_signal, [signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        for _ in range(1000):
            session.run(x)
            session.restore(before)
    timer.join()
    session.restore(before)
    plain = _lstm(units=256, threads=1).session(state=before)
    assert _same(session.run(x), plain.run(x))


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_forks_before_between_and_in_the_middle_of_calls():
    model, x = _lstm(threads=3), _x(2, 40, 5)
    want = _lstm(threads=1).predict(x)

    def child() -> None:
        assert _workers() == []
        for _ in range(5):
            assert _same(model.predict(x), want)
        assert _soon(lambda: len(_workers()) == 2)  # a team of its own
        in_child(lambda: _ok(_same(model.predict(x), want)))

    in_child(child)  # before the parent's first call
    assert _same(model.predict(x), want)
    in_child(child)
    stop = threading.Event()

    def noise() -> None:
        while not stop.is_set():
            model.predict(x)

    others = [threading.Thread(target=noise) for _ in range(2)]
    for t in others:
        t.start()
    try:
        for _ in range(10):
            in_child(child)
    finally:
        stop.set()
        for t in others:
            t.join()
    assert _same(model.predict(x), want)


def _ok(value: bool) -> None:
    assert value


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_inside_a_call():
    """The poll of a long call runs Python's signal handlers, and one of them forks."""
    session, x, forks = _lstm(units=256).session(), _x(1, 3000, 5), []

    def handler(number, frame) -> None:
        forks.append(os.fork())

    before = signal.signal(signal.SIGUSR1, handler)
    want = _lstm(units=256, threads=1).session().run(x)
    timer = threading.Timer(0.05, signal.raise_signal, [signal.SIGUSR1])
    try:
        timer.start()
        while not forks:
            session.reset()
            got = session.run(x)
        if forks[0] == 0:  # the child came out of the call that was the parent's
            ok = _same(got, want) and _same([session.model.predict(x)[0]], [want[0]])
            os._exit(0 if ok else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(forks[0], 0)[1]) == 0
        assert _same(got, want)
        timer.join()
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize(
    "ending", ["", "raise SystemExit(0)", "threading.Thread(target=loop, daemon=True).start(); time.sleep(0.2)"]
)
def test_the_interpreter_exits_cleanly(ending):
    code = f"""if True:
        import sys, threading, time; sys.path.insert(0, sys.argv[1])
        import numpy as np
        from concurrency.test_teams import _lstm, _x, native
        native.share_always(True)
        model, x = _lstm(units=128, threads=3), _x(1, 50, 5)
        session = model.session()
        def loop():
            while True:
                model.predict(x)
        for _ in range(20):
            session.run(x)
        {ending}"""
    done = subprocess.run([sys.executable, "-c", code, str(TESTS)], timeout=120, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
