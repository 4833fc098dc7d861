"""Each planted bug (a left-out barrier or wait, one buffer for two) must be seen by the cases here, by every seed."""

from __future__ import annotations

import os

import numpy as np
import pytest
from kernel_models import CLUSTER, GRID, STEPS, TENSOR, Cell, Failed, Gemm, Kernels, compare, make_run

SEEDS = range(12 if os.environ.get("RNNRT_CUDA_LONG") else 3)
MUTANTS = {
    **dict.fromkeys(("GEMM_WAIT", "GEMM_BARRIER", "GEMM_STAGE"), "tiles"),
    "THIN_BARRIER": "thin",
    "PARTS_BARRIER": "cluster",
    **dict.fromkeys(("GRID_WAIT", "GRID_BARRIER", "GRID_ONE_BUFFER"), "grid"),
    **dict.fromkeys(("CLUSTER_WAIT", "CLUSTER_ONE_BUFFER"), "cluster"),
    **dict.fromkeys(("TENSOR_WAIT", "TENSOR_BARRIER", "TENSOR_ONE_BUFFER", "TENSOR_RING", "TENSOR_SUMS"), "tensor"),
}


def _product(kernels: Kernels, rows: int) -> None:
    k = 61  # more tiles than buffers, the last one where y is staged
    g = Gemm(rows, 70, k)
    rng = np.random.default_rng(0)
    x, w, y = (rng.standard_normal(n).astype(np.float32) for n in (rows * k, k * 70, rows * 70))
    assert np.abs(kernels.gemm(g, x, w, None, y) - g.reference(x, w, None, y)).max() < 2e-5


def _layer(kernels: Kernels, path: int) -> None:
    for kind in ("lstm", "gru"):
        cell = Cell(kind, 130, 3)
        run = make_run(cell, 6, 6, path=path)
        compare(cell, run, *kernels.recurrent(cell, run), 2e-6)


def _tensor(kernels: Kernels) -> None:
    cell = Cell("lstm", 60, 3)  # some blocks, and more tiles of h than the ring holds
    run = make_run(cell, 40, 4, path=TENSOR)
    compare(cell, run, *kernels.recurrent(cell, run), 2e-6)


CASES = {
    "tiles": lambda k: _product(k, 100),
    "thin": lambda k: _product(k, 7),
    "grid": lambda k: _layer(k, GRID),
    "cluster": lambda k: _layer(k, CLUSTER),
    "steps": lambda k: _layer(k, STEPS),
    "tensor": lambda k: _tensor(k),
}


def _survives(kernels: Kernels, case: str, seed: int) -> bool:
    kernels.set(seed=seed)
    try:
        CASES[case](kernels)
    except (AssertionError, Failed):
        return False
    return True


def test_every_mutant_has_a_case(kernels):
    assert set(kernels.mutants) == set(MUTANTS)


@pytest.mark.parametrize("case", CASES)
def test_without_a_bug_the_cases_pass(kernels, case):
    assert all(_survives(kernels, case, seed) for seed in SEEDS)


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_planted_bug_is_seen(kernels, mutant):
    kernels.plant(mutant)
    survivors = [seed for seed in SEEDS if _survives(kernels, MUTANTS[mutant], seed)]
    assert survivors == [], f"schedules {survivors} did not show it"
