"""The workspace that ``summary`` states against the one that the runtime allocates."""

import math

import numpy as np
import pytest
from cases.graphs import Builder
from runtime import model_of

from rnnrt.growth import growth


def _tiled(b, x):
    (h,) = b.add("lstm", "first", x, units=16, return_sequences=True)
    (h,) = b.add("dense", "middle", h, units=33)
    return b.add("gru", "last", h, units=7)


def _both_ways(b, x):
    (f,) = b.add("lstm", "forward", x, units=16, return_sequences=True)
    (r,) = b.add("lstm", "backward", x, units=16, return_sequences=True, go_backwards=True, reverse_output=True)
    (h,) = b.add("concatenate", "both", f, r, axis=2)
    return b.add("gru", "last", h, units=7)


def _attending(b, x):
    (h,) = b.add("lstm", "first", x, units=16, return_sequences=True)
    (h,) = b.add("attention", "attention", h, h, h)
    return b.add("gru", "last", h, units=7)


def _halving(b, x):
    (h,) = b.add("conv", "conv", x, channels=5, filters=8, kernel_size=(3,), strides=(2,), dilation_rate=(1,))
    return b.add("gru", "last", h, units=7)


# bytes that each step of a row takes and its pairs with others; a kept sequence of 32 values; of 16; of 8, each second
MODELS = {_tiled: (0, 0), _both_ways: (128, 0), _attending: (128 + 128 + 8, 4), _halving: (16, 0)}


def _model(make):
    b = Builder()
    return model_of(*b.done(*make(b, b.input("x", None, 5))))


@pytest.mark.parametrize("batch", [1, 3, 40])
@pytest.mark.parametrize("make", MODELS)
def test_memory_and_formula_are_what_a_call_takes(make, batch):
    formula = _model(make).growth(batch)
    first = -(-formula.start // 192) * 192
    steps = [first, first + 192, first + 1920]
    for n in (3, 7, *steps):
        model = _model(make)
        model.predict(np.zeros((batch, n, 5), "float32"))
        taken = model.device_memory()["kept"]
        assert model.memory(batch, n)["workspace"] == taken
        if n in steps:
            assert formula.at(n) == taken


@pytest.mark.parametrize("make", MODELS)
def test_what_grows_is_what_is_kept_whole(make):
    step, square = MODELS[make]
    formula = _model(make).growth(1)
    assert (formula.per_step, formula.per_square) == (step, square)
    text = _model(make).summary(batch=1, steps=100)
    assert f"Workspace, batch B = 1, T steps: {formula}" in text
    assert ("*B*T" in str(formula)) == bool(step) and ("T^2" in str(formula)) == bool(square)


def test_tiles_do_not_grow_with_the_steps():
    for batch in (1, 32):
        model = _model(_tiled)
        kept = [model.memory(batch, steps)["workspace"] for steps in (2048, 4096, 1 << 20)]
        assert len(set(kept)) == 1 and kept[0] < 1 << 20


def _thirds(b, x):
    window = {"kernel_size": (4,), "strides": (3,), "dilation_rate": (1,)}
    (h,) = b.add("conv", "conv", x, channels=5, filters=8, **window)
    return b.add("lstm", "last", h, units=7, go_backwards=True)


def _softmax_in_time(b, x):
    (h,) = b.add("lstm", "first", x, units=8, return_sequences=True)
    return b.add("softmax", "softmax", h, axes=(1,))


def _wide_beside_narrow(b, x):
    (h,) = b.add("gru", "first", x, units=257, return_sequences=True)
    (h,) = b.add("lstm", "second", h, units=1, go_backwards=True, return_sequences=True)
    return b.add("dense", "last", h, units=2)


@pytest.mark.parametrize("batch", [1, 2, 3, 40])
@pytest.mark.parametrize("make", [_thirds, _softmax_in_time, _wide_beside_narrow])
def test_the_formula_holds_where_it_says(make, batch):
    """Strides that make a fraction of a step, tiles that stay the largest for long, and lengths where that ends."""
    model = _model(make)
    formula = model.growth(batch)
    assert formula is not None and str(formula) in model.summary(batch=batch, steps=64)
    last = formula.end or 1 << 24
    for n in (formula.start, 100, 960, 13440, 49920, 50000, 199680, 960_000, 96 << 16):
        if formula.start <= n <= last:
            off = model.memory(batch, n)["workspace"] - formula.at(n)
            assert abs(off) <= (64 * len(model.plan.tensors) + 6 * formula.per_step if n % 192 else 0), (n, off)


def test_a_stride_of_three_takes_thirds_of_a_step():
    assert "*B*T/3" in str(_model(_thirds).growth(1)) and _model(_thirds).growth(3).per_step == 32


def test_a_formula_ends_where_it_does():
    """Up to 100,000 steps a tile of fixed size is larger than what grows with four bytes of a step."""
    found = growth(lambda steps: 4 * steps + max(400_000, 4 * steps), 1, 2)
    assert (found.per_step, found.constant, found.start) == (4, 400_000, 1) and 90_000 < found.end <= 100_000
    assert str(found).endswith(f"+ 4*B*T, T <= {found.end}")
    assert growth(lambda steps: 4 * max(0, steps - 4), 1, 2).constant == -16
    assert growth(lambda steps: math.isqrt(steps**3), 1, 2) is None


def test_a_length_that_the_file_gives_does_not_grow():
    b = Builder()
    model = model_of(*b.done(*b.add("dense", "dense", b.input("x", 5), units=3)))
    assert model.growth() is None
    assert "T steps" not in model.summary()


@pytest.mark.parametrize(("kernel", "steps"), [(1, 1), (2, 2), (5, 8), (64, 64)])
def test_a_summary_takes_as_many_steps_as_windows_need(kernel, steps):
    b = Builder()
    window = {"kernel_size": (kernel,), "strides": (1,), "dilation_rate": (1,), "padding": "valid"}
    (c,) = b.add("conv", "conv", b.input("x", None, 2), **window, channels=2, filters=3)
    model = model_of(*b.done(*b.add("lstm", "lstm", c, units=4)))
    assert f"batch 1, {steps} steps" in model.summary()
    assert model.memory() == model.memory(steps=steps)
