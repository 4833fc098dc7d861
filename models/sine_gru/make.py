"""Trains sine_gru: at each step, forecast the next value of a noisy sum of two sines.

Needs keras >= 3 with a backend; the data are made here:

    python models/sine_gru/make.py
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

NOISE = 0.05  # standard deviation of what nobody can forecast
STEPS = 64


def data(n, rng):
    """x (n, STEPS, 1) the noisy values so far, y (n, STEPS, 1) the next one at each step; float32."""
    t = np.arange(STEPS + 1)
    period = rng.uniform((9, 19), (15, 31), (n, 2))
    size = rng.uniform((0.5, 0.2), (1.0, 0.5), (n, 2))
    phase = rng.uniform(0, 2 * np.pi, (n, 2))
    wave = (size[..., None] * np.sin(2 * np.pi * t / period[..., None] + phase[..., None])).sum(1)
    wave = (wave + rng.normal(0, NOISE, wave.shape)).astype(np.float32)[..., None]
    return wave[:, :-1], wave[:, 1:]


def build(batch=None):
    """The model; with a batch, its stateful twin."""
    shape = {"shape": (None, 1)} if batch is None else {"batch_shape": (batch, None, 1)}
    return keras.Sequential(
        [
            keras.Input(**shape, name="signal"),
            layers.GRU(32, return_sequences=True, stateful=batch is not None, name="gru"),
            layers.Dense(1, name="next"),
        ],
        name="sine_gru",
    )


def main():
    keras.utils.set_random_seed(2)
    rng = np.random.default_rng(2)
    x, y = data(2000, rng)
    x_test, y_test = data(500, rng)
    model = build()
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-2, 40 * 32)), "mse")
    model.fit(x, y, batch_size=64, epochs=40, verbose=2)

    settled = slice(24, None)  # after 24 steps the network has seen more than a period
    error = model.predict(x_test, verbose=0)[:, settled] - y_test[:, settled]
    stay = x_test[:, settled] - y_test[:, settled]
    print(
        f"sine_gru: rmse {np.sqrt((error**2).mean()):.4f}, the last value repeated "
        f"{np.sqrt((stay**2).mean()):.4f}, noise {NOISE}, keras {keras.__version__}"
    )
    model.save(HERE / "model.h5", include_optimizer=False)
    model.save(HERE / "model.keras")
    write_goldens(HERE, model, build(batch=2), x_test[:7], x_test[7:9, :24])


if __name__ == "__main__":
    main()
