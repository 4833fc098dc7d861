"""Rows of an embedding are projected when they are first read, by whichever thread comes first."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest
from cases.graphs import Builder
from runtime import model_of

THREADS = 6


def _graph(cell: str):
    b = Builder()
    (e,) = b.add("embedding", "table", b.input("ids", None, dtype="int32"), input_dim=300, output_dim=24)
    (h,) = b.add(cell, "cell", e, units=33)
    return b.done(h)


@pytest.mark.parametrize("cell", ["lstm", "gru", "simple_rnn"])
def test_threads_that_read_the_same_rows_first(cell):
    graph, weights = _graph(cell)
    rng = np.random.default_rng(0)
    ids = [rng.integers(0, 300, (3, 40)).astype("int32") for _ in range(THREADS)]
    one = model_of(graph, weights)
    want = [one.predict(x) for x in ids]
    for _ in range(20):
        model, got = model_of(graph, weights), [None] * THREADS
        gate = threading.Barrier(THREADS)

        def answer(k, model=model, got=got, gate=gate):
            gate.wait()
            got[k] = [model.predict(ids[(k + n) % THREADS]) for n in range(THREADS)]

        threads = [threading.Thread(target=answer, args=(k,)) for k in range(THREADS)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        for k in range(THREADS):
            for n in range(THREADS):
                np.testing.assert_array_equal(got[k][n], want[(k + n) % THREADS])


def test_a_forked_child_makes_the_rows_that_its_parent_has_not():
    graph, weights = _graph("lstm")
    model, x = model_of(graph, weights), np.arange(300, dtype="int32").reshape(3, 100)
    model.predict(x[:1])
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, model.predict(x).tobytes())
        os._exit(0)
    os.close(write)
    with open(read, "rb") as f:
        got = f.read()
    assert os.waitpid(pid, 0)[1] == 0
    assert got == model.predict(x).tobytes()
