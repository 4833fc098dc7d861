"""``rnnrt bench``: latency, throughput, ceilings, layers and peers, on this machine."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

from .common import Failure, add_device_arguments, load_model, say, say_json, width

EXAMPLE = """
rnnrt bench model.rnnrt
rnnrt bench model.rnnrt --steps 100 --batch 1,16,64 --json
rnnrt bench model.rnnrt --compare onnxruntime,torch --plot model.svg
"""


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
        type=_positive,
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
    parser.add_argument(
        "--compare",
        type=lambda text: [t.strip() for t in text.split(",") if t.strip()],
        default=[],
        metavar="PEER,..",
        help="time these too, on one thread, turn by turn, where installed: onnxruntime, openvino, torch, keras (for a "
        "Keras file)",
    )
    parser.add_argument(
        "--plot", metavar="FILE", help="draw latency, throughput and roofline (.svg; needs rnnrt[plot])"
    )


def _positive(text: str) -> int:
    if not text.strip().isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {text!r}")
    return int(text)


def _sizes(text: str) -> list[int]:
    """``8,1,64`` -> [1, 8, 64]."""
    return sorted({_positive(t) for t in text.split(",")})


def run(args: argparse.Namespace) -> int:
    if not 0 < args.seconds < 3600:
        raise Failure("--seconds must be above 0 and below 3600")
    if args.plot:
        from ..benchmark.plot import check_target, plot

        check_target(args.plot)  # before minutes of measuring
    model = load_model(args)
    steps = args.steps or _steps_of(model)
    facts = model.describe()
    result: dict[str, Any] = {
        "model": str(args.model),
        "isa": facts["kernels"],
        "cpu": cpu_name(),
        "device": facts["device"],
        "math": facts["math"],
        "threads": facts["threads"],
        "steps": steps,
        "step": bench_step(model, args.seconds),
        "predict": [bench_predict(model, n, steps, args.seconds) for n in args.batch],
    }
    if facts["device"] == "cpu":  # a device's own tools say where its time goes
        _put_machine(result, model, steps, args.seconds)
    if args.compare:
        from ..benchmark.compare import compare

        source = None if Path(args.model).suffix == ".rnnrt" else str(args.model)
        result["compare"] = compare(model, source, args.compare, args.batch, steps, args.seconds)
    if args.json:
        say_json(result)
    else:
        say(report(result))
    if args.plot:  # last: the figures are told, whatever becomes of the picture
        plot(result, args.plot)
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
    """The length that the model's file states, else 100; 1 of a model without a time axis."""
    timed = [i.fixed_steps for i in model.plan.input_info if i.timed]
    return next((n for n in timed if n), 100) if timed else 1


def bench_step(model: Any, seconds: float) -> dict[str, Any]:
    """One timestep of one stream, seconds; or ``refused``: why the model does not stream."""
    from rnnrt.errors import RnnrtError

    from ..benchmark.timing import inputs, of_one_step, timed

    try:
        session = model.session(batch_size=1)
    except RnnrtError as e:
        return {"refused": str(e)}
    feed = of_one_step(model, inputs(model, 1, 1))
    return timed(lambda: session.step(feed), seconds)


def bench_predict(model: Any, batch: int, steps: int, seconds: float) -> dict[str, Any]:
    """One predict of (batch, steps, ...), seconds a call, and the timesteps a second that this makes."""
    from ..benchmark.timing import inputs, timed

    x = inputs(model, batch, steps)
    feed = x[0] if len(x) == 1 else x
    out = timed(lambda: model.predict(feed), seconds)
    return {"batch": batch, **out, "steps_per_second": batch * steps / out["p50"]}


def _put_machine(result: dict[str, Any], model: Any, steps: int, seconds: float) -> None:
    """What this machine could do, what of it each call uses, and the time of each layer at the ends of the batches."""
    from ..benchmark.profile import profile
    from ..benchmark.work import Ceilings

    ceilings = Ceilings.measure(model.kernels)
    result["ceilings"] = {"flops": ceilings.flops, "int8": ceilings.int8, "read": list(ceilings.read)}
    if "refused" not in result["step"]:
        _put_work(result["step"], model, ceilings, 1, 1)
    for row in result["predict"]:
        _put_work(row, model, ceilings, row["batch"], steps)
    batches = [row["batch"] for row in result["predict"]]
    result["layers"] = [
        {"batch": n, "layers": [t.to_dict() for t in profile(model, n, steps, seconds, ceilings)]}
        for n in dict.fromkeys((batches[0], batches[-1]))
    ]


def _put_work(row: dict[str, Any], model: Any, ceilings: Any, batch: int, steps: int) -> None:
    """What the call does, and its shares of what this machine could."""
    from ..benchmark.work import total, weights_nbytes, works

    work = total(works(model, batch, steps))
    row["flops"], row["int8_flops"], row["bytes"] = work.flops, work.int8, work.nbytes
    row["of_fma"] = ceilings.arithmetic(work) / row["p50"]
    row["of_read"] = work.nbytes / row["p50"] / ceilings.read_at(weights_nbytes(model))


