"""Trains digits_lstm: handwritten digits of 8 x 8 pixels, read row by row.

Needs keras >= 3 with a backend, and scikit-learn (its digits are the data):

    python models/digits_lstm/make.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from goldens import write_goldens  # noqa: E402


def data():
    """x (n, 8, 8) float32 in 0..1, y (n,) int: a stratified split, 1,437 to train and 360 to test."""
    x, y = load_digits(return_X_y=True)
    x = (x.reshape(-1, 8, 8) / 16).astype(np.float32)
    return train_test_split(x, y, test_size=360, random_state=7, stratify=y)


def build(batch=None):
    """The model; with a batch, its stateful twin that takes any number of rows."""
    shape = {"shape": (8, 8)} if batch is None else {"batch_shape": (batch, None, 8)}
    return keras.Sequential(
        [
            keras.Input(**shape, name="rows"),
            layers.LSTM(32, stateful=batch is not None, name="lstm"),
            layers.Dropout(0.1, name="dropout"),
            layers.Dense(10, activation="softmax", name="digit"),
        ],
        name="digits_lstm",
    )


def main():
    keras.utils.set_random_seed(1)
    x, x_test, y, y_test = data()
    model = build()
    model.compile(keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, batch_size=32, epochs=25, verbose=2)
    loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
    print(f"digits_lstm: test accuracy {accuracy:.4f}, loss {loss:.4f}, keras {keras.__version__}")
    model.save(HERE / "model.h5", include_optimizer=False)
    # three digits one below the other: a stream of 24 rows
    write_goldens(HERE, model, build(batch=1), x_test[:7], x_test[:3].reshape(1, 24, 8))


if __name__ == "__main__":
    main()
