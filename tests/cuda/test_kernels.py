"""Products and recurrent layers over the emulation, against float64; shapes cross the edges of tiles.

``RNNRT_CUDA_LONG=1`` runs every combination (some minutes); otherwise a choice of them.
"""

from __future__ import annotations

import os

import numpy as np
import pytest
from kernel_models import (
    CLUSTER,
    FFMA,
    FP32,
    GRID,
    STEPS,
    TENSOR,
    TF32,
    Cell,
    Failed,
    Gemm,
    Kernels,
    compare,
    make_run,
)

from rnnrt.ir.activations import ACTIVATIONS, Activation

LONG = bool(os.environ.get("RNNRT_CUDA_LONG"))
FORMS = [("simple_rnn", False), ("lstm", False), ("gru", True), ("gru", False)]
LIMIT = 2e-6  # of states and outputs around 1, after few steps
PRODUCT = 2e-6  # times the root of k: sums of k products of normal numbers, in float32


def _product(kernels: Kernels, g: Gemm, limit: float, *, bias: bool = True, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    size = lambda at, *spans: at + sum(spans) + 1  # noqa: E731
    outer = (g.rows - 1) // g.inner
    inner = min(g.rows, g.inner) - 1
    lines, width = (g.n, g.k) if g.transposed else (g.k, g.n)
    x = rng.standard_normal(
        size(g.x_at, outer * max(g.x_outer, 0), inner * g.x_inner, g.k, (g.batches - 1) * g.x_batch)
    )
    w = rng.standard_normal(size(0, max(lines - 1, 0) * g.w_stride, width, (g.batches - 1) * g.w_batch))
    y = rng.standard_normal(
        size(g.y_at, outer * max(g.y_outer, 0), inner * g.y_inner, g.n, (g.batches - 1) * g.y_batch)
    )
    x, w, y = (a.astype(np.float32) for a in (x, w, y))
    b = rng.standard_normal(g.n).astype(np.float32) if bias else None
    got, want = kernels.gemm(g, x, w, b, y), g.reference(x, w, b, y)
    scale = max(1.0, np.sqrt(g.k))
    assert np.abs(got - want).max() <= limit * scale, f"error {np.abs(got - want).max():.3g}"


SIZES = [(1, 33, 17), (2, 5, 3), (3, 64, 40), (8, 70, 50), (9, 65, 16), (15, 20, 33), (16, 64, 48), (33, 70, 35)]
SIZES += [(40, 130, 20), (130, 66, 19)]


@pytest.mark.parametrize("math", [FP32, FFMA, TF32])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("rows", "n", "k"), SIZES)
def test_products(kernels, rows, n, k, transposed, math):
    limit = 2e-3 if math == TF32 and rows >= 16 else PRODUCT
    _product(kernels, Gemm(rows, n, k, transposed=transposed, math=math), limit)


def test_large_tiles(kernels):
    kernels.set(sms=2)  # few multiprocessors: blocks of 128 rows are enough for them
    for transposed in (False, True):
        for math in (FP32, FFMA):
            _product(kernels, Gemm(200, 70, 40, transposed=transposed, math=math), PRODUCT)


def test_products_before_tensor_cores(kernels):
    kernels.set(arch=75)
    _product(kernels, Gemm(40, 70, 33, math=TF32), PRODUCT)


