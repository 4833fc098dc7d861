"""Does a GPU answer as the CPU does? Fresh random inputs each time, to 1e-5 of max(1, |CPU|).

    python tools/cuda/agree.py                      # cuda, some minutes; the seed is printed
    python tools/cuda/agree.py --small              # a few small shapes, for compute-sanitizer and the emulation
    python tools/cuda/agree.py --seed 7 --only gru

Each layer is held against the CPU in one predict (its output filled with NaN before), cut at random in a session,
from a snapshot of the CPU's state and back, and stepped in a pool. Exit code 1, with the first differences, if not.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from cases.graphs import Builder  # noqa: E402
from runtime import model_of  # noqa: E402

import rnnrt  # noqa: E402

ALLOWED = 1e-5
CELLS: dict[str, dict[str, Any]] = {
    "lstm": {"op": "lstm"},
    "gru": {"op": "gru"},
    "gru_before": {"op": "gru", "reset_after": False},
    "simple_rnn": {"op": "simple_rnn"},
}
# batch, steps, features, units: tile edges of each kernel from both sides, and the shapes of the goals
SMALL = [(1, 5, 3, 4), (2, 7, 5, 17), (3, 4, 33, 32), (5, 3, 8, 40), (2, 2, 6, 300), (70, 2, 4, 36)]
LARGE = [
    *SMALL,
    *((1, 200, 64, 64), (1, 200, 128, 128), (1, 100, 256, 256), (1, 60, 512, 512), (1, 40, 1024, 1024)),
    *((1, 20, 64, 2048), (7, 50, 40, 100), (16, 60, 80, 160), (44, 40, 100, 152), (64, 64, 128, 128)),
    *((64, 40, 192, 192), (64, 30, 256, 256), (65, 20, 130, 129), (64, 20, 512, 512), (128, 10, 100, 1024)),
    *((512, 20, 64, 128), (513, 8, 96, 256), (256, 6, 300, 513)),
]


class Differences:
    """What was compared and what did not fit."""

    def __init__(self) -> None:
        self.count, self.bad, self.worst = 0, [], 0.0

    def compare(self, what: str, got: Any, want: np.ndarray, allowed: float = ALLOWED) -> None:
        """got within allowed of want, relative to max(1, |want|)."""
        self.count += 1
        got = np.asarray(got)
        if got.shape != want.shape:
            self.bad.append(f"{what}: shape {got.shape}, expected {want.shape}")
            return
        error = np.abs(got.astype("float64") - want) / np.maximum(1, np.abs(want))
        # NaN is an error unless it is there on the CPU too
        error = np.where(np.isnan(want) & np.isnan(got), 0, np.where(np.isnan(error), np.inf, error))
        worst = float(error.max(initial=0))
        self.worst = max(self.worst, worst)
        if worst > allowed:
            where = np.unravel_index(int(error.argmax()), error.shape)
            self.bad.append(f"{what}: off by {worst:.3g} at {tuple(map(int, where))}")


def layer(cell: dict[str, Any], features: int, units: int, random: np.random.Generator) -> rnnrt.Model:
    """Two outputs: each step through a Dense, and the last step of a second layer; weights drawn anew."""
    b = Builder()
    x = b.input("x", None, features)
    options = {k: v for k, v in cell.items() if k != "op"}
    (y,) = b.add(cell["op"], "first", x, units=units, return_sequences=True, **options)
    (z,) = b.add("dense", "dense", y, units=5)
    (last,) = b.add(cell["op"], "second", y, units=9, **options)
    graph, weights = b.done(z, last)
    for name, w in weights.items():
        scale = 0.3 if w.ndim == 1 or name.endswith("bias") else 1 / np.sqrt(w.shape[0])
        weights[name] = (random.standard_normal(w.shape) * scale).astype("float32")
    return model_of(graph, weights)


def masked(units: int, random: np.random.Generator) -> rnnrt.Model:
    """Ids through an Embedding, both directions under the padding's mask, each step through a softmax."""
    b = Builder()
    ids = b.input("ids", None, dtype="int32")
    (mask,) = b.add("not_equal", "mask", ids)
    (x,) = b.add("embedding", "embedding", ids, input_dim=11, output_dim=6)
    (forth,) = b.add("lstm", "forth", x, units=units, return_sequences=True, mask=mask)
    back_options = {"units": units, "return_sequences": True, "go_backwards": True, "reverse_output": True}
    (back,) = b.add("lstm", "back", x, mask=mask, **back_options)
    (both,) = b.add("concatenate", "both", forth, back, axis=2)
    (z,) = b.add("dense", "dense", both, units=7)
    return model_of(*b.done(z))


