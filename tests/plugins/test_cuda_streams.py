"""Calls that return before they are done, over the emulation's late streams: order, workspaces, errors, interrupts.

With ``late=100`` nothing that is queued on a stream runs until somebody waits for it, so that whoever reads too early
reads what fresh memory holds (NaN), and streams take turns at random where they may.
"""

from __future__ import annotations

import ctypes
import gc
import signal
import threading
from types import SimpleNamespace

import emulated
import numpy as np
import pytest
from cases.graphs import Builder
from runtime import model_of

from rnnrt.errors import BackendError, BatchError, ShapeError
from rnnrt.ir.activations import Activation

SEEDS = range(4)


class Machine:
    """The emulated device and a caller's streams on it."""

    def __init__(self, path: str) -> None:
        self.lib = ctypes.CDLL(path)
        p, n = ctypes.c_void_p, ctypes.c_int64
        self.lib.rnnrt_emu_set.argtypes, self.lib.rnnrt_emu_get.argtypes = [ctypes.c_char_p, n], [ctypes.c_char_p]
        self.lib.rnnrt_emu_get.restype = self.lib.rnnrt_emu_stream_pending.restype = n
        self.lib.rnnrt_emu_stream_create.restype = p
        for name in ("destroy", "sync", "pending"):
            getattr(self.lib, f"rnnrt_emu_stream_{name}").argtypes = [p]
        self.lib.rnnrt_emu_stream_capture.argtypes = [p, ctypes.c_int]
        self.streams: list[int] = []

    def set(self, **settings: int) -> None:
        for name, value in settings.items():
            assert self.lib.rnnrt_emu_set(name.encode(), value) == 0, name

    def get(self, name: str) -> int:
        return int(self.lib.rnnrt_emu_get(name.encode()))

    def stream(self) -> int:
        self.streams.append(self.lib.rnnrt_emu_stream_create(0))
        return self.streams[-1]

    def pending(self, stream: int) -> int:
        return int(self.lib.rnnrt_emu_stream_pending(stream))

    def close(self) -> None:
        self.set(reset=1, late=50, seed=0, fail_after=-1, fault_after=-1, sms=8)
        for s in self.streams:
            assert self.lib.rnnrt_emu_stream_destroy(s) == 0


@pytest.fixture
def machine(monkeypatch):
    emulated.plug(monkeypatch, "cuda-emulated")
    made = Machine(str(emulated.library()))
    made.set(late=100)
    yield made
    gc.collect()
    made.close()


def _graph(units: int = 5, ids: bool = False):
    b = Builder()
    x = b.input("x", None, 3)
    if ids:
        (n,) = b.add("reduce", "sum", x, function="sum", first=2)
        (x,) = b.add("embedding", "table", n, input_dim=7, output_dim=3)
    (y,) = b.add("lstm", "first", x, units=units, return_sequences=True)
    (z,) = b.add("gru", "second", y, units=4, return_sequences=True, reset_after=True)
    (out,) = b.add("dense", "dense", z, units=2)
    return b.done(out)


def _put(model, x: np.ndarray, stream: int):
    """The array on the device, there already: the emulation's device memory is the host's."""
    a = model.new_array(x.shape, str(x.dtype), "cuda:0", stream)
    ctypes.memmove(a.__cuda_array_interface__["data"][0], x.ctypes.data, x.nbytes)
    return a


def _peek(a) -> np.ndarray:
    """What lies there now, waiting for nobody."""
    facts = a.__cuda_array_interface__
    return np.frombuffer((ctypes.c_char * a.nbytes).from_address(facts["data"][0]), a.dtype).reshape(a.shape).copy()


def _draw(rng: np.random.Generator, batch: int = 2, steps: int | None = None) -> np.ndarray:
    return rng.standard_normal((batch, steps or int(rng.integers(1, 5)), 3)).astype("f4")


def _close(a, b) -> None:
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)


def test_a_call_returns_before_it_is_done(machine):
    graph = _graph()
    model, host = model_of(*graph).to("cuda"), model_of(*graph)
    session, twin = model.session(batch_size=2), host.session(batch_size=2)
    s, rng = machine.stream(), np.random.default_rng(0)
    x = _draw(rng, 2, 3)
    given, one = _put(model, x, s), _put(model, x[:, 0].copy(), s)  # freeing one would wait
    made: list = []
    for call, want in (
        (lambda: model.predict(given), host.predict(x)),
        (lambda: session.run(given), twin.run(x)),
        (lambda: session.step(one), twin.step(x[:, 0].copy())),
    ):
        made.append(y := call())
        assert machine.pending(s) > 0 and np.isnan(_peek(y)).all(), "the call has waited"
        _close(y.numpy(), want)
        assert machine.pending(s) == 0


