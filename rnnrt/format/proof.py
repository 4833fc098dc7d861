"""The proof that a file carries: inputs drawn from integers and expected outputs. :mod:`.replay` runs it.

It proves that this machine runs this file as its maker meant it. The layout in the file and the
generator are specified in FORMAT.md, section "The proof".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..records import Record

if TYPE_CHECKING:
    import numpy as np

__all__ = ["MAX_ROWS", "MAX_STEPS", "RUNS", "Proof", "ProofCase", "ProofOutput", "budget"]

RUNS = ("whole", "chunked", "handover")
MAX_STEPS = 8
MAX_ROWS = 2
MAX_CASES = 16
MAX_DRAWN = 1 << 26  # values per input: a fixed length in a hostile file must not eat the machine


class ProofOutput(Record):
    """What one output of the model must be in one case.

    values: 1-D; the output in C order at :func:`.replay.sample_indices` (its size, len(values)).
    shape: the whole output's shape, batch first. time: whether axis 1 is the time axis, so that
    the pieces of a session are put end to end; an output without one is taken after the last piece.
    tolerance: |got - values| <= tolerance * max(1, |values|), for each element.
    """

    values: np.ndarray
    shape: tuple[int, ...]
    tolerance: float
    time: bool = False


class ProofCase(Record):
    """Inputs, the ways to run them, and the outputs that every one of these ways must give.

    runs: some of ``whole`` (``predict``), ``chunked`` (one session, a ``run`` per piece) and
    ``handover`` (a new session for each piece, which takes the state of the one before); the
    latter two only for graphs that stream. cuts: the lengths of the pieces, their sum is steps;
    () where runs is ``("whole",)``. steps: the length of every free time axis, at most 8. A case
    with ``whole`` runs a length that the file fixes as the file says; a case without sets it to
    ``steps`` (see :func:`.replay.draw_inputs`). outputs: in the order of ``graph.outputs``.
    """

    seed: int
    batch: int
    steps: int
    runs: tuple[str, ...]
    outputs: tuple[ProofOutput, ...]
    cuts: tuple[int, ...] = ()

    @property
    def frees_time(self) -> bool:
        """Whether a length fixed in the file is set to ``steps`` in this case."""
        return "whole" not in self.runs


class Proof(Record):
    """All cases of a file; ``nbytes`` may be at most :func:`budget`."""

    cases: tuple[ProofCase, ...]

    @property
    def nbytes(self) -> int:
        """Bytes that the expected values take in the file."""
        return sum(o.values.nbytes for c in self.cases for o in c.outputs)


def budget(weights_nbytes: int) -> int:
    """Bytes that a proof may take beside that many bytes of weights: max(4096, 2 %)."""
    return max(4096, weights_nbytes * 2 // 100)
