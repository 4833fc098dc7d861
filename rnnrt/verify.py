"""verify: does this machine run a file as its maker meant it, and did conversion understand Keras?"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .errors import FormatError
from .format.replay import draw_inputs, replay
from .loading import load
from .nested import leaves, nest

__all__ = ["VerifyReport", "verify"]

# DESIGN: error <= 1e-5 * max(1, |ref|) against Keras, or 20 times Keras's own float32 error where that is larger
_TOLERANCE = 1e-5
_SEEDS = (1, 2, 3)


@dataclass
class VerifyReport:
    """What was compared and how far apart it was; ``str(report)`` is the text to print."""

    path: str
    ok: bool
    error: float
    tolerance: float
    checks: list[dict[str, Any]] = field(default_factory=list)
    keras: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return dict(vars(self))

    def __str__(self) -> str:
        what = f"Keras {self.keras}" if self.keras else "its own proof"
        lines = [f"{self.path}: {'agrees with' if self.ok else 'DIFFERS from'} {what}"]
        for c in self.checks:
            mark = "ok  " if c["ok"] else "DIFF"
            lines.append(f"  {mark} {c['run']:<9} {c['output']}: error {c['error']:.3g} (allowed {c['tolerance']:.3g})")
        return "\n".join(lines)


def verify(path: str | os.PathLike[str], keras: str | os.PathLike[str] | None = None) -> VerifyReport:
    """Replay the proof of a file, or (keras=SOURCE) compare it with what Keras computes from its source.

    Raises
    ------
    FormatError
        The file cannot be read, carries no proof, or Keras is asked for and not installed.
    """
    name = os.fsdecode(os.fspath(path))
    model = load(name)
    if keras is not None:
        return _against_keras(name, model, os.fsdecode(os.fspath(keras)))
    if model.file.proof is None:
        raise FormatError(f"{name}: the file carries no proof")
    model.file.check_tables(model.plan)
    result = replay(model, model.file.proof, model.graph)
    checks = [
        {"run": r.run, "output": r.output, "error": r.error, "tolerance": r.tolerance, "ok": r.ok}
        for r in result.results
    ]
    return VerifyReport(name, result.ok, result.error, result.tolerance, checks)


def _keras_model(source: str) -> tuple[Any, str]:
    """The source as the Keras generation that wrote it reads it, and that Keras's version."""
    from .convert.detect import open_source

    with open_source(source) as s:
        old = not (s.keras_version or "").startswith("3")
    errors = []
    for module in ("tf_keras", "keras") if old else ("keras",):
        try:
            k = __import__(module)
            return k.models.load_model(source, compile=False), f"{k.__version__} ({module})"
        except ImportError as e:
            errors.append(f"{module} is not installed ({e})")
        except Exception as e:  # whatever Keras raises for a file that it cannot load
            errors.append(f"{module}: {type(e).__name__}: {str(e).splitlines()[0][:120] if str(e) else ''}")
    raise FormatError(f"{source}: Keras cannot be asked: {'; '.join(errors)}")


def _against_keras(name: str, model: Any, source: str) -> VerifyReport:
    """Predict on drawn inputs with both; Keras's own float32 error is its distance from our float64 reference."""
    from .reference import Interpreter

    oracle, version = _keras_model(source)
    reference = Interpreter(model.graph, model.file.weights)
    checks = []
    for seed in _SEEDS:
        inputs = draw_inputs(model.graph, seed, 8 + seed, 3)
        x = nest(model.graph.input_structure, inputs)
        exact = reference.predict(inputs)
        ours, theirs = leaves(model.predict(x)), leaves(oracle.predict(x, verbose=0))
        for spec, a, b, e in zip(model.outputs, ours, theirs, exact):
            allowed = max(_TOLERANCE, 20 * _distance(b, e))
            error = _distance(a, b)
            run = f"seed {seed}"
            checks.append(
                {"run": run, "output": spec.name, "error": error, "tolerance": allowed, "ok": error <= allowed}
            )
    worst = max(c["error"] for c in checks)
    return VerifyReport(name, all(c["ok"] for c in checks), worst, _TOLERANCE, checks, version)


def _distance(a: Any, b: Any) -> float:
    """Worst |a - b| / max(1, |b|); inf where the shapes differ or only one is a number."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape:
        return float("inf")
    with np.errstate(invalid="ignore"):
        error = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b) / np.maximum(1.0, np.abs(b)))
    worst = float(error.max()) if error.size else 0.0
    return float("inf") if np.isnan(worst) else worst
