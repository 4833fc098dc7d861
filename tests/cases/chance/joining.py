"""Layers that join tensors: merges with broadcasting, Dot, attention."""

from __future__ import annotations

from typing import Any

from .sketch import Sketch, Tensor, piece

_ARITHMETIC = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")


def _alike(s: Sketch, x: Tensor) -> Tensor:
    """A tensor of the same lengths: one that is there, or one made so."""
    there = s.others(lambda t: t.shape == x.shape and t.real == x.real and t.name != x.name)
    if there and s.maybe(0.7):
        return s.pick(*there)
    near = s.others(lambda t: t.shape[:-1] == x.shape[:-1] and t.real[:-1] == x.real[:-1] and t.shape[-1] is not None)
    if x.shape[-1] is None:
        return x
    return s.dense(s.pick(*near) if near else x, x.shape[-1])


@piece("merges", 1, 2, 3, 4, weight=4)
def merge(s: Sketch, x: Tensor) -> list[Tensor]:
    """Of equal shapes."""
    kind = s.pick(*_ARITHMETIC)
    count = 2 if kind == "Subtract" else s.pick(2, 2, 2, 3)
    return s.add(kind, {}, [x, *(_alike(s, x) for _ in range(count - 1))], (x.shape, x.real))


def _broadcast(a: Tensor, b: Tensor) -> tuple[tuple, tuple] | None:
    """(shape, real) of two tensors of one rank under an operation; None where they do not fit."""
    shape: list[int | None] = []
    real: list[int] = []
    for m, n, p, q in zip(a.shape, b.shape, a.real, b.real):
        if m == 1 or n == 1:
            shape.append(n if m == 1 else m)
            real.append(q if m == 1 else p)
        elif m == n and p == q:
            shape.append(m)
            real.append(p)
        else:
            return None
    return tuple(shape), tuple(real)


@piece("merges", 2, 3, weight=2)
def merge_broadcast(s: Sketch, x: Tensor) -> list[Tensor]:
    """Of shapes that differ: axes of length 1, or ranks (Keras inserts axes after the batch)."""
    lower = s.others(lambda t: len(t.shape) < len(x.shape) and t.static)
    ones = s.others(lambda t: len(t.shape) == len(x.shape) and 1 in t.shape and t.shape != x.shape)
    made = [s.dense(x, 1)] if x.shape[-1] not in (1, None) and s.maybe(0.3) else []
    for y in s.r.sample(lower + ones + made, len(lower + ones + made)):
        raised = Tensor(
            y.name,
            (1,) * (len(x.shape) - len(y.shape)) + y.shape,
            (1,) * (len(x.shape) - len(y.shape)) + y.real,
        )
        both = _broadcast(x, raised)
        if both and (len(y.shape) == len(x.shape) or len(y.shape) == 1 or both[0] == x.shape):
            order = [x, y] if s.maybe(0.5) else [y, x]
            return s.add(s.pick(*_ARITHMETIC), {}, order, both)
    return []


@piece("merges", 1, 2, 3, 4, weight=3)
def concatenate(s: Sketch, x: Tensor) -> list[Tensor]:
    """Along the last axis, mostly."""
    rank = len(x.shape)
    axis = rank - 1 if s.maybe(0.7) else s.r.randrange(rank)

    def fits(t: Tensor) -> bool:
        rest = [(a, b, p, q) for k, (a, b, p, q) in enumerate(zip(x.shape, t.shape, x.real, t.real)) if k != axis]
        return len(t.shape) == rank and all(a == b and p == q for a, b, p, q in rest) and t.shape[axis] is not None

    others = s.others(fits)
    if x.shape[axis] is None:
        # in time: free lengths add up to a free length
        others = s.others(lambda t: t.shape == x.shape and t.real == x.real)
    if not others:
        return []
    parts = [x, *(s.pick(*others) for _ in range(s.pick(1, 1, 2)))]
    s.r.shuffle(parts)
    shape, real = list(x.shape), list(x.real)
    shape[axis] = None if x.shape[axis] is None else sum(t.real[axis] for t in parts)
    real[axis] = sum(t.real[axis] for t in parts)
    config = {"axis": axis + 1 if s.maybe(0.5) else axis - rank}
    return s.add("Concatenate", config, parts, (tuple(shape), tuple(real)))


