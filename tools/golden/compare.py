"""One drawn case through real Keras and through rnnrt: where the two say something else, what and by how much."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from build import Keras
from cases.case import Case, form, leaves

import rnnrt
from rnnrt.convert import build
from rnnrt.ir.passes.streamability import analyse
from rnnrt.reference import Interpreter

__all__ = ["KINDS", "Outcome", "compare"]

#: agree; differ; error: rnnrt raised; refused: loudly, by name; wild: Keras's own answer is no number, or its two
#: precisions are worlds apart; unbuildable: Keras itself cannot make, save or run the model
KINDS = ("agree", "differ", "error", "refused", "wild", "unbuildable")
_FMA = ("avx512", "avx2", "oracle")  # tables with the same bits


@dataclass(frozen=True)
class Outcome:
    """What became of a case, and why; streams: its session was compared too."""

    kind: str
    why: str = ""
    streams: bool = False


class _Differs(Exception):
    """Two answers that are not the same. excess: how often the tolerance, where it is a matter of that."""

    def __init__(self, text: str, excess: float = float("inf")) -> None:
        super().__init__(text)
        self.excess = excess


def compare(case: Case, folder: Path, dice: random.Random) -> Outcome:
    """Build, save and run a case with Keras, convert and run it here. The files stay in ``folder``."""
    version = case.versions[0]
    try:
        keras = Keras(version, policy=case.policy)
        model = keras.model(case)
        name = keras.save(case, folder, model)
        single, _ = keras.run(case, folder, model)
        exact, _ = Keras(version, "float64").run(case, folder)
    except Exception as e:
        return Outcome("unbuildable", f"{type(e).__name__}: {e}")
    flat = [y for call in exact for y in call]
    near = [s for call in single for s in call]
    errors = [_error(a, b) for a, b in zip(near, flat)]
    if any(not np.isfinite(y).all() or np.abs(y).max(initial=0) > 1e3 for y in flat if y.dtype.kind == "f"):
        if not all(_masked_out(y) for y in flat):
            return Outcome("wild", "Keras's own answer is not finite, or beyond 1,000")
    if max(errors, default=0) > (1e-3 if not case.policy or case.policy == "float64" else 0.3):
        return Outcome("wild", f"Keras's two precisions differ by {max(errors):.2g}")
    try:
        return Outcome("agree", streams=_check(case, folder / name, exact, single, dice))
    except _Differs as e:
        if e.excess < 50 and not str(e).startswith("reference") and _trembles(case, folder / name, exact[0], near):
            return Outcome("wild", "float32 weights that are off by half a digit move it by as much")
        return Outcome("differ", str(e))
    except rnnrt.UnsupportedLayerError as e:
        return Outcome("refused", str(e))
    except Exception as e:  # a crash is a finding too
        return Outcome("error", f"{type(e).__name__}: {e}")


def _trembles(case: Case, path: Path, exact: list[np.ndarray], near: list[np.ndarray]) -> bool:
    """Whether the model is ill-conditioned: weights half a float32 digit off leave the tolerance by themselves."""
    built = build(path, **_options(path))
    random_ = np.random.RandomState(1)
    worst = 0.0
    for _ in range(8):
        weights = {k: w * (1 + 2.0**-24 * random_.uniform(-1, 1, w.shape)) for k, w in built.weights.items()}
        moved = Interpreter(built.graph, weights).predict(case.pieces()[0])
        for n, e, s in zip(leaves(built.graph.output_structure), exact, near):
            bound = case.tolerance.bound(np.nan_to_num(e), _error(s, e))
            worst = max(worst, float(np.nan_to_num(np.abs(moved[n] - e) / bound).max(initial=0)))
    return worst > 0.25


def _options(path: Path) -> dict[str, Any]:
    architecture = path.parent / "architecture.json"
    return {"architecture": architecture} if architecture.exists() else {}


def _masked_out(y: np.ndarray) -> bool:
    """NaN where a mean is over nothing says something; infinite values and NaN everywhere do not."""
    return not np.isinf(y).any() and not np.isnan(y).all() and bool((np.abs(y[~np.isnan(y)]) < 1e3).all())


def _error(got: np.ndarray, want: np.ndarray) -> float:
    """The worst error, relative above 1; a NaN is equal to a NaN."""
    difference = np.abs(got.astype(np.float64) - want)
    difference[np.isnan(got.astype(np.float64)) & np.isnan(want)] = 0
    return float(np.nan_to_num(difference / np.maximum(1, np.abs(np.nan_to_num(want))), nan=np.inf).max(initial=0))


def _hold(what: str, got: list[np.ndarray], exact: list[np.ndarray], bounds: list[np.ndarray]) -> None:
    """Raise where an output has another shape, or is beyond its bound."""
    if [y.shape for y in got] != [y.shape for y in exact]:
        raise _Differs(f"{what}: shapes {[y.shape for y in got]}, Keras gives {[y.shape for y in exact]}")
    for k, (y, e, b) in enumerate(zip(got, exact, bounds)):
        y64 = y.astype(np.float64)
        off = np.abs(y64 - e) / np.maximum(np.nan_to_num(b), 1e-300)
        off[(np.isnan(y64) & np.isnan(e)) | (y64 == e)] = 0
        worst = float(np.nan_to_num(off, nan=np.inf, posinf=np.inf).max(initial=0))
        if worst > 1:
            raise _Differs(f"{what}: output {k} is off by {worst:.3g} times the tolerance", worst)


def _check(
    case: Case, path: Path, exact: list[list[np.ndarray]], single: list[list[np.ndarray]], dice: random.Random
) -> bool:
    """Whether a session of it was compared; raises _Differs."""
    options = _options(path)
    names = [i.name for i in case.inputs]
    pieces = [[*arrays] for arrays in case.pieces()]
    bounds = [
        [case.tolerance.bound(np.nan_to_num(e), _error(s, e)) for s, e in zip(*calls)] for calls in zip(single, exact)
    ]
    built = build(path, **options)
    reference = Interpreter(built.graph, built.weights)
    carries = bool(case.chunks) and built.graph.session == "calls"
    session = reference.session(case.batch) if carries else None
    order = leaves(built.graph.output_structure)
    for k, arrays in enumerate(pieces):
        flat = session.run(arrays) if session else reference.predict(arrays)
        got = [flat[n] for n in order]
        limits = [max(1e-7, case.double) * np.maximum(1, np.abs(np.nan_to_num(e))) for e in exact[k]]
        _hold(f"reference, call {k}", [np.asarray(y) for y in got], exact[k], limits)
    rnnrt.convert(path, path.parent / "m.rnnrt", **options)
    model = rnnrt.load(path.parent / "m.rnnrt")
    feeds = [form(arrays, names, case.input_form) if case.outputs else arrays[0] for arrays in pieces]
    answer = model.predict(feeds[0])
    if isinstance(answer, dict) != (case.output_form == "dict"):
        raise _Differs(f"predict gives {type(answer).__name__}")
    whole = leaves(answer)
    _hold("predict", whole, exact[0], bounds[0])
    if carries:
        stream = model.session(batch_size=case.batch)
        for k, feed in enumerate(feeds):
            _hold(f"session, call {k}", leaves(stream.run(feed)), exact[k], bounds[k])
    _tables(path.parent / "m.rnnrt", feeds[0], whole, exact[0], bounds[0], dice)
    verdict = analyse(built.graph)
    if carries or not verdict.ok:
        return carries
    _cut(case, model, verdict.marks, built.graph, whole, dice)
    return True


def _cut(case: Case, model: Any, marks: dict, graph: Any, whole: list[np.ndarray], dice: random.Random) -> None:
    """A session over random pieces, through snapshots now and then, has the bits of predict."""
    given = dict(zip((i.name for i in graph.inputs), case.pieces()[0]))
    states = [given[i.name] for i in graph.inputs if i.role == "state"]
    timed = {i.name: marks[i.tensor] == "step" for i in graph.inputs if i.role == "data"}
    lengths = {given[name].shape[1] for name, moves in timed.items() if moves}
    if len(lengths) > 1:
        return  # no session advances such inputs together
    (steps,) = lengths
    session = model.session(batch_size=case.batch, initial_state=states or None)
    at, parts = 0, []
    while at < steps:
        n = dice.randint(1, steps - at)
        piece = {name: given[name][:, at : at + n] if moves else given[name] for name, moves in timed.items()}
        parts.append(leaves(session.run(piece)))
        at += n
        if dice.random() < 0.4:
            session = model.session(state=session.to_bytes())
    for k, tensor in enumerate(graph.outputs[n] for n in leaves(graph.output_structure)):
        y = np.concatenate([p[k] for p in parts], axis=1) if marks[tensor] == "step" else parts[-1][k]
        if y.tobytes() != whole[k].tobytes():
            raise _Differs(f"output {k} of a session in {len(parts)} pieces has other bits than predict's")


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """A variable for a while."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name) if before is None else os.environ.__setitem__(name, before)


def _tables(path: Path, feed: Any, whole: list, exact: list, bounds: list, dice: random.Random) -> None:
    """One other table now and then."""
    if dice.random() > 0.3:
        return
    table = dice.choice(("avx512", "avx2", "oracle", "portable", "blas"))
    with _environment(*(("RNNRT_BLAS", "always") if table == "blas" else ("RNNRT_ISA", table))):
        got = leaves(rnnrt.load(path).predict(feed))
    _hold(f"table {table}", got, exact, bounds)
    if table in _FMA and any(a.tobytes() != b.tobytes() for a, b in zip(got, whole)):
        raise _Differs(f"table {table} has other bits")
