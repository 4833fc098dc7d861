"""An encoder-decoder translator with a beam of sessions: numbers, English to French.

    python tools/examples/translator.py five thousand seven hundred and forty two

Shows how one teacher-forced Keras file becomes two models: ``convert(inputs=, outputs=)`` cuts it at named layers,
and the ``initial_state`` edge that is cut becomes state inputs. The encoder's states begin the decoder's session;
``fork`` lets each hypothesis of the beam go its own way.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import rnnrt

MODEL = Path(__file__).parents[2] / "models" / "numbers_seq2seq"
START, END = 1, 2  # ids of the French words that begin and end


@dataclass
class Hypothesis:
    """A translation under way."""

    score: float  # log of its probability
    words: list[int]
    session: rnnrt.Session | None  # None: it has ended


class Translator:
    """The two halves of the file, and their words."""

    def __init__(self, folder: Path = MODEL) -> None:
        words = json.loads((folder / "words.json").read_text(encoding="utf-8"))
        self.source: list[str] = words["source"]
        self.target: list[str] = words["target"]
        self.encoder = _half(folder / "model.h5", "source", "encoder")
        self.decoder = _half(folder / "model.h5", "target", "next_word")

    def translate(self, text: str, beam: int = 4, longest: int = 20) -> list[tuple[float, str]]:
        """Translations of a text with their probabilities, the best first; at most beam."""
        unknown = [w for w in text.split() if w not in self.source]
        if unknown or not text.split():
            raise SystemExit(f"{unknown or 'nothing'}: the model knows {' '.join(self.source[1:])}")
        ids = np.array([[self.source.index(w) for w in text.split()]])
        _, h, c = self.encoder.predict(ids)
        live = [Hypothesis(0.0, [START], self.decoder.session(initial_state=[h, c]))]
        done: list[Hypothesis] = []
        for _ in range(longest):
            grown: list[Hypothesis] = []
            for x in live:
                assert x.session is not None
                logs = np.log(np.maximum(x.session.step(np.array(x.words[-1:]))[0], 1e-30))
                for k in np.argsort(-logs)[:beam]:
                    grown.append(Hypothesis(x.score + float(logs[k]), [*x.words, int(k)], x.session))
            grown = sorted(grown, key=lambda x: -x.score)[:beam]
            done += [x for x in grown if x.words[-1] == END]
            # two hypotheses may go on from one session: each takes a copy
            live = [Hypothesis(x.score, x.words, x.session.fork()) for x in grown if x.words[-1] != END and x.session]
            best = sorted((x.score for x in done), reverse=True)[:beam]
            if not live or (len(best) == beam and best[-1] >= live[0].score):
                break  # whatever is still said only gets less probable
        done.sort(key=lambda x: -x.score)
        return [(float(np.exp(x.score)), " ".join(self.target[k] for k in x.words[1:-1])) for x in done[:beam]]


def _half(source: Path, first: str, last: str) -> rnnrt.Model:
    """The part of the file from an input to a layer."""
    with tempfile.TemporaryDirectory() as folder:
        half = Path(folder) / "half.rnnrt"
        rnnrt.convert(source, half, inputs=[first], outputs=[last])
        return rnnrt.load(half)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("words", nargs="+", help="a number below ten thousand, in English words")
    parser.add_argument("--beam", type=int, default=4)
    options = parser.parse_args()
    for share, text in Translator().translate(" ".join(options.words), options.beam):
        print(f"{share:8.3%}  {text}")


if __name__ == "__main__":
    main()
