"""How the workspace of a call grows with its steps: the formula of ``summary``, found by asking the runtime."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from .records import Record
from .summary import size_text

__all__ = ["Growth", "growth"]

# Divisible by all usual strides of pools and convolutions, and by what rounding to 64 bytes takes.
_LONG = 64 * 3 * 5 * 7 * 2
_ROUNDED = 64 * 3  # steps of which the strides 2, 3 and 4 make whole ones, and those lines of 64 bytes
_FARTHEST = _LONG << 16  # some 10**9 steps
_ROUNDING = 64  # bytes, of each tensor


class Growth(Record):
    """Bytes of a workspace: ``constant + per_step * T + per_square * T**2`` for T steps of one batch.

    It holds from ``start`` to ``end`` steps (None: to the longest call), to the byte for multiples of 64 that all
    strides divide, else but for the rounding of rows. With fewer steps a time tile is not full yet; at both ends other
    tensors become the largest. Where per_step and per_square are 0 the whole call walks in time tiles, and a sequence
    of any length works in constant bytes. per_step is a fraction where strides make it one.
    """

    batch: int
    constant: int
    per_step: int | Fraction
    per_square: int | Fraction
    start: int
    end: int | None = None

    def at(self, steps: int) -> int:
        """The bytes for that many steps."""
        return int(self.constant + self.per_step * steps + self.per_square * steps**2)

    def __str__(self) -> str:
        terms = [size_text(self.constant)] if self.constant >= 0 else []
        for amount, power in ((self.per_step, "T"), (self.per_square, "T^2")):
            if amount:
                whole = amount.numerator % self.batch == 0
                text = f"{amount.numerator // self.batch}*B" if whole else str(amount.numerator)
                terms.append(f"{text}*{power}" + (f"/{amount.denominator}" if amount.denominator > 1 else ""))
        spans = [f"T >= {self.start}"] if self.start > 1 else []
        spans += [f"T <= {self.end}"] if self.end is not None else []
        less = f" - {size_text(-self.constant)}" if self.constant < 0 else ""  # a window leaves out the last steps
        return ", ".join([" + ".join(terms) + less, *spans])


def growth(measure: Callable[[int], int], batch: int, tensors: int) -> Growth | None:
    """The formula of a batch, None where there is no such.

    measure: steps -> bytes, 0 for too few of them; MemoryError where no address is so large. tensors: how many are
    placed.
    """

    def asked(steps: int) -> int:
        try:
            return measure(steps)
        except MemoryError:
            return 0

    at = _LONG
    while (found := _through(asked, batch, at)) is None:
        at *= 2  # the larger of two tensors has changed among the four
        if 4 * at > _FARTHEST:
            return None
    slack = _ROUNDING * tensors + int(2 * found.per_step.denominator * found.per_step)

    def holds(steps: int) -> bool:
        return abs(asked(steps) - found.at(steps)) <= (slack if steps % _ROUNDED else 0)

    start, end = at, 4 * at
    while start > 1:
        fewer = start - max(1, start // 16)
        fewer -= fewer % _ROUNDED if fewer > _ROUNDED else 0
        if not holds(fewer):
            break
        start = fewer
    while end < _FARTHEST:
        more = end + max(1, end // 16 // _LONG) * _LONG
        if not asked(more):
            end = _FARTHEST  # no longer call can be
        elif holds(more):
            end = more
        else:
            break
    return Growth(batch, found.constant, found.per_step, found.per_square, start, end if end < _FARTHEST else None)


def _through(measure: Callable[[int], int], batch: int, at: int) -> Growth | None:
    """The formula through once, twice and three times so many steps, where four times as many agree."""
    one, two, three, four = (measure(at * k) for k in (1, 2, 3, 4))
    square = Fraction(three - 2 * two + one, 2 * at**2)
    step = Fraction(two - one, at) - 3 * square * at
    constant = one - step * at - square * at**2
    found = Growth(batch, int(constant), _plain(step), _plain(square), 1)
    fits = one and four and constant.denominator == 1 and found.at(4 * at) == four
    return found if fits and min(step, square) >= 0 and max(step.denominator, square.denominator) < 1000 else None


def _plain(amount: Fraction) -> int | Fraction:
    return amount.numerator if amount.denominator == 1 else amount
