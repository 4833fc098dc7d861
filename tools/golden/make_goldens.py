"""Writes tests/data/goldens: every case of tests/cases, built and run by the Kerases it is for.

    python tools/golden/make_goldens.py [--only NAME_PART] [--family FAMILY ...]

Needs an environment with keras >= 3, tensorflow-cpu and tf_keras; nothing else in the project does.
Each case is saved by real Keras and run twice, in float32 and in float64 from the same weights: the
float64 outputs are the goldens, their distance is Keras's own error. Seeded: a second run gives the
same numbers.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import sys
import tarfile
import tempfile
import warnings
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")  # a GPU's padded steps are another semantics
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(Path(__file__).resolve().parent)]

import numpy as np  # noqa: E402
from build import Keras  # noqa: E402
from cases import ALL, Case  # noqa: E402
from cases.golden import FOLDER, sample  # noqa: E402

# Above this Keras's two precisions do not agree on what the case means, and it is no golden.
MAX_KERAS_ERROR = 1e-3
MAX_HALF_ERROR = 0.1


def make(case: Case, version: str, folder: Path) -> float:
    """Build, save and run one case into ``folder``; Keras's worst relative error."""
    folder.mkdir(parents=True)
    keras = Keras(version, policy=case.policy)
    name = keras.save(case, folder)
    single_calls, single = Keras(version, policy=case.policy).run(case, folder)
    double_calls, _ = Keras(version, "float64").run(case, folder)
    worst, calls = 0.0, []
    for p, (coarse, fine) in enumerate(zip(single_calls, double_calls)):
        calls.append([])
        for k, (a, b) in enumerate(zip(coarse, fine)):
            assert str(a.dtype) == case.gives and b.dtype == np.float64, f"{case.name}: {a.dtype}, {b.dtype}"
            assert np.isfinite(b).all() and np.abs(b).max() < 1e3, f"output {k}: up to {np.abs(b).max():.3g}"
            assert b.size == 1 or np.ptp(b) > 0, f"output {k} is {b.flat[0]} everywhere"
            difference = np.abs(a.astype(np.float64) - b)
            worst = max(worst, float((difference / np.maximum(1, np.abs(b))).max()))
            calls[p].append({"shape": list(b.shape), "keras_error": float(difference.max())})
            np.save(folder / f"out_{p}_{k}.npy", sample(b))
    most = MAX_HALF_ERROR if "16" in case.policy + case.gives else MAX_KERAS_ERROR
    assert worst < most, f"Keras is off by {worst:.3g} of itself"
    facts = {"model": name, "single": single, "keras_version": keras.keras_version, "calls": calls}
    (folder / "facts.json").write_text(json.dumps(facts, sort_keys=True))
    return worst


def pack(folder: Path, target: Path) -> None:
    """One solid archive: the two versions of a case hold the same weights, so neighbours compress."""
    with tarfile.open(target, "w:xz", preset=9) as archive:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            data = path.read_bytes()
            info = tarfile.TarInfo(str(path.relative_to(folder)))
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--family", nargs="*", help="only these families")
    parser.add_argument("--only", default="", help="try the cases whose name has this part; writes nothing")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    for name in ("absl", "tensorflow"):
        logging.getLogger(name).setLevel(logging.ERROR)
    refused: list[str] = []
    FOLDER.mkdir(parents=True, exist_ok=True)
    for family in args.family or sorted({c.family for c in ALL}):
        with tempfile.TemporaryDirectory() as scratch:
            for case in (c for c in ALL if c.family == family and args.only in c.name):
                for version in case.versions:
                    try:
                        said = f"{make(case, version, Path(scratch) / case.name / version):.1e}"
                    except AssertionError as e:
                        said = f"REFUSED {e}"
                        refused.append(case.name)
                    print(f"{case.name:60} {version} {case.layout_for(version):10} {said}", flush=True)
            if not args.only:
                target = FOLDER / f"{family}.tar.xz"
                pack(Path(scratch), target)
                print(f"{target.name}: {target.stat().st_size / 1024:.0f} KB")
    sys.exit(f"no goldens for {', '.join(refused)}: change the case" if refused else 0)


if __name__ == "__main__":
    main()