def test_results_come_and_go_in_the_order_of_their_stream(machine):
    """A loop that keeps nothing never waits, and what is freed is no longer used by then."""
    graph, rng = _graph(), np.random.default_rng(3)
    model, twin = model_of(*graph).to("cuda"), model_of(*graph).session(batch_size=2)
    session, s = model.session(batch_size=2), machine.stream()
    x = _draw(rng, 2, 2)
    given, stream = _put(model, x, s), SimpleNamespace(cuda_stream=s)
    live, pending = machine.get("live"), 0
    for _ in range(5):
        y = session.run(given, stream=stream)
        want = twin.run(x)
        assert machine.pending(s) > pending, "something has waited"
        pending = machine.pending(s)
    _close(y.numpy(), want)
    assert y.stream_owner is stream
    del y
    machine.lib.rnnrt_emu_stream_sync(s)
    assert machine.get("live") <= live + 8, "results are given back"


def test_a_result_that_was_elsewhere_is_freed_when_all_is_done(machine):
    graph = _graph()
    model, x = model_of(*graph).to("cuda"), _draw(np.random.default_rng(4), 2, 2)
    s, other = SimpleNamespace(cuda_stream=machine.stream()), machine.stream()
    given = _put(model, x, s.cuda_stream)
    y = model.predict(given, stream=s)
    capsule = y.__dlpack__(stream=other)
    assert machine.pending(other) > 0, "it waits there for the result"
    del y, capsule
    assert machine.pending(other) == machine.pending(s.cuda_stream) == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_a_session_keeps_its_order_over_streams(machine, seed):
    machine.set(seed=seed, late=100 if seed % 2 else 80)
    graph, rng = _graph(), np.random.default_rng(seed)
    model, twin = model_of(*graph).to("cuda"), model_of(*graph).session(batch_size=2)
    session, streams = model.session(batch_size=2), [machine.stream() for _ in range(3)]
    made, wanted, kept = [], [], []
    for k in range(14):
        x = _draw(rng)
        wanted.append(twin.run(x))
        if k % 5 == 4:  # and calls of the host between them
            _close(session.run(x), wanted[-1])
            made.append(None)
        else:
            kept.append(_put(model, x, streams[rng.integers(3)]))
            made.append(session.run(kept[-1]))
        if k % 6 == 5:
            for name, state in session.get_state().items():
                _close(state, twin.get_state()[name])
    for k in rng.permutation(len(made)):
        if made[k] is not None:
            _close(made[k].numpy(), wanted[k])
    for name, state in session.get_state().items():
        _close(state, twin.get_state()[name])


@pytest.mark.parametrize("seed", SEEDS)
def test_calls_on_several_streams_do_not_share_workspaces(machine, seed):
    """Nothing is read until all of it is queued; the sizes alternate, the sessions step beside predict."""
    machine.set(seed=seed, late=100 if seed % 2 else 80)
    graph, rng = _graph(), np.random.default_rng(seed)
    model, host = model_of(*graph).to("cuda"), model_of(*graph)
    streams = [machine.stream() for _ in range(4)]
    sessions = [(model.session(batch_size=2), host.session(batch_size=2)) for _ in streams]
    made, wanted, kept = [], [], []
    for _ in range(24):
        k, x = int(rng.integers(4)), _draw(rng, 2, int(rng.integers(1, 3)))
        on_gpu, on_host = sessions[k] if rng.integers(2) else (model, host)
        call = "run" if on_gpu is not model else "predict"
        kept.append(_put(model, x, streams[k]))
        made.append(getattr(on_gpu, call)(kept[-1]))
        wanted.append(getattr(on_host, call)(x))
    for k in rng.permutation(len(made)):
        _close(made[k].numpy(), wanted[k])


def test_lanes_stay_few_however_many_streams(machine):
    graph, rng = _graph(), np.random.default_rng(5)
    model, host = model_of(*graph).to("cuda"), model_of(*graph)
    x = _draw(rng, 2, 3)
    kept = [_put(model, x, machine.stream()) for _ in range(40)]
    made = [model.predict(a) for a in kept]
    one = model_of(*graph).to("cuda")
    one.predict(_put(one, x, machine.streams[0]))
    assert model.memory()["kept"] <= 16 * one.memory()["kept"]
    for y in made:
        _close(y.numpy(), host.predict(x))


def test_sessions_and_models_may_go_while_their_work_is_queued(machine):
    graph, rng = _graph(), np.random.default_rng(6)
    model, host = model_of(*graph).to("cuda"), model_of(*graph)
    s, x = machine.stream(), _draw(rng, 2, 4)
    session, given = model.session(batch_size=2), _put(model, x, s)
    y, z = session.run(given), model.predict(given)
    del session, model
    gc.collect()
    _close(y.numpy(), host.predict(x))
    _close(z.numpy(), host.predict(x))


