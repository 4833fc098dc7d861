"""Layers that move, repeat, cut and pad: Flatten, Reshape, Permute, RepeatVector, Cropping, ZeroPadding, UpSampling."""

from __future__ import annotations

from typing import Any

from ....ir.ops.axes import NONE
from ..call import LayerCall, Value
from .registry import layer


@layer("Flatten", options=("data_format",), mask="stop")
def flatten(c: LayerCall) -> list[Value]:
    """All axes but the batch into one."""
    data_format = c.get("data_format")
    x = c.input()
    rank = len(c.tensor(x).shape)
    if data_format == "channels_first" and rank > 2:
        x = c.emit("transpose", [x], {"perm": (0, *range(2, rank), 1)})[0]
    return c.emit("flatten", [x])


@layer("Reshape", options=("target_shape",), mask="stop")
def reshape(c: LayerCall) -> list[Value]:
    """To target_shape (without the batch), at most one -1."""
    target = c.get("target_shape")
    if isinstance(target, int):
        target = [target]
    if not isinstance(target, (list, tuple)):
        raise c.refuse("no target_shape")
    dims = [-1 if d is None else d for d in target]
    if any(isinstance(d, bool) or not isinstance(d, int) or not -1 <= d < 2**48 for d in dims):
        raise c.refuse(f"target_shape {str(target)[:80]}")
    shape = c.tensor(c.input()).shape
    if len(shape) > 2 and len(dims) > 1 and -1 not in dims and dims[0] == shape[1]:
        dims[0] = -1  # the steps as they are: a session may have any number of them
    return c.emit("reshape", [c.input()], {"target_shape": tuple(dims)})


@layer("RepeatVector", options=("n",), mask="stop")
def repeat_vector(c: LayerCall) -> list[Value]:
    """(batch, features) -> (batch, n, features)."""
    n = c.integer("n")
    return c.emit("repeat_vector", [c.floats(c.input())], {"n": n})


@layer("Permute", options=("dims",), mask="stop")
def permute(c: LayerCall) -> list[Value]:
    """dims count from 1 and leave the batch where it is."""
    dims, x = c.get("dims"), c.input()
    rank = len(c.tensor(x).shape)
    if not isinstance(dims, (list, tuple)) or sorted(map(str, dims)) != sorted(map(str, range(1, rank))):
        raise c.refuse(f"dims {str(dims)[:40]} of a tensor of rank {rank}")
    return c.emit("transpose", [x], {"perm": (0, *dims)})


def _pairs(c: LayerCall, key: str, default: int, axes: int) -> list[tuple[int, int]]:
    """An option that is an int, as many ints as there are axes (1D: left and right) or pairs."""
    v = c.get(key, default)

    def count(x: Any) -> int:
        if isinstance(x, bool) or not isinstance(x, int) or not 0 <= x < 2**31:
            raise c.refuse(f"{key} {str(c.get(key))[:60]}")
        return x

    if isinstance(v, int):
        return [(count(v), count(v))] * axes
    if not isinstance(v, (list, tuple)) or len(v) != max(2, axes):
        raise c.refuse(f"{key} {str(v)[:60]}")
    if axes == 1:
        return [(count(v[0]), count(v[1]))]
    out = []
    for x in v:
        pair = x if isinstance(x, (list, tuple)) else (x, x)
        if len(pair) != 2:
            raise c.refuse(f"{key} {str(v)[:60]}")
        out.append((count(pair[0]), count(pair[1])))
    return out


def _spatial(c: LayerCall, axes: int) -> tuple[Value, int]:
    """The input, and the first of its spatial axes."""
    x = c.input()
    rank = len(c.tensor(x).shape)
    if rank != axes + 2:
        raise c.refuse(f"it takes tensors of rank {axes + 2}, got rank {rank}")
    return x, 2 if c.get("data_format") == "channels_first" else 1


@layer("ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D", options=("padding", "data_format"), mask="stop")
def zero_padding(c: LayerCall) -> list[Value]:
    """Zeros before and after the spatial axes."""
    axes = int(c.spec.class_name[-2])
    x, first = _spatial(c, axes)
    padding = [(0, 0)] * (axes + 1)
    padding[first - 1 : first - 1 + axes] = _pairs(c, "padding", 1, axes)
    return c.emit("pad", [x], {"padding": tuple(v for pair in padding for v in pair)})


@layer("Cropping1D", "Cropping2D", "Cropping3D", options=("cropping", "data_format"), mask="stop")
def cropping(c: LayerCall) -> list[Value]:
    """Leaves out so many elements at both ends of the spatial axes."""
    axes = int(c.spec.class_name[-2])
    x, first = _spatial(c, axes)
    default = {"Cropping1D": 1, "Cropping2D": 0, "Cropping3D": 1}[c.spec.class_name]
    pairs = _pairs(c, "cropping", default, axes)
    for (left, right), n in zip(pairs, c.tensor(x).shape[first:]):
        if isinstance(n, int) and n <= left + right:
            raise c.refuse(f"it crops {left} and {right} of {n} elements")
    cuts = {
        "axes": tuple(range(first, first + axes)),
        "begin": tuple(left for left, _ in pairs),
        "end": tuple(-right if right else NONE for _, right in pairs),
        "step": (1,) * axes,
    }
    return c.emit("slice", [x], cuts)


@layer("UpSampling1D", "UpSampling2D", "UpSampling3D", options=("size", "data_format", "interpolation"), mask="stop")
def up_sampling(c: LayerCall) -> list[Value]:
    """Repeats the elements of the spatial axes."""
    if c.get("interpolation", "nearest") != "nearest":
        raise c.refuse(f"interpolation={str(c.get('interpolation'))[:40]!r} is not supported", "use 'nearest'")
    axes = int(c.spec.class_name[-2])
    x, first = _spatial(c, axes)
    size = c.get("size", 2)
    sizes = list(size) if isinstance(size, (list, tuple)) else [size] * axes
    if len(sizes) != axes or any(isinstance(n, bool) or not isinstance(n, int) or not 0 < n < 2**31 for n in sizes):
        raise c.refuse(f"size {str(size)[:40]}")
    x = Value(x.tensor)
    for axis, n in enumerate(sizes, first):
        if n > 1:
            x = c.emit("repeat", [x], {"axis": axis, "n": n})[0]
    return [x]
