"""Trains char_simple_rnn: a character language model on the sentences of a small grammar.

The grammar is written here, so the text is as long as one likes, nothing in the test text was seen in
training, and the fewest bits a letter that any model can need are known.

Needs tf_keras (Keras 2), whose HDF5 layout this model shows:

    python models/char_simple_rnn/make.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import tf_keras as keras
from tf_keras import layers

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from goldens import write_goldens  # noqa: E402

OPENINGS = ["", "at dawn ", "in winter ", "after the rain ", "when the bells ring "]
ADJECTIVES = ["", "old ", "quiet ", "clever ", "hungry ", "little "]
ANIMALS = ["fox", "owl", "bear", "hare", "goat", "raven", "badger", "otter"]
VERBS = ["sing", "wait", "dream", "listen", "dance", "whisper"]
PLACES = ["by the river", "under the oak", "on the hill", "behind the mill", "near the sea"]
ENDS = [".\n", ", and nobody knows why.\n", " until the moon comes up.\n"]

STEPS, BATCH, UPDATES = 64, 32, 2500


class Author:
    """Writes text and counts its information: ``bits`` is the sum over all choices made."""

    def __init__(self, rng):
        self.rng, self.bits = rng, 0.0

    def pick(self, choices):
        self.bits += np.log2(len(choices))
        return choices[self.rng.integers(len(choices))]

    def sentence(self):
        many = self.pick([False, True])  # the verb must agree with a word well before it
        subject = ("two " if many else "the ") + self.pick(ADJECTIVES) + self.pick(ANIMALS)
        subject += ("es" if subject.endswith("x") else "s") if many else ""
        verb = self.pick(VERBS) + ("" if many else "s")
        return f"{self.pick(OPENINGS)}{subject} {verb} {self.pick(PLACES)}{self.pick(ENDS)}"

    def text(self, n_sentences):
        self.bits = 0.0
        return "".join(self.sentence() for _ in range(n_sentences))


def build(n_letters, batch=None):
    """The model; with a batch, its stateful twin."""
    return keras.Sequential(
        [
            keras.Input(shape=(None,), batch_size=batch, dtype="int32", name="letters"),
            layers.Embedding(n_letters, 16, name="embedding"),
            layers.SimpleRNN(96, return_sequences=True, stateful=batch is not None, name="rnn"),
            layers.Dense(n_letters, activation="softmax", name="next_letter"),
        ],
        name="char_simple_rnn",
    )


def main():
    keras.utils.set_random_seed(4)
    author = Author(np.random.default_rng(4))
    text = author.text(4000)
    letters = sorted(set(text))
    index = {c: i for i, c in enumerate(letters)}
    train = np.array([index[c] for c in text], np.int32)
    test_text = author.text(400)
    fewest = author.bits / len(test_text)
    test = np.array([index[c] for c in test_text], np.int32)

    model = build(len(letters))
    rate = keras.optimizers.schedules.CosineDecay(5e-3, UPDATES)
    model.compile(keras.optimizers.Adam(rate, clipnorm=1.0), "sparse_categorical_crossentropy")
    for _ in range(UPDATES):
        window = author.rng.integers(0, len(train) - STEPS, BATCH)[:, None] + np.arange(STEPS)
        model.train_on_batch(train[window], train[window + 1])

    p = model.predict(test[None, :-1], verbose=0)[0]
    bits = -np.log2(p[np.arange(len(test) - 1), test[1:]]).mean()
    print(
        f"char_simple_rnn: {bits:.4f} bits a letter on unseen text, the grammar's own {fewest:.4f}, "
        f"{len(train)} letters of text, keras {keras.__version__}"
    )
    model.save(HERE / "model.h5", include_optimizer=False)
    (HERE / "letters.json").write_text(json.dumps(letters) + "\n", encoding="ascii")
    inputs = np.stack([test[k : k + 20] for k in range(0, 700, 100)])
    write_goldens(HERE, model, build(len(letters), batch=1), inputs, test[None, 1000:1024])


if __name__ == "__main__":
    main()
