"""A GPU's speed against PyTorch's cuDNN (nn.LSTM, nn.GRU) on the same device, IEEE and TF32, and the latency of step().

    python tools/bench/gpu.py --json results.json --table results.md
    python tools/bench/gpu.py --quick               # a few shapes
    python tools/bench/gpu.py --emulated            # is the script sound: tiny shapes, torch on the CPU, no speeds

Inputs and outputs lie on the device; four inputs take turns; blocks of calls are timed by device events, the peers
turn by turn, and a ratio is the median over the rounds of one run. torch's modes are set explicitly and judged by their
error: a TF32 run that is as exact as IEEE did not use TF32, and is marked. Errors are those of a few rows of the batch
against our CPU. Results are written after each row; what no time is left for is named.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

from cases.graphs import Builder  # noqa: E402
from runtime import model_of  # noqa: E402

import rnnrt  # noqa: E402

STEPS = 512
INPUTS = 4
BLOCK_MS = 4.0
# batch, units, least ratio to torch IEEE, to torch TF32 (None: no goal)
SHAPES: list[tuple[int, int, float | None, float | None]] = [
    *((1, 64, 1.5, 1.5), (1, 128, 1.5, 1.5), (1, 256, 4.0, 4.0), (1, 512, 4.0, 4.0), (1, 1024, 4.0, 4.0)),
    *((1, 2048, 1.5, None), (64, 128, 3.0, 1.5), (64, 256, 3.0, 1.5), (64, 512, 3.0, 1.5), (64, 1024, None, None)),
    *((512, 128, 2.0, None), (512, 256, 2.0, None), (512, 512, 2.0, None), (512, 1024, 1.3, None)),
    *((44, 152, None, 8.0), (64, 192, None, 8.0)),
]
QUICK = [s for s in SHAPES if s[:2] in {(1, 128), (1, 512), (64, 256), (64, 192)}]
STEP_GOAL_US = 15.0
REFERENCE_FLOPS = 2e10  # that the CPU may spend on a row's truth


class Clock:
    """Milliseconds of a block of calls: by the device's events, or by the wall where ``torch`` is None."""

    def __init__(self, torch: Any) -> None:
        self.torch = torch

    def block(self, call: Callable[[int], None], n: int) -> float:
        """n calls."""
        if self.torch is None:
            begin = time.perf_counter()
            for i in range(n):
                call(i % INPUTS)
            return (time.perf_counter() - begin) * 1e3
        start, end = (self.torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for i in range(n):
            call(i % INPUTS)
        end.record()
        end.synchronize()
        return start.elapsed_time(end)


def turns(ways: dict[str, Callable[[int], None]], clock: Clock, seconds: float) -> dict[str, list[float]]:
    """Milliseconds of one call of each way, round by round."""
    loops = {}
    for name, call in ways.items():
        for i in range(INPUTS):
            call(i)
        loops[name] = max(1, int(BLOCK_MS / max(1e-4, clock.block(call, 1))))
    out: dict[str, list[float]] = {name: [] for name in ways}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(next(iter(out.values()))) < 5:
        for name, call in ways.items():
            out[name].append(clock.block(call, loops[name]) / loops[name])
    return out


def one_layer(cell: str, units: int) -> Any:
    """A layer that gives all its steps, as many features as units, on the CPU."""
    b = Builder()
    x = b.input("x", None, units)
    (y,) = b.add(cell, "cell", x, units=units, return_sequences=True)
    return model_of(*b.done(y))


def torch_layer(torch: Any, cell: str, units: int, weights: dict[str, np.ndarray]) -> Any:
    """torch's layer with the same weights; its gates of a GRU come as r, z, n, ours as z, r, h."""
    layer = (torch.nn.LSTM if cell == "lstm" else torch.nn.GRU)(units, units, batch_first=True)

    def turned(w: np.ndarray) -> np.ndarray:
        if cell == "lstm":
            return w
        z, r, h = np.split(w, 3, axis=-1)
        return np.concatenate([r, z, h], axis=-1)

    bias = weights["cell.bias"]
    given = {
        "weight_ih_l0": turned(weights["cell.kernel"]).T,
        "weight_hh_l0": turned(weights["cell.recurrent_kernel"]).T,
        "bias_ih_l0": turned(bias if cell == "lstm" else bias[0]),
        "bias_hh_l0": np.zeros_like(bias) if cell == "lstm" else turned(bias[1]),
    }
    with torch.no_grad():
        for name, value in given.items():
            getattr(layer, name).copy_(torch.from_numpy(np.ascontiguousarray(value)))
    return layer.to(place(torch)).eval()


def place(torch: Any) -> str:
    """Where torch works: the device, or the CPU where this script alone is tried."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def precision(torch: Any, mode: str) -> None:
    """cudnn's RNNs: ``ieee`` or ``tf32``. The setting for all of torch does not reach them."""
    rnn = getattr(torch.backends.cudnn, "rnn", None)
    if rnn is not None and hasattr(rnn, "fp32_precision"):
        rnn.fp32_precision = mode
    else:
        torch.backends.cudnn.allow_tf32 = mode == "tf32"


def measure(torch: Any, cell: str, batch: int, units: int, steps: int, seconds: float) -> dict[str, Any]:
    """One row: microseconds a step and errors of each way."""
    cpu = one_layer(cell, units)
    # float32 on the CPU is our truth, and it is slow: a few rows of the batch, its first and its last among them
    rows = int(max(2, min(batch, REFERENCE_FLOPS / (steps * 16.0 * units * units))))
    seen = np.unique(np.linspace(0, batch - 1, rows).astype(int))
    random = np.random.default_rng(batch * units)
    shape = (batch, steps, units)
    models = {f"rnnrt {math}": cpu.to("cuda", math=math) for math in ("fp32", "tf32")}
    on_device = torch is not None and place(torch) == "cuda"
    ways: dict[str, Callable[[int], Any]] = {}
    errors: dict[str, float] = {}

    xs: list[Any]
    if on_device:
        torch.manual_seed(batch * units)
        xs = [torch.randn(shape, device="cuda") for _ in range(INPUTS)]
        y = torch.empty(shape, device="cuda")
        want = cpu.predict(xs[0][torch.from_numpy(seen).cuda()].cpu().numpy())
    else:
        xs = [random.standard_normal(shape, dtype="float32") for _ in range(INPUTS)]
        y = np.empty(shape, "float32")
        want = cpu.predict(xs[0][seen])

    def error(of: Any) -> float:
        got = (of[torch.from_numpy(seen).to(of.device)].cpu().numpy() if hasattr(of, "cpu") else of[seen]) - want
        return float((np.abs(got) / np.maximum(1, np.abs(want))).max())

    if torch is not None:
        layer = torch_layer(torch, cell, units, cpu.file.weights)
        theirs = xs if on_device else [torch.from_numpy(x) for x in xs]

        def of_torch(mode: str) -> Callable[[int], Any]:
            def call(i: int) -> Any:
                precision(torch, mode)
                return layer(theirs[i])[0]

            return call

        for mode in ("ieee", "tf32"):
            ways[f"torch {mode}"] = call = of_torch(mode)
            errors[f"torch {mode}"] = error(call(0))
    for name, model in models.items():
        y[:] = float("nan")
        model.predict(xs[0], y)
        errors[name] = error(y)
        ways[name] = lambda i, m=model: m.predict(xs[i], y)
    times = turns(ways, Clock(torch if on_device else None), seconds)
    row: dict[str, Any] = {"cell": cell, "batch": batch, "units": units, "steps": steps, "errors": errors}
    row["us_per_step"] = {name: statistics.median(t) * 1e3 / steps for name, t in times.items()}
    row["ratio"] = {
        f"{peer} / {ours}": statistics.median(a / b for a, b in zip(times[peer], times[ours]))
        for peer in times
        if peer.startswith("torch")
        for ours in models
    }
    row["memory"] = models["rnnrt fp32"].memory(batch, steps)
    if torch is not None:
        row["tf32_in_use"] = errors["torch tf32"] > 3 * errors["torch ieee"]
    return row


def step_latency(torch: Any, calls: int) -> dict[str, float]:
    """Microseconds of one step of LSTM(128), batch 1, from NumPy to NumPy: median and 99th percentile."""
    cpu = one_layer("lstm", 128)
    session = cpu.to("cuda").session()
    x = np.random.default_rng(0).standard_normal((1, 128)).astype("float32")
    ways: dict[str, Callable[[], Any]] = {"rnnrt": lambda: session.step(x), "rnnrt cpu": lambda: on_cpu.step(x)}
    on_cpu = cpu.session()
    if torch is not None:
        layer = torch_layer(torch, "lstm", 128, cpu.file.weights)
        state: list[Any] = [None]

        def of_torch() -> np.ndarray:
            y, state[0] = layer(torch.from_numpy(x[:, None]).to(place(torch)), state[0])
            return y.cpu().numpy()

        ways["torch"] = of_torch
    out = {}
    for name, call in ways.items():
        for _ in range(min(calls, 200)):
            call()
        times = []
        for _ in range(calls):
            begin = time.perf_counter()
            call()
            times.append((time.perf_counter() - begin) * 1e6)
        times.sort()
        out[f"{name} median"], out[f"{name} p99"] = times[len(times) // 2], times[int(len(times) * 0.99)]
    return out


def verdict(row: dict[str, Any], goal_ieee: float | None, goal_tf32: float | None) -> str:
    """``met``, ``missed`` or nothing, by the goals of a shape and the error of the float32 result."""
    ratios = row["ratio"]
    if not ratios:
        return "no torch"
    goals = [("torch ieee / rnnrt fp32", goal_ieee), ("torch tf32 / rnnrt fp32", goal_tf32)]
    wanted = [(ratios[name], goal) for name, goal in goals if goal is not None]
    exact = row["errors"]["rnnrt fp32"] <= 1e-5
    if not wanted:
        return "" if exact else "inexact"
    return "met" if exact and all(r >= g for r, g in wanted) else "missed" if exact else "inexact"


def table(result: dict[str, Any]) -> str:
    """The result as markdown."""
    lines = [
        f"{result['gpu']}, driver {result['driver']}, {result['plugin']}, torch {result['torch']}, {result['date']}",
        "",
    ]
    lines += ["Microseconds a timestep; ratios are torch's time over ours (fp32), of one run, turn by turn.", ""]
    lines += [
        "| cell | batch | units | torch IEEE | torch TF32 | rnnrt fp32 | rnnrt tf32 | x IEEE | x TF32 | error | goal |"
    ]
    lines += ["|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|"]
    for row in result["rows"]:
        us, ratio = row["us_per_step"], row["ratio"]
        cells = [row["cell"], str(row["batch"]), str(row["units"])]
        cells += [f"{us[n]:.3g}" if n in us else "" for n in ("torch ieee", "torch tf32", "rnnrt fp32", "rnnrt tf32")]
        names = ("torch ieee / rnnrt fp32", "torch tf32 / rnnrt fp32")
        cells += [f"{ratio[n]:.2f}" if n in ratio else "" for n in names]
        if not row.get("tf32_in_use", True):
            cells[-1] += " (torch did not use TF32)"
        lines.append("| " + " | ".join([*cells, f"{row['errors']['rnnrt fp32']:.1e}", row["goal"]]) + " |")
    steps = ", ".join(f"{k} {v:.1f}" for k, v in result["step_us"].items())
    met = "met" if result["step_us"]["rnnrt median"] <= STEP_GOAL_US else "missed"
    lines += [
        "",
        f"step() of LSTM(128), batch 1, NumPy to NumPy, microseconds: {steps} (goal {STEP_GOAL_US:g}: {met}).",
    ]
    if result["left_out"]:
        lines += ["", f"No time was left for (cell, batch x units): {', '.join(result['left_out'])}."]
    return "\n".join(lines) + "\n"


def import_torch(anywhere: bool) -> Any:
    """torch with a device, with or without one where ``anywhere``; else None."""
    try:
        import torch
    except ImportError:
        return None
    return torch if anywhere or torch.cuda.is_available() else None


def write(result: dict[str, Any], as_json: Path | None, as_table: Path | None) -> str:
    """Both files, as far as the measurement has come; the table."""
    text = table(result)
    for path, content in ((as_json, json.dumps(result, indent=1) + "\n"), (as_table, text)):
        if path:
            part = path.with_name(path.name + ".part")
            part.write_text(content)
            part.replace(path)
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument(
        "--emulated", action="store_true", help="the device is the emulation: sizes are tiny, times mean nothing"
    )
    parser.add_argument("--seconds", type=float, default=1.5, help="for each row")
    parser.add_argument("--budget", type=float, default=float("inf"), help="seconds after which no row is begun")
    args = parser.parse_args()
    begin = time.monotonic()
    found = rnnrt.devices()
    if "cuda:0" not in found:
        print(f"no GPU: {found.missing['cuda']}", file=sys.stderr)
        return 3
    facts = rnnrt.info()["cuda"]
    torch = import_torch(args.emulated)
    shapes = [(2, 16, None, None), (1, 5, 1.5, 1.5)] if args.emulated else QUICK if args.quick else SHAPES
    steps = 6 if args.emulated else STEPS
    device = facts["devices"][0]
    result: dict[str, Any] = {
        "gpu": device["name"],
        "driver": os.environ.get("RNNRT_DRIVER", str(device["driver"])),
        "plugin": facts["plugin"],
        "torch": torch.__version__ if torch is not None else "absent",
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "host": platform.node(),
        "emulated": args.emulated,
        "rows": [],
        "left_out": [],
    }
    text = ""
    with torch.inference_mode() if torch is not None else contextlib.nullcontext():
        result["step_us"] = step_latency(torch, 20 if args.emulated else 3000)
        for batch, units, ieee, tf32 in shapes:
            for cell in ("lstm", "gru"):
                if time.monotonic() - begin > args.budget:
                    result["left_out"].append(f"{cell} {batch} x {units}")
                    continue
                row = measure(torch, cell, batch, units, steps, 0.01 if args.emulated else args.seconds)
                row["goal"] = verdict(row, ieee, tf32)
                result["rows"].append(row)
                print(f"{cell} {batch} x {units}: {row['goal'] or 'no goal'}", flush=True)
                text = write(result, args.json, args.table)
    text = write(result, args.json, args.table)
    if not args.emulated:
        print(text)
    off = [row["errors"] for row in result["rows"]]
    ours, theirs = (max((e.get(way, 0.0) for e in off), default=0.0) for way in ("rnnrt fp32", "torch ieee"))
    counts = f"{len(result['rows'])} rows, {len(result['left_out'])} left out"
    print(f"{counts}; off the CPU by {ours:.1e}, torch by {theirs:.1e} (other weights beyond 1e-3)")
    return 0 if off and not result["left_out"] and ours <= 1e-5 and theirs <= 1e-3 else 1


if __name__ == "__main__":
    sys.exit(main())
