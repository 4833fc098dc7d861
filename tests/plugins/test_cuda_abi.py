"""The CUDA plugin behind its table, over the emulation: structs of other sizes, no memory, errors, lifetimes."""

from __future__ import annotations

import ctypes
import gc
import os
import threading

import emulated
import numpy as np
import pytest
from cases.graphs import Builder
from runtime import model_of

import rnnrt
from rnnrt.errors import BackendError, ShapeError, StateError

ABI = 0x10001
EABI, EINVAL, EDEVICE = 9, 1, 10


class Error(ctypes.Structure):
    _fields_ = [
        *(("code", ctypes.c_int32), ("op", ctypes.c_int32), ("a", ctypes.c_int64), ("b", ctypes.c_int64)),
        *(("device_code", ctypes.c_int32), ("msg", ctypes.c_char * 228)),
    ]


class Info(ctypes.Structure):
    _fields_ = [
        *(("struct_size", ctypes.c_uint32), ("name", ctypes.c_char * 124), ("memory_bytes", ctypes.c_int64)),
        *(("free_bytes", ctypes.c_int64), ("place", ctypes.c_int32), ("capability", ctypes.c_int32)),
        *(("driver", ctypes.c_int32), ("runtime", ctypes.c_int32)),
    ]


class Table(ctypes.Structure):
    """The head of the table, as far as these tests call it."""

    _fields_ = [
        *(("struct_size", ctypes.c_uint32), ("abi", ctypes.c_uint32)),
        *(("name", ctypes.c_char_p), ("build_info", ctypes.c_char_p)),
        ("device_count", ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.POINTER(Error))),
        ("device_info", ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_int32, ctypes.POINTER(Info), ctypes.POINTER(Error))),
    ]


@pytest.fixture
def library(monkeypatch):
    """The emulated plugin; its settings are put back afterwards."""
    path = emulated.library()
    monkeypatch.setenv("RNNRT_CUDA_PLUGIN", str(path))
    lib = ctypes.CDLL(str(path))
    lib.rnnrt_emu_set.argtypes = [ctypes.c_char_p, ctypes.c_int64]
    yield lib
    for name, value in ((b"fail_after", -1), (b"devices", 1)):
        assert lib.rnnrt_emu_set(name, value) == 0


def _table(lib) -> Table:
    api = ctypes.POINTER(Table)()
    assert lib.rnnrt_backend_get_api(ABI, ctypes.byref(api)) == 0
    return api.contents


def _streaming(units: int = 5):
    b = Builder()
    x = b.input("x", None, 3)
    (y,) = b.add("lstm", "first", x, units=units, return_sequences=True)
    (z,) = b.add("gru", "second", y, units=4, return_sequences=True, reset_after=True)
    (out,) = b.add("dense", "dense", z, units=2)
    return b.done(out)


def _embedding():
    """Ids that the device makes itself, so that it has to check them."""
    b = Builder()
    x = b.input("x", None, 3)
    (ids,) = b.add("reduce", "sum", x, function="sum", first=2)
    (rows,) = b.add("embedding", "table", ids, input_dim=7, output_dim=3)
    (y,) = b.add("lstm", "cell", rows, units=4, return_sequences=True)
    return b.done(y)


def test_the_table(library):
    table = _table(library)
    assert (table.name, table.abi >> 16) == (b"cuda", ABI >> 16)
    api = ctypes.POINTER(Table)()
    assert library.rnnrt_backend_get_api(0x20000, ctypes.byref(api)) == EABI and not api
    assert library.rnnrt_backend_get_api(ABI, None) == EABI
    assert library.rnnrt_backend_get_api(0x10009, ctypes.byref(api)) == 0, "a newer host of the same major"


