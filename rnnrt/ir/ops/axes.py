"""Ops that rearrange axes: new and dropped axes of length 1, transposition, slices, padding, repetition."""

from __future__ import annotations

from ..dims import Dim, DimLike, affine, mul
from .spec import Attr, OpSpec, ShapeMismatch, register

__all__ = ["NONE"]

#: stands for None in the ``begin`` and ``end`` of a slice
NONE = 1 << 47


def _expand_infer(attrs, inputs):
    x, axes = inputs[0], attrs["axes"]
    rank = len(x.shape) + len(axes)
    if not axes or list(axes) != sorted(set(axes)) or not 1 <= axes[0] or axes[-1] >= rank:
        raise ShapeMismatch(f"new axes {axes} in a tensor of rank {rank}")
    rest = iter(x.shape)
    return [(tuple(1 if k in axes else next(rest) for k in range(rank)), x.dtype)]


def _squeeze_infer(attrs, inputs):
    x, axes = inputs[0], attrs["axes"]
    if not axes or list(axes) != sorted(set(axes)) or not 1 <= axes[0] or axes[-1] >= len(x.shape):
        raise ShapeMismatch(f"axes {axes} of a tensor of rank {len(x.shape)}")
    if any(x.shape[k] != 1 for k in axes):
        raise ShapeMismatch(f"only axes of length 1 can be dropped, {axes} of {x.shape} are not")
    return [(tuple(d for k, d in enumerate(x.shape) if k not in axes), x.dtype)]


def _axes_time(attrs, inputs):
    if min(attrs["axes"]) <= 1 or len(inputs[0].shape) < 2:
        return "mix", "it moves the time axis"
    return "step", ""


# Views; the axes of expand_dims count in its output, all count the batch.
register(OpSpec("expand_dims", _expand_infer, {"axes": Attr("ints", ())}, time=_axes_time))
register(OpSpec("squeeze", _squeeze_infer, {"axes": Attr("ints", ())}, time=_axes_time))


def _transpose_infer(attrs, inputs):
    x, perm = inputs[0], attrs["perm"]
    if sorted(perm) != list(range(len(x.shape))) or perm[0] != 0:
        raise ShapeMismatch(f"perm {perm} of a tensor of rank {len(x.shape)}; the batch stays first")
    return [(tuple(x.shape[k] for k in perm), x.dtype)]


def _transpose_time(attrs, inputs):
    if len(attrs["perm"]) < 2 or attrs["perm"][1] != 1:
        return "mix", "it moves the time axis"
    return "step", ""


register(OpSpec("transpose", _transpose_infer, {"perm": Attr("ints", ())}, time=_transpose_time))


def slice_length(n: DimLike, begin: int, end: int, step: int) -> DimLike:
    """The length of ``[begin:end:step]`` of an axis, :data:`NONE` for an end that is not given.

    Of a free axis every cut that is written must lie inside it, which is checked when its length is known.
    """
    if step == 0:
        raise ShapeMismatch("a slice with step 0")
    if not isinstance(n, Dim):
        return len(range(n)[slice(None if begin == NONE else begin, None if end == NONE else end, step)])
    forward = step > 0
    first, last = (begin, end) if forward else (end, begin)
    # [low, high) as offsets: (from the end?, distance)
    low = (False, 0) if first == NONE else (first < 0, first) if forward else (first < 0, first + 1)
    high = (True, 0) if last == NONE else (last < 0, last) if forward else (last < 0, last + 1)
    if not forward and last == -1:
        high = (True, 0)
    if not forward and first == -1:
        low = (True, 0)
    size = abs(step)
    if low[0] == high[0]:
        span = max(0, high[1] - low[1])
        return -(-span // size)
    if low[0]:  # begins at the end's side and ends at the front's: what is left depends on the length
        raise ShapeMismatch("a slice whose length is not known before the sequence is")
    return affine(n, 1, high[1] - low[1] + size - 1, size)


def _slice_infer(attrs, inputs):
    x = inputs[0]
    n = len(attrs["axes"])
    parts = [attrs[k] for k in ("axes", "begin", "end", "step")]
    if any(len(p) != n for p in parts) or len(set(attrs["axes"])) != n:
        raise ShapeMismatch("a slice needs one begin, end and step for each axis")
    shape = list(x.shape)
    for axis, begin, end, step in zip(*parts):
        if not 1 <= axis < len(shape):
            raise ShapeMismatch(f"a slice of axis {axis} of a tensor of rank {len(shape)}")
        shape[axis] = slice_length(shape[axis], begin, end, step)
        if shape[axis] == 0:
            raise ShapeMismatch(f"a slice of axis {axis} that leaves nothing")
    return [(tuple(shape), x.dtype)]


def _slice_time(attrs, inputs):
    if 1 in attrs["axes"] or len(inputs[0].shape) < 2:
        return "mix", "it cuts a piece out of the sequence"
    return "step", ""


_CUT = {k: Attr("ints", ()) for k in ("axes", "begin", "end", "step")}
register(OpSpec("slice", _slice_infer, _CUT, time=_slice_time))


def _last_infer(attrs, inputs):
    x = inputs[0]
    if len(x.shape) != 3:
        raise ShapeMismatch("last_step takes (batch, time, features)")
    return [((x.shape[0], x.shape[2]), x.dtype)]


# x[:, -1] of (batch, time, features): what has been seen last, so that it streams like a layer's last output
register(OpSpec("last_step", _last_infer, time="last"))


def _pad_infer(attrs, inputs):
    x, p = inputs[0], attrs["padding"]
    if len(p) != 2 * (len(x.shape) - 1) or any(v < 0 for v in p):
        raise ShapeMismatch(f"padding {p} of a tensor of rank {len(x.shape)}")
    pairs = zip(x.shape[1:], p[::2], p[1::2])
    return [((x.shape[0], *(affine(d, 1, a + b) for d, a, b in pairs)), x.dtype)]


def _pad_time(attrs, inputs):
    if any(attrs["padding"][:2]):
        return "mix", "it pads the time axis"
    return "step", ""


# zeros before and after each axis but the batch: (before, after, before, after, ...)
register(OpSpec("pad", _pad_infer, {"padding": Attr("ints", ())}, time=_pad_time))


def _repeat_infer(attrs, inputs):
    x, axis = inputs[0], attrs["axis"]
    if axis >= len(x.shape):
        raise ShapeMismatch(f"axis {axis} of a tensor of rank {len(x.shape)}")
    return [((*x.shape[:axis], mul(attrs["n"], x.shape[axis]), *x.shape[axis + 1 :]), x.dtype)]


def _repeat_time(attrs, inputs):
    if attrs["axis"] == 1:
        return "mix", "it repeats the steps of the sequence"
    return "step", ""


# each element of the axis n times: 1 2 -> 1 1 2 2
register(
    OpSpec("repeat", _repeat_infer, {"axis": Attr("int", minimum=1), "n": Attr("int", minimum=1)}, time=_repeat_time)
)