def test_a_result_feeds_another_call_on_another_stream(machine):
    graph = _graph()
    b = Builder()
    (out,) = b.add("lstm", "cell", b.input("x", None, 2), units=3)
    after = b.done(out)
    first, second = model_of(*graph).to("cuda"), model_of(*after).to("cuda")
    x = _draw(np.random.default_rng(7), 2, 4)
    given = _put(first, x, machine.stream())
    y = first.predict(given)
    z = second.predict(y, stream=machine.stream())
    assert np.isnan(_peek(y)).all() and np.isnan(_peek(z)).all()
    _close(z.numpy(), model_of(*after).predict(model_of(*graph).predict(x)))


def test_wrong_ids_are_found_before_the_call_returns(machine):
    graph = _graph(ids=True)
    model, twin = model_of(*graph).to("cuda"), model_of(*graph).session(batch_size=2)
    session, s = model.session(batch_size=2), machine.stream()
    good = np.zeros((2, 2, 3), "f4")
    good[:, :, 1] = [[1, 2], [3, 6]]
    _close(session.run(_put(model, good, s)).numpy(), twin.run(good))
    before = session.to_bytes()
    with pytest.raises(ShapeError, match="id 12 "):
        session.run(_put(model, good * 2, s))
    assert session.to_bytes() == before
    _close(session.run(_put(model, good, s)).numpy(), twin.run(good))


def test_no_memory_in_the_middle_of_queued_calls(machine):
    graph, rng = _graph(), np.random.default_rng(8)
    model, twin = model_of(*graph).to("cuda"), model_of(*graph).session(batch_size=2)
    session, streams = model.session(batch_size=2), [machine.stream() for _ in range(2)]
    made, wanted, kept, failures = [], [], [], 0
    for k in range(12):
        x = _draw(rng, 2, 1 + 3 * k)  # each call needs more room than the one before
        given = _put(model, x, streams[k % 2])
        out = model.new_array((2, x.shape[1], 2), "float32", "cuda:0", streams[k % 2])
        kept.append(given)
        machine.set(fail_after=k % 4)
        try:
            session.run(given, out)
        except MemoryError:
            failures += 1
            machine.set(fail_after=-1)
            session.run(given, out)
        machine.set(fail_after=-1)
        made.append(out)
        wanted.append(twin.run(x))
    assert failures > 0
    for y, w in zip(made, wanted):
        _close(y.numpy(), w)


def test_a_stream_that_is_being_captured_is_refused(machine):
    graph, rng = _graph(), np.random.default_rng(9)
    model, twin = model_of(*graph).to("cuda"), model_of(*graph).session(batch_size=2)
    session, s, x = model.session(batch_size=2), machine.stream(), _draw(rng)
    given = _put(model, x, s)
    out = model.new_array((2, x.shape[1], 2), "float32", "cuda:0", s)
    assert machine.lib.rnnrt_emu_stream_capture(s, 1) == 0
    with pytest.raises(BackendError, match="captured into a CUDA graph; call the model before or after"):
        session.run(given, out)
    assert machine.lib.rnnrt_emu_stream_capture(s, 0) == 0
    _close(session.run(given, out).numpy(), twin.run(x))


def test_two_devices_and_the_callers_current_one(machine):
    """What is done on the second device is done there, and whoever calls finds his own current as it was."""
    graph, rng = _graph(), np.random.default_rng(13)
    machine.set(devices=2, late=80)
    host = model_of(*graph)
    models = [model_of(*graph).to(f"cuda:{k}") for k in range(2)]
    sessions, twin = [m.session(batch_size=2) for m in models], host.session(batch_size=2)
    pools, streams = [m.pool(max_batch=2) for m in models], host.pool(max_batch=2)
    seen: list[int] = []

    def work() -> None:
        for _ in range(3):
            x = _draw(rng)
            want, stepped = twin.run(x), streams.step({1: x[0, 0]})[1]
            for session, pool in zip(sessions, pools):
                _close(session.run(x), want)
                _close(pool.step({1: x[0, 0]})[1], stepped)
                seen.append(machine.get("current"))
        for session in sessions:
            session.restore(twin.to_bytes())

    for _ in range(2):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        work()
    for held in (models, sessions, pools):
        held.clear()
    gc.collect()
    machine.set(devices=1)
    assert set(seen) == {0}