@piece("merges", 1, 2)
def dot(s: Sketch, x: Tensor) -> list[Tensor]:
    """Dot along one axis of each."""
    a = s.r.randrange(len(x.shape))
    if x.shape[a] is None and s.maybe(0.7):
        return []
    matches = [
        (t, b)
        for t in s.others(lambda t: len(t.shape) <= 2)
        for b in range(len(t.shape))
        if t.shape[b] == x.shape[a] and t.real[b] == x.real[a]
    ]
    if not matches:
        return []
    y, b = s.pick(*matches)
    shape = x.shape[:a] + x.shape[a + 1 :] + y.shape[:b] + y.shape[b + 1 :] or (1,)
    real = x.real[:a] + x.real[a + 1 :] + y.real[:b] + y.real[b + 1 :] or (1,)
    axes: Any = (a + 1, b + 1) if a != b or s.maybe(0.5) else a + 1
    return s.add("Dot", {"axes": axes, "normalize": s.maybe(0.4)}, [x, y], (shape, real))


def _sequences(s: Sketch, x: Tensor) -> Tensor:
    """A sequence to attend to, of any length and as many features."""
    others = s.others(lambda t: len(t.shape) == 2 and t.shape[-1] is not None)
    y = s.pick(*others)
    return y if y.shape[-1] == x.shape[-1] else s.dense(y, x.real[-1])


@piece("attention", 2, weight=2)
def attention(s: Sketch, x: Tensor) -> list[Tensor]:
    """Luong's and Bahdanau's."""
    if x.shape[-1] is None:
        return []
    value = _sequences(s, x)
    inputs = [x, value]
    if s.maybe(0.4):
        inputs.append(_alike(s, value))
    call: dict[str, Any] = {"use_causal_mask": True} if s.maybe(0.3) else {}
    outputs = [((x.shape[0], value.shape[-1]), (x.real[0], value.real[-1]))]
    if s.maybe(0.2):
        call["return_attention_scores"] = True
        outputs.append(((x.shape[0], value.shape[0]), (x.real[0], value.real[0])))
    if s.maybe(0.6):
        config: dict[str, Any] = {"use_scale": s.maybe(0.5)}
        if s.maybe(0.3):
            config["score_mode"] = "concat"
        return s.add("Attention", config, inputs, *outputs, call=call)
    return s.add("AdditiveAttention", {"use_scale": s.maybe(0.6)}, inputs, *outputs, call=call)


@piece("attention", 2, weight=2)
def multi_head(s: Sketch, x: Tensor) -> list[Tensor]:
    """MultiHeadAttention, to itself or another sequence."""
    if x.shape[-1] is None:
        return []
    others = s.others(lambda t: len(t.shape) == 2 and t.shape[-1] is not None)
    value = x if s.maybe(0.5) else s.pick(*others)
    heads, width = s.pick(1, 2, 3), s.pick(2, 3, 8)
    config: dict[str, Any] = {"num_heads": heads, "key_dim": width, "use_bias": s.maybe(0.7)}
    if s.maybe(0.3):
        config["value_dim"] = s.pick(2, 5)
    n = x.shape[-1]
    if s.maybe(0.2):
        n = config["output_shape"] = s.pick(3, 6)
    if s.maybe(0.2):
        config["dropout"] = 0.1
    call: dict[str, Any] = {"use_causal_mask": True} if s.maybe(0.3) else {}
    outputs = [((x.shape[0], n), (x.real[0], n))]
    if s.maybe(0.15):
        call["return_attention_scores"] = True
        outputs.append(((heads, x.shape[0], value.shape[0]), (heads, x.real[0], value.real[0])))
    inputs = [x, value]
    if s.maybe(0.3):
        inputs.append(s.pick(*s.others(lambda t: t.shape == value.shape and t.real == value.real)))
    return s.add("MultiHeadAttention", config, inputs, *outputs, call=call)
