"""Writes tests/data/goldens/loop.npz: what the loop over time does with masks, states and directions.

    python tools/golden/make_loop.py

Layers of both Kerases are called with a mask and an initial state of their own, in float64, once on
the whole and, stateful, in calls; they agree. The keys say what was done;
``tests/unit/test_reference.py`` reads them.
"""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(Path(__file__).resolve().parent)]

import numpy as np  # noqa: E402
from build import Keras  # noqa: E402
from cases import BOTH, Layer  # noqa: E402

CELLS = {
    "lstm": ("LSTM", {}, 2),
    "gru": ("GRU", {}, 1),
    "gru_reset_before": ("GRU", {"reset_after": False}, 1),
    "simple_rnn": ("SimpleRNN", {}, 1),
}
UNITS, FEATURES, STEPS = 3, 2, 7
CALLS = (2, 1, 4)
# left, right, middle, alternating, nothing and everything masked
MASKS = ["0011111", "1111000", "1100011", "0101010", "1111111", "0000000"]


def _layer(keras: Keras, class_name: str, options: dict) -> Any:
    layer = keras.layer(Layer(class_name, {"units": UNITS, "return_state": True, **options}))
    layer.build((len(MASKS), STEPS, FEATURES))
    return layer


def main() -> None:
    random = np.random.RandomState(7)
    mask = np.array([[c == "1" for c in row] for row in MASKS])
    x = random.standard_normal((len(MASKS), STEPS, FEATURES))
    states = random.standard_normal((2, len(MASKS), UNITS))
    out: dict[str, np.ndarray] = {}

    def keep(key: str, value: Any) -> None:
        """Store a result; the second Keras must give what the first gave."""
        value = np.asarray(value)
        if key in out:
            np.testing.assert_allclose(value, out[key], rtol=0, atol=1e-14, err_msg=key)
        out.setdefault(key, value)

    out |= {"mask": mask, "x": x, "states": states, "calls": np.array(CALLS)}
    for cell, (class_name, more, n) in CELLS.items():
        weights = None
        for version in BOTH:
            keras = Keras(version, "float64")
            if weights is None:
                shapes = [tuple(w.shape) for w in _layer(keras, class_name, more).weights]
                weights = [random.standard_normal(s) * 0.7 for s in shapes]
                out.update({f"{cell}|weight_{k}": w for k, w in enumerate(weights)})
            for sequences, backwards, zeros, masked, given in itertools.product((0, 1), repeat=5):
                switches = {
                    "return_sequences": bool(sequences),
                    "go_backwards": bool(backwards),
                    "zero_output_for_mask": bool(zeros),
                }
                layer = _layer(keras, class_name, {**more, **switches})
                layer.set_weights(weights)
                options = {"initial_state": [keras.tensor(s) for s in states[:n]]} if given else {}
                got = layer(keras.tensor(x), mask=keras.tensor(mask) if masked else None, **options)
                for k, v in enumerate(got):
                    keep(f"{cell}|{sequences}{backwards}{zeros}{masked}{given}|{k}", v)
            layer = keras.layer(Layer(class_name, {"units": UNITS, "stateful": True, "return_sequences": True, **more}))
            inner = keras.module.Input(batch_shape=(len(MASKS), None, FEATURES), dtype="float64")
            flags = keras.module.Input(batch_shape=(len(MASKS), None), dtype="bool")
            model = keras.module.Model([inner, flags], layer(inner, mask=flags))
            layer.set_weights(weights)
            start = 0
            for k, length in enumerate(CALLS):
                piece = slice(start, start + length)
                keep(f"{cell}|stateful|{k}", model([x[:, piece], mask[:, piece]]))
                start += length
    target = ROOT / "tests" / "data" / "goldens" / "loop.npz"
    target.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(target, **out)
    print(f"{target.name}: {len(out)} arrays, {target.stat().st_size / 1024:.0f} KB")


if __name__ == "__main__":
    main()
