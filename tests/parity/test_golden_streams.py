"""Keras's stateful outputs, when the calls go through pools, snapshots, forks and other processes' bytes.

Interleavings are drawn (hypothesis); RNNRT_EXAMPLES sets how many for each golden (6; some hundreds for the long form).
"""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from runtime import same_bits
from test_goldens import STATEFUL, _compare, _feed, _flat, _golden, _model

EXAMPLES = int(os.environ.get("RNNRT_EXAMPLES", "6"))
PROPERTY = settings(
    max_examples=EXAMPLES, deadline=None, derandomize=EXAMPLES == 6, suppress_health_check=list(HealthCheck)
)
ACTS = st.lists(st.sampled_from(["", "bytes", "state", "fork", "pool", "noise"]), min_size=8, max_size=8)


@pytest.mark.parametrize("name, version", STATEFUL, ids=[f"{n}-{v}" for n, v in STATEFUL])
def test_calls_through_anything_that_keeps_state_are_keras(name, version):
    """Between two calls a stream may move: to a fork, a snapshot, a dict of its states, a pool shared with others."""
    g, model = _golden(name, version), _model(name, version)
    pieces, batch = g.case.pieces(), g.case.batch

    @given(ACTS, st.integers(0, 2**32 - 1))
    @PROPERTY
    def moves(acts, seed):
        rng = np.random.default_rng(seed)
        session, left = model.session(batch_size=batch), None
        for piece, arrays in enumerate(pieces):
            act = acts[piece % len(acts)]
            if act == "bytes":
                session = model.session(state=session.to_bytes())
            elif act == "state":
                state, session = session.get_state(), model.session(batch_size=batch)
                session.set_state(state)
            elif act == "fork":
                left, session = session, session.fork()
                left.run(_feed(g.case, arrays))  # what the other does is its own affair
            elif act == "noise":
                model.predict(_feed(g.case, arrays))
            if act == "pool":
                session, got = _through_a_pool(g.case, model, session, arrays, rng)
            else:
                got = _flat(session.run(_feed(g.case, arrays)))
            _compare(g, piece, got)

    moves()


def _through_a_pool(case, model, session, arrays, rng):
    """A call of each row of a session as streams of a pool, among strangers: the session that goes on, the outputs."""
    batch = len(arrays[0])
    pool = model.pool(max_batch=int(rng.integers(1, 2 * batch + 1)))
    state = session.get_state()
    for row in range(batch):
        pool.open(row, state={k: v[row] for k, v in state.items()})
    chunks = {row: _feed(case, [x[row] for x in arrays]) for row in range(batch)}
    strangers = {f"stranger {k}": _feed(case, [np.roll(x[0], k + 1, axis=0) for x in arrays]) for k in range(3)}
    together = list({**chunks, **strangers}.items())
    rng.shuffle(together)
    got = pool.run(dict(together))
    outputs = [_flat(got[row]) for row in range(batch)]
    after = [pool.get_state(row) for row in range(batch)]
    moved = model.session(batch_size=batch)
    moved.set_state({k: np.stack([a[k] for a in after]) for k in state})
    alone = session.fork()
    joined = [np.stack(column) for column in zip(*outputs)]
    assert all(same_bits(a, b) for a, b in zip(joined, _flat(alone.run(_feed(case, arrays)))))
    return moved, joined
