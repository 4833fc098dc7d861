"""A live filter, block by block: it removes clicks from a tone while the tone comes in.

    python tools/examples/live_filter.py [--seconds 2] [--block 64] [--seed 0]

The model forecasts the next sample; where a sample is far from its forecast there was a click, and the forecast
takes its place. Shows ``session.run`` on blocks of any size (the cut does not change one bit of the result) and
``fork`` to look ahead: a block is first run on a copy, and the copy becomes the session if the block was clean.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

import rnnrt

MODEL = Path(__file__).parents[2] / "models" / "sine_gru" / "model.rnnrt"
RATE = 8000  # samples a second
LIMIT = 0.5  # a sample further from its forecast is a click; the forecast's own rmse is 0.07
SETTLE = 48  # samples after which the model knows the tone


class Declicker:
    """One channel."""

    def __init__(self, model: rnnrt.Model) -> None:
        self.session = model.session()
        self.expected = 0.0  # forecast of the next sample
        self.seen = 0
        self.clicks = 0

    def process(self, block: np.ndarray) -> np.ndarray:
        """A repaired copy of a block (n,) float32, for any n."""
        out = block.astype(np.float32)
        at = 0
        while at < len(out):
            ahead = self.session.fork()
            forecast = ahead.run(out[None, at:, None])[0, :, 0]
            expected = np.concatenate([[self.expected], forecast[:-1]])
            far = np.abs(out[at:] - expected) > LIMIT
            far[: max(0, SETTLE - self.seen)] = False
            k = int(far.argmax()) if far.any() else -1
            if k < 0:  # clean: what was tried is what happened
                self.session, self.expected = ahead, float(forecast[-1])
                self.seen += len(out) - at
                break
            out[at + k] = expected[k]
            # go on from before this block, up to and with the repaired sample
            self.expected = float(self.session.run(out[None, at : at + k + 1, None])[0, -1, 0])
            self.seen += k + 1
            self.clicks += 1
            at += k + 1
        return out


def tone(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A clean tone (n,) and the same with noise and clicks, float32."""
    t = np.arange(n)
    clean = 0.8 * np.sin(2 * np.pi * t / 14.3 + 1.0) + 0.3 * np.sin(2 * np.pi * t / 23.7)
    heard = clean + rng.normal(0, 0.02, n)
    clicks = SETTLE + rng.choice((n - SETTLE) // 40, n // 400, replace=False) * 40
    heard[clicks] += rng.choice([-1, 1], len(clicks)) * rng.uniform(1.0, 3.0, len(clicks))
    return clean.astype(np.float32), heard.astype(np.float32)


def rms(x: np.ndarray) -> float:
    return float(np.sqrt((x.astype(np.float64) ** 2).mean()))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--block", type=int, default=64, help="samples a block")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    clean, heard = tone(int(options.seconds * RATE), np.random.default_rng(options.seed))
    channel = Declicker(rnnrt.load(MODEL))
    blocks, longest = [], 0.0
    begin = time.perf_counter()
    for at in range(0, len(heard), options.block):  # here the sound card would call
        t = time.perf_counter()
        blocks.append(channel.process(heard[at : at + options.block]))
        longest = max(longest, time.perf_counter() - t)
    took = time.perf_counter() - begin
    repaired = np.concatenate(blocks)
    print(f"clicks removed: {channel.clicks} of {len(heard) // 400}")
    print(f"error before {rms(heard - clean):.4f}, after {rms(repaired - clean):.4f}")
    print(
        f"a block of {options.block} lasts {1e3 * options.block / RATE:.1f} ms; it took {1e3 * longest:.2f} ms at worst"
    )
    print(f"{took / options.seconds:.2%} of real time")


if __name__ == "__main__":
    main()
