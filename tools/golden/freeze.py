"""Chooses drawn models for the committed goldens: small ones that agree, of each family and both Kerases.

    python tools/golden/freeze.py [--each 5] [--first 0] && python tools/golden/make_goldens.py --family chance

A case stays as it was drawn, whatever becomes of the generator. ``--also "FAMILY VERSION SEED"`` adds one that was
once a mistake.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from dataclasses import replace
from pathlib import Path

from differential import classes  # isort: skip  (sets the paths)
from build import Keras
from cases import drawn
from cases.case import BOTH, Case
from cases.chance import FAMILIES, draw
from compare import compare
from make_goldens import make

import rnnrt

LARGEST = 6_000  # bytes of weights


def fits(case: Case) -> bool:
    """Whether it is small, agrees, and makes a golden."""
    if isinstance(case.outputs, tuple) and len(case.outputs) == 1 and not case.output_form:
        return False  # a list of one: Keras's call gives a list, its predict an array
    with tempfile.TemporaryDirectory() as scratch:
        try:
            model = Keras(case.versions[0], policy=case.policy).model(case)
            if sum(w.nbytes for w in model.get_weights()) > LARGEST:
                return False
            (Path(scratch) / "a").mkdir()
            outcome = compare(case, Path(scratch) / "a", random.Random(1))
            if outcome.kind != "agree":
                return False
            if case.chunks and rnnrt.load(Path(scratch) / "a" / "m.rnnrt").session_meaning != "calls":
                return False  # nothing stateful was drawn
            make(case, case.versions[0], Path(scratch) / "b")
        except Exception:  # Keras cannot, or the outputs say nothing
            return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--each", type=int, default=5, help="models of each family and version")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--also", action="append", default=[], metavar="'FAMILY VERSION SEED'")
    args = parser.parse_args()
    chosen: list[Case] = []
    for text in args.also:
        family, version, seed = text.split()
        case = draw(int(seed), family, f"keras{version}")
        assert case is not None and fits(case), text
        chosen.append(case)
    for family in FAMILIES:
        for version in BOTH:
            seed, found, seen = args.first, 0, set[str]()
            while found < args.each:
                case, seed = draw(seed, family, version), seed + 1
                stale = case is None or (not classes(case) - seen and seed < args.first + 60)
                if case is None or stale or not fits(case):
                    continue  # one that shows nothing new is left out while others may
                seen |= classes(case)
                found += 1
                chosen.append(replace(case))
                print(case.name, flush=True)
    drawn.dump(chosen)
    print(f"{len(chosen)} cases, {drawn.FILE.stat().st_size / 1024:.0f} KB")


if __name__ == "__main__":
    main()