def test_structs_of_other_sizes(library):
    table, err = _table(library), Error()
    info = Info(struct_size=8)
    assert table.device_info(0, ctypes.byref(info), ctypes.byref(err)) == EINVAL
    info = Info(struct_size=Info.free_bytes.offset, place=-7, capability=-7)
    assert table.device_info(0, ctypes.byref(info), ctypes.byref(err)) == 0
    assert info.memory_bytes > 0 and (info.place, info.capability) == (-7, -7), "written beyond its end"
    info = Info(struct_size=ctypes.sizeof(Info))
    assert table.device_info(0, ctypes.byref(info), ctypes.byref(err)) == 0
    assert info.place == 2 and info.capability >= 75
    assert table.device_info(9, ctypes.byref(info), ctypes.byref(err)) == EDEVICE
    assert b"no device cuda:9" in err.msg


def test_a_machine_without_a_device_says_why(library):
    assert library.rnnrt_emu_set(b"devices", 0) == 0
    err = Error()
    assert _table(library).device_count(ctypes.byref(err)) == 0
    assert err.code == EDEVICE and b"no NVIDIA driver found" in err.msg
    with pytest.raises(BackendError, match="no NVIDIA driver found"):
        rnnrt.load(_file(_streaming()), device="cuda")


_FOLDER = None


def _file(graph):
    """The graph as a file; they live as long as the process."""
    global _FOLDER
    import tempfile

    from rnnrt.format.writer import write

    _FOLDER = _FOLDER or tempfile.TemporaryDirectory(prefix="rnnrt-cuda-")
    path = os.path.join(_FOLDER.name, f"{len(os.listdir(_FOLDER.name))}.rnnrt")
    write(path, *graph)
    return path


def _chunks(n: int, batch: int = 2):
    rng = np.random.default_rng(n)
    return [rng.standard_normal((batch, 1 + k % 3, 3)).astype("f4") for k in range(n)]


def test_no_memory_at_any_point_loses_nothing(library):
    """Each allocation of a session's first call fails in turn; the state stays, the next call goes on from it."""
    graph, chunks = _streaming(), _chunks(3)
    session, twin = model_of(*graph).to("cuda").session(batch_size=2), model_of(*graph).session(batch_size=2)
    session.run(chunks[0])
    before = session.to_bytes()
    twin.run(chunks[0])
    longer = np.concatenate(chunks * 4, axis=1)
    failures = 0
    for after in range(50):
        library.rnnrt_emu_set(b"fail_after", after)
        try:
            got = session.run(longer)
            break
        except (MemoryError, BackendError):
            failures += 1
            library.rnnrt_emu_set(b"fail_after", -1)
            assert session.to_bytes() == before
    library.rnnrt_emu_set(b"fail_after", -1)
    assert failures > 0, "a longer chunk needs more room"
    np.testing.assert_allclose(got, twin.run(longer), rtol=0, atol=1e-5)


def test_no_memory_for_a_model(library):
    graph = _streaming()
    model, failures = model_of(*graph), 0
    for after in range(20):
        library.rnnrt_emu_set(b"fail_after", after)
        try:
            made = model.to("cuda")
            made.predict(np.zeros((1, 2, 3), "f4"))
            break
        except (MemoryError, BackendError):
            failures += 1
    library.rnnrt_emu_set(b"fail_after", -1)
    assert failures > 1


def test_wrong_ids_that_only_the_device_sees_leave_the_state(cuda):
    graph = _embedding()
    session, twin = model_of(*graph).to(cuda).session(batch_size=2), model_of(*graph).session(batch_size=2)
    good = np.zeros((2, 2, 3), "f4")
    good[:, :, 1] = [[1, 2], [3, 6]]
    np.testing.assert_allclose(session.run(good), twin.run(good), rtol=0, atol=1e-5)
    before = session.to_bytes()
    for bad, said in ((good * 2, "id 12 "), (good - 1, "id -2 "), (good * np.nan, "NaN")):
        for _ in range(3):  # plainly, recorded, replayed
            with pytest.raises(ShapeError, match=said):
                session.run(bad)
            assert session.to_bytes() == before
    np.testing.assert_allclose(session.run(good), twin.run(good), rtol=0, atol=1e-5)


