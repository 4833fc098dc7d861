"""The emulation itself: what it must notice, through kernels of its own."""

from __future__ import annotations

import pytest

SUCCESS, INVALID, CONFIGURATION, FAILURE, TOO_LARGE, ILLEGAL = 0, 1, 9, 719, 720, 700


@pytest.fixture
def probe(kernels):
    """probe(name) -> CUDA's code of one experiment of tests/cuda/probes.cu; the device is healed behind it."""

    def run(name: str, argument: int = 0) -> int:
        try:
            return int(kernels.lib.rnnrt_test_probe(name.encode(), argument))
        finally:
            kernels.set(reset=1)

    return run


@pytest.mark.parametrize(
    ("name", "argument", "code"),
    [
        ("nothing", 0, SUCCESS),
        ("fresh_memory_is_nan", 0, SUCCESS),
        ("shared_memory_is_not_zero", 0, SUCCESS),
        ("barrier_in_a_branch", 0, FAILURE),  # lanes wait for lanes that have ended
        ("wait_for_a_block_that_is_not_there", 0, FAILURE),  # a grid that is not cooperative
        ("wait_for_a_block_that_is_not_there", 1, SUCCESS),  # the same, cooperative
        ("cooperative_blocks", 9, TOO_LARGE),
        ("cooperative_blocks", 8, SUCCESS),
        ("threads_of_a_block", 1025, CONFIGURATION),
        ("cluster", 3, CONFIGURATION),  # the grid is no multiple of it
        ("cluster", 4, SUCCESS),
        ("cluster", 16, SUCCESS),  # asked for as one that is not portable
        ("shared_bytes", 48 << 10, SUCCESS),
        ("shared_bytes", 228 << 10, INVALID),
        ("copy_past_the_end", 0, INVALID),
        ("late_copy_is_not_there_yet", 0, SUCCESS),
    ],
)
def test_it_notices(kernels, probe, name, argument, code):
    kernels.set(late=100)
    assert probe(name, argument) == code
    kernels.set(late=50)


def test_clusters_need_the_device(kernels, probe):
    kernels.set(arch=86)
    assert probe("cluster", 4) == CONFIGURATION


def test_a_write_past_the_end_breaks_the_device(kernels, probe):
    assert probe("write_past_the_end") == ILLEGAL


def test_orders_differ_by_seed(kernels, probe):
    orders = set()
    for seed in range(8):
        kernels.set(seed=seed)
        orders.add(probe("first_block"))
    assert len(orders) > 2
