"""Arrays that lie on a device: streams, lifetimes, refusals. On the dummy, whose device memory is the host's."""

from __future__ import annotations

import ctypes
import gc
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from cases.graphs import Builder
from dlpack_peer import Lender, Taken, WithInterface
from runtime import model_of

import rnnrt
from rnnrt.errors import BackendError, BatchError, ShapeError

X = np.arange(24, dtype="float32").reshape(2, 4, 3)


class Log(ctypes.Structure):
    names = ("stream", "in_place", "out_place", "waiter", "before", "waits", "syncs", "allocated", "freed")
    _fields_ = [(n, ctypes.c_int64) for n in names]


def _graph():
    b = Builder()
    x = b.input("x", None, 3)
    (y,) = b.add("lstm", "cell", x, units=2, return_sequences=True)
    (z,) = b.add("dense", "dense", y, units=3)
    return b.done(z)


@pytest.fixture
def log(dummy, monkeypatch) -> Log:
    """The device dummy, and what it was asked."""
    path = dummy("DUMMY_DEVICE")
    monkeypatch.setenv("RNNRT_CUDA_PLUGIN", str(path))
    found = Log.in_dll(ctypes.CDLL(str(path)), "dummy_log")
    ctypes.memset(ctypes.addressof(found), 0, ctypes.sizeof(found))
    return found


@pytest.fixture
def model(log):
    return model_of(*_graph()).to("cuda")


@pytest.mark.parametrize("versioned", [False, True])
@pytest.mark.parametrize("strides", [False, True])
def test_a_lent_array_stays_there(model, log, versioned, strides):
    x = Lender(X, versioned=versioned, strides=strides)
    y = model.predict(x)
    assert isinstance(y, rnnrt.DeviceArray)
    assert (y.shape, y.dtype, y.device, y.ndim, y.size, y.nbytes, len(y)) == (
        (2, 4, 3),
        np.float32,
        "cuda:0",
        3,
        24,
        96,
        2,
    )
    assert (log.in_place, log.out_place, log.stream) == (2, 2, 1)
    assert x.streams == [1], "the legacy default stream, where nobody names one"
    assert y.numpy()[0, 0, 0] == 2  # the dummy's answer
    assert "float32 on cuda:0" in repr(y)
    del y
    assert (x.lent, x.returned, log.allocated, log.freed) == (1, 1, 1, 1)


def test_a_named_stream_is_everybodys(model, log):
    x = Lender(X)
    y = model.predict(x, stream=0x7000)
    assert x.streams == [0x7000] and log.stream == 0x7000 and y.stream == 0x7000
    assert x.returned == 0, "its owner may not know that stream: it is held until the result goes"
    other = Taken(y.__dlpack__(stream=0x9000))
    assert (log.waits, log.waiter, log.before) == (1, 0x9000, 0x7000)
    del y
    gc.collect()
    assert log.freed == 0 and x.returned == 0
    other.done()
    assert log.freed == 1 and x.returned == 1


@pytest.mark.parametrize(
    "stream, number",
    [
        (0, 1),
        (2, 2),
        (SimpleNamespace(cuda_stream=0), 1),
        (SimpleNamespace(cuda_stream=77), 77),
        (SimpleNamespace(ptr=78), 78),
        (SimpleNamespace(__cuda_stream__=lambda: (0, 79)), 79),
    ],
)
def test_streams_by_number_and_by_object(model, log, stream, number):
    y = model.predict(Lender(X), stream=stream)
    assert log.stream == number
    assert y.stream == (1 if number == 2 else number), "2 is another stream in each thread"


@pytest.mark.parametrize("stream", [-1, 1.5, "1", True, object()])
def test_what_is_no_stream(model, stream):
    x = Lender(X)
    with pytest.raises(BackendError, match="expected its number"):
        model.predict(x, stream=stream)
    assert x.lent == 0


def test_the_interface_of_cuda_arrays(model, log):
    y = model.predict(WithInterface(X, stream=5))
    assert log.stream == 5
    facts = y.__cuda_array_interface__
    assert (facts["shape"], facts["typestr"], facts["version"], facts["stream"]) == ((2, 4, 3), "<f4", 3, 5)
    z = model.predict(WithInterface(X))
    assert log.stream == 1 and log.syncs == 0 and log.waits == 0
    model.predict(WithInterface(X, stream=5), stream=6)
    assert (log.waits, log.waiter, log.before) == (1, 6, 5), "its owner leaves the waiting to us"
    log.waits = 0
    again = model.predict(y)  # a result as an input: on its own stream
    assert log.stream == 5 and log.waits == 0 and again.stream == 5
    assert z.stream == 1


