"""``rnnrt bench``: latency of a step, throughput of predict, on this machine."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from time import perf_counter
from typing import Any

from .common import Failure, add_device_arguments, load_model, say, say_json, width

EXAMPLE = """
rnnrt bench model.rnnrt
rnnrt bench model.rnnrt --steps 100 --batch 1,16,64 --json
"""

BLOCK = 20e-6  # seconds: a block of calls is this long, so that reading the clock costs below 1 %
LEAST_BLOCKS = 100  # a p99 needs a hundred blocks


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a .rnnrt file (or a Keras file, converted in memory)")
    add_device_arguments(parser)
    parser.add_argument(
        "--batch",
        type=_sizes,
        default=[1, 8, 64],
        metavar="N,..",
        help="batch sizes of predict (default: 1,8,64)",
    )
    parser.add_argument(
        "--steps",
        type=int,
        metavar="T",
        help="timesteps of a sequence (default: as the model says, else 100)",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=0.5,
        metavar="S",
        help="time for each line of the table (default: 0.5)",
    )


def _sizes(text: str) -> list[int]:
    sizes = [int(t) for t in text.split(",")]
    if min(sizes) < 1:
        raise argparse.ArgumentTypeError("batch sizes must be 1 or more")
    return sizes


def run(args: argparse.Namespace) -> int:
    model = load_model(args)
    steps = args.steps or _steps_of(model)
    if steps < 1 or not 0 < args.seconds < 3600:
        raise Failure("--steps must be 1 or more, --seconds above 0")
    facts = model.describe()
    result: dict[str, Any] = {
        "model": str(args.model),
        "isa": facts["kernels"],
        "cpu": cpu_name(),
        "device": facts["device"],
        "math": facts["math"],
        "threads": 1,
        "steps": steps,
        "step": bench_step(model, args.seconds),
        "predict": [bench_predict(model, n, steps, args.seconds) for n in args.batch],
    }
    if args.json:
        say_json(result)
    else:
        say(report(result))
    return 0


def cpu_name() -> str:
    """What the CPU calls itself, else the architecture."""
    import platform

    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as f:
            for line in f:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _steps_of(model: Any) -> int:
    """The length that the model's file states, else 100."""
    for spec in model.inputs:
        if getattr(spec, "role", "data") == "data" and len(spec.shape) > 1:
            return spec.shape[1] or 100
    return 100


def example(spec: Any, batch: int, steps: int, seed: int = 1) -> Any:
    """An input of the shape that spec wants: normal numbers, or ids of the declared range (else zeros)."""
    import numpy as np

    shape = [batch, *spec.shape[1:]]
    if len(shape) > 1 and getattr(spec, "role", "data") == "data":
        shape[1] = steps
    shape = [8 if d is None else d for d in shape]
    rng = np.random.default_rng(seed)
    limit = getattr(spec, "id_range", None)
    if limit:
        low, high = limit if isinstance(limit, (tuple, list)) else (0, limit)
        return rng.integers(low, high, shape).astype(spec.dtype)
    if np.dtype(spec.dtype).kind in "iub":
        return np.zeros(shape, spec.dtype)
    return rng.standard_normal(shape).astype(spec.dtype)


def timed(call: Callable[[], Any], seconds: float, least: int = LEAST_BLOCKS) -> dict[str, Any]:
    """Seconds a call, over blocks of calls: ``p50``, ``p99``, ``best``, ``calls_a_block``, ``blocks``.

    A block is as many calls as fill :data:`BLOCK`, so short calls are not measured by the clock's own cost;
    the percentiles are over blocks. It runs for the given time, and longer until ``least`` blocks are
    there, but never more than five times as long.
    """
    once = math.inf
    for _ in range(5):  # caches and clocks warm up
        start = perf_counter()
        call()
        once = min(once, perf_counter() - start)
    n = max(1, math.ceil(BLOCK / max(once, 1e-9)))
    block = range(n)
    times: list[float] = []
    begin = perf_counter()
    while True:
        start = perf_counter()
        for _ in block:
            call()
        end = perf_counter()
        times.append((end - start) / n)
        spent = end - begin
        if spent >= seconds and (len(times) >= least or spent >= 5 * seconds):
            break
    times.sort()
    return {
        "p50": times[len(times) // 2],
        "p99": times[min(len(times) - 1, math.ceil(0.99 * len(times)) - 1)],
        "best": times[0],
        "calls_a_block": n,
        "blocks": len(times),
    }


def bench_step(model: Any, seconds: float) -> dict[str, Any]:
    """One timestep of one stream, seconds; or ``refused``: why the model does not stream."""
    from rnnrt.errors import RnnrtError

    try:
        session = model.session(batch_size=1)
    except RnnrtError as e:
        return {"refused": str(e)}
    specs = [s for s in model.inputs if getattr(s, "role", "data") == "data"]
    x = [example(s, 1, 1)[:, 0] for s in specs]
    feed = x[0] if len(x) == 1 else x
    return timed(lambda: session.step(feed), seconds)


def bench_predict(model: Any, batch: int, steps: int, seconds: float) -> dict[str, Any]:
    """One predict of (batch, steps, ...), seconds a call, and the timesteps a second that this makes."""
    x = [example(s, batch, steps) for s in model.inputs]
    feed = x[0] if len(x) == 1 else x
    out = timed(lambda: model.predict(feed), seconds)
    return {"batch": batch, **out, "steps_per_second": batch * steps / out["p50"]}


def report(result: dict[str, Any]) -> str:
    """The result as two tables of at most 80 columns."""
    from rnnrt.summary import shorten_path, table

    columns = width()
    on_cpu = result["device"] == "cpu"
    where = f"{result['isa']}, 1 thread" if on_cpu else f"{result['device']}, {result['math']}, host"
    lines = [shorten_path(result["model"], columns), f"{where}, {result['cpu']}"]
    step = result["step"]
    if "refused" in step:
        lines.append(f"no step: {step['refused']}")
        rows = []
    else:
        rows = [("session.step", "1", "1", *_times(step), _rate(1 / step["p50"]))]
    for p in result["predict"]:
        rows.append(("predict", str(p["batch"]), str(result["steps"]), *_times(p), _rate(p["steps_per_second"])))
    header = ("Call", "Batch", "Steps", "p50", "p99", "Steps/s")
    lines.append(table(header, rows, "lrrrrr", columns))
    few = [p for p in (step, *result["predict"]) if p.get("blocks", LEAST_BLOCKS) < LEAST_BLOCKS]
    if few:
        lines.append(f"p99 of fewer than {LEAST_BLOCKS} blocks is the slowest; give more --seconds")
    return "\n".join(lines)


def _times(r: dict[str, Any]) -> tuple[str, str]:
    return _time(r["p50"]), _time(r["p99"])


def _time(seconds: float) -> str:
    for unit, scale in (("ns", 1e9), ("µs", 1e6), ("ms", 1e3)):
        if seconds * scale < 1000:
            return f"{seconds * scale:.3g} {unit}"
    return f"{seconds:.3g} s"


def _rate(r: float) -> str:
    for unit, scale in (("", 1.0), ("k", 1e3), ("M", 1e6)):
        if r / scale < 1000:
            return f"{r / scale:.3g} {unit}".strip()
    return f"{r / 1e9:.3g} G"
