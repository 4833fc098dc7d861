"""predict: whatever way the input comes, the same answer; whatever is wrong with it, an error that names it."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from cases.graphs import Builder
from runtime import model_of, same_bits

import rnnrt
from rnnrt.native import _native as native


@pytest.fixture(scope="module")
def model():
    b = Builder()
    x = b.input("signal", None, 5)
    (y,) = b.add("lstm", "lstm", x, units=7, return_sequences=True)
    (z,) = b.add("dense", "dense", y, units=3)
    return model_of(*b.done(z))


@pytest.fixture(scope="module")
def words():
    b = Builder()
    x = b.input("ids", None)
    (e,) = b.add("embedding", "table", x, input_dim=11, output_dim=4)
    (y,) = b.add("gru", "gru", e, units=6)
    return model_of(*b.done(y))


@pytest.fixture(scope="module")
def fixed():
    b = Builder()
    x = b.input("frame", 6, 5)
    (y,) = b.add("lstm", "lstm", x, units=4)
    return model_of(*b.done(y))


def _x(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(shape).astype("float32")


WAYS = {
    "float64": lambda x: x.astype("float64"),
    "fortran": np.asfortranarray,
    "read-only": lambda x: (x.flags.__setattr__("writeable", False), x)[1],
    "strided": lambda x: np.repeat(x, 2, axis=2)[:, :, ::2],
    "reversed twice": lambda x: np.ascontiguousarray(x[:, ::-1])[:, ::-1],
    "big-endian": lambda x: x.astype(">f4"),
    "list": lambda x: x.tolist(),
    "subclass": lambda x: x.view(np.matrix if x.ndim == 2 else np.recarray),
    "misaligned": lambda x: np.frombuffer(b"\0" + x.tobytes(), "f4", offset=1).reshape(x.shape),
    "dict": lambda x: {"signal": x},
    "list of one": lambda x: [x],
}


@pytest.mark.parametrize("way", WAYS)
def test_same_answer_whatever_the_layout(model, way):
    x = _x(3, 9, 5)
    want = model.predict(x)
    assert want.shape == (3, 9, 3) and want.dtype == np.float32
    assert same_bits(model.predict(WAYS[way](x.copy())), want)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64", "uint64", "float32", "float64"])
def test_ids_of_every_dtype(words, dtype):
    ids = np.array([[0, 3, 10], [9, 1, 1]])
    assert same_bits(words.predict(ids.astype(dtype)), words.predict(ids))


def test_fractional_ids_are_truncated(words):
    assert same_bits(words.predict(np.array([[0.9, 3.2, 10.99, -0.5]])), words.predict(np.array([[0, 3, 10, 0]])))


@pytest.mark.parametrize("batch, steps", [(1, 1), (1, 50), (7, 3), (16, 1), (33, 130), (2, 1000)])
def test_rows_do_not_see_each_other(model, batch, steps):
    x = _x(batch, steps, 5)
    whole = model.predict(x)
    assert all(same_bits(model.predict(x[i : i + 1])[0], whole[i]) for i in range(0, batch, max(1, batch // 5)))


def test_out_is_filled_and_returned(model):
    x, out = _x(2, 4, 5), np.empty((2, 4, 3), "float32")
    assert model.predict(x, out=out) is out
    assert same_bits(out, model.predict(x))
    wide = np.zeros((2, 4, 6), "float32")
    assert model.predict(x, out=wide[:, :, ::2]).base is wide
    assert same_bits(np.ascontiguousarray(wide[:, :, ::2]), out) and not wide[:, :, 1::2].any()


def test_out_may_overlap_the_input():
    b = Builder()
    x = b.input("x", None, 4)
    (y,) = b.add("lstm", "lstm", x, units=4, return_sequences=True)
    m = model_of(*b.done(y))
    x = _x(2, 6, 4)
    want = m.predict(x)
    assert same_bits(m.predict(x, out=x), want)


@pytest.mark.parametrize(
    "out, text",
    [
        (np.empty((2, 4, 4), "f4"), r"out: expected float32 \(2, 4, 3\), got float32 \(2, 4, 4\)"),
        (np.empty((2, 4, 3), "f8"), "got float64"),
        ([1, 2], "got list"),
    ],
)
def test_wrong_out(model, out, text):
    with pytest.raises(rnnrt.ShapeError, match=text):
        model.predict(_x(2, 4, 5), out=out)


WRONG = {
    "rank": (lambda: _x(3, 5), r"input 'signal': expected \(None, None, 5\), got \(3, 5\)"),
    "features": (lambda: _x(3, 4, 6), r"input 'signal': expected \(None, None, 5\), got \(3, 4, 6\)"),
    "empty batch": (lambda: _x(0, 4, 5), "input 'signal'.*empty"),
    "no steps": (lambda: _x(2, 0, 5), "input 'signal'.*empty"),
    "text": (lambda: np.array([["a"]]), "input 'signal': expected numbers"),
    "complex": (lambda: np.ones((1, 2, 5), "c8"), "expected numbers, got dtype complex64"),
    "ragged": (lambda: [[1, 2], [3]], "input 'signal': not an array"),
    "missing": (lambda: {}, "input 'signal' is missing"),
    "none": (lambda: None, "input 'signal'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_inputs_are_named(model, case):
    make, text = WRONG[case]
    with pytest.raises(rnnrt.ShapeError, match=text):
        model.predict(make())


@pytest.mark.parametrize(
    "ids, text",
    [
        ([[1, 11]], r"input 'ids', flat position 1: id 11 .*table.*0 <= id < 11"),
        ([[-1, 2]], "id -1"),
        ([[1.0, float("nan")]], "not a number"),
        ([[1e30, 0]], "id 9223372036854775807"),
        (np.array([[2**40]]), f"id {2**40}"),
    ],
)
def test_bad_ids(words, ids, text):
    with pytest.raises(ValueError, match=text):
        words.predict(np.asarray(ids))


def test_a_length_in_the_file_binds_predict_not_sessions(fixed):
    with pytest.raises(rnnrt.ShapeError, match=r"expected \(None, 6, 5\), got \(1, 7, 5\)"):
        fixed.predict(_x(1, 7, 5))
    session, x = fixed.session(), _x(1, 6, 5)
    assert session.run(_x(1, 9, 5)).shape == (1, 4)
    session.reset()
    session.run(x[:, :4])
    assert same_bits(session.run(x[:, 4:]), fixed.predict(x))
    assert fixed.inputs[0].shape == (None, 6, 5)


def test_extra_keys_are_ignored_with_a_warning(model):
    x = _x(1, 2, 5)
    with pytest.warns(UserWarning, match="'other'"):
        y = model.predict({"signal": x, "other": 1})
    assert same_bits(y, model.predict(x))


def test_trailing_axis_of_one_is_expanded_as_in_keras():
    b = Builder()
    x = b.input("x", None, 1)
    (y,) = b.add("simple_rnn", "rnn", x, units=2)
    m = model_of(*b.done(y))
    x = _x(2, 5, 1)
    assert same_bits(m.predict(x[:, :, 0]), m.predict(x))


def test_threads_share_a_model(model):
    xs = [_x(1 + i % 3, 5 + i, 5) for i in range(8)]
    want = [model.predict(x) for x in xs]
    wrong = []

    def work(k: int) -> None:
        for i in range(200):
            j = (i + k) % len(xs)
            if not same_bits(model.predict(xs[j]), want[j]):
                wrong.append(j)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_predict_of_the_same_size_allocates_once(model):
    x = _x(2, 30, 5)
    model.predict(x)
    before = native.allocations()
    for _ in range(5):
        model.predict(x)
    assert native.allocations() == before


def test_a_run_beyond_memory_is_refused_before_it_starts():
    b = Builder()
    x = b.input("x", None, 1)
    (y,) = b.add("lstm", "lstm", x, units=4, go_backwards=True, return_sequences=True)
    (z,) = b.add("lstm", "lstm2", y, units=1 << 10)
    m = model_of(*b.done(z))
    lengths = {"B": 1 << 20}
    with pytest.raises(MemoryError, match="bytes"):
        m.measure([lengths.get(s, 1 << 30) for s in m.plan.symbols])


def test_models_are_freed_with_their_sessions():
    b = Builder()
    x = b.input("x", None, 2)
    (y,) = b.add("lstm", "lstm", x, units=3)
    m = model_of(*b.done(y))
    s = m.session()
    want = s.step(_x(1, 2))
    s.reset()
    del m
    gc.collect()
    assert same_bits(s.step(_x(1, 2)), want)


def test_summary_and_description(model):
    text = model.summary(batch=3, steps=100)
    assert "388 (1.52 KB)" in text and "h 7, c 7" in text
    assert "batch 3, 100 steps" in text and max(map(len, text.splitlines())) <= 80
    facts = model.describe()
    assert facts["parameters"] == 5 * 28 + 7 * 28 + 28 + 7 * 3 + 3
    assert [s["name"] for s in facts["states"]] == ["lstm/h", "lstm/c"]
    assert model.memory(3, 100)["workspace"] > model.memory(1, 1)["workspace"] > 0


PAGES = """if True:
    import sys; sys.path.insert(0, sys.argv[1])
    from pathlib import Path
    from cases.graphs import Builder
    from runtime import model_of
    b = Builder()
    (y,) = b.add("dense", "dense", b.input("x", 1100), units=1100)  # 4.6 MiB
    model, size = model_of(*b.done(y)), 0
    for line in Path("/proc/self/smaps").read_text().splitlines():
        key, _, value = line.partition(":")
        size = int(value.split()[0]) if key == "Size" else size
        if key == "VmFlags" and "hg" in value.split():
            print(size)
"""


@pytest.mark.skipif(not Path("/sys/kernel/mm/transparent_hugepage").exists(), reason="the system has no large pages")
def test_large_weights_ask_for_large_pages():
    """In a process whose NumPy asks for none."""
    tests = str(Path(__file__).resolve().parents[1])
    env = {**os.environ, "NUMPY_MADVISE_HUGEPAGE": "0"}
    done = subprocess.run([sys.executable, "-c", PAGES, tests], env=env, capture_output=True, text=True, timeout=120)
    assert done.stderr == ""
    assert sum(map(int, done.stdout.split())) == 4096


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_fewer_steps_than_a_window_name_the_layer(steps):
    b = Builder()
    window = {"channels": 3, "filters": 4, "kernel_size": [5], "strides": [2], "dilation_rate": [1], "padding": "valid"}
    (c,) = b.add("conv", "window", b.input("x", None, 3), **window)
    model = model_of(*b.done(*b.add("lstm", "after", c, units=2)))
    assert model.predict(np.zeros((1, 5, 3), "float32")).shape == (1, 2)
    with pytest.raises(
        rnnrt.ShapeError, match="^window: (the input is too short: an output would have the length -|sizes do)"
    ):
        model.predict(np.zeros((1, steps, 3), "float32"))
