"""Rounding to 16 bits and back, for every number that they have and those between them."""

import numpy as np
import pytest
from cases.graphs import Builder
from runtime import model_of

from rnnrt.ir.halves import as_stored, bfloat16_bits, dtype_of, round_bfloat16, widen
from rnnrt.reference import Interpreter

EVERY = np.arange(1 << 16, dtype=np.uint32).astype(np.uint16)
SMALLEST = np.float32(2.0**-126)  # below it are floats that the kernels take as zero


def _cast(dtype: str):
    b = Builder()
    x = b.input("x", None, 1)
    (half,) = b.add("cast", "half", x, dtype=dtype)
    (back,) = b.add("cast", "back", half, dtype="float32")
    return b.done(*([half, back] if dtype == "float16" else [back]))


def _between(values: np.ndarray) -> np.ndarray:
    """The values, the middles of neighbours and what lies just beside these, as float32 in one column."""
    v = np.unique(values[np.isfinite(values)].astype(np.float64))
    middles = (v[1:] + v[:-1]) / 2
    all_of_them = np.concatenate([v, middles, [0.0, -0.0, np.inf, -np.inf, np.nan]]).astype(np.float32)
    near = [np.nextafter(all_of_them, np.float32(s), dtype=np.float32) for s in (-np.inf, np.inf)]
    out = np.concatenate([all_of_them, *near])
    return out[(np.abs(out) >= SMALLEST) | (out == 0) | np.isnan(out)]


def _same(got: np.ndarray, want: np.ndarray) -> None:
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    keep = ~np.isnan(want)
    np.testing.assert_array_equal(got[keep], want[keep])
    np.testing.assert_array_equal(np.signbit(got[keep]), np.signbit(want[keep]))


def test_float16_as_numpy_rounds():
    x = _between(EVERY.view(np.float16))
    with np.errstate(over="ignore"):
        want = x.astype(np.float16)
    graph, weights = _cast("float16")
    half, back = model_of(graph, weights).predict(x[None, :, None])
    assert half.dtype == np.float16 and back.dtype == np.float32
    _same(half.reshape(-1), want)
    _same(back.reshape(-1), want.astype(np.float32))
    for y in Interpreter(graph, weights).predict([x[None, :, None]]):
        _same(y.reshape(-1).astype(np.float32), want.astype(np.float32))


def test_bfloat16_is_the_nearest():
    numbers = (EVERY.astype(np.uint32) << 16).view(np.float32)
    x = _between(numbers)
    graph, weights = _cast("bfloat16")
    got = model_of(graph, weights).predict(x[None, :, None]).reshape(-1)
    _same(got, round_bfloat16(x))
    # by the definition: no other bfloat16 number is nearer, and a tie goes to the even one
    finite = np.unique(numbers[np.isfinite(numbers)].astype(np.float64))
    keep = np.isfinite(got)
    distance = np.abs(got[keep].astype(np.float64) - x[keep])
    at = np.clip(np.searchsorted(finite, x[keep].astype(np.float64)), 1, len(finite) - 1)
    other = np.minimum(np.abs(finite[at] - x[keep]), np.abs(finite[at - 1] - x[keep]))
    assert (distance == other).all()
    tie = np.abs(finite[at] - x[keep]) == np.abs(finite[at - 1] - x[keep])
    bits = got[keep].view(np.uint32) >> 16
    assert tie.any() and (bits[tie] % 2 == 0).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_weights_as_stored_are_widened_exactly(dtype):
    x = np.random.default_rng(1).standard_normal((3, 5))
    stored = as_stored(x, dtype)
    assert dtype_of(stored) == dtype and stored.shape == x.shape and as_stored(np.float64(1), dtype).shape == ()
    wide = widen(stored)
    assert wide.dtype == (np.float64 if dtype == "float64" else np.float32)
    np.testing.assert_array_equal(as_stored(wide, dtype), stored)
    digits = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-24, "float64": 0}[dtype]
    assert (np.abs(wide - x) <= digits * 2 * np.maximum(np.abs(x), 2.0**-10)).all()


def test_bits_of_bfloat16_come_back():
    finite = EVERY[np.isfinite((EVERY.astype(np.uint32) << 16).view(np.float32))]
    np.testing.assert_array_equal(bfloat16_bits(widen(finite)), finite)
