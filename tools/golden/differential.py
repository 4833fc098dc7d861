"""Random models, saved and run by real Keras, then converted and run by rnnrt.

    python tools/golden/differential.py --keras 3 --count 200 [--first 0] [--family masks] [--keep FOLDER] [--json FILE]

Prints what was drawn, what was refused and what differs, and exits with the number of models that differ (at most
125). Family, version and seed are a model: the line of a mismatch says how to draw it again. Needs both Kerases and
rnnrt in one environment.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import random
import re
import shutil
import sys
import tempfile
import warnings
from collections import Counter, defaultdict
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(Path(__file__).resolve().parent)]

from build import Keras  # noqa: E402
from cases.case import KERAS2, KERAS3, Case, Layer  # noqa: E402
from cases.chance import FAMILIES, draw  # noqa: E402
from compare import KINDS, Outcome, compare  # noqa: E402


def classes(value: object) -> set[str]:
    """The classes of all layers in a case, inner ones too."""
    if isinstance(value, Case):
        return {name for v in value.layers for name in classes(v)}
    if isinstance(value, Layer):
        return {value.class_name, *(name for v in value.config.values() for name in classes(v))}
    return {name for v in value for name in classes(v)} if isinstance(value, list) else set()


def reason(text: str) -> str:
    """A refusal without its place, to count it with its like."""
    return re.sub(r"^[^:]*?\((\w+)\): ", r"\1: ", text)[:140]


class Tally:
    """What was drawn and what became of it."""

    def __init__(self, shown: tuple[str, ...] = ("differ", "error")) -> None:
        self.shown = shown
        self.kinds: Counter[str] = Counter()
        self.streams = 0
        self.by_class: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.refused: Counter[str] = Counter()
        self.unbuildable: Counter[str] = Counter()
        self.wrong: list[dict[str, str]] = []

    def add(self, case: Case, outcome: Outcome, again: str) -> None:
        """Count one model."""
        self.kinds[outcome.kind] += 1
        self.streams += outcome.streams
        for name in classes(case):
            self.by_class[name][outcome.kind] += 1
        if outcome.kind == "refused":
            self.refused[reason(outcome.why)] += 1
        if outcome.kind == "unbuildable":
            self.unbuildable[outcome.why[:140]] += 1
        if outcome.kind in ("differ", "error"):
            self.wrong.append({"draw": again, "layout": case.layout, "why": outcome.why})
        if outcome.kind in self.shown:
            print(f"{outcome.kind.upper()}  {again}  ({case.layout}) {outcome.why[:300]}", flush=True)
            print("   ", [v.class_name for v in case.layers], flush=True)

    def table(self) -> str:
        """The whole of it, for people."""
        lines = [f"{'class':28}" + "".join(f"{k:>12}" for k in KINDS)]
        for name in sorted(self.by_class):
            lines.append(f"{name:28}" + "".join(f"{self.by_class[name][k] or '':>12}" for k in KINDS))
        lines.append(f"{'models':28}" + "".join(f"{self.kinds[k]:>12}" for k in KINDS))
        lines.append(f"{self.streams} compared as streams too")
        for title, counts in (("refused", self.refused), ("Keras cannot", self.unbuildable)):
            lines += [f"{title}:", *(f"{n:6}  {why}" for why, n in counts.most_common(25))] if counts else []
        return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keras", choices=("2", "3"), action="append", help="only this version; both by turns")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--family", choices=tuple(FAMILIES), action="append", help="by turns; all of them by default")
    parser.add_argument("--show", choices=KINDS, action="append", default=["differ", "error"], help="a line for each")
    parser.add_argument("--keep", help="keep the files of models that differ in this folder")
    parser.add_argument("--json", help="write the table there")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    for name in ("absl", "tensorflow"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    versions = [{"2": KERAS2, "3": KERAS3}[v] for v in args.keras or ("2", "3")]
    families = args.family or list(FAMILIES)
    tally = Tally(tuple(args.show))
    for version in versions:
        Keras(version)
    gc.collect()
    gc.freeze()  # Keras collects garbage for each model: what TensorFlow holds is none
    for k in range(args.count):
        seed = args.first + k
        version, family = versions[k % len(versions)], families[k // len(versions) % len(families)]
        case = draw(seed, family, version)
        if case is None:
            continue
        again = f"--keras {version[-1]} --family {family} --first {seed} --count 1"
        with tempfile.TemporaryDirectory() as scratch:
            outcome = compare(case, Path(scratch), random.Random(seed))
            tally.add(case, outcome, again)
            if args.keep and outcome.kind in ("differ", "error"):
                shutil.copytree(scratch, Path(args.keep) / f"{family}_{version}_{seed}", dirs_exist_ok=True)
    print(tally.table())
    if args.json:
        facts = {
            "models": dict(tally.kinds),
            "streams": tally.streams,
            "classes": {k: dict(v) for k, v in sorted(tally.by_class.items())},
            "refused": dict(tally.refused.most_common()),
            "unbuildable": dict(tally.unbuildable.most_common()),
            "wrong": tally.wrong,
        }
        Path(args.json).write_text(json.dumps(facts, indent=1) + "\n")
    sys.exit(min(len(tally.wrong), 125))


if __name__ == "__main__":
    main()
