"""Axes: slices, joining, turning, reshaping."""

from __future__ import annotations

from typing import Any

from ....ir.dims import Dim, numel, symbols_of
from ....ir.ops.axes import NONE
from ..call import LayerCall, Value
from ..joining import agree, expand, same_dtype, squeeze
from .values import axes_of, emit, literal, number_axes, rank, tensor

_SPECIAL = {"...", "__ellipsis__"}


def _entry(c: LayerCall, item: Any) -> Any:
    """An index as Python has it: int, slice, None, Ellipsis."""
    if isinstance(item, dict):
        name = item.get("class_name")
        if name == "__ellipsis__" or item.get("type") == "ellipsis":
            return Ellipsis
        if name == "__slice__":
            item = item.get("config", {})
        if "start" in item or "stop" in item:
            parts = [item.get(k) for k in ("start", "stop", "step")]
            if any(isinstance(p, bool) or not (p is None or isinstance(p, int)) for p in parts):
                raise c.refuse(f"a slice by tensors: {str(item)[:80]}", "slice with constants")
            return slice(*parts)
    if item is None or item == "tf.newaxis":
        return None
    if isinstance(item, str) and item in _SPECIAL:
        return Ellipsis
    if isinstance(item, bool) or not isinstance(item, int):
        raise c.refuse(f"the index {str(item)[:60]}", "use constant integers and slices")
    return item


def _expanded(c: LayerCall, key: Any, n: int) -> list[Any]:
    """The index with the ellipsis and the missing axes written out; n is the tensor's rank."""
    given = list(key) if isinstance(key, (list, tuple)) else [key]
    items = [_entry(c, k) for k in given]
    used = sum(k is not None and k is not Ellipsis for k in items)
    dots = [k for k, v in enumerate(items) if v is Ellipsis]
    if used > n or len(dots) > 1:
        raise c.refuse(f"an index of {used} axes into a tensor of rank {n}")
    at = dots[0] if dots else len(items)
    return [*items[:at], *[slice(None)] * (n - used), *items[at + 1 :]]


def getitem(c: LayerCall, x: Any, key: Any) -> Value:
    """x[key] with integers, slices, None and Ellipsis; the batch stays whole."""
    x = tensor(c, x)
    items = _expanded(c, key, rank(c, x))
    if items[0] != slice(None) and items[0] != slice(0, None, None) and items[0] != slice(None, None, 1):
        raise c.refuse("it selects among the batch, whose rows are independent here")
    wanted = [k for k in items if k is not None]
    last = len(wanted) == 3 and wanted[1] == -1
    if last:
        x = emit(c, "last_step", x)
        wanted = [wanted[0], wanted[2]]
    x = _cut(c, x, wanted)
    drop = [k for k, v in enumerate(wanted) if isinstance(v, int)]
    if drop:
        x = squeeze(c, x, drop)
    kept = [k for k in items if k is None or not isinstance(k, int)]
    new = [k for k, v in enumerate(kept) if v is None]
    return expand(c, x, new) if new else x


def _cut(c: LayerCall, x: Value, wanted: list[Any]) -> Value:
    """The slices, and integers as slices of length 1."""
    cuts: list[tuple[int, int, int, int]] = []
    for axis, item in enumerate(wanted):
        n = c.tensor(x).shape[axis]
        if isinstance(item, int):
            if isinstance(n, int) and not -n <= item < n:
                raise c.refuse(f"the index {item} of an axis of {n} elements")
            cuts.append((axis, item, NONE if item == -1 else item + 1, 1))
        elif (item.start or 0, item.stop, item.step or 1) != (0, None, 1):
            step = 1 if item.step is None else item.step
            begin, end = (NONE if v is None else v for v in (item.start, item.stop))
            if isinstance(n, int) and len(range(n)[item]) == 0:
                raise c.refuse(f"a slice of axis {axis} that leaves nothing")
            cuts.append((axis, begin, end, step))
    if not cuts:
        return Value(x.tensor)
    _check_free(c, x, cuts)
    axes, begin, end, step = zip(*cuts)
    return emit(c, "slice", x, axes=axes, begin=begin, end=end, step=step)


def _check_free(c: LayerCall, x: Value, cuts: list[tuple[int, int, int, int]]) -> None:
    """Slices of a free axis whose length cannot be told are refused."""
    from ....ir.ops.axes import slice_length
    from ....ir.ops.spec import ShapeMismatch

    for axis, begin, end, step in cuts:
        n = c.tensor(x).shape[axis]
        try:
            empty = slice_length(n, begin, end, step) == 0
        except ShapeMismatch as e:
            raise c.refuse(str(e)) from None
        if empty:
            raise c.refuse(f"a slice of axis {axis} that leaves nothing")