def check(
    there: rnnrt.Model, here: rnnrt.Model, x: np.ndarray, what: str, seen: Differences, cuts: np.random.Generator
):
    """One model, on the device and on the CPU."""
    want = here.predict(x)
    wanted = want if isinstance(want, list) else [want]
    got = there.predict(x)
    for k, (g, w) in enumerate(zip(got if isinstance(got, list) else [got], wanted)):
        seen.compare(f"{what}, predict, output {k}", g, w)
    if len(wanted) == 1:
        out = np.full_like(want, np.nan)
        seen.compare(f"{what}, predict into NaN", there.predict(x, out), want)
    if not there.plan.streams:
        return
    steps = x.shape[1]
    ends = sorted({steps, *(int(n) for n in cuts.integers(1, steps + 1, 3))})
    session, pieces, begin = there.session(batch_size=len(x)), [], 0
    for i, end in enumerate(ends):
        pieces.append(session.run(np.ascontiguousarray(x[:, begin:end])))
        begin = end
        if i == 0 and end < steps:  # the state goes to the CPU, and comes back
            other = here.session(state=session.to_bytes())
            session = there.session(state=other.to_bytes())
            seen.compare(f"{what}, go on from the GPU's state", other.step(x[:, end])[0], wanted[0][:, end])
    seen.compare(f"{what}, in pieces {ends}", np.concatenate([p[0] for p in pieces], 1), wanted[0])
    seen.compare(f"{what}, last of the pieces", pieces[-1][1], wanted[1])
    pool = there.pool(max_batch=max(1, len(x) - 1))
    for t in range(min(3, steps)):
        for i, y in pool.step({i: x[i, t] for i in range(len(x))}).items():
            seen.compare(f"{what}, pool, stream {i}, step {t}", y[0], wanted[0][i, t])


def trained(device: str, math: str, seen: Differences) -> None:
    """The models in models/, against what Keras answered."""
    for folder in sorted((ROOT / "models").iterdir()):
        if not (folder / "golden.npz").exists():
            continue
        model = rnnrt.load(folder / "model.rnnrt", device=device, math=math)
        golden = np.load(folder / "golden.npz")
        n = sum(k.startswith("in_") for k in golden)
        x = [golden[f"in_{k}"] for k in range(n)]
        got = model.predict(x[0] if n == 1 else x)
        flat = list(got.values()) if isinstance(got, dict) else got if isinstance(got, (list, tuple)) else [got]
        for k, y in enumerate(flat):
            seen.compare(f"{folder.name}, output {k}", y, golden[f"out_{k}"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--small", action="store_true", help="small shapes only")
    parser.add_argument("--only", choices=(*CELLS, "masked", "models"), help="of these alone")
    args = parser.parse_args()
    seed = int.from_bytes(np.random.default_rng().bytes(4), "little") if args.seed is None else args.seed
    random = np.random.default_rng(seed)
    seen, begin = Differences(), time.monotonic()
    print(f"seed {seed}, device {args.device}", flush=True)
    shapes = SMALL if args.small else LARGE
    jobs: list[tuple[str, Callable[[], None]]] = []
    for name, cell in CELLS.items():
        for batch, steps, features, units in shapes:

            def one(name=name, cell=cell, batch=batch, steps=steps, features=features, units=units) -> None:
                here = layer(cell, features, units, random)
                x = random.standard_normal((batch, steps, features)).astype("float32")
                what = f"{name}({units}), batch {batch}, {steps} steps, {features} features"
                check(here.to(args.device), here, x, what, seen, random)

            jobs.append((name, one))
    for units in (3, 20) if args.small else (3, 20, 100, 256):

        def under(units=units) -> None:
            here = masked(units, random)
            ids = random.integers(0, 11, (4, 9)).astype("int32")
            ids[1, 4:] = ids[2, :3] = ids[3] = 0
            check(here.to(args.device), here, ids, f"both directions under a mask, {units} units", seen, random)

        jobs.append(("masked", under))
    jobs.append(("models", lambda: trained(args.device, "fp32", seen)))
    for name, job in jobs:
        if args.only in (None, name):
            job()
    for line in seen.bad[:20]:
        print(line)
    took = time.monotonic() - begin
    print(f"{seen.count} comparisons, {len(seen.bad)} beyond {ALLOWED:g}, worst {seen.worst:.3g}, {took:.0f} s")
    return 1 if seen.bad or not seen.count else 0


if __name__ == "__main__":
    sys.exit(main())
