"""The proof in the file: tensors ``rnnrt.proof/<case>/<output>`` and the metadata key ``rnnrt.proof``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import FormatError
from ..ir.dims import evaluate, symbols_of
from ..ir.graph import Graph
from .file import PROOF_PREFIX
from .proof import MAX_CASES, MAX_DRAWN, MAX_ROWS, MAX_STEPS, RUNS, Proof, ProofCase, ProofOutput, budget
from .refusals import refusal
from .strict_json import MAX_INT, dumps, loads

__all__ = ["proof_from_file", "proof_to_file"]

GENERATOR = 1  # the generator of FORMAT.md; another one would get another number
VALUE_DTYPES = ("float32", "float64", "float16", "int32", "int64", "bool")


def _fail(place: str, text: str) -> FormatError:
    return refusal("F28", place, text)


def _int(value: Any, place: str, low: int, high: int = MAX_INT - 1) -> int:
    if type(value) is not int or not low <= value <= high:
        raise _fail(place, f"expected an integer from {low} to {high}, got {value!r:.60}")
    return value


def _list(value: Any, place: str) -> list:
    if not isinstance(value, list):
        raise _fail(place, f"expected a list, got {value!r:.60}")
    return value


def _keys(obj: Any, keys: tuple[str, ...], place: str) -> dict:
    if not isinstance(obj, dict) or set(obj) != set(keys):
        raise _fail(place, f"expected an object with the keys {', '.join(keys)}, got {obj!r:.80}")
    return obj


def _check(proof: Proof, graph: Graph, weights_nbytes: int) -> None:
    """Every rule of FORMAT.md for a proof; FormatError F28 and F29."""
    if len(proof.cases) > MAX_CASES:
        raise _fail("rnnrt.proof", f"{len(proof.cases)} cases, at most {MAX_CASES} are allowed")
    for i, case in enumerate(proof.cases):
        place = f"rnnrt.proof, case {i}"
        _int(case.seed, f"{place}: seed", 0)
        _int(case.batch, f"{place}: batch", 1, MAX_ROWS)
        _int(case.steps, f"{place}: steps", 1, MAX_STEPS)
        if not case.runs or [r for r in RUNS if r in case.runs] != list(case.runs):
            raise _fail(place, f"runs must be some of {', '.join(RUNS)}, in this order, got {case.runs!r}")
        for n in case.cuts:
            _int(n, f"{place}: cuts", 1, MAX_STEPS)
        if (case.runs == ("whole",)) != (not case.cuts) or (case.cuts and sum(case.cuts) != case.steps):
            raise _fail(place, f"cuts {case.cuts} must add up to {case.steps} steps, and belong to sessions only")
        if case.cuts and "whole" in case.runs:
            for spec in graph.inputs:
                shape = graph.tensors[spec.tensor].shape
                if spec.role == "data" and len(shape) > 1 and shape[1] != case.steps and isinstance(shape[1], int):
                    raise _fail(place, f"input {spec.name!r} has {shape[1]} steps, the case cuts {case.steps}")
        if len(case.outputs) != len(graph.outputs):
            raise _fail(place, f"{len(case.outputs)} outputs, the model has {len(graph.outputs)}")
        for k, out in enumerate(case.outputs):
            _check_output(case, out, graph, k, f"{place}, output {graph.output_names[k]!r}")
    if proof.nbytes > budget(weights_nbytes):
        raise refusal("F29", "rnnrt.proof", f"{proof.nbytes} bytes, at most {budget(weights_nbytes)} are allowed")


def _check_output(case: ProofCase, out: ProofOutput, graph: Graph, k: int, place: str) -> None:
    want = graph.tensors[graph.outputs[k]].shape
    for n in out.shape:
        _int(n, f"{place}: shape", 0)
    size = math.prod(out.shape)
    if len(out.shape) != len(want) or math.prod(max(n, 1) for n in out.shape) > MAX_DRAWN:
        raise _fail(place, f"shape {out.shape} does not fit, or is too large")
    if not case.frees_time:
        lengths = [evaluate(d, {s: case.batch if s == "B" else case.steps for s in symbols_of(d)}) for d in want]
        if tuple(lengths) != out.shape:
            raise _fail(place, f"expected shape {tuple(lengths)}, got {out.shape}")
    if type(out.time) is not bool or (out.time and len(out.shape) < 2):
        raise _fail(place, "time must be true or false, and true only with two axes or more")
    if type(out.tolerance) is not float or not 0 <= out.tolerance < math.inf:
        raise _fail(place, f"tolerance must be a finite float from 0, got {out.tolerance!r:.60}")
    values = out.values
    if values.ndim != 1 or values.dtype.name not in VALUE_DTYPES:
        raise _fail(place, f"values must be one axis of {', '.join(VALUE_DTYPES)}")
    if values.size > size or (values.size == 0) != (size == 0):
        raise _fail(place, f"{values.size} values of {size}")


def proof_to_file(proof: Proof, graph: Graph, weights_nbytes: int) -> tuple[dict[str, np.ndarray], str]:
    """(tensors, the text of ``rnnrt.proof``); FormatError F28, F29 for a proof that breaks the rules."""
    _check(proof, graph, weights_nbytes)
    tensors: dict[str, np.ndarray] = {}
    cases = []
    for i, c in enumerate(proof.cases):
        for k, o in enumerate(c.outputs):
            tensors[f"{PROOF_PREFIX}{i}/{k}"] = o.values
        cases.append(
            {
                "seed": c.seed,
                "batch": c.batch,
                "steps": c.steps,
                "runs": list(c.runs),
                "cuts": list(c.cuts),
                "outputs": [{"shape": list(o.shape), "tolerance": o.tolerance, "time": o.time} for o in c.outputs],
            }
        )
    return tensors, dumps({"generator": GENERATOR, "cases": cases})


def proof_from_file(text: str, tensors: Mapping[str, np.ndarray], graph: Graph, weights_nbytes: int) -> Proof:
    """The proof that ``rnnrt.proof`` and its tensors hold; FormatError F05 to F08, F28, F29."""
    top = _keys(loads(text, "rnnrt.proof"), ("generator", "cases"), "rnnrt.proof")
    _int(top["generator"], "rnnrt.proof: generator", GENERATOR, GENERATOR)
    left = dict(tensors)
    cases = []
    for i, value in enumerate(_list(top["cases"], "rnnrt.proof")):
        place = f"rnnrt.proof, case {i}"
        c = _keys(value, ("seed", "batch", "steps", "runs", "cuts", "outputs"), place)
        outputs = []
        for k, v in enumerate(_list(c["outputs"], place)):
            o = _keys(v, ("shape", "tolerance", "time"), f"{place}, output {k}")
            values = left.pop(f"{PROOF_PREFIX}{i}/{k}", None)
            if values is None:
                raise _fail(f"{PROOF_PREFIX}{i}/{k}", "the tensor is missing")
            tolerance = float(o["tolerance"]) if type(o["tolerance"]) is int else o["tolerance"]
            shape = tuple(_list(o["shape"], f"{place}, output {k}"))
            outputs.append(ProofOutput(values, shape, tolerance, o["time"]))
        runs, cuts = tuple(_list(c["runs"], place)), tuple(_list(c["cuts"], place))
        cases.append(ProofCase(c["seed"], c["batch"], c["steps"], runs, tuple(outputs), cuts))
    if left:
        raise _fail(min(left), "the tensor belongs to no case")
    proof = Proof(tuple(cases))
    _check(proof, graph, weights_nbytes)
    return proof
