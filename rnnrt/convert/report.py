"""What conversion tells its user: a report that prints and that becomes JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..ir.graph import Graph
from ..ir.ops.table import HOST_OPS
from ..ir.passes.layers import layer_rows, parameter_count
from ..ir.passes.streamability import analyse
from ..summary import size_text, summary_table
from .narrow import Narrowed

__all__ = ["CheckReport", "ConversionReport", "Refusal", "graph_summary", "own_classes", "session_text", "stream_facts"]

_SESSION = {
    "sequence": "a session is one long sequence: pieces put end to end equal predict on the whole",
    "calls": "a session is a row of Keras calls: layers saved stateful carry their state, others start again",
}


def session_text(meaning: str) -> str:
    """One sentence on what a session of the model means."""
    return _SESSION[meaning]


def stream_facts(graph: Graph) -> tuple[bool, str]:
    """(whether sessions are possible, one sentence)."""
    found = analyse(graph)
    return found.ok, found.message


def own_classes(graph: Graph) -> list[tuple[str, str]]:
    """(path, class) of each layer whose arithmetic is a registered class: needed again wherever the file is loaded."""
    return list(dict.fromkeys((n.name, n.attrs["class_name"]) for n in graph.nodes if n.op in HOST_OPS))


def _custom_line(custom: list[tuple[str, str]]) -> list[str]:
    shown = ", ".join(f"{path} ({name})" for path, name in custom)
    return [f"Yours:    {shown}: to be registered wherever the model is loaded"] if custom else []


def _ignored_lines(ignored: dict[str, list[str]]) -> list[str]:
    out = []
    for kind, paths in ignored.items():
        where = ", ".join(paths[:4]) + (f" and {len(paths) - 4} more" if len(paths) > 4 else "")
        out.append(f"{kind} ({where})" if where else kind)
    return out


def _facts(source: dict[str, str]) -> str:
    return f"{source['path']} ({source['layout']}, Keras {source['keras_version']})"


@dataclass
class ConversionReport:
    """The outcome of a conversion.

    Attributes
    ----------
    path
        The file that was written.
    summary
        The table of layers as text, 80 columns wide.
    params, nbytes
        Number of weights; size of the file.
    proof_error, proof_tolerance
        Worst error of the file's own proof when it was replayed on this machine, relative to max(1, \\|ref\\|),
        and the tolerance where it occurred; None where the proof was not replayed.
    session
        ``sequence`` or ``calls``.
    streams, stream_message
        Whether the model has sessions, and why not.
    ignored
        What has no part in prediction, kind -> layer paths.
    narrowed
        What float16 or int8 weights changed, by layer; None where they were not asked for.
    custom
        (path, class) of layers that run registered classes.
    source
        path, layout, keras_version and sha256 of the Keras file.
    """

    path: str
    summary: str
    params: int
    nbytes: int
    session: str
    streams: bool
    stream_message: str
    source: dict[str, str]
    proof_error: float | None = None
    proof_tolerance: float | None = None
    custom: list[tuple[str, str]] = field(default_factory=list)
    ignored: dict[str, list[str]] = field(default_factory=dict)
    narrowed: Narrowed | None = None
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "path": self.path,
            "params": self.params,
            "bytes": self.nbytes,
            "proof": {"error": self.proof_error, "tolerance": self.proof_tolerance},
            "session": self.session,
            "streams": self.streams,
            "stream_message": self.stream_message,
            "custom": [{"path": p, "class": c} for p, c in self.custom],
            "ignored": self.ignored,
            "narrowed": None if self.narrowed is None else self.narrowed.to_dict(),
            "source": self.source,
            "seconds": self.seconds,
            "summary": self.summary,
        }

    def __str__(self) -> str:
        lines = [self.summary, "", f"Source:   {_facts(self.source)}"]
        lines.append(
            f"Session:  {session_text(self.session)}" if self.streams else f"Sessions: no: {self.stream_message}"
        )
        lines += _custom_line(self.custom)
        lines += [f"Ignored:  {text}" for text in _ignored_lines(self.ignored)]
        if self.narrowed is not None:
            lines += self.narrowed.lines()
        if self.proof_error is not None:
            lines.append(f"Proof:    worst error {self.proof_error:.2g}, {self.proof_tolerance:.2g} allowed")
        lines.append(f"Written:  {self.path} ({size_text(self.nbytes)}, {self.seconds * 1e3:.0f} ms)")
        return "\n".join(lines)


@dataclass(frozen=True)
class Refusal:
    """A layer that does not convert."""

    path: str
    layer_class: str
    reason: str


@dataclass
class CheckReport:
    """What would happen: which layers convert, all that are refused and why, what is ignored.

    ok: whether convert() would write a file. error: what is wrong with the file as a whole (weights that do
    not fit), "" if nothing is. session, streams, params: known only where ok.
    """

    ok: bool
    source: dict[str, str]
    layers: list[tuple[str, str]] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    error: str = ""
    custom: list[tuple[str, str]] = field(default_factory=list)
    ignored: dict[str, list[str]] = field(default_factory=dict)
    params: int | None = None
    session: str = ""
    streams: bool = False
    stream_message: str = ""
    summary: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "ok": self.ok,
            "source": self.source,
            "layers": [{"path": p, "class": c} for p, c in self.layers],
            "refused": [{"path": r.path, "class": r.layer_class, "reason": r.reason} for r in self.refused],
            "error": self.error,
            "custom": [{"path": p, "class": c} for p, c in self.custom],
            "ignored": self.ignored,
            "params": self.params,
            "session": self.session,
            "streams": self.streams,
            "stream_message": self.stream_message,
        }

    def __str__(self) -> str:
        lines = [self.summary, ""] if self.summary else []
        lines.append(f"Source:   {_facts(self.source)}")
        if self.ok:
            lines.append(
                f"Session:  {session_text(self.session)}" if self.streams else f"Sessions: no: {self.stream_message}"
            )
        lines += _custom_line(self.custom)
        lines += [f"Ignored:  {text}" for text in _ignored_lines(self.ignored)]
        lines += [f"Refused:  {r.reason}" for r in self.refused]
        if self.error:
            lines.append(f"Refused:  {self.error}")
        count = len(self.refused)
        if self.ok:
            lines.append("Converts: yes")
        elif count:
            lines.append(f"Converts: no, {count} layer{'s' if count > 1 else ''} refused")
        else:
            lines.append("Converts: no")
        return "\n".join(lines)


def graph_summary(graph: Graph, nbytes: int | None = None) -> str:
    """The table of a graph's layers with its total; nbytes: of the weights as stored, 4 each where not given."""
    params = parameter_count(graph)
    size = size_text(4 * params if nbytes is None else nbytes)
    return summary_table(layer_rows(graph), graph.name, [("Total params", f"{params:,} ({size})")])
