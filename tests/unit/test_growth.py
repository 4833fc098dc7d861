"""The workspace that ``summary`` states against the one that the runtime allocates."""

import numpy as np
import pytest
from cases.graphs import Builder
from runtime import model_of


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
    growth = _model(make).growth(batch)
    first = -(-growth.start // 64) * 64
    steps = [first, first + 64, first + 640]
    for n in (3, 7, *steps):
        model = _model(make)
        model.predict(np.zeros((batch, n, 5), "float32"))
        taken = model.device_memory()["kept"]
        assert model.memory(batch, n)["workspace"] == taken
        if n in steps:
            assert growth.at(n) == taken


@pytest.mark.parametrize("make", MODELS)
def test_what_grows_is_what_is_kept_whole(make):
    step, square = MODELS[make]
    growth = _model(make).growth(1)
    assert (growth.per_step, growth.per_square) == (step, square)
    text = _model(make).summary(batch=1, steps=100)
    assert f"Workspace, batch B = 1, T steps: {growth}" in text
    assert ("*B*T" in str(growth)) == bool(step) and ("T^2" in str(growth)) == bool(square)


def test_tiles_do_not_grow_with_the_steps():
    for batch in (1, 32):
        model = _model(_tiled)
        kept = [model.memory(batch, steps)["workspace"] for steps in (2048, 4096, 1 << 20)]
        assert len(set(kept)) == 1 and kept[0] < 1 << 20


def test_a_length_that_the_file_gives_does_not_grow():
    b = Builder()
    model = model_of(*b.done(*b.add("dense", "dense", b.input("x", 5), units=3)))
    assert model.growth() is None
    assert "T steps" not in model.summary()