def report(result: dict[str, Any]) -> str:
    """The result as tables of at most the terminal's width."""
    from rnnrt.summary import shorten_path, table

    from ..benchmark.timing import LEAST_BLOCKS

    columns = width()
    on_cpu = result["device"] == "cpu"
    kernels = f"{result['isa']}, {result['threads']} thread(s)"
    where = kernels if on_cpu else f"{result['device']}, {result['math']}, host"
    lines = [shorten_path(result["model"], columns), f"{where}, {result['cpu']}"]
    if on_cpu:
        flops, read = result["ceilings"]["flops"], result["ceilings"]["read"]
        narrow = any(r.get("int8_flops") for r in (result["step"], *result["predict"]))
        int8 = f"{_si(result['ceilings']['int8'])}flop/s of int8, " if narrow else ""
        lines.append(
            f"one core: {_si(flops)}flop/s of fma, {int8}reads {_si(read[1])}B/s (256 KB), {_si(read[3])}B/s (4 MB)"
        )
    step = result["step"]
    rows = []
    if "refused" in step:
        lines.append(f"no step: {step['refused']}")
    else:
        rows.append(("step", "1", "1", *_times(step), _si(1 / step["p50"]), *_shares(step)))
    for p in result["predict"]:
        rate = _si(p["steps_per_second"])
        rows.append(("predict", str(p["batch"]), str(result["steps"]), *_times(p), rate, *_shares(p)))
    header = ("Call", "Batch", "Steps", "p50", "p99", "Steps/s", "of fma", "of read")
    lines.append(table(header, rows, "lrrrrrrr", columns))
    few = [p for p in (step, *result["predict"]) if p.get("blocks", LEAST_BLOCKS) < LEAST_BLOCKS]
    if few:
        lines.append(f"p99 of fewer than {LEAST_BLOCKS} blocks is the slowest; give more --seconds")
    for part in result.get("layers", []):
        lines.append(f"layers of predict, batch {part['batch']}:")
        lines.append(_layer_table(part["layers"], columns))
    if "compare" in result:
        lines.append("peers, on one thread, turn by turn (ratio above 1: rnnrt is faster):")
        lines.append(_peer_table(result["compare"], columns))
    return "\n".join(lines)


def _layer_table(layers: list[dict[str, Any]], columns: int) -> str:
    from rnnrt.summary import table

    rows = [
        (
            t["layer"],
            t["kind"],
            _time(t["seconds"]),
            f"{100 * t['share']:.0f} %",
            _si(t["flops"] / t["seconds"]) if t["flops"] and t["seconds"] else "",
            f"{t['seconds'] / t['floor']:.2f}x" if t["floor"] and t["flops"] else "",
        )
        for t in layers
    ]
    return table(("Layer", "Op", "Time", "Share", "Flop/s", "Floor"), rows, "llrrrr", columns)


def _peer_table(peers: list[dict[str, Any]], columns: int) -> str:
    from rnnrt.summary import table

    rows, notes = [], []
    for p in peers:
        if "refused" in p:
            notes.append(f"{p['peer']}: not timed: {p['refused']}")
            continue
        for c in p["calls"]:
            call = f"{c['call']} {c['batch']} x {c['steps']}"
            if "refused" in c:
                notes.append(f"{p['peer']}, {call}: not timed: {c['refused']}")
            else:
                rows.append(
                    (f"{p['peer']} {p['version']}", call, _time(c["p50"]), f"{c['ratio']:.2f}", f"{c['error']:.1e}")
                )
    return "\n".join([table(("Peer", "Call", "p50", "Ratio", "Error"), rows, "llrrr", columns)] * bool(rows) + notes)


def _shares(r: dict[str, Any]) -> tuple[str, str]:
    return (f"{100 * r['of_fma']:.0f} %", f"{100 * r['of_read']:.0f} %") if "of_fma" in r else ("", "")


def _times(r: dict[str, Any]) -> tuple[str, str]:
    return _time(r["p50"]), _time(r["p99"])


def _time(seconds: float) -> str:
    for unit, scale in (("ns", 1e9), ("µs", 1e6), ("ms", 1e3)):
        if seconds * scale < 1000:
            return f"{seconds * scale:.3g} {unit}"
    return f"{seconds:.3g} s"


def _si(r: float) -> str:
    """``270 G``: three digits and a prefix."""
    power = min(4, max(0, int(math.log10(r) // 3))) if r > 0 else 0
    return f"{r / 10 ** (3 * power):.3g} {('', 'k', 'M', 'G', 'T')[power]}".rstrip()