def take(c: LayerCall, x: Any, indices: Any, axis: Any = None) -> Value:
    """One index of an axis."""
    x = tensor(c, x)
    at = axes_of(c, x, axis)[0]
    index = literal(c, indices)
    if not isinstance(index, int):
        raise c.refuse("a selection by tensors or lists", "use slices")
    return getitem(c, x, [slice_at(None)] * at + [index])


def slice_at(start: int | None, stop: int | None = None, step: int | None = None) -> dict[str, int | None]:
    """A slice as files write it."""
    return {"start": start, "stop": stop, "step": step}


def flip(c: LayerCall, x: Any, axis: Any = None) -> Value:
    """Axes from their end to their beginning."""
    x = tensor(c, x)
    axes = axes_of(c, x, axis)
    n = len(axes)
    return emit(c, "slice", x, axes=axes, begin=(NONE,) * n, end=(NONE,) * n, step=(-1,) * n)


def concatenate(c: LayerCall, values: Any, axis: Any = -1) -> Value:
    """One after the other along an axis."""
    xs = [tensor(c, v, "a part") for v in (values if isinstance(values, (list, tuple)) else [values])]
    if len({rank(c, v) for v in xs}) != 1:
        raise c.refuse("it joins tensors of different ranks")
    at = axes_of(c, xs[0], axis, "joins")[0]
    xs = same_dtype(c, xs)
    agree(c, xs, at)
    return emit(c, "concatenate", *xs, axis=at) if len(xs) > 1 else xs[0]


def stack(c: LayerCall, values: Any, axis: Any = 0) -> Value:
    """Joined along a new axis."""
    xs = [tensor(c, v, "a part") for v in (values if isinstance(values, (list, tuple)) else [values])]
    at = number_axes(c, axis, rank(c, xs[0]) + 1)[0]
    if at == 0:
        raise c.refuse("it puts a new axis before the batch")
    return concatenate(c, [expand(c, v, [at]) for v in xs], at)


