"""The picture: latency and throughput by batch, and the model under this machine's roof."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import BackendError
from .work import SIZES

__all__ = ["check_target", "figure_class", "plot"]


def figure_class() -> Any:
    """matplotlib's Figure; BackendError with the remedy where it is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise BackendError("--plot needs matplotlib: pip install rnnrt[plot]") from None
    return Figure


def check_target(path: str) -> None:
    """BackendError where :func:`plot` could not write this file."""
    kinds = figure_class()().canvas.get_supported_filetypes()
    if Path(path).suffix[1:].lower() not in kinds:
        raise BackendError(f"{path}: a picture has one of the suffixes {', '.join('.' + k for k in kinds)}")
    if not Path(path).absolute().parent.is_dir():
        raise BackendError(f"{path}: there is no such folder")


def plot(result: dict[str, Any], path: str) -> None:
    """Draw a result of ``rnnrt bench`` (as its ``--json``) to a file; the suffix says the kind (.svg, .png, .pdf).

    Raises BackendError where matplotlib is not installed, or cannot write that kind.
    """
    roofed = "ceilings" in result
    figure = figure_class()(figsize=(13 if roofed else 9, 4.2), layout="constrained")
    latency, throughput, *roof = figure.subplots(1, 3 if roofed else 2)
    on_cpu = result["device"] == "cpu"
    where = f"{result['isa']}, {result['threads']} thread(s)" if on_cpu else result["device"]
    figure.suptitle(f"{Path(result['model']).name}: {where}, {result['cpu']}")
    _by_batch(result, latency, throughput)
    if roofed:
        _roofline(result, roof[0])
    try:
        figure.savefig(path)
    except (ValueError, OSError) as e:
        raise BackendError(f"{path}: {getattr(e, 'strerror', None) or e}") from None


def _by_batch(result: dict[str, Any], latency: Any, throughput: Any) -> None:
    rows = result["predict"]
    batches = [r["batch"] for r in rows]
    latency.plot(batches, [r["p50"] * 1e6 for r in rows], "o-", label="rnnrt p50")
    latency.plot(batches, [r["p99"] * 1e6 for r in rows], "o:", color="C0", alpha=0.6, label="rnnrt p99")
    throughput.plot(batches, [r["steps_per_second"] for r in rows], "o-", label="rnnrt")
    for k, peer in enumerate(result.get("compare", []), 1):
        calls = [c for c in peer.get("calls", []) if c["call"] == "predict" and "p50" in c]
        if calls:
            at = [c["batch"] for c in calls]
            latency.plot(at, [c["p50"] * 1e6 for c in calls], "s--", color=f"C{k}", label=f"{peer['peer']} p50")
            rates = [c["batch"] * c["steps"] / c["p50"] for c in calls]
            throughput.plot(at, rates, "s--", color=f"C{k}", label=peer["peer"])
    for axes, label in ((latency, "microseconds a call"), (throughput, "timesteps a second")):
        axes.set(xscale="log", yscale="log", xlabel="batch", ylabel=label, xticks=batches, xticklabels=batches)
        axes.xaxis.minorticks_off()
        _ticks(axes.yaxis, [*axes.get_ylim()])
        axes.grid(alpha=0.3, which="both")
        axes.legend()
    latency.set_title(f"predict of {result['steps']} steps")
    throughput.set_title("throughput")


def _ticks(axis: Any, limits: list[float]) -> None:
    """Numbers at 1, 2 and 5 of each decade, or at several places where the range is narrower than that."""
    from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullLocator

    wide = limits[1] > 5 * limits[0]
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)) if wide else MaxNLocator(5))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(EngFormatter(sep=""))


def _roofline(result: dict[str, Any], axes: Any) -> None:
    """Flops a second over flops a byte of weights (Williams, Waterman, Patterson 2009, doi:10.1145/1498765.1498785)."""
    ceilings = result["ceilings"]
    peak = ceilings["flops"]
    points = [("step", result["step"], "v")] if "p50" in result["step"] else []
    points += [(f"batch {r['batch']}", r, "o") for r in result["predict"]]
    points = [(name, r, mark) for name, r, mark in points if r["flops"] and r["bytes"]]
    intensities = [r["flops"] / r["bytes"] for _, r, _ in points] or [1.0]
    low, high = min(intensities) / 4, max(*intensities, peak / min(ceilings["read"])) * 4
    drawn: set[float] = set()
    if any(r.get("int8_flops") for _, r, _ in points) and ceilings["int8"] > peak:
        axes.axhline(peak, color="0.6", lw=1, ls="--")
        axes.annotate("float", (high, peak), fontsize=7, color="0.4", va="bottom", ha="right")
        peak = ceilings["int8"]
    for size, read in zip(SIZES, ceilings["read"]):
        if any(abs(read / other - 1) < 0.15 for other in drawn):
            continue
        drawn.add(read)
        xs = [low, max(low, peak / read), high]
        label = f"{size >> 20} MB" if size >= 1 << 20 else f"{size >> 10} KB"
        axes.plot(xs, [min(peak, x * read) for x in xs], color="0.6", lw=1)
        axes.annotate(label, (low, min(peak, low * read)), fontsize=7, color="0.4")
    for k, (name, r, mark) in enumerate(points):
        axes.plot(r["flops"] / r["bytes"], r["flops"] / r["p50"], mark, color=f"C{k % 10}", label=name)
    axes.set(xscale="log", yscale="log", xlabel="flops a byte of weights read", ylabel="flops a second")
    axes.set_title("roofline (read ceilings by size of buffer)")
    axes.grid(alpha=0.3)
    if points:
        axes.legend()