def test_sessions_and_pools_outlive_their_model(cuda):
    graph, chunks = _streaming(), _chunks(4)
    model = model_of(*graph).to(cuda)
    session, pool = model.session(batch_size=2), model.pool(max_batch=4)
    host = model_of(*graph)
    twin, streams = host.session(batch_size=2), host.pool(max_batch=4)
    del model
    gc.collect()
    for x in chunks:
        np.testing.assert_allclose(session.run(x), twin.run(x), rtol=0, atol=1e-5)
        feed = {k: x[k % 2] for k in range(3)}
        got, want = pool.run(feed), streams.run(feed)
        for k in feed:
            np.testing.assert_allclose(got[k], want[k], rtol=0, atol=1e-5)


def test_steps_are_replayed_and_shapes_may_alternate(cuda):
    """Many steps of one shape, another shape between them, predict beside them: as on the CPU."""
    graph = _streaming()
    model, host = model_of(*graph).to(cuda), model_of(*graph)
    session, twin = model.session(batch_size=3), host.session(batch_size=3)
    rng = np.random.default_rng(0)
    for k in range(30):
        x = rng.standard_normal((3, 3) if k % 7 else (3, 4, 3)).astype("f4")
        a, b = (session.step(x), twin.step(x)) if k % 7 else (session.run(x), twin.run(x))
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)
        if k % 5 == 0:
            y = rng.standard_normal((1, 2, 3)).astype("f4")
            np.testing.assert_allclose(model.predict(y), host.predict(y), rtol=0, atol=1e-5)
    for name, state in session.get_state().items():
        np.testing.assert_allclose(state, twin.get_state()[name], rtol=0, atol=1e-5)


def test_a_pool_steps_rows_in_any_order(cuda):
    graph = _streaming()
    pool, twin = model_of(*graph).to(cuda).pool(max_batch=8), model_of(*graph).pool(max_batch=8)
    rng = np.random.default_rng(1)
    for _ in range(12):
        names = rng.permutation(10)[: rng.integers(1, 9)]
        feed = {int(n): rng.standard_normal(3).astype("f4") for n in names}
        got, want = pool.step(feed), twin.step(feed)
        for n in feed:
            np.testing.assert_allclose(got[n], want[n], rtol=0, atol=1e-5)


def test_two_threads_on_one_session(cuda):
    """The second is told so; the first is not disturbed."""
    graph = _streaming(units=48)
    model, host = model_of(*graph).to(cuda), model_of(*graph)
    session, twin = model.session(batch_size=4), host.session(batch_size=4)
    x = np.random.default_rng(2).standard_normal((4, 160, 3)).astype("f4")
    got: list[np.ndarray] = []

    def work() -> None:
        while not got:
            try:
                got.append(session.run(x))
            except StateError:  # the other one was first
                pass

    thread = threading.Thread(target=work)
    thread.start()
    told = 0
    while thread.is_alive():
        try:
            session.get_state()
        except StateError as e:
            assert "another thread" in str(e)
            told += 1
    thread.join()
    assert told > 0
    np.testing.assert_allclose(got[0], twin.run(x), rtol=0, atol=1e-5)


def test_threads_share_a_model(cuda):
    graph = _streaming()
    model, host = model_of(*graph).to(cuda), model_of(*graph)
    inputs = [np.random.default_rng(k).standard_normal((1 + k % 3, 4, 3)).astype("f4") for k in range(12)]
    results: list[np.ndarray | None] = [None] * len(inputs)

    def work(first: int) -> None:
        for k in range(first, len(inputs), 4):
            results[k] = model.predict(inputs[k])

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for x, y in zip(inputs, results):
        np.testing.assert_allclose(y, host.predict(x), rtol=0, atol=1e-5)


def test_a_child_of_fork_is_told(library):
    model = model_of(*_streaming()).to("cuda")
    x = np.zeros((1, 2, 3), "f4")
    model.predict(x)
    child = os.fork()
    if child == 0:
        try:
            model.predict(x)
        except BackendError as e:
            os._exit(0 if "fork" in str(e) else 2)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    model.predict(x)