def split(c: LayerCall, x: Any, sections: Any, axis: Any = 0) -> list[Value]:
    """Equal parts, or (Keras 3) parts between indices, (TensorFlow) parts of given sizes."""
    x = tensor(c, x)
    at = axes_of(c, x, axis, "splits")[0]
    n = c.tensor(x).shape[at]
    if not isinstance(n, int):
        raise c.refuse("it splits an axis of free length")
    if isinstance(sections, int) and not isinstance(sections, bool) and sections > 0 and n % sections == 0:
        ends = [n // sections * k for k in range(sections + 1)]
    elif isinstance(sections, list) and all(isinstance(v, int) and v >= 0 for v in sections):
        modern = c.spec.generation >= 3
        ends = [0, *(sections if modern else [sum(sections[: k + 1]) for k in range(len(sections))])]
        ends = [*ends, n] if modern else ends
    else:
        raise c.refuse(f"a split into {str(sections)[:40]}")
    parts = list(zip(ends, ends[1:]))
    if any(not 0 <= a < b <= n for a, b in parts) or ends[-1] != n:
        raise c.refuse(f"a split of {n} elements into {str(sections)[:40]}")
    return [emit(c, "slice", x, axes=(at,), begin=(a,), end=(b,), step=(1,)) for a, b in parts]


def unstack(c: LayerCall, x: Any, axis: Any = 0, num: Any = None) -> list[Value]:
    """Each index of an axis by itself."""
    x = tensor(c, x)
    at = axes_of(c, x, axis, "splits")[0]
    n = c.tensor(x).shape[at]
    if not isinstance(n, int):
        raise c.refuse("it splits an axis of free length")
    return [squeeze(c, part, [at]) for part in split(c, x, n, at)]


def expand_dims(c: LayerCall, x: Any, axis: Any = -1) -> Value:
    """New axes of length 1."""
    x = tensor(c, x)
    count = len(axis) if isinstance(axis, (list, tuple)) else 1
    axes = number_axes(c, axis, rank(c, x) + count)
    if 0 in axes:
        raise c.refuse("it puts a new axis before the batch")
    return expand(c, x, axes)


def squeeze_dims(c: LayerCall, x: Any, axis: Any = None) -> Value:
    """Axes of length 1 dropped: those named, or all."""
    x = tensor(c, x)
    shape = c.tensor(x).shape
    if axis is None or axis == []:
        axes = tuple(k for k, d in enumerate(shape) if k and d == 1)
    else:
        axes = axes_of(c, x, axis, "drops")
    if any(isinstance(shape[k], Dim) or shape[k] != 1 for k in axes):
        raise c.refuse("it drops an axis whose length is not known to be 1")
    return squeeze(c, x, axes) if axes else Value(x.tensor)


def transpose(c: LayerCall, x: Any, perm: Any = None) -> Value:
    """The axes in another order, the batch first."""
    x = tensor(c, x)
    n = rank(c, x)
    order = list(perm) if isinstance(perm, (list, tuple)) else list(range(n))[::-1]
    if sorted(v % n if isinstance(v, int) else -1 for v in order) != list(range(n)):
        raise c.refuse(f"the order {str(perm)[:40]} of {n} axes")
    order = [v % n for v in order]
    if order[0] != 0:
        raise c.refuse("it moves the batch from the first axis")
    return emit(c, "transpose", x, perm=tuple(order)) if order != list(range(n)) else Value(x.tensor)


def swap_axes(c: LayerCall, x: Any, axis1: Any, axis2: Any) -> Value:
    """Two axes exchanged."""
    x = tensor(c, x)
    n = rank(c, x)
    a, b = number_axes(c, axis1, n)[0], number_axes(c, axis2, n)[0]
    order = list(range(n))
    order[a], order[b] = b, a
    return transpose(c, x, order)


def move_axis(c: LayerCall, x: Any, source: Any, destination: Any) -> Value:
    """One axis to another place."""
    x = tensor(c, x)
    n = rank(c, x)
    a, b = (number_axes(c, v, n)[0] for v in (source, destination))
    order = [k for k in range(n) if k != a]
    order.insert(b, a)
    return transpose(c, x, order)


def reshape(c: LayerCall, x: Any, shape: Any) -> Value:
    """To a shape that begins with the batch (-1) and keeps it whole."""
    x = tensor(c, x)
    if not isinstance(shape, (list, tuple)) or not shape:
        raise c.refuse(f"the shape {str(shape)[:60]}")
    dims = [-1 if d is None else d for d in shape]
    if any(isinstance(d, bool) or not isinstance(d, int) or not -1 <= d < 2**48 for d in dims):
        raise c.refuse("a shape that is computed", "use the layer Reshape, whose target leaves the batch out")
    have = numel(c.tensor(x).shape[1:])
    rest = 1
    for d in dims[1:]:
        rest *= d
    if dims[0] != -1 or -1 in dims[1:] or symbols_of(have) or rest != have:
        raise c.refuse(
            f"the shape {str(shape)[:60]} need not keep the rows of the batch apart", "use the layer Reshape"
        )
    if len(dims) == 1:
        raise c.refuse("a shape without features")
    return emit(c, "reshape", x, target_shape=tuple(dims[1:]))


def repeat(c: LayerCall, x: Any, repeats: Any, axis: Any = None) -> Value:
    """Each element of an axis so many times."""
    x = tensor(c, x)
    n = literal(c, repeats)
    if not isinstance(n, int) or n < 1:
        raise c.refuse(f"{str(repeats)[:40]} repetitions")
    return emit(c, "repeat", x, axis=axes_of(c, x, axis, "repeats")[0], n=n)


def tile(c: LayerCall, x: Any, repeats: Any) -> Value:
    """The whole of an axis so many times."""
    x = tensor(c, x)
    times = list(repeats) if isinstance(repeats, (list, tuple)) else [repeats]
    times = [1] * (rank(c, x) - len(times)) + times
    if len(times) != rank(c, x) or any(isinstance(n, bool) or not isinstance(n, int) or not 0 < n <= 64 for n in times):
        raise c.refuse(f"{str(repeats)[:40]} repetitions")
    if times[0] != 1:
        raise c.refuse("it repeats the batch")
    for axis, n in enumerate(times):
        if n > 1:
            x = emit(c, "concatenate", *[x] * n, axis=axis)
    return Value(x.tensor)


def pad(c: LayerCall, x: Any, width: Any, mode: Any = "constant", value: Any = None) -> Value:
    """Zeros around the axes but the batch."""
    x = tensor(c, x)
    if str(mode).lower() != "constant" or (value is not None and literal(c, value) != 0):
        raise c.refuse(f"padding in the mode {str(mode)[:20]} with {str(value)[:20]}", "pad with zeros")
    pairs = width if isinstance(width, list) else []
    ok = len(pairs) == rank(c, x) and all(
        isinstance(p, list) and len(p) == 2 and all(isinstance(v, int) and 0 <= v < 2**31 for v in p) for p in pairs
    )
    if not ok or any(pairs[0]):
        raise c.refuse(f"padding by {str(width)[:60]}")
    return emit(c, "pad", x, padding=tuple(v for p in pairs[1:] for v in p))


def identity(c: LayerCall, x: Any) -> Value:
    """x, without its mask."""
    return Value(tensor(c, x).tensor)
