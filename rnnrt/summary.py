"""Text tables in the manner of Keras's ``model.summary()``: plain data in, a string out.

``Model.summary()``, the conversion report and the command line draw with it; it imports nothing of the
package. Every line fits the given width (80 columns unless told), whatever the names are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["SummaryRow", "ascii_only", "size_text", "shorten", "shorten_path", "summary_table", "table"]

_TO_ASCII = str.maketrans("┏┳┓┡╇┩├┼┤└┴┘┃│━─█░×…µ", "++++++++++++||=-#.x~u")


@dataclass(frozen=True)
class SummaryRow:
    """One layer.

    Attributes
    ----------
    name, kind
        The layer's path and Keras class, ``encoder/lstm_2`` and ``LSTM``.
    shape
        Output shape as text, ``(None, None, 64)``; several are separated by ``", "``.
    params
        Number of weights.
    state
        What a session carries for it, ``h 128, c 128``; empty for layers without state.
    inputs
        The layers that it reads.
    """

    name: str
    kind: str
    shape: str
    params: int
    state: str = ""
    inputs: tuple[str, ...] = ()


def size_text(n_bytes: float) -> str:
    """``656424`` -> ``641.04 KB``, as Keras writes sizes."""
    value = float(n_bytes)
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if abs(value) < 1024 or unit == "TB":
            break
        value /= 1024
    return f"{value:.2f} {unit}"


def shorten(text: str, width: int) -> str:
    """The text, with its middle replaced by ``…`` where it is longer than width."""
    if len(text) <= width:
        return text
    if width <= 1:
        return "…"[:width]
    head = (width - 1) // 2
    return text[:head] + "…" + text[len(text) - (width - 1 - head) :]


def shorten_path(path: str, width: int) -> str:
    """A path of at most width characters: the last parts stay, then the first, then ``…``."""
    if len(path) <= width:
        return path
    parts = path.split("/")
    for n_first in (1, 0):
        first = "/".join(parts[:n_first])
        for k in range(n_first + 1, len(parts)):
            short = "/".join(([first] if n_first else []) + ["…", *parts[k:]])
            if len(short) <= width:
                return short
    return shorten(parts[-1], width)


def ascii_only(text: str) -> str:
    """The same table for a terminal that cannot show box characters; every character stays one wide."""
    return text.translate(_TO_ASCII).encode("ascii", "backslashreplace").decode("ascii")


def _wrap(text: str, width: int) -> list[str]:
    """Lines of at most width characters, broken after blanks and slashes; a longer word loses its middle."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in re.findall(r"[^ /]*/|[^ /]+ ?| ", paragraph):
            if len((line + word).rstrip()) > width and line:
                lines.append(line.rstrip())
                line = ""
            line += word if len(word.rstrip()) <= width else shorten(word.rstrip(), width)
        lines.append(line.rstrip())
    return lines


def _fit(natural: list[int], least: list[int], room: int) -> list[int]:
    """Column widths: natural ones, the widest cut first until their sum fits into room."""
    widths = list(natural)
    while sum(widths) > room:
        over = [w - m for w, m in zip(widths, least)]
        widest = max(range(len(widths)), key=lambda k: (over[k] > 0, widths[k]))
        if over[widest] <= 0:
            break
        widths[widest] -= 1
    return widths


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    align: str = "",
    width: int = 80,
    rules: bool = False,
) -> str:
    """A boxed table.

    Parameters
    ----------
    header, rows
        Cells as text; a cell may hold several lines.
    align
        One letter a column, ``l`` or ``r``; left where absent.
    width
        Columns of the terminal; cells are wrapped to fit.
    rules
        Whether a line is drawn between rows, as Keras does.
    """
    n = len(header)
    align = (align + "l" * n)[:n]
    cells = [list(header), *(list(r) for r in rows)]
    natural = [max(len(line) for row in cells for line in row[k].split("\n")) for k in range(n)]
    # a right-aligned column holds numbers, which are never wrapped
    least = [natural[k] if align[k] == "r" else min(natural[k], max(8, len(header[k]))) for k in range(n)]
    widths = _fit(natural, least, width - 3 * n - 1)
    if sum(widths) > width - 3 * n - 1:  # even headers do not fit: narrower still
        least = [natural[k] if align[k] == "r" else 4 for k in range(n)]
        widths = _fit(widths, least, width - 3 * n - 1)

    def draw(row: Sequence[str], bar: str) -> list[str]:
        wrapped = [_wrap(c, w) for c, w in zip(row, widths)]
        lines = []
        for k in range(max(map(len, wrapped))):
            texts = [c[k] if k < len(c) else "" for c in wrapped]
            texts = [t.rjust(w) if a == "r" else t.ljust(w) for t, w, a in zip(texts, widths, align)]
            lines.append(bar + bar.join(f" {t} " for t in texts) + bar)
        return lines

    def rule(left: str, line: str, middle: str, right: str) -> str:
        return left + middle.join(line * (w + 2) for w in widths) + right

    out = [rule("┏", "━", "┳", "┓"), *draw(cells[0], "┃"), rule("┡", "━", "╇", "┩")]
    for k, row in enumerate(cells[1:]):
        if k and rules:
            out.append(rule("├", "─", "┼", "┤"))
        out += draw(row, "│")
    out.append(rule("└", "─", "┴", "┘"))
    return "\n".join(out)


def summary_table(
    rows: Sequence[SummaryRow], title: str, totals: Sequence[tuple[str, str]] = (), width: int = 80
) -> str:
    """The table of ``model.summary()``.

    Parameters
    ----------
    rows
        The layers in order.
    title
        The model's name; the first line is ``Model: "<title>"``.
    totals
        (label, value) lines below the table, ``("Total params", "164,106 (641.04 KB)")``.

    The State column appears when a layer has state, the Connected to column when the layers are no chain.
    """
    with_state = any(r.state for r in rows)
    chain = all(r.inputs in ((), (before.name,)) for before, r in zip(rows, rows[1:]))
    header, align = ["Layer (type)", "Output Shape", "Param #"], "llr"
    if with_state:
        header, align = [*header, "State"], align + "l"
    if not chain:
        header, align = [*header, "Connected to"], align + "l"
    longest = 28 if len(header) > 4 else 34  # wider than this, a name is shortened rather than the table broken
    cells = []
    for r in rows:
        name = shorten_path(r.name, longest)
        both = f"{name} ({r.kind})" if r.kind else name
        row = [
            both if len(both) <= longest else f"{name}\n({r.kind})",
            r.shape.replace("), (", "),\n("),
            f"{r.params:,}",
        ]
        if with_state:
            row.append(r.state if chain else r.state.replace(", ", "\n"))
        if not chain:
            row.append(",\n".join(shorten_path(i, 22) for i in r.inputs))
        cells.append(row)
    text = [f'Model: "{shorten(title, width - 9)}"']
    text.append(table(header, cells, align, width, rules=True))
    for label, value in totals:
        text += [" " + line for line in _wrap(f"{label}: {value}", width - 1)]
    return "\n".join(text)
