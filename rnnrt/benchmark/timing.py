"""Timing: blocks of calls that the clock can see, and contenders that take turns."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

import numpy as np

__all__ = ["LEAST_BLOCKS", "in_turns", "inputs", "of_one_step", "timed"]

BLOCK = 20e-6  # seconds: a block of calls is this long, so that reading the clock costs below 1 %
LEAST_BLOCKS = 100  # a p99 needs a hundred blocks
_LOOKED_UP = {"embedding": "input_dim", "category_encoding": "num_tokens"}
_SAME_NUMBERS = (
    "cast",
    "expand_dims",
    "flatten",
    "fold_time",
    "permute",
    "repeat",
    "reshape",
    "slice",
    "squeeze",
    "transpose",
)
TURN = 2e-3  # seconds of one contender's turn


def inputs(model: Any, batch: int, steps: int, seed: int = 1) -> list[np.ndarray]:
    """Arrays that the model takes: normal numbers; ids of its tables but for 0, which may stand for a masked step."""
    rng = np.random.default_rng(seed)
    tables = _tables(model.graph)
    lengths = {i.fixed_steps for i in model.plan.input_info if i.timed}
    out = []
    for spec, info, given in zip(model.inputs, model.plan.input_info, model.graph.inputs):
        shape = [batch, *spec.shape[1:]]
        if info.timed and not (steps > 1 and len(lengths) > 1 and info.fixed_steps):  # each its own, as the file says
            shape[1] = steps
        shape = [8 if d is None else d for d in shape]
        if given.tensor in tables:
            high = tables[given.tensor]
            out.append(rng.integers(min(1, high - 1), high, shape).astype(spec.dtype))
        elif np.dtype(spec.dtype).kind in "iub":
            out.append(np.zeros(shape, spec.dtype))
        else:
            out.append(rng.standard_normal(shape).astype(spec.dtype))
    return out


def _tables(graph: Any) -> dict[str, int]:
    """Rows of the smallest table that a tensor's numbers are looked up in, be it in another shape or dtype."""
    tables: dict[str, int] = {}
    for node in reversed(graph.nodes):
        rows = node.attrs.get(_LOOKED_UP[node.op]) if node.op in _LOOKED_UP else None
        if rows is None and node.op in _SAME_NUMBERS:
            rows = min((tables[t] for t in node.outputs if t in tables), default=None)
        if rows is not None:
            tables[node.inputs[0]] = min(rows, tables.get(node.inputs[0], rows))
    return tables


def of_one_step(model: Any, arrays: list[np.ndarray]) -> Any:
    """What ``step`` of one stream takes, of inputs of one step: those that move without their time axis."""
    given = [(x, i) for x, i in zip(arrays, model.plan.input_info) if i.role == "data"]
    flat = [x[:, 0] if i.timed else x for x, i in given]
    return flat[0] if len(flat) == 1 else flat


def _calls_a_block(call: Callable[[], Any], least: float) -> int:
    """How many calls fill a block; caches and clocks warm up meanwhile."""
    once = math.inf
    for _ in range(5):
        start = perf_counter()
        call()
        once = min(once, perf_counter() - start)
    return max(1, math.ceil(least / max(once, 1e-9)))


def _blocks(call: Callable[[], Any], size: int, enough: Callable[[int, float], bool]) -> list[float]:
    """Seconds a call in each block of that many calls, until enough(blocks done, seconds spent)."""
    times: list[float] = []
    block = range(size)
    begin = perf_counter()
    while True:
        start = perf_counter()
        for _ in block:
            call()
        end = perf_counter()
        times.append((end - start) / size)
        if enough(len(times), end - begin):
            return times


def timed(call: Callable[[], Any], seconds: float, least: int = LEAST_BLOCKS) -> dict[str, Any]:
    """Seconds a call, over blocks of calls: ``p50``, ``p99``, ``best``, ``calls_a_block``, ``blocks``.

    A block is as many calls as fill :data:`BLOCK`, so short calls are not measured by the clock's own cost;
    the percentiles are over blocks. It runs for the given time, and longer until ``least`` blocks are
    there, but never more than five times as long.
    """
    n = _calls_a_block(call, BLOCK)
    times = _blocks(call, n, lambda done, spent: spent >= seconds and (done >= least or spent >= 5 * seconds))
    times.sort()
    return {
        "p50": times[len(times) // 2],
        "p99": times[min(len(times) - 1, math.ceil(0.99 * len(times)) - 1)],
        "best": times[0],
        "calls_a_block": n,
        "blocks": len(times),
    }


def in_turns(calls: Mapping[str, Callable[[], Any]], seconds: float) -> dict[str, list[float]]:
    """Seconds a call of each contender in each round: A B C A B C, the first call of a turn not counted.

    Load on a shared machine comes and goes, so only times of the same round are comparable; a turn's figure is the
    median of its blocks, which a stolen slice of time does not move. At least 5 rounds.
    """
    sizes = {name: _calls_a_block(call, BLOCK) for name, call in calls.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    begin = perf_counter()
    while len(next(iter(times.values()))) < 5 or perf_counter() - begin < seconds:
        for name, call in calls.items():
            call()
            times[name].append(_turn(call, sizes[name]))
    return times


def _turn(call: Callable[[], Any], size: int) -> float:
    blocks = _blocks(call, size, lambda done, spent: done >= 3 and spent >= TURN)
    return sorted(blocks)[len(blocks) // 2]