@pytest.mark.parametrize("steps", [40, 3000, 60000])
def test_blocks_that_kernels_copies_or_nobody_carries(machine, steps):
    """Inputs and outputs of a call: through the first and last kernel, through page-locked memory, as they lie."""
    machine.set(late=50)
    b = Builder()
    (y,) = b.add("activation", "relu", b.input("x", None, 3), activation=Activation("relu"))
    graph = b.done(y)
    model, session = model_of(*graph).to("cuda"), model_of(*graph).to("cuda").session(batch_size=2)
    rng = np.random.default_rng(steps)
    for _ in range(4):  # plainly, recorded, replayed
        x = _draw(rng, 2, steps)
        assert np.array_equal(model.predict(x), np.maximum(x, 0))
        assert np.array_equal(session.run(x), np.maximum(x, 0))


# ---- a device that breaks ----
@pytest.mark.parametrize("fault", [700, 719, 716])
@pytest.mark.parametrize("queued", [False, True])
def test_after_a_lost_device_everything_says_so_and_nothing_hangs(machine, fault, queued):
    graph, rng = _graph(), np.random.default_rng(10)
    model = model_of(*graph).to("cuda")
    other = model_of(*_graph(7)).to("cuda")
    session, pool = model.session(batch_size=2), model.pool(max_batch=2)
    s, x = machine.stream(), _draw(rng)
    session.run(x)
    pool.step({1: x[0, 0]})
    given = _put(model, x, s)
    machine.set(fault_after=1, fault=fault)
    if queued:
        y = session.run(given)  # nobody has noticed yet
        with pytest.raises(BackendError, match=rf"CUDA error {fault}\).*restart it"):
            y.numpy()
    else:
        with pytest.raises(BackendError, match=rf"CUDA error {fault}\).*restart it"):
            session.run(x)
    for call in (
        lambda: session.run(x),
        lambda: session.run(given),
        lambda: session.step(x[:, 0].copy()),
        session.get_state,
        session.to_bytes,
        lambda: model.predict(x),
        lambda: model.session(batch_size=2),
        lambda: model.pool(max_batch=2),
        lambda: pool.step({2: x[0, 0]}),
        lambda: pool.get_state(1),
        lambda: pool.reset(1),
        lambda: other.predict(x),
        lambda: other.session(batch_size=1),
        lambda: other.predict(x),
        lambda: model_of(*graph).to("cuda"),
    ):
        for _ in range(2):
            with pytest.raises((BackendError, BatchError), match=rf"CUDA error {fault}\).*restart it"):
                call()


# ---- interrupts ----
class Stop(Exception):
    pass


def _long():
    """Products of few rows: 27 ms by the host's estimate, so that it polls, and little for the emulation."""
    b = Builder()
    (y,) = b.add("lstm", "cell", b.input("x", None, 3), units=4, return_sequences=True)
    for k in range(6):
        (y,) = b.add("dense", f"dense{k}", y, units=3000)
    return b.done(y)


def test_an_interrupt_leaves_the_state(machine):
    graph, rng = _long(), np.random.default_rng(12)
    model = model_of(*graph).to("cuda")
    session, s, x = model.session(batch_size=1), machine.stream(), _draw(rng, 1, 8)
    session.step(x[:, 0].copy())
    before = session.to_bytes()

    def stop(*_: object) -> None:
        raise Stop

    old = signal.signal(signal.SIGALRM, stop)
    try:
        for given, late in ((x, 50), (_put(model, x, s), 0)):  # at 0 queueing takes as long as running
            machine.set(late=late)
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(Stop):
                session.run(given)
            assert session.to_bytes() == before
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    again = model.session(batch_size=1)
    again.step(x[:, 0].copy())
    session.run(x[:, :1]), again.run(x[:, :1])
    assert session.to_bytes() == again.to_bytes()


# ---- on any device ----
@pytest.mark.parametrize("stream", [None, 1, 2])
def test_a_chain_of_calls_stays_on_the_device(cuda, stream):
    """Results feed a session and another model, on streams that every device has; only the last one is read."""
    graph, rng = _graph(24), np.random.default_rng(14)
    b = Builder()
    (y,) = b.add("lstm", "cell", b.input("x", None, 2), units=40, return_sequences=True)
    after = b.done(y)
    first, second = model_of(*graph).to(cuda), model_of(*after).to(cuda)
    host, twin = model_of(*graph), model_of(*after).session(batch_size=2)
    session, inputs = second.session(batch_size=2), [_draw(rng, 2, 6) for _ in range(10)]
    given = [first.new_array((2, 6, 2), "float32", first.device, stream or 1) for _ in inputs]
    made = []
    for k, (x, a) in enumerate(zip(inputs, given)):
        first.predict(x, a, stream=stream)
        made.append(session.run(a, stream=3 - stream if stream and k % 3 == 2 else stream))
    want = [twin.run(host.predict(x)) for x in inputs]
    for k in (9, 4, 0):
        _close(made[k].numpy(), want[k])
    for name, state in session.get_state().items():
        _close(state, twin.get_state()[name])
