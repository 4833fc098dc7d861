"""Inputs and what stands first: features, ids, vectors, grids, and where masks come from."""

from __future__ import annotations

from typing import Any

from .sketch import Sketch, Tensor

__all__ = ["source"]


def _patterns(s: Sketch, steps: int) -> tuple[str, ...]:
    """A padding for each row: right, left, both, the middle, none, all, any."""
    rows = []
    for _ in range(s.batch):
        a, b = sorted((s.r.randint(0, steps), s.r.randint(0, steps)))
        rows.append(
            s.pick(
                "0" * steps,
                "0" * a + "1" * (steps - a),
                "1" * a + "0" * (steps - a),
                "1" * a + "0" * (b - a) + "1" * (steps - b),
                "0" * a + "1" * (b - a) + "0" * (steps - b),
                "1" * steps,
                "".join(s.pick("0", "1") for _ in range(steps)),
            )
        )
    return tuple(rows)


def _steps(s: Sketch) -> tuple[int | None, int]:
    """(length in the graph, length that it will have); inputs of one model mostly share it."""
    if s.inputs and s.maybe(0.2) and not s.stateful:
        n = s.pick(1, 2, 4, 6)
        return n, n
    return (None if s.free else s.steps), s.steps


def source(s: Sketch) -> Tensor:
    """A new input, masked or looked up where it is to be."""
    length, real = _steps(s)
    kind = s.pick("floats", "floats", "masked", "masked", "ids", "ids", "vector", "grid")
    if kind == "vector" and (not s.inputs or s.stateful):
        kind = "floats"
    if kind == "grid" and s.stateful:
        kind = "masked"
    if kind == "vector":
        n = s.size()
        return s.input((n,), (n,))
    if kind == "grid":
        rest = (s.pick(2, 3, 4), s.pick(1, 2, 3)) if s.maybe(0.6) else (s.pick(2, 3), s.pick(2, 4), s.pick(1, 2))
        x = s.input((length, *rest), (real, *rest), **_padding(s, real, 0.0))
        return s.same("Masking", {"mask_value": 0.0}, x)[0] if s.maybe(0.3) else x
    if kind == "ids":
        return _looked_up(s, length, real)
    n = s.size()
    value = s.pick(0.0, 0.0, -1.0, 0.5, 99.0)
    masked = kind == "masked"
    x = s.input((length, n), (real, n), **(_padding(s, real, value) if masked else {}))
    return s.same("Masking", {"mask_value": value}, x)[0] if masked else x


def _padding(s: Sketch, steps: int, value: float) -> dict[str, Any]:
    return {"padding": value, "padded": _patterns(s, max(steps, 5 if s.stateful else 1))}


def _looked_up(s: Sketch, length: int | None, real: int) -> Tensor:
    """An Embedding, mostly with mask_zero; a large one where 16 bits could not count its rows."""
    words, n = s.pick(4, 9, 9, 30), s.size()
    if s.policy and s.maybe(0.3):
        words, n = 5000, 2
    dtype = s.pick("float32", "int32", "int32")
    lead: tuple[int | None, ...] = (length,)
    lengths: tuple[int, ...] = (real,)
    options = {"ids": words, "dtype": dtype}
    if s.maybe(0.85) or s.stateful:
        options |= _padding(s, real, 0)
    else:
        k = s.pick(2, 3)  # words of lines
        lead, lengths = (length, k), (real, k)
    x = s.input(lead, lengths, **options)
    s.tensors.remove(x)
    config = {"input_dim": words, "output_dim": n, "mask_zero": s.maybe(0.6) and len(lead) == 1}
    return s.add("Embedding", config, [x], ((*lead, n), (*lengths, n)))[0]
