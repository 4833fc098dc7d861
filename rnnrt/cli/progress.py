"""A progress bar on stderr, drawn only on a terminal and only when a run takes longer than half a second."""

from __future__ import annotations

import shutil
import sys
import time
from types import TracebackType

__all__ = ["Progress"]


class Progress:
    """Counts from 0 to total; use as a context, call :meth:`advance`."""

    PATIENCE, INTERVAL = 0.5, 0.1  # seconds before the first drawing, and between two

    def __init__(self, total: int, unit: str, stream=None) -> None:
        self.total, self.unit, self.done = total, unit, 0
        self.stream = sys.stderr if stream is None else stream
        self.shown = False
        self.start = time.monotonic()
        self.next = self.start + self.PATIENCE
        self.alive = self.stream.isatty()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.shown:
            self.stream.write("\r\x1b[K")  # leave no trace: what follows is the result
            self.stream.flush()

    def advance(self, n: int) -> None:
        """n more are done."""
        self.done += n
        now = time.monotonic()
        if self.alive and now >= self.next:
            self.next = now + self.INTERVAL
            self.shown = True
            self.stream.write("\r\x1b[K" + self.line(now - self.start))
            self.stream.flush()

    def line(self, elapsed: float) -> str:
        """``  42% [#########............] 4,200/10,000 sequences  3 s left``, within the terminal."""
        share = self.done / self.total if self.total else 1.0
        left = elapsed / share - elapsed if share else 0.0
        head = f"{share:4.0%} "
        tail = f" {self.done:,}/{self.total:,} {self.unit}  {_clock(left)} left"
        room = min(shutil.get_terminal_size((80, 24)).columns - 1, 79) - len(head) - len(tail) - 2
        if room < 5:
            return head.strip()
        filled = round(share * room)
        return f"{head}[{'#' * filled}{'.' * (room - filled)}]{tail}"


def _clock(seconds: float) -> str:
    s = int(seconds + 0.5)
    if s < 60:
        return f"{s} s"
    if s < 3600:
        return f"{s // 60}:{s % 60:02d} min"
    return f"{s // 3600}:{s % 3600 // 60:02d} h"
