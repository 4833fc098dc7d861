"""Peers against us: agree first, then take turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from ..errors import RnnrtError
from ..nested import leaves
from .peers import Peer, open_peer
from .timing import in_turns, inputs, of_one_step

__all__ = ["compare"]

LIMIT = 2e-4  # a peer whose answers are further from ours than this computes something else, and is not timed


def compare(
    model: Any, source: str | None, names: list[str], batches: list[int], steps: int, seconds: float
) -> list[dict[str, Any]]:
    """For each peer ``peer``, ``version`` and ``calls``, or ``refused``.

    A call has ``call``, ``batch``, ``steps``, ``p50`` (seconds), ``ratio`` and ``error``, or ``refused``.
    ratio: median over rounds of the peer's time over ours in the same round; above 1, we are faster. error: largest
    difference of the answers, relative to max(1, |ours|).
    """
    rows: list[dict[str, Any]] = []
    peers: list[Peer] = []
    for name in names:
        try:
            peers.append(open_peer(name, model, source))
            rows.append({"peer": name, "version": peers[-1].version, "calls": []})
        except RnnrtError as e:
            rows.append({"peer": name, "refused": str(e)})
        except Exception as e:  # a peer's own failure is its row, not our end
            rows.append({"peer": name, "refused": f"{type(e).__name__}: {e}".splitlines()[0]})
    found = {r["peer"]: r for r in rows}
    if model.plan.streams:
        x = inputs(model, 1, 1)
        steppers = {p.name: p.stepper(x) for p in peers if p.stepper}
        _race(found, _our_step(model, x), steppers, {"call": "step", "batch": 1, "steps": 1}, seconds)
    for batch in batches:
        x = inputs(model, batch, steps)
        ours = partial(model.predict, x[0] if len(x) == 1 else x)
        calls = {p.name: partial(p.predict, x) for p in peers}
        _race(found, ours, calls, {"call": "predict", "batch": batch, "steps": steps}, seconds)
    return rows


def _our_step(model: Any, arrays: list[np.ndarray]) -> Callable[[], Any]:
    """As a service calls it: one step, a fresh output."""
    session = model.session()
    feed = of_one_step(model, arrays)
    return lambda: session.step(feed)


def _race(
    rows: dict[str, dict[str, Any]],
    ours: Callable[[], Any],
    theirs: Mapping[str, Callable[[], Any]],
    what: dict[str, Any],
    seconds: float,
) -> None:
    """Time those that agree with us, turn by turn."""
    errors: dict[str, float] = {}
    want = [np.array(y) for y in leaves(ours())]
    for name, call in theirs.items():
        try:
            errors[name] = _error(want, [np.asarray(y) for y in leaves(call())])
        except Exception as e:
            rows[name]["calls"].append({**what, "refused": f"{type(e).__name__}: {e}".splitlines()[0]})
    for name in [n for n, e in errors.items() if not e <= LIMIT]:
        rows[name]["calls"].append({**what, "refused": f"its answer differs by {errors.pop(name):.2g}"})
    if not errors:
        return
    times = in_turns({"rnnrt": ours, **{n: theirs[n] for n in errors}}, seconds)
    base = np.array(times.pop("rnnrt"))
    for name, t in times.items():
        rows[name]["calls"].append(
            {**what, "p50": float(np.median(t)), "ratio": float(np.median(np.array(t) / base)), "error": errors[name]}
        )


def _error(want: list[np.ndarray], got: list[np.ndarray]) -> float:
    """Largest relative difference; infinite where shapes disagree (a step may keep its time axis)."""
    if len(want) != len(got):
        return np.inf
    worst = 0.0
    for a, b in zip(want, got):
        if a.size != b.size:
            return np.inf
        worst = max(worst, float(np.max(np.abs(a.ravel() - b.ravel()) / np.maximum(1, np.abs(a.ravel())), initial=0)))
    return worst
