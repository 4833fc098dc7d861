"""Random models, cuts, pools and interleavings: always the bits of one stream alone, and of predict.

RNNRT_EXAMPLES sets the number of examples of each property (30; some thousands for the long form).
"""

from __future__ import annotations

import os
from functools import lru_cache

import numpy as np
from cases.graphs import Builder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from runtime import BITWISE, model_of, same_bits

import rnnrt

EXAMPLES = int(os.environ.get("RNNRT_EXAMPLES", "30"))
PROPERTY = settings(
    max_examples=EXAMPLES, deadline=None, derandomize=EXAMPLES == 30, suppress_health_check=list(HealthCheck)
)

LAYER = st.one_of(
    st.tuples(st.sampled_from(["lstm", "gru", "simple_rnn"]), st.integers(1, 37)),
    st.tuples(st.just("conv"), st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 3))),
    st.tuples(st.just("dense"), st.integers(1, 20)),
    st.tuples(st.just("residual"), st.just(0)),
)
MODELS = st.fixed_dictionaries(
    {
        "features": st.integers(1, 19),
        "layers": st.lists(LAYER, min_size=1, max_size=4).map(tuple),
        "masked": st.booleans(),
        "collapse": st.booleans(),
        "calls": st.booleans(),
        "table": st.sampled_from(BITWISE),
    }
)


@lru_cache(maxsize=64)
def _build(features: int, layers: tuple, masked: bool, collapse: bool, calls: bool, table: str):
    b = Builder("calls" if calls else "sequence")
    x = b.input("x", None, features)
    mask = b.add("masking", "mask", x)[0] if masked else None
    t, width = x, features
    for k, (kind, size) in enumerate(layers):
        if kind == "dense":
            (t,) = b.add("dense", f"l{k}", t, units=size)
            width = size
        elif kind == "conv":
            if calls:
                continue
            filters, kernel, dilation = size
            options = {"kernel_size": [kernel], "strides": [1], "dilation_rate": [dilation], "padding": "causal"}
            (t,) = b.add("conv", f"l{k}", t, channels=width, filters=filters, **options)
            width = filters
        elif kind == "residual":
            (u,) = b.add("simple_rnn", f"l{k}", t, units=width, return_sequences=True)
            (t,) = b.add("add", f"sum{k}", t, u)
        else:
            options = {"stateful": k % 2 == 0} if calls else {}
            (t,) = b.add(kind, f"l{k}", t, units=size, return_sequences=True, mask=mask, **options)
            width = size
    outputs = [t]
    if collapse:
        outputs += b.add("lstm", "last", t, units=3, stateful=calls, mask=mask)
    if t == x:
        outputs[0] = b.add("dense", "only", t, units=2)[0]
    return model_of(*b.done(*outputs), table)


def build(options: dict):
    return _build(**options)


def data(model, rng: np.random.Generator, *shape: int) -> np.ndarray:
    x = rng.standard_normal((*shape, model.inputs[0].shape[-1])).astype("float32")
    x[rng.random(shape) < 0.15] = 0  # steps that a mask leaves out
    return x


def flat(y) -> list[np.ndarray]:
    return y if isinstance(y, list) else [y]


@given(MODELS, st.integers(0, 2**32 - 1), st.integers(1, 7))
@PROPERTY
def test_sessions_do_not_depend_on_cuts_rows_or_snapshots(options, seed, batch):
    model, rng = build({**options, "calls": False}), np.random.default_rng(seed)
    steps = int(rng.integers(1, 120))
    x = data(model, rng, batch, steps)
    want, session, at = flat(model.predict(x)), model.session(batch_size=batch), 0
    pieces = []
    while at < steps:
        act = rng.integers(0, 6)
        if act == 0:
            session = session.fork()
        elif act == 1:
            session = model.session(state=session.to_bytes())
        elif act == 2:
            other = model.session(batch_size=batch)
            other.set_state(session.get_state())
            session = other
        n = int(min(steps - at, rng.choice([1, 1, 2, 9, 50])))
        if n == 1 and rng.random() < 0.7:
            y = flat(session.step(x[:, at]))
            pieces.append(y[0][:, None])
        else:
            y = flat(session.run(x[:, at : at + n]))
            pieces.append(y[0])
        at += n
    assert same_bits(np.concatenate(pieces, axis=1), want[0])
    assert all(same_bits(a, b) for a, b in zip(y[1:], want[1:]))


@given(MODELS, st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 5, 64]))
@PROPERTY
def test_pools_give_the_bits_of_single_sessions(options, seed, max_batch):
    """Any interleaving of steps, chunks, opens, closes, forks, snapshots, resets and errors."""
    model, rng = build(options), np.random.default_rng(seed)
    pool, alone = model.pool(max_batch=max_batch), {}
    for round in range(int(rng.integers(5, 25))):
        act = rng.choice(["step", "step", "step", "run", "close", "fork", "put", "reset", "state", "bad"])
        who = [int(i) for i in rng.permutation(12)[: rng.integers(1, 12)]]
        known = [i for i in who if i in alone]
        if act in ("step", "run", "bad"):
            chunks = {i: data(model, rng, int(rng.integers(1, 30)) if act == "run" else 1) for i in who}
            given_ = chunks if act == "run" else {i: c[0] for i, c in chunks.items()}
            spoiled = set(who[::3]) if act == "bad" else set()
            given_ = {i: np.zeros(50, "f4") if i in spoiled else x for i, x in given_.items()}
            call = pool.run if act == "run" else pool.step
            got = call(given_, return_exceptions=True)
            for i in who:
                if i in spoiled:
                    assert isinstance(got[i], rnnrt.ShapeError)
                    continue
                if i not in alone:
                    alone[i] = model.session()
                s = alone[i]
                want = flat(s.run(chunks[i][None]) if act == "run" else s.step(chunks[i]))
                assert all(same_bits(a, b[0]) for a, b in zip(flat(got[i]), want)), (round, act, i)
        for i in known if act not in ("step", "run", "bad") else ():
            if act == "close":
                pool.close(i)
                del alone[i]
            elif act == "fork":
                new = int(rng.integers(12, 20))
                if new not in alone:
                    pool.fork(i, new)
                    alone[new] = alone[i].fork()
            elif act == "put":
                pool.put(i, alone[i].to_bytes())
            elif act == "reset":
                pool.reset(i)
                alone[i].reset()
            else:
                pool.set_state(i, {k: v[0] for k, v in alone[i].get_state().items()})
        assert set(pool) == set(alone)
    for i, s in alone.items():
        assert pool.to_bytes(i) == s.to_bytes()


@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 300]))
@settings(PROPERTY, max_examples=max(5, EXAMPLES // 5))
def test_submitted_steps_are_those_of_single_sessions(seed, window_us):
    rng = np.random.default_rng(seed)
    model = _build(4, (("lstm", 9), ("dense", 3)), True, False, False, BITWISE[0])
    pool, x = model.pool(max_batch=int(rng.integers(1, 9)), window_us=window_us), data(model, rng, 8, 20)
    want, at, futures = model.predict(x), [0] * 8, []
    for _ in range(120):
        i = int(rng.integers(0, 8))
        if at[i] < 20:
            futures.append((i, at[i], pool.submit(i, x[i, at[i]])))
            at[i] += 1
        if rng.random() < 0.05:
            futures[int(rng.integers(0, len(futures)))][2].result()
    assert all(same_bits(f.result(), want[i, t]) for i, t, f in futures)