@pytest.mark.parametrize("rows", [6, 35])
def test_rows_in_two_levels_and_backwards(kernels, rows):
    # (time, batch) order over an array of (batch, time, 12), the last step first
    steps, batch, k = -(-rows // 5), 5, 12
    g = Gemm(
        rows, 30, k, inner=batch, x_outer=-k, x_inner=steps * k, x_at=(steps - 1) * k, y_outer=batch * 32, y_inner=32
    )
    rng = np.random.default_rng(3)
    x = rng.standard_normal(batch * steps * k).astype(np.float32)
    w = rng.standard_normal(k * 30).astype(np.float32)
    y = rng.standard_normal((rows // batch + 1) * batch * 32).astype(np.float32)
    got, want = kernels.gemm(g, x, w, None, y), g.reference(x, w, None, y)
    assert np.abs(got - want).max() <= 4e-6
    gaps = np.arange(y.size) % 32 >= 30
    assert np.array_equal(got[gaps], y[gaps])  # between the rows nothing is written


@pytest.mark.parametrize("rows", [4, 40])
def test_windows_batches_and_sums_onto_y(kernels, rows):
    # overlapping windows (a convolution), several products, y added to
    g = Gemm(rows, 21, 12, x_inner=8, batches=3, x_batch=500, w_batch=12 * 21, y_batch=rows * 21, accumulate=True)
    _product(kernels, g, PRODUCT, bias=False)
    g = Gemm(rows, 21, 10, x_inner=10, w_stride=40, transposed=True, batches=2, x_batch=400, w_batch=10, y_batch=840)
    _product(kernels, g, PRODUCT)


def test_no_inputs_and_functions(kernels):
    for rows in (3, 20):
        _product(kernels, Gemm(rows, 10, 0), PRODUCT)
        for name in ("relu", "sigmoid", "gelu", "leaky_relu"):
            _product(kernels, Gemm(rows, 10, 7, activation=Activation(name)), PRODUCT)


def test_products_of_infinite_and_nan_rows_stay_in_their_rows(kernels):
    x = np.ones((20, 8), np.float32)
    x[3, 2], x[7, 1] = np.inf, np.nan
    w, y = np.ones((8, 12), np.float32), np.zeros(240, np.float32)
    got = kernels.gemm(Gemm(20, 12, 8), x.ravel(), w.ravel(), None, y).reshape(20, 12)
    odd = ~np.isfinite(got).all(1)
    assert odd.tolist() == [i in (3, 7) for i in range(20)]
    assert np.array_equal(got[~odd], np.full((18, 12), 8.0, np.float32))


def _layer(kernels: Kernels, cell: Cell, batch: int, steps: int, limit: float = LIMIT, **options: object) -> None:
    run = make_run(cell, batch, steps, **options)  # type: ignore[arg-type]
    compare(cell, run, *kernels.recurrent(cell, run), limit)


PATHS = [STEPS, GRID, CLUSTER]
UNITS = [1, 20, 33, 70, 130, *([200, 256, 300] if LONG else [])]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("units", UNITS)
@pytest.mark.parametrize(("kind", "reset_after"), FORMS)
def test_layers(kernels, kind, reset_after, units, path):
    cell = Cell(kind, units, 3, reset_after=reset_after, seed=units)
    if path == CLUSTER and units > 256:
        with pytest.raises(Failed):  # more weights than eight blocks have registers for
            _layer(kernels, cell, 1, 1, path=path)
        return
    if path == GRID and units > 200:
        kernels.set(sms=64)
    _layer(kernels, cell, 3, 4, path=path)
    _layer(kernels, cell, 6, 3, path=path, masked=True, reverse_in=True)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("kind", "reset_after"), FORMS)
def test_options(kernels, kind, reset_after, path):
    cell = Cell(kind, 20, 5, reset_after=reset_after, use_bias=False)
    for options in (
        {"masked": True, "zero_masked": True},
        {"masked": True, "sequences": False},
        {"masked": True, "sequences": False, "zero_masked": True},
        {"masked": True, "states": False, "reverse_in": True, "reverse_out": True},
        {"sequences": False, "reverse_in": True},
        {"reverse_out": True, "math": FFMA},
    ):
        _layer(kernels, cell, 3, 5, path=path, **options)
    _layer(kernels, cell, 1, 1, path=path)


@pytest.mark.parametrize("units", [1, 33, 70])
@pytest.mark.parametrize(("kind", "reset_after"), FORMS)
def test_layers_by_tensor_cores(kernels, kind, reset_after, units):
    """Units that fill no block, rows that fill no tile, masks, backwards; one pass is less exact."""
    cell = Cell(kind, units, 3, reset_after=reset_after, seed=units)
    if kind == "simple_rnn" or (kind == "gru" and not reset_after):
        with pytest.raises(Failed):
            _layer(kernels, cell, 16, 1, path=TENSOR)
        return
    _layer(kernels, cell, 35, 3, path=TENSOR, masked=True, reverse_in=True)
    _layer(kernels, cell, 5, 2, path=TENSOR, masked=True, zero_masked=True, sequences=False, reverse_out=True)
    if units == 33:
        kernels.set(sms=5)  # tiles of more rows, and launches after one another
        _layer(kernels, cell, 150, 2, path=TENSOR)
        _layer(kernels, cell, 40, 2, limit=5e-3, path=TENSOR, math=TF32)
        with pytest.raises(AssertionError):
            _layer(kernels, cell, 40, 2, path=TENSOR, math=TF32)
    kernels.set(arch=75)
    with pytest.raises(Failed):
        _layer(kernels, cell, 16, 1, path=TENSOR)


def test_rooms_for_clusters(kernels):
    """A device that is shared may have none; then a grid does, or steps do."""
    cell = Cell("lstm", 60, 3)
    kernels.set(sms=3)
    with pytest.raises(Failed):
        _layer(kernels, Cell("lstm", 130, 3), 2, 2, path=CLUSTER)
    _layer(kernels, cell, 3, 3, path=0)


@pytest.mark.parametrize("path", [*PATHS, TENSOR])
def test_many_rows_take_several_tiles_and_launches(kernels, path):
    kernels.set(sms=4)
    _layer(kernels, Cell("lstm", 40, 4), 70, 2, path=path, masked=True)


def test_hard_functions_in_teams(kernels):
    for name in ("hard_sigmoid_k2", "hard_sigmoid_k3", "relu", "linear", "hard_tanh"):
        cell = Cell("lstm", 20, 3, activation=Activation("linear"), recurrent_activation=Activation(name))
        _layer(kernels, cell, 2, 3, path=CLUSTER)
        _layer(kernels, Cell("gru", 20, 3, activation=Activation(name)), 2, 3, path=GRID)


@pytest.mark.parametrize("name", [n for n in ACTIVATIONS if n != "glu"])
def test_every_function(kernels, name):
    act = Activation(name)
    for kind, reset_after in FORMS if LONG or act.rowwise else FORMS[1:2]:
        cell = Cell(kind, 11, 3, reset_after=reset_after, activation=act)
        _layer(kernels, cell, 3, 3, limit=1e-5, path=0, masked=True)
        if kind != "simple_rnn":
            cell = Cell(kind, 11, 3, reset_after=reset_after, recurrent_activation=act)
            _layer(kernels, cell, 3, 3, limit=1e-5, path=0)


def test_the_path_is_chosen_by_device_and_size(kernels):
    cell = Cell("lstm", 20, 3)
    assert _launches(kernels, cell, 8) == 2  # a product and a team
    kernels.set(arch=86)
    assert _launches(kernels, cell, 8) == 2
    assert _launches(kernels, Cell("lstm", 20, 3, activation=Activation("gelu")), 8) == 1 + 2 * 8
    with pytest.raises(Failed):
        _layer(kernels, cell, 2, 3, path=CLUSTER)


def _launches(kernels: Kernels, cell: Cell, steps: int) -> int:
    before = kernels.get("launches")
    _layer(kernels, cell, 2, steps, path=0, limit=1e-5)
    return kernels.get("launches") - before


@pytest.mark.parametrize("path", [*PATHS, TENSOR])
def test_the_same_bits_whatever_the_schedule(kernels, path):
    cell = Cell("gru", 70, 5, reset_after=True)
    run = make_run(cell, 5, 4, path=path)
    results = []
    for seed in range(6 if LONG else 3):
        kernels.set(seed=seed)
        results.append([a.tobytes() for a in kernels.recurrent(cell, run)])
    assert all(r == results[0] for r in results)


def test_chunks_carry_the_state(kernels):
    cell = Cell("lstm", 33, 4)
    for path in (*PATHS, TENSOR):
        whole = make_run(cell, 3, 7, path=path, masked=True)
        y, rows = kernels.recurrent(cell, whole)
        first = make_run(cell, 3, 7, path=path, masked=True)
        parts, state = [], first.rows
        for a, b in ((0, 2), (2, 3), (3, 7)):
            piece = make_run(cell, 3, b - a, path=path, masked=True)
            piece.x, piece.mask, piece.rows = whole.x[:, a:b].copy(), whole.mask[:, a:b].copy(), state
            out, state = kernels.recurrent(cell, piece)
            parts.append(out)
        assert np.abs(np.concatenate(parts, axis=1) - y).max() <= LIMIT
        assert np.abs(state - rows)[:, :-2].max() <= LIMIT


def test_no_memory_is_an_error_and_nothing_is_lost(kernels):
    cell = Cell("lstm", 20, 3)
    run = make_run(cell, 2, 3)
    for n in range(4):
        kernels.set(fail_after=n)
        with pytest.raises(Failed):
            kernels.recurrent(cell, run)
    kernels.set(fail_after=-1)
    compare(cell, run, *kernels.recurrent(cell, run), LIMIT)


@pytest.mark.parametrize("seed", range(12 if LONG else 1))
def test_random_layers(kernels, seed):
    rng = np.random.default_rng(seed)
    for _ in range(20 if LONG else 10):
        kind, reset_after = FORMS[rng.integers(4)]
        kernels.set(seed=int(rng.integers(1000)), sms=int(rng.integers(1, 20)), arch=int(rng.choice([75, 86, 90, 120])))
        cell = Cell(kind, int(rng.integers(1, 150 if LONG else 80)), int(rng.integers(1, 40)), reset_after=reset_after)
        flags = {k: bool(rng.integers(2)) for k in ("masked", "reverse_in", "reverse_out", "sequences", "zero_masked")}
        _layer(kernels, cell, int(rng.integers(1, 40)), int(rng.integers(1, 9)), limit=5e-6, path=0, **flags)