def test_the_current_stream_of_its_library(model, log, monkeypatch):
    cupy = ModuleType("cupy")
    cupy.cuda = SimpleNamespace(get_current_stream=lambda: SimpleNamespace(ptr=0x51))
    torch = ModuleType("torch")
    torch.cuda = SimpleNamespace(current_stream=lambda device: SimpleNamespace(cuda_stream=0x52))
    for module in (cupy, torch):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    theirs = type("ndarray", (Lender,), {"__module__": "cupy.core"})
    x = theirs(X)
    y = model.predict(x)
    assert log.stream == 0x51 and x.streams == [0x51] and x.returned == 1, "its owner queues there too"
    theirs = type("Tensor", (Lender,), {"__module__": "torch"})
    model.predict(theirs(X))
    assert log.stream == 0x52
    assert y.stream == 0x51


def test_who_asks_with_which_stream(model, log):
    y = model.predict(WithInterface(X, stream=5))
    Taken(y.__dlpack__(stream=5)).done()
    Taken(y.__dlpack__(stream=-1)).done()
    assert log.waits == 0
    Taken(y.__dlpack__()).done()
    assert (log.waits, log.waiter, log.before) == (1, 1, 5)
    with pytest.raises(ValueError, match="stream=0"):
        y.__dlpack__(stream=0)
    assert y.__dlpack_device__() == (2, 0)


@pytest.mark.parametrize("max_version", [None, (0, 8), (1, 1)])
def test_capsules_of_both_kinds(model, log, max_version):
    y = model.predict(WithInterface(X, stream=5))
    taken = Taken(y.__dlpack__(stream=5, max_version=max_version))
    assert hasattr(taken.managed, "major") == (max_version == (1, 1))
    assert (taken.shape, taken.strides, taken.device) == ((2, 4, 3), (12, 3, 1), (2, 0))
    assert taken.array[0, 0, 0] == 2 and taken.array.dtype == np.float32
    taken.done()
    del y
    assert log.freed == 1


def test_a_capsule_that_nobody_takes(model, log):
    y = model.predict(WithInterface(X, stream=5))
    capsules = [y.__dlpack__(stream=5), y.__dlpack__(stream=5, max_version=(1, 0))]
    del y
    gc.collect()
    assert log.freed == 0
    capsules.clear()
    assert log.freed == 1


def test_where_else_it_may_go(model):
    y = model.predict(WithInterface(X, stream=5))
    assert np.from_dlpack(y, device="cpu")[0, 0, 0] == 2
    with pytest.raises(BufferError, match="is not moved"):
        y.__dlpack__(dl_device=(2, 1))
    with pytest.raises(BufferError, match="not copied"):
        y.__dlpack__(copy=True)
    with pytest.raises(TypeError, match=r"numpy\(\)"):
        np.asarray(y)


def test_sessions_step_and_run_there(model, log):
    session = model.session(batch_size=2)
    y = session.step(Lender(X[:, 0].copy()))
    assert y.shape == (2, 3) and log.stream == 1
    assert session.run(Lender(X), stream=9).shape == (2, 4, 3) and log.stream == 9
    assert session.step(X[:, 0].copy()).shape == (2, 3) and log.stream == 0
    with pytest.raises(ShapeError, match="batch size 2, got 1"):
        session.step(Lender(X[:1, 0].copy()))


def test_results_go_where_out_is(model, log):
    target = np.zeros((2, 4, 3), "float32")
    out = Lender(target)
    assert model.predict(Lender(X), out) is out
    assert target[0, 0, 0] == 2 and log.allocated == 0
    assert log.syncs == 1, "who lent it may not know the stream, and there is no result to hold it"
    assert out.returned == 1
    target[:] = 0
    assert model.predict(X, out) is out and (log.in_place, log.out_place) == (1, 2) and target[0, 0, 0] == 2
    target[:] = 0
    assert model.predict(Lender(X), target) is target and (log.in_place, log.out_place) == (2, 1)
    assert target[0, 0, 0] == 2


