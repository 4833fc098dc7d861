"""Trains embedding_lstm: the Keras guide's Embedding(1000, 64), LSTM(128), Dense(10), on a topic task.

A document is 40 tokens. Each of ten topics has 60 keywords; most tokens are common words, and half of the
documents quote a passage of another topic between an opening and a closing token, which must not count:
counting words is misled by it, reading in order is not.

Needs keras >= 3 with a backend; the data are made here:

    python models/embedding_lstm/make.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np
from keras import layers

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from goldens import write_goldens  # noqa: E402

WORDS, TOPICS, STEPS, OPEN, CLOSE = 1000, 10, 40, 1, 2


class Writer:
    """Writes documents: tokens (n, 40) int32 in 3..999 with OPEN and CLOSE, topics (n,) int64."""

    def __init__(self, rng):
        self.rng = rng
        self.keywords = np.stack([rng.choice(np.arange(300, WORDS), 60, replace=False) for _ in range(TOPICS)])
        common = 1 / np.arange(3, WORDS)
        self.common = common / common.sum()

    def passage(self, topic, n, share):
        keys = self.rng.choice(self.keywords[topic], n)
        words = self.rng.choice(np.arange(3, WORDS), n, p=self.common)
        return np.where(self.rng.random(n) < share, keys, words)

    def documents(self, n):
        topics = self.rng.integers(0, TOPICS, n)
        tokens = np.empty((n, STEPS), np.int32)
        for row, topic in zip(tokens, topics):
            row[:] = self.passage(topic, STEPS, 0.25)
            if self.rng.random() < 0.5:
                other = (topic + self.rng.integers(1, TOPICS)) % TOPICS
                length = self.rng.integers(12, 20)
                start = self.rng.integers(0, STEPS - length - 1)
                row[start + 1 : start + length] = self.passage(other, length - 1, 0.6)
                row[start], row[start + length] = OPEN, CLOSE
        return tokens, topics


def counting_words(x, y, x_test, y_test):
    """Test accuracy of naive Bayes over word counts."""
    counts = np.ones((TOPICS, WORDS))
    np.add.at(counts, (y[:, None], x), 1)
    score = np.log(counts / counts.sum(1, keepdims=True))[:, x_test].sum(-1)
    return (score.argmax(0) == y_test).mean()


def build(batch=None):
    """The guide's model (logits); with a batch, its stateful twin."""
    shape = {"shape": (None,)} if batch is None else {"batch_shape": (batch, None)}
    return keras.Sequential(
        [
            keras.Input(**shape, dtype="int32", name="tokens"),
            layers.Embedding(WORDS, 64, name="embedding"),
            layers.LSTM(128, stateful=batch is not None, name="lstm"),
            layers.Dense(TOPICS, name="topic"),
        ],
        name="embedding_lstm",
    )


def main():
    keras.utils.set_random_seed(3)
    writer = Writer(np.random.default_rng(3))
    x, y = writer.documents(12000)
    x_test, y_test = writer.documents(2000)
    model = build()
    assert model.count_params() == 164_106
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
    model.fit(x, y, batch_size=128, epochs=7, verbose=2)
    loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
    words = counting_words(x, y, x_test, y_test)
    print(
        f"embedding_lstm: test accuracy {accuracy:.4f}, loss {loss:.4f}, counting words {words:.4f}, "
        f"keras {keras.__version__}"
    )
    model.save(HERE / "model.h5", include_optimizer=False)
    write_goldens(HERE, model, build(batch=2), x_test[:7], x_test[7:9, :24])


if __name__ == "__main__":
    main()
