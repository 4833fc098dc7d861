"""A character stream that writes text: one ``step`` a letter, the session carries what was written so far.

    python tools/examples/text_stream.py [--letters 300] [--seed 1] [--begin "the old fox "]

Shows ``session.step`` on ids, its ``out=`` (no allocation in the loop), and ``fork``: with ``--endings 3`` the same
beginning is read once and goes on in three ways.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import rnnrt

MODEL = Path(__file__).parents[2] / "models" / "char_simple_rnn"


def write(session: rnnrt.Session, shares: np.ndarray, letters: list[str], rng: np.random.Generator) -> Iterator[str]:
    """Letters without end.

    session: has read the beginning. shares (1, n_letters): what the model said after it.
    """
    shares = shares.copy()
    while True:
        p = shares[0].astype(np.float64)
        k = rng.choice(len(letters), p=p / p.sum())
        yield letters[k]
        session.step(np.array([k]), out=shares)


def read(model: rnnrt.Model, text: str, letters: list[str]) -> tuple[rnnrt.Session, np.ndarray]:
    """A session that has read a text, in one call, and what it expects next (1, n_letters)."""
    unknown = set(text) - set(letters)
    if unknown:
        raise SystemExit(f"the model does not know {sorted(unknown)}; it knows {''.join(letters)!r}")
    session = model.session()
    shares = session.run(np.array([[letters.index(c) for c in text]]))
    return session, shares[:, -1]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--letters", type=int, default=300, help="how many to write")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--begin", default="", help="text to go on from")
    parser.add_argument("--endings", type=int, default=1, help="ways to go on")
    options = parser.parse_args()

    model = rnnrt.load(MODEL / "model.rnnrt")
    letters = json.loads((MODEL / "letters.json").read_text(encoding="ascii"))
    session, shares = read(model, "\n" + options.begin, letters)
    for ending in range(options.endings):
        sys.stdout.write(options.begin)
        writer = write(session.fork(), shares, letters, np.random.default_rng(options.seed + ending))
        for _, letter in zip(range(options.letters), writer):
            sys.stdout.write(letter)
            sys.stdout.flush()  # live: each letter as it comes
        sys.stdout.write("\n")


if __name__ == "__main__":
    main()