@pytest.mark.parametrize(
    "out, text",
    [
        (lambda: Lender(np.zeros((2, 4, 2), "float32")), r"out: expected float32 \(2, 4, 3\), got float32 \(2, 4, 2\)"),
        (lambda: Lender(np.zeros((2, 4, 3), "float64")), "out: expected float32"),
        (lambda: Lender(np.zeros((2, 4, 3), "float32"), readonly=True), "read-only"),
        (lambda: Lender(X), "overlaps an input"),
        (lambda: Lender(np.zeros((2, 4, 3), "float32"), (2, 1)), "lies on cuda:1"),
        (lambda: Lender(np.zeros((2, 4, 6), "float32")[..., ::2]), "contiguous"),
    ],
)
def test_what_out_may_not_be(model, log, out, text):
    given = out()
    x = Lender(X)
    with pytest.raises(ShapeError, match=text):
        model.predict(x, given)
    assert (x.lent, x.returned) == (1, 1) and given.lent == given.returned


@pytest.mark.parametrize(
    "x, text",
    [
        (lambda: Lender(X, (2, 1)), r"input 'x' lies on cuda:1, the model on cuda:0: model.to\('cuda:1'\)"),
        (lambda: Lender(X, (8, 0)), "DLPack's kind 8"),
        (lambda: Lender(X.astype("float64")), "expected float32, got float64; cast it on the GPU"),
        (lambda: Lender(X, lanes=4), "4 lanes"),
        (lambda: Lender(X, major=2), r"BufferError: DLPack 2\.0 is not known"),
        (lambda: Lender(np.asfortranarray(X)), "make it contiguous"),
        (lambda: Lender(X[..., :2].copy()), r"expected \(None, None, 3\), got \(2, 4, 2\)"),
        (lambda: Lender(X[:0]), "empty"),
        (lambda: WithInterface(X[:, ::2]), "make it contiguous"),
        (lambda: WithInterface(X, mask=X), "masked"),
        (lambda: WithInterface(X.astype(">f4")), "type '>f4'"),
    ],
)
def test_what_is_refused(model, log, x, text):
    given = x()
    with pytest.raises(ShapeError, match=text):
        model.predict(given)
    if isinstance(given, Lender):
        assert given.lent == given.returned
    assert log.allocated == log.freed


def test_an_owner_that_does_not_lend(model):
    class Grad(Lender):
        def __dlpack__(self, **_):
            raise BufferError("can't export tensors that require gradient")

    with pytest.raises(ShapeError, match="input 'x': its owner does not lend it .*require gradient"):
        model.predict(Grad(X))


def test_the_cpu_says_where_an_array_lies(model):
    cpu = model.to("cpu")
    with pytest.raises(ShapeError, match=r"lies on cuda:0, the model on cpu: model.to\('cuda:0'\)"):
        cpu.predict(Lender(X))
    assert cpu.predict(Lender(X, (1, 0))).shape == (2, 4, 3), "on the host it is an array like any other"
    with pytest.raises(BackendError, match="these lie on the host"):
        cpu.predict(X, stream=1)
    with pytest.raises(BatchError, match="read from the host here"):
        cpu.pool().run({1: Lender(X[0].copy())})


def test_an_error_leaves_nothing_behind(dummy, monkeypatch):
    monkeypatch.setenv("RNNRT_CUDA_PLUGIN", str(dummy("DUMMY_DEVICE", "DUMMY_FAIL_RUN")))
    log = Log.in_dll(ctypes.CDLL(str(dummy("DUMMY_DEVICE", "DUMMY_FAIL_RUN"))), "dummy_log")
    model = model_of(*_graph()).to("cuda")
    x = Lender(X)
    with pytest.raises(BackendError, match="broke in the middle"):
        model.predict(x)
    assert (x.lent, x.returned) == (1, 1) and log.allocated == log.freed == 1


def test_a_device_that_is_full(dummy, monkeypatch):
    monkeypatch.setenv("RNNRT_CUDA_PLUGIN", str(dummy("DUMMY_DEVICE", "DUMMY_FULL")))
    with pytest.raises(MemoryError, match="cuda:0 has no 96 bytes left"):
        model_of(*_graph()).to("cuda").predict(Lender(X))


def test_a_plugin_from_before(dummy, monkeypatch):
    monkeypatch.setenv("RNNRT_CUDA_PLUGIN", str(dummy("DUMMY_DEVICE", "DUMMY_OLD")))
    model = model_of(*_graph()).to("cuda")
    with pytest.raises(BackendError, match="a newer rnnrt-cuda does"):
        model.predict(Lender(X))
    assert model.predict(X).shape == (2, 4, 3) and "packed" not in model.memory() and model.session().memory() == 0
