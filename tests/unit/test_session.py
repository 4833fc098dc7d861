"""Sessions: cut-invariant, commit or nothing, one thread, states as values."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest
from cases.graphs import Builder
from runtime import model_of, same_bits

import rnnrt
from rnnrt.native import _native as native


def _stack(session: str = "sequence", stateful=(True, True)):
    b = Builder(session)
    x = b.input("x", None, 5)
    (a,) = b.add("gru", "gru", x, units=6, return_sequences=True, stateful=stateful[0] and session == "calls")
    (c,) = b.add("activation", "act", a)
    (y,) = b.add("lstm", "lstm", c, units=4, return_sequences=True, stateful=stateful[1] and session == "calls")
    (last,) = b.add("simple_rnn", "last", y, units=3, stateful=session == "calls")
    return model_of(*b.done(y, last))


def _words():
    b = Builder()
    x = b.input("ids", None)
    (e,) = b.add("embedding", "table", x, input_dim=9, output_dim=4)
    (y,) = b.add("lstm", "lstm", e, units=4, return_sequences=True)
    return model_of(*b.done(y))


def _x(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


@pytest.mark.parametrize("seed", range(12))
def test_any_cutting_gives_the_bits_of_predict(seed):
    rng = np.random.default_rng(seed)
    model, batch, steps = _stack(), int(rng.integers(1, 9)), int(rng.integers(2, 200))
    x = _x(batch, steps, 5, seed=seed)
    whole, last = model.predict(x)
    session, at, pieces = model.session(batch_size=batch), 0, []
    while at < steps:
        n = int(rng.choice([1, 1, 2, 7, 60]))
        if n == 1 and rng.random() < 0.7:
            y, tail = session.step(x[:, at])
            assert y.shape == (batch, 4) and tail.shape == (batch, 3)
            pieces.append(y[:, None])
        else:
            y, tail = session.run(x[:, at : at + n])
            pieces.append(y)
        at += n
        assert same_bits(tail, model.predict(x[:, :at])[1])
    assert same_bits(np.concatenate(pieces, axis=1), whole)
    assert same_bits(tail, last)


def test_calls_models_restart_what_is_not_stateful():
    model = _stack("calls", stateful=(False, True))
    x = _x(1, 6, 5)
    s = model.session()
    s.run(x[:, :3])
    kept = s.get_state()
    y, _ = s.run(x[:, 3:])
    # the gru starts from zero on each call, the lstm from where it was
    t = model.session()
    t.set_state({**kept, "gru/h": np.zeros((1, 6), "f4")})
    assert same_bits(t.run(x[:, 3:])[0], y)
    assert not same_bits(np.asarray(model.predict(x)[0][:, 3:]), y)


def test_step_and_run_never_allocate():
    model = _stack()
    s = model.session(batch_size=3)
    for n in (1, 5, 300, 17):
        s.run(_x(3, n, 5))
        before = native.allocations()
        s.run(_x(3, n, 5))
        s.step(_x(3, 5))
        assert native.allocations() == before
    s = model.session(batch_size=2)
    before = native.allocations()
    for n in (1, 2, 1000, 33):
        s.run(_x(2, n, 5))
    assert native.allocations() == before


def test_out_of_step():
    model = _words()
    a, b = model.session(batch_size=2), model.session(batch_size=2)
    ids, out = np.array([3, 4], "int32"), np.empty((2, 4), "f4")
    assert a.step(ids, out=out) is out
    assert same_bits(out, b.step(ids))
    assert a.step(ids.astype("f8"), out) is out
    assert same_bits(out, b.step(ids.astype("f4")))


def test_an_error_leaves_the_state_as_it_was():
    model = _words()
    s = model.session(batch_size=2)
    s.run(np.array([[1, 2], [3, 4]]))
    before = s.get_state()
    for bad in ([[1, 2], [3, 9]], [[1, 2], [3, np.nan]], [[1, 2]], [[1, 2], [3, -1]], np.ones((2, 2, 2))):
        with pytest.raises(rnnrt.ShapeError):
            s.run(np.asarray(bad))
    long = np.ones((2, 5000))
    long[1, 4999] = 9  # beyond many tiles
    with pytest.raises(rnnrt.ShapeError):
        s.run(long)
    after = s.get_state()
    assert all(same_bits(before[k], after[k]) for k in before)


def test_wrong_batch():
    s = _words().session(batch_size=2)
    with pytest.raises(rnnrt.ShapeError, match="input 'ids': the session has batch size 2, got 3"):
        s.step(np.zeros(3, "int32"))


@pytest.mark.parametrize("n", [0, -1, 1.5, "2", True, None])
def test_wrong_batch_size(n):
    with pytest.raises(rnnrt.StateError, match="batch_size"):
        _words().session(batch_size=n)


def test_states_are_values():
    model = _stack()
    s, x = model.session(batch_size=3), _x(3, 8, 5)
    s.run(x[:, :4])
    state = s.get_state()
    assert {k: v.shape for k, v in state.items()} == {
        "gru/h": (3, 6),
        "lstm/h": (3, 4),
        "lstm/c": (3, 4),
        "last/h": (3, 3),
    }
    want = s.run(x[:, 4:])
    t = model.session(batch_size=3)
    t.set_state(state)
    assert all(same_bits(a, b) for a, b in zip(t.run(x[:, 4:]), want))
    # one row into a session of one
    u = model.session()
    u.set_state({k: v[1:2] for k, v in state.items()})
    assert same_bits(u.run(x[1:2, 4:])[0], want[0][1:2])
    # rows inside a batch
    v = model.session(batch_size=2)
    v.set_state({k: a[2:3] for k, a in state.items()}, rows=[1])
    got = v.get_state()
    assert same_bits(got["lstm/h"][1], state["lstm/h"][2]) and not got["lstm/h"][0].any()


def test_fork_and_reset():
    model = _stack()
    s, x = model.session(batch_size=2), _x(2, 9, 5)
    s.run(x[:, :5])
    f = s.fork()
    a, b = s.run(x[:, 5:]), f.run(x[:, 5:])
    assert same_bits(a[0], b[0])
    s.reset(rows=[0])
    y, _ = s.run(x)
    assert same_bits(y[0], model.predict(x)[0][0]) and not same_bits(y[1], model.predict(x)[0][1])
    s.reset()
    assert same_bits(s.run(x)[0], model.predict(x)[0])


BAD_STATES = {
    "unknown": (lambda st: {**st, "gru/x": st["gru/h"]}, "unknown state 'gru/x'"),
    "missing": (lambda st: {k: v for k, v in st.items() if k != "lstm/c"}, "state 'lstm/c' is missing"),
    "shape": (
        lambda st: {**st, "lstm/c": np.zeros((2, 5))},
        r"state 'lstm/c': expected \(2, 4\), got float64 \(2, 5\)",
    ),
    "dtype": (lambda st: {**st, "lstm/c": np.full((2, 4), "a")}, "state 'lstm/c'"),
    "kind": (lambda st: [1], "a dict of arrays"),
}


@pytest.mark.parametrize("case", BAD_STATES)
def test_a_state_that_does_not_fit_changes_nothing(case):
    s = _stack().session(batch_size=2)
    s.run(_x(2, 3, 5))
    before = s.get_state()
    spoil, text = BAD_STATES[case]
    with pytest.raises(rnnrt.StateError, match=text):
        s.set_state(spoil(before))
    assert all(same_bits(v, s.get_state()[k]) for k, v in before.items())


@pytest.mark.parametrize("rows", [[2], [-1], [0, 0], [0.5]])
def test_wrong_rows(rows):
    s = _stack().session(batch_size=2)
    with pytest.raises(rnnrt.StateError):
        s.reset(rows=rows)


def test_a_session_in_a_cycle_is_collected():
    model = _stack()
    for _ in range(3):
        s = model.session(batch_size=2)
        s.run(_x(2, 4, 5))
        s.itself = s
        model.last = s  # and its model with it
        del s
        gc.collect()
    del model
    gc.collect()


def test_two_threads_in_one_session_are_refused_not_mixed():
    b = Builder()
    x = b.input("x", None, 64)
    (y,) = b.add("lstm", "lstm", x, units=256, return_sequences=True)
    model = model_of(*b.done(y))
    s, chunk = model.session(), _x(1, 600, 64)
    done, refused = [], []

    def work() -> None:
        for _ in range(6):
            try:
                done.append(s.run(chunk)[0, -1])
            except rnnrt.StateError as e:
                refused.append(str(e))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(done) + len(refused) == 18 and done
    assert all("in use by another thread" in r for r in refused)
    # what was done is one history: replay it
    t = model.session()
    replay = [t.run(chunk)[0, -1] for _ in done]
    assert {a.tobytes() for a in replay} == {a.tobytes() for a in done}
    assert same_bits(t.get_state()["lstm/c"], s.get_state()["lstm/c"])


def test_what_cannot_be_cut_is_refused_by_name():
    b = Builder()
    x = b.input("x", 4, 3)
    (y,) = b.add("lstm", "back", x, units=2, go_backwards=True, return_sequences=True)
    with pytest.raises(rnnrt.StateError, match="back: go_backwards reads the sequence from its end"):
        model_of(*b.done(y)).session()
    b = Builder()
    x = b.input("x", 4, 3)
    (f,) = b.add("flatten", "flat", x)
    (y,) = b.add("dense", "dense", f, units=2)
    with pytest.raises(rnnrt.StateError, match="flat: it flattens the time axis"):
        model_of(*b.done(y)).session()


def test_state_inputs_of_a_decoder():
    b = Builder()
    x = b.input("token", None, 3)
    h, c = b.input("h0", 4, role="state"), b.input("c0", 4, role="state")
    y, hn, cn = b.add("lstm", "decoder", x, units=4, return_sequences=True, return_state=True, initial_state=(h, c))
    model = model_of(*b.done(y, hn, cn))
    x, h0, c0 = _x(2, 7, 3), _x(2, 4, seed=1), _x(2, 4, seed=2)
    want = model.predict([x, h0, c0])
    s = model.session(batch_size=2, initial_state=[h0, c0])
    first = s.run(x[:, :3])
    then = s.run(x[:, 3:])
    assert same_bits(np.concatenate([first[0], then[0]], axis=1), want[0])
    assert same_bits(then[1], want[1]) and same_bits(then[2], want[2])
    s.reset(initial_state={"h0": h0, "c0": c0})
    assert same_bits(s.run(x)[0], want[0])
    assert not same_bits(model.session(batch_size=2).run(x)[0], want[0])
    s.reset(initial_state={"decoder/h": h0, "c0": c0})
    assert same_bits(s.run(x)[0], want[0])
    with pytest.raises(rnnrt.StateError, match="'h0' is given twice"):
        s.reset(initial_state={"decoder/h": h0, "h0": h0, "c0": c0})


@pytest.mark.parametrize("shape", [(3, 1), (1, 3), (3,), (1, 1, 3)])
def test_a_step_keeps_axes_that_are_not_time(shape):
    """What comes of a last output has no time axis, however it is turned."""
    b = Builder()
    (h,) = b.add("lstm", "lstm", b.input("x", None, 2), units=3)
    (y,) = b.add("reshape", "turned", h, target_shape=shape)
    model, x = model_of(*b.done(y)), np.random.default_rng(0).standard_normal((2, 4, 2)).astype("f4")
    session, pool, out = model.session(2), model.pool(4), np.full((2, *shape), np.nan, "f4")
    pool.open("a")
    for t in range(4):
        want = model.predict(x[:, : t + 1])
        assert want.shape == (2, *shape)
        np.testing.assert_array_equal(pool.step({"a": x[0, t]})["a"], want[0])
        if t % 2:
            session.step(x[:, t], out=out)
            np.testing.assert_array_equal(out, want)
        else:
            np.testing.assert_array_equal(session.step(x[:, t]), want)
    np.testing.assert_array_equal(model.session(2).run(x), model.predict(x))
