"""The general way of a pool's calls: chunks of different lengths, several inputs, any structure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..native import _native as native
from ..nested import nest
from ..structure import flatten_inputs, place_of

if TYPE_CHECKING:
    from .pool import Pool

__all__ = ["advance_chunks"]


@dataclass
class _Job:
    """One stream's part of a call."""

    key: Any
    arrays: list  # by input: (1, T, ...), or None for state inputs
    lengths: dict[str, int]
    row: int = -1
    fresh: bool = False
    before: np.ndarray | None = None  # its state row when the call began
    error: BaseException | None = None

    @property
    def kind(self) -> tuple:
        """What jobs of one batch share."""
        return tuple(a.dtype if a is not None else None for a in self.arrays), tuple(sorted(self.lengths.items()))


def _prepare(pool: Pool, key: Any, x: Any, step: bool) -> _Job:
    """Check one stream's input; ShapeError where it does not fit."""
    from ..calls import bind_inputs

    model = pool.model
    infos = model.plan.input_info
    wanted = pool._data
    flat = flatten_inputs(model.graph.input_structure, x, [i.name for i in infos], wanted)
    for k in wanted:
        flat[k] = _batched(flat[k])
    arrays, lengths = bind_inputs(model, flat, wanted, step, True)
    return _Job(key, arrays, lengths)


def _batched(x: Any) -> Any:
    if place_of(x):
        return x  # refused by its place, with the input's name
    return x[None] if isinstance(x, np.ndarray) else [x]


def _run(pool: Pool, jobs: list[_Job], arrays: list[list], lengths: dict[str, int]) -> list[np.ndarray]:
    """One batch; jobs that fail get their error. arrays: by job, by input."""
    from ..calls import make_outputs

    plan = pool.model.plan
    lengths = {**lengths, "B": len(jobs)}
    ins = []
    for k, info in enumerate(plan.input_info):
        if info.role == "state":  # lies in the rows
            ins.append(np.zeros(info.sizes(lengths), info.dtype))
        else:
            ins.append(
                np.concatenate([a[k] for a in arrays]) if len(arrays) > 1 else np.ascontiguousarray(arrays[0][k])
            )
    outs, _, _ = make_outputs(pool.model, lengths, False, None)
    rows = np.array([j.row for j in jobs], np.int64)
    for i, e in pool.run_rows(rows, ins, [lengths[s] for s in plan.symbols], outs).items():
        jobs[i].error = e
    return outs


def _batches(pool: Pool, jobs: list[_Job]) -> list[list[_Job]]:
    """Jobs of one kind, in batches of at most max_batch."""
    groups: dict[tuple, list[_Job]] = {}
    for j in jobs:
        groups.setdefault(j.kind, []).append(j)
    return [g[i : i + pool.max_batch] for g in groups.values() for i in range(0, len(g), pool.max_batch)]


def _stairs(pool: Pool, jobs: list[_Job], time: str, pieces: dict[Any, list]) -> None:
    """Chunks of different lengths, cut where one of them ends: what goes on shares its batches.

    Only for *sequence* models, whose numbers do not depend on cuts. An error takes its stream back to the begin.
    """
    at = 0
    for end in sorted({j.lengths[time] for j in jobs}):
        live = [j for j in jobs if j.lengths[time] >= end and j.error is None]
        if live:
            cut = [[a if a is None else a[:, at:end] for a in j.arrays] for j in live]
            outs = _run(pool, live, cut, {**live[0].lengths, time: end - at})
            for i, j in enumerate(live):
                if j.error is None:
                    pieces.setdefault(j.key, []).append([y[i] for y in outs])
        at = end
    _take_back(pool, [j for j in jobs if j.error is not None])


def _take_back(pool: Pool, jobs: list[_Job]) -> None:
    """Streams to where they were when the call began."""
    if jobs:
        rows = np.array([j.row for j in jobs], np.int64)
        pool.set_rows(rows, np.concatenate([j.before for j in jobs if j.before is not None]))


def _join(pool: Pool, pieces: list[list], step: bool) -> Any:
    """A stream's outputs from those of its pieces."""
    out = []
    for k, info in enumerate(pool.model.plan.output_info):
        timed = info.per_step and pieces[-1][k].ndim > 0
        if timed and len(pieces) > 1:
            y = np.concatenate([p[k] for p in pieces])
        else:
            y = pieces[-1][k]
        out.append(y[0] if step and timed else y)
    return nest(pool.model.graph.output_structure, out)


def advance_chunks(pool: Pool, keys: list, values: list, results: dict, errors: dict, step: bool) -> None:
    """Advance streams by steps or chunks; fills results and errors by id."""
    jobs: list[_Job] = []
    claimed: list[_Job] = []
    for key, x in zip(keys, values):
        try:
            jobs.append(_prepare(pool, key, x, step))
        except Exception as e:
            errors[key] = native.bare(e)
    pieces: dict[Any, list] = {}
    try:
        for j in jobs:
            try:
                j.row, j.fresh = pool.claim(j.key)
                claimed.append(j)
            except Exception as e:
                j.error = native.bare(e)
        if claimed:
            before = pool.get_rows(np.array([j.row for j in claimed], np.int64))
            for i, j in enumerate(claimed):
                j.before = before[i : i + 1]
        times = {s for i in pool.model.plan.input_info if i.timed and (s := i.symbol_of(1))}
        by_kind = _batches(pool, claimed)
        if len(times) == 1 and len(by_kind) > 1 and pool.model.session_meaning == "sequence":
            _all_stairs(pool, claimed, times.pop(), pieces)
        else:
            for batch in by_kind:
                outs = _run(pool, batch, [j.arrays for j in batch], batch[0].lengths)
                for i, j in enumerate(batch):
                    if j.error is None:
                        pieces[j.key] = [[y[i] for y in outs]]
        for j in jobs:
            if j.error is not None:
                errors[j.key] = j.error
            else:
                results[j.key] = _join(pool, pieces[j.key], step)
    except BaseException:  # an interrupt between or in batches
        _take_back(pool, [j for j in claimed if j.before is not None])
        results.clear()
        raise
    finally:
        for j in claimed:
            pool.release(j.key, j.fresh and j.key not in results)


def _all_stairs(pool: Pool, jobs: list[_Job], time: str, pieces: dict[Any, list]) -> None:
    """Streams that differ in length only walk together."""
    groups: dict[tuple, list[_Job]] = {}
    for j in jobs:
        dtypes, lengths = j.kind
        groups.setdefault((dtypes, tuple(p for p in lengths if p[0] != time)), []).append(j)
    for g in groups.values():
        g.sort(key=lambda j: -j.lengths[time])
        for i in range(0, len(g), pool.max_batch):
            _stairs(pool, g[i : i + pool.max_batch], time, pieces)
