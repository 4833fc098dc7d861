"""Pools: streams by id give the bits of sessions of their own, whoever shares their batches."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref

import numpy as np
import pytest
from cases.graphs import Builder
from runtime import BITWISE, model_of, same_bits

import rnnrt
from rnnrt.native import _native as native


def _graph(session: str = "sequence", units: int = 6):
    b = Builder(session)
    x = b.input("x", None, 5)
    (m,) = b.add("masking", "mask", x)
    stateful = session == "calls"
    (a,) = b.add("gru", "gru", x, units=units, return_sequences=True, mask=m)
    (y,) = b.add("lstm", "lstm", a, units=4, return_sequences=True, stateful=stateful)
    (z,) = b.add("dense", "dense", y, units=3)
    return b.done(z)


def _words():
    b = Builder()
    x = b.input("ids", None)
    (e,) = b.add("embedding", "table", x, input_dim=9, output_dim=4)
    (y,) = b.add("lstm", "lstm", e, units=4, return_sequences=True)
    return model_of(*b.done(y))


def _decoder():
    b = Builder()
    x, z = b.input("token", None, 3, time="t"), b.input("other", None, 2, time="t")
    (j,) = b.add("concatenate", "join", x, z, axis=2)
    h, c = b.input("h0", 4, role="state"), b.input("c0", 4, role="state")
    y, hn, cn = b.add("lstm", "dec", j, units=4, return_sequences=True, return_state=True, initial_state=(h, c))
    return model_of(*b.done(y, hn, cn))


def _x(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


@pytest.mark.parametrize("table", BITWISE)
@pytest.mark.parametrize("max_batch", [1, 3, 64])
def test_steps_give_the_bits_of_sessions(table, max_batch):
    model, rng = model_of(*_graph(), table), np.random.default_rng(1)
    pool, alone, x = model.pool(max_batch=max_batch), {}, _x(20, 30, 5)
    x[rng.random((20, 30)) < 0.2] = 0  # masked
    at = dict.fromkeys(range(20), 0)
    for _ in range(60):
        who = [i for i in rng.permutation(20)[: rng.integers(1, 21)].tolist() if at[i] < 30]
        got = pool.step({i: x[i, at[i]] for i in who})
        assert list(got) == who
        for i in who:
            if i not in alone:
                alone[i] = model.session()
            assert same_bits(got[i], alone[i].step(x[i : i + 1, at[i]])[0])
            at[i] += 1
    assert len(pool) == len(alone) and all(i in pool for i in alone) and set(pool) == set(alone)
    for i, s in alone.items():
        assert pool.to_bytes(i) == s.to_bytes()


@pytest.mark.parametrize("session", ["sequence", "calls"])
@pytest.mark.parametrize("max_batch", [2, 64])
def test_ragged_chunks(session, max_batch):
    model, rng = model_of(*_graph(session)), np.random.default_rng(2)
    pool, alone = model.pool(max_batch=max_batch), [model.session() for _ in range(9)]
    for round in range(12):
        lengths = rng.integers(1, 70, 9) if round % 3 else np.full(9, 5)
        chunks = {i: _x(lengths[i], 5, seed=100 * round + i) for i in range(9) if rng.random() < 0.8}
        got = pool.run(chunks)
        assert list(got) == list(chunks)
        for i, c in chunks.items():
            assert same_bits(got[i], alone[i].run(c[None])[0])
    for i in range(9):
        assert i not in pool or pool.to_bytes(i) == alone[i].to_bytes()


def test_several_inputs_outputs_and_state_inputs():
    model = _decoder()
    pool, h0, c0 = model.pool(), _x(1, 4, seed=3), _x(1, 4, seed=4)
    s, t = model.session(initial_state=[h0, c0]), model.session()
    pool.open("a", initial_state={"h0": h0, "c0": c0})
    for k in range(3):
        x, z = _x(3, seed=k), _x(2, seed=10 + k)
        got = pool.step({"a": [x, z], "b": {"token": x, "other": z}})
        for name, session in (("a", s), ("b", t)):
            want = session.step([x[None], z[None]])
            assert isinstance(got[name], list) and all(same_bits(g, w[0]) for g, w in zip(got[name], want))
    chunks = {n: [_x(T, 3, seed=T), _x(T, 2, seed=T)] for n, T in (("a", 4), ("b", 7))}
    got = pool.run(chunks)
    for name, session in (("a", s), ("b", t)):
        want = session.run([c[None] for c in chunks[name]])
        assert all(same_bits(g, w[0]) for g, w in zip(got[name], want))
    pool.reset("a", [h0, c0])
    s.reset(initial_state=[h0, c0])
    assert pool.to_bytes("a") == s.to_bytes()
    with pytest.raises(rnnrt.BatchError, match="input 'other': length 5, but 'token' has 4"):
        pool.run({"a": [_x(4, 3), _x(5, 2)]})


def test_any_array_like_and_dtype():
    pool, s = model_of(*_graph()).pool(), model_of(*_graph()).session()
    x = _x(5)
    want = s.step(x[None])[0]
    for k, given in enumerate([x, x.astype("f8"), x.tolist(), np.repeat(x, 2)[::2], x[:, None], tuple(x)]):
        assert same_bits(pool.step({k: given})[k], want)
    words, s = _words(), _words().session()
    pool = words.pool()
    want = s.step(np.array([3]))[0]
    ids = [3, np.int32(3), np.int64(3), np.float32(3), np.float64(3), np.array(3), np.array(3, "i4"), np.uint8(3)]
    got = pool.step(dict(enumerate(ids)))
    assert all(same_bits(got[k], want) for k in range(len(ids)))
    assert same_bits(pool.run({"c": [3, 4, 5]})["c"], words.predict(np.array([[3, 4, 5]]))[0])


def test_an_error_hits_its_own_stream():
    pool = _words().pool(max_batch=8)
    ids = {k: k % 9 for k in range(40)}
    pool.step(ids)
    before = {k: pool.to_bytes(k) for k in ids}
    twin = _words().pool()
    for k in ids:
        twin.put(k, before[k])
    bad = {3: 9, 4: -1, 17: np.nan, 18: [1, 2], 39: "x"}
    with pytest.raises(rnnrt.BatchError, match="5 of 41 streams failed: ") as e:
        pool.step({**ids, **bad, "new": 99 % 9})
    assert set(e.value.errors) == set(bad)
    assert all(isinstance(x, rnnrt.ShapeError) for x in e.value.errors.values())
    assert "id 9 is outside the table" in str(e.value.errors[3])
    # a traceback's frames would keep the whole batch alive for as long as somebody keeps the error
    assert all(x.__traceback__ is None for x in e.value.errors.values())
    want = twin.step({k: v for k, v in ids.items() if k not in bad})
    assert all(same_bits(e.value.results[k], y) for k, y in want.items()) and "new" in e.value.results
    assert all(pool.to_bytes(k) == before[k] for k in bad)
    # a stream that fails at once was never there
    mixed = pool.step({"late": 99, 0: 1}, return_exceptions=True)
    assert list(mixed) == ["late", 0] and isinstance(mixed["late"], rnnrt.ShapeError) and mixed[0].shape == (4,)
    assert "late" not in pool


@pytest.mark.parametrize("lengths", [[5, 5, 5, 5], [3, 5, 60, 200]])
def test_an_error_in_a_chunk_hits_its_own_stream(lengths):
    model = _words()
    pool, rng = model.pool(), np.random.default_rng(0)
    chunks = {k: rng.integers(0, 9, n) for k, n in enumerate(lengths)}
    pool.run(chunks)
    before = {k: pool.to_bytes(k) for k in chunks}
    bad = {k: c.copy() for k, c in chunks.items()}
    bad[1][-1], bad[3][0] = 9, 50
    with pytest.raises(rnnrt.BatchError) as e:
        pool.run({**bad, "empty": np.zeros(0)})
    assert set(e.value.errors) == {1, 3, "empty"} and "empty" not in pool
    assert pool.to_bytes(1) == before[1] and pool.to_bytes(3) == before[3]
    for k in (0, 2):
        s = model.session(state=before[k])
        assert same_bits(e.value.results[k], s.run(chunks[k][None])[0]) and pool.to_bytes(k) == s.to_bytes()


def test_streams_come_and_go():
    model = model_of(*_graph())
    pool = model.pool()
    pool.open("a")
    with pytest.raises(rnnrt.StateError, match="'a' is open already"):
        pool.open("a")
    pool.step({"a": _x(5), "b": _x(5, seed=1)})
    pool.fork("a", "c")
    x = _x(5, seed=2)
    y = pool.step({"a": x, "c": x})
    assert same_bits(y["a"], y["c"])
    with pytest.raises(rnnrt.StateError, match="'b' is open already"):
        pool.fork("a", "b")
    state, data = pool.get_state("a"), pool.to_bytes("a")
    assert state["lstm/c"].shape == (4,) and state["gru/has_output"] == np.True_
    pool.reset("a")
    assert not pool.get_state("a")["lstm/c"].any()
    pool.set_state("a", state)
    assert pool.to_bytes("a") == data
    pool.open("d", state=state)
    pool.put("e", data)
    pool.put("b", model.session(state=data).to_bytes())
    assert pool.to_bytes("d") == pool.to_bytes("e") == pool.to_bytes("b") == data
    pool.close("a")
    assert "a" not in pool and len(pool) == 4
    for act in (pool.close, pool.get_state, pool.to_bytes, pool.reset):
        with pytest.raises(rnnrt.StateError, match="'a' is not open"):
            act("a")
    # a row that is used again starts from zero
    first = model.session().step(x[None])[0]
    assert same_bits(pool.step({"a": x})["a"], first)


def test_what_does_not_fit_changes_nothing():
    model, other = model_of(*_graph()), model_of(*_graph(units=7))
    pool = model.pool()
    pool.step({"a": _x(5)})
    before = pool.to_bytes("a")
    two = model.session(batch_size=2).to_bytes()
    for bad in (b"", before[:-1], other.session().to_bytes(), two):
        with pytest.raises(rnnrt.StateError):
            pool.put("a", bad)
        with pytest.raises(rnnrt.StateError):
            pool.put("b", bad)
        with pytest.raises(rnnrt.StateError):
            pool.open("b", state=bad)
    with pytest.raises(rnnrt.StateError):
        pool.set_state("a", {"gru/h": np.zeros(6)})
    with pytest.raises(TypeError):
        pool.step({"a": _x(5)}, True)
    with pytest.raises(rnnrt.BatchError, match="expected \\(5,\\), got \\(1, 5\\)"):
        pool.step({"a": _x(1, 5)})
    assert pool.to_bytes("a") == before and len(pool) == 1
    assert pool.step({}) == {} and pool.run({}) == {}


@pytest.mark.parametrize("option", [{"max_batch": 0}, {"max_batch": 1.5}, {"max_batch": True}, {"window_us": -1}])
def test_wrong_options(option):
    with pytest.raises(rnnrt.StateError, match=next(iter(option))):
        _words().pool(**option)


def test_what_cannot_be_cut_has_no_pool():
    b = Builder()
    x = b.input("x", 4, 3)
    (y,) = b.add("lstm", "back", x, units=2, go_backwards=True, return_sequences=True)
    with pytest.raises(rnnrt.StateError, match="back: go_backwards"):
        model_of(*b.done(y)).pool()


def test_steps_never_allocate():
    model = model_of(*_graph())
    pool, x = model.pool(max_batch=16), _x(40, 5)
    pool.step({i: x[i] for i in range(40)})
    before = native.allocations()
    for n in (1, 16, 7, 40, 2, 33, 15):
        pool.step({i: x[i] for i in range(n)})
    pool.close(5)
    pool.step({5: x[5], 6: x[6]})
    assert native.allocations() == before


def test_results_outlive_the_pool():
    model = model_of(*_graph())
    pool = model.pool()
    y = pool.step({i: _x(5, seed=i) for i in range(3)})[1]
    want, gone = y.copy(), weakref.ref(pool)
    del pool
    gc.collect()
    assert gone() is None and same_bits(y, want)


def test_memory_of_idle_streams():
    """100,000 streams of an LSTM(128): their state rows and at most 200 bytes each (the issue allows 150 MB)."""
    code = """if True:
        import sys; sys.path.insert(0, "tests")
        import numpy as np
        from cases.graphs import Builder
        from runtime import model_of
        def rss():
            return next(int(l.split()[1]) * 1024 for l in open("/proc/self/status") if l.startswith("VmRSS"))
        b = Builder()
        x = b.input("x", None, 8)
        (y,) = b.add("lstm", "lstm", x, units=128)
        model = model_of(*b.done(y))
        pool, x, ids = model.pool(), np.zeros(8, "f4"), [f"caller-{i}" for i in range(100000)]
        pool.step({i: x for i in range(64)}); [pool.close(i) for i in range(64)]
        before = rss()
        for i in range(0, 100000, 64):
            pool.step({k: x for k in ids[i : i + 64]})
        print(rss() - before, model.plan.row_bytes, len(pool))"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    grown, row, n = map(int, out)
    assert n == 100000 and row == 1024
    assert grown < 150e6 and grown / n - row <= 200, grown / n - row
