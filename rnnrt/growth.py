"""How the workspace of a call grows with its steps: the formula of ``summary``, found by asking the runtime."""

from __future__ import annotations

from collections.abc import Callable

from .records import Record
from .summary import size_text

__all__ = ["Growth", "growth"]

# Divisible by all usual strides of pools and convolutions, and by what rounding to 64 bytes takes.
_LONG = 64 * 3 * 5 * 7 * 2
_ROUNDING = 64  # bytes, of each tensor


class Growth(Record):
    """Bytes of a workspace: ``constant + per_step * T + per_square * T**2`` for T steps of one batch.

    It holds from ``start`` steps on, to the byte for multiples of 64, else but for the rounding of rows; with fewer
    steps a time tile is not full yet, or other tensors than later are the largest. Where per_step and per_square are
    0 the whole call walks in time tiles, and a sequence of any length works in constant bytes.
    """

    batch: int
    constant: int
    per_step: int
    per_square: int
    start: int

    def at(self, steps: int) -> int:
        """The bytes for that many steps."""
        return self.constant + self.per_step * steps + self.per_square * steps**2

    def __str__(self) -> str:
        terms = [size_text(self.constant)]
        for amount, power in ((self.per_step, "T"), (self.per_square, "T^2")):
            if amount:
                whole = amount % self.batch == 0
                terms.append(f"{amount // self.batch}*B*{power}" if whole else f"{amount}*{power}")
        return " + ".join(terms) + (f", T >= {self.start}" if self.start > 1 else "")


def growth(measure: Callable[[int], int], batch: int, tensors: int) -> Growth | None:
    """The formula of a batch, None where there is no such.

    measure: steps -> bytes, 0 for too few of them. tensors: how many are placed.
    """
    one, two, three, four = (measure(_LONG * k) for k in (1, 2, 3, 4))
    square, rest = divmod(three - 2 * two + one, 2 * _LONG**2)
    step, more = divmod(two - one - 3 * square * _LONG**2, _LONG)
    if not one or rest or more:
        return None
    found = Growth(batch, one - step * _LONG - square * _LONG**2, step, square, 1)
    if found.at(4 * _LONG) != four:
        return None
    start = _LONG
    while start > 1:
        fewer = start - max(1, start // 16)
        fewer -= fewer % 64 if fewer > 64 else 0
        if abs(measure(fewer) - found.at(fewer)) > _ROUNDING * tensors:
            break
        start = fewer
    return Growth(batch, found.constant, step, square, start)
