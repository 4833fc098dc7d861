"""Random models, saved and run by real Keras, then converted and run by rnnrt.

    python tools/golden/differential.py [--count 200] [--first 0] [--keep FOLDER] [--policy mixed_float16]

Prints what differs and exits with the number of such models (at most 125); a seed is a model, so
``--first SEED --count 1 --keep FOLDER`` keeps one that failed. Needs both Kerases and rnnrt in one environment.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sys
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(Path(__file__).resolve().parent)]

import numpy as np  # noqa: E402
from build import Keras  # noqa: E402
from cases import chance, chance_masks  # noqa: E402
from cases.case import Case, Tolerance  # noqa: E402

import rnnrt  # noqa: E402
from rnnrt.convert import build  # noqa: E402
from rnnrt.ir.passes.streamability import analyse  # noqa: E402
from rnnrt.reference import Interpreter  # noqa: E402


def _flat(value) -> list[np.ndarray]:
    return [np.asarray(v) for v in (value if isinstance(value, (list, tuple)) else [value])]


def _worst(got: list[np.ndarray], exact: list[np.ndarray], bounds: list[np.ndarray]) -> float:
    """Error over tolerance; infinite where the number or a shape of the outputs is another."""
    if [y.shape for y in got] != [y.shape for y in exact]:
        return float("inf")
    ratios = [np.abs(y.astype(np.float64) - e) / b for y, e, b in zip(got, exact, bounds)]
    return max(float(np.nan_to_num(r, nan=np.inf).max()) for r in ratios)


#: what the last digit of an output and of Keras's arithmetic is worth, by the dtype that Keras gives
_DIGIT = {"float64": 1e-12, "float16": 2.0**-10, "bfloat16": 2.0**-7}


def under(case: Case, policy: str) -> Case:
    """The case with every layer under a dtype policy; in float64 its inputs too."""
    if not policy:
        return case
    gives = policy.removeprefix("mixed_")
    # no word for a case at which Keras's own 16 bits lose their way; and gelu's constant is a float32
    tolerance = Tolerance(max(_DIGIT[gives], 1e-7), 2.0, "a policy")
    inputs = case.inputs
    if policy == "float64":
        inputs = tuple(replace(i, dtype="float64") if i.dtype == "float32" and not i.ids else i for i in inputs)
    return replace(case, policy=policy, gives=gives, tolerance=tolerance, double=_DIGIT[gives], inputs=inputs)


def try_one(case: Case, folder: Path) -> str | None:
    """What is wrong with a case, or "" for nothing; None where Keras's own answer is no finite number."""
    version = case.versions[0]
    name = Keras(version, policy=case.policy).save(case, folder)
    single = Keras(version, policy=case.policy).run(case, folder)[0][0]
    exact = Keras(version, "float64").run(case, folder)[0][0]
    if not all(np.isfinite(y).all() and np.abs(y).max() < 1e3 for y in exact):
        return None  # says nothing about us
    bounds = [case.tolerance.bound(e, float(np.abs(s.astype(np.float64) - e).max())) for s, e in zip(single, exact)]
    architecture = folder / "architecture.json"
    options = {"architecture": architecture} if architecture.exists() else {}
    arrays = case.draw_inputs()
    built = build(folder / name, **options)
    reference = Interpreter(built.graph, built.weights).predict(arrays)
    ratio = _worst(reference, exact, [max(1e-7, case.double) * np.maximum(1, np.abs(e)) for e in exact])
    if ratio > 1:
        return f"the reference is off by {ratio:.3g} times {max(1e-7, case.double):.2g}"
    rnnrt.convert(folder / name, folder / "m.rnnrt", **options)
    model = rnnrt.load(folder / "m.rnnrt")
    whole = _flat(model.predict(arrays[0]))
    ratio = _worst(whole, exact, bounds)
    if ratio > 1:
        return f"predict is off by {ratio:.3g} times the tolerance"
    verdict = analyse(built.graph)
    if verdict.ok:
        session = model.session(batch_size=case.batch)
        pieces = [_flat(session.run(arrays[0][:, k : k + 2])) for k in range(0, arrays[0].shape[1], 2)]
        marks = [verdict.marks[t] for t in built.graph.outputs]
        joined = [
            np.concatenate([p[k] for p in pieces], axis=1) if m == "step" else pieces[-1][k]
            for k, m in enumerate(marks)
        ]
        if any((a != b).any() for a, b in zip(joined, whole)):
            return "a session's bits differ from predict's"
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--keep", help="keep the files of models that differ in this folder")
    parser.add_argument("--masks", action="store_true", help="models with masks, wrappers and joined branches")
    parser.add_argument("--policy", default="", help="the dtype policy of every layer, as Keras names it")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    for name in ("absl", "tensorflow"):
        logging.getLogger(name).setLevel(logging.ERROR)
    bad = wild = 0
    for seed in range(args.first, args.first + args.count):
        draw = chance_masks.draw if args.masks else chance.draw
        case = under(draw(seed), args.policy)
        with tempfile.TemporaryDirectory() as scratch:
            try:
                wrong = try_one(case, Path(scratch))
            except Exception as e:  # a crash is a finding too
                wrong = f"{type(e).__name__}: {e}"
            wild += wrong is None
            if wrong:
                bad += 1
                print(f"seed {seed} {case.versions[0]} {case.layout}: {wrong}", flush=True)
                print("   ", [(v.class_name, dict(v.config)) for v in case.layers], flush=True)
                if args.keep:
                    shutil.copytree(scratch, Path(args.keep) / str(seed), dirs_exist_ok=True)
    print(f"{args.count - bad - wild} of {args.count} models agree, {bad} differ, {wild} overflow in Keras")
    sys.exit(min(bad, 125))


if __name__ == "__main__":
    main()
