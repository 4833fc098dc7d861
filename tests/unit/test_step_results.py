"""A step's result is the caller's alone, though its array may be given again once nobody has it."""

from __future__ import annotations

import copy
import gc
import weakref

import numpy as np
import pytest
from cases.graphs import Builder
from runtime import model_of, same_bits

X = np.random.default_rng(3).standard_normal((40, 2, 3)).astype("f4")


@pytest.fixture
def model():
    b = Builder()
    x = b.input("x", None, 3)
    (h,) = b.add("lstm", "lstm", x, units=5, return_sequences=True)
    return model_of(*b.done(*b.add("dense", "dense", h, units=4)))


@pytest.fixture
def want(model):
    return np.moveaxis(model.predict(np.ascontiguousarray(np.moveaxis(X, 0, 1))), 1, 0)


WAYS = {
    "array": lambda y: y,
    "view": lambda y: y[0],
    "transposed": lambda y: y.T,
    "memoryview": memoryview,
    "dlpack": np.from_dlpack,
    "in a list": lambda y: [y],
    "shallow copy": lambda y: copy.copy([y]),
}


def _array(kept):
    return np.asarray(kept[0] if isinstance(kept, list) else kept)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("every", [1, 2, 3])
def test_what_a_caller_keeps_does_not_change(model, want, way, every):
    """Keeping each result, or each second or third of them, in any form."""
    session = model.session(2)
    kept = {}
    for t, x in enumerate(X):
        y = session.step(x)
        if t % every == 0:
            kept[t] = WAYS[way](y)
    first = {"view": lambda a: a[0], "transposed": lambda a: a.T}.get(way, lambda a: a)
    assert all(np.array_equal(_array(k), first(want[t])) for t, k in kept.items())


def test_results_have_no_owner_but_the_caller(model, want):
    session = model.session(2)
    for t, x in enumerate(X):
        y = session.step(x)
        assert y.base is None and y.flags.owndata and y.flags.writeable and same_bits(y, np.ascontiguousarray(want[t]))
        y[...] = np.nan  # nothing of it comes back


@pytest.mark.filterwarnings("ignore:Setting the (shape|dtype) on a NumPy array has been deprecated:DeprecationWarning")
def test_a_result_that_was_altered_is_not_given_again(model, want):
    session = model.session(2)
    for t, x in enumerate(X):
        y = session.step(x)
        assert same_bits(y, np.ascontiguousarray(want[t]))
        if t % 4 == 0:
            y.flags.writeable = False
        elif t % 4 == 1:
            y.shape = (8,)
        elif t % 4 == 2:
            y.dtype = np.int32


def test_weak_references_die_with_their_result(model):
    session = model.session(2)
    died = []
    for x in X[:6]:
        y = session.step(x)
        died.append(weakref.ref(y))
        before = y.copy()
        del y
        session.step(x)
        again = died[-1]()
        assert again is None or same_bits(again, before)
        del again
    del session
    gc.collect()
    assert all(r() is None for r in died)


def test_sessions_do_not_share_results(model, want):
    one, two = model.session(2), model.session(2)
    for t, x in enumerate(X):
        a, b = one.step(x), two.step(x)
        assert a is not b and same_bits(a, b) and same_bits(a, np.ascontiguousarray(want[t]))
    fork = one.fork()
    assert fork.step(X[0]) is not one.step(X[0])


def test_a_failed_step_leaves_results_alone(model, want):
    b = Builder()
    (e,) = b.add("embedding", "table", b.input("ids", None, dtype="int32"), input_dim=5, output_dim=3)
    words = model_of(*b.done(*b.add("gru", "gru", e, units=3, return_sequences=True)))
    session = words.session()
    y = session.step(np.array([1], "i4"))
    before = y.copy()
    for _ in range(3):
        with pytest.raises(ValueError, match="outside"):
            session.step(np.array([7], "i4"))
        assert same_bits(y, before)
