"""Dimensions of tensors: integers, or expressions over named symbols.

A dimension is an ``int`` or a :class:`Dim`. The symbols are ``"B"`` (the batch)
and ``"<input>:<axis>"`` (the length of a free axis of a model input). The same
expressions are handed to C, which evaluates them in ``bind``; therefore the set of
forms is closed: constant, symbol, ``floor((a*m + b) / d)``, ``a * b``, ``a + b``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Union

from ..records import Record

__all__ = [
    "BATCH",
    "Dim",
    "DimLike",
    "add",
    "affine",
    "dim_from_json",
    "dim_to_json",
    "evaluate",
    "format_shape",
    "mul",
    "numel",
    "substitute",
    "symbol",
    "symbols_of",
]


class Dim(Record):
    """A symbolic dimension; build it with :func:`symbol`, :func:`mul`, :func:`add`, :func:`affine`."""

    kind: str  # "sym" | "mul" | "add" | "affine"
    args: tuple

    def __str__(self) -> str:
        if self.kind == "sym":
            return self.args[0]
        if self.kind in ("mul", "add"):
            sign = "*" if self.kind == "mul" else "+"
            return f"({self.args[0]}{sign}{self.args[1]})"
        a, m, b, d = self.args
        inner = f"{a}*{m}+{b}" if m != 1 else f"{a}+{b}"
        return f"({inner})//{d}" if d != 1 else f"({inner})"


DimLike = Union[int, Dim]  # noqa: UP007  (evaluated at run time, also on 3.10)


def symbol(name: str) -> Dim:
    """The symbol of that name (``"B"`` or ``"<input>:<axis>"``)."""
    return Dim("sym", (name,))


BATCH = symbol("B")


def mul(a: DimLike, b: DimLike) -> DimLike:
    """``a * b``, folded where both are integers or one is 0 or 1; integers come first."""
    if isinstance(a, int) and isinstance(b, int):
        return a * b
    if isinstance(b, int):
        a, b = b, a
    if isinstance(a, int):
        if a == 1:
            return b
        if a == 0:
            return 0
        return affine(b, m=a)
    return Dim("mul", (a, b) if str(a) <= str(b) else (b, a))


def add(a: DimLike, b: DimLike) -> DimLike:
    """``a + b``."""
    if isinstance(a, int) and isinstance(b, int):
        return a + b
    if isinstance(a, int):
        return affine(b, b=a)
    if isinstance(b, int):
        return affine(a, b=b)
    return Dim("add", (a, b) if str(a) <= str(b) else (b, a))


def affine(a: DimLike, m: int = 1, b: int = 0, d: int = 1) -> DimLike:
    """``floor((a*m + b) / d)`` with integer ``m``, ``b`` and ``d >= 1``."""
    if d < 1:
        raise ValueError("the divisor of a dimension must be >= 1")
    if isinstance(a, int):
        return (a * m + b) // d
    if (m, b, d) == (1, 0, 1):
        return a
    if a.kind == "affine" and a.args[3] == 1:  # (a*m1+b1)*m+b
        inner, m1, b1, _ = a.args
        return affine(inner, m1 * m, b1 * m + b, d)
    return Dim("affine", (a, m, b, d))


def numel(shape: Sequence[DimLike]) -> DimLike:
    """The product of a shape's dimensions."""
    out: DimLike = 1
    for d in shape:
        out = mul(out, d)
    return out


def evaluate(dim: DimLike, values: Mapping[str, int]) -> int:
    """The dimension's value; ``values`` maps symbol names to lengths (KeyError where one misses)."""
    if isinstance(dim, int):
        return dim
    if dim.kind == "sym":
        return values[dim.args[0]]
    if dim.kind == "mul":
        return evaluate(dim.args[0], values) * evaluate(dim.args[1], values)
    if dim.kind == "add":
        return evaluate(dim.args[0], values) + evaluate(dim.args[1], values)
    a, m, b, d = dim.args
    return (evaluate(a, values) * m + b) // d


def substitute(dim: DimLike, values: Mapping[str, DimLike]) -> DimLike:
    """The dimension with symbols replaced."""
    if isinstance(dim, int):
        return dim
    if dim.kind == "sym":
        return values.get(dim.args[0], dim)
    if dim.kind == "mul":
        return mul(substitute(dim.args[0], values), substitute(dim.args[1], values))
    if dim.kind == "add":
        return add(substitute(dim.args[0], values), substitute(dim.args[1], values))
    a, m, b, d = dim.args
    return affine(substitute(a, values), m, b, d)


def symbols_of(dim: DimLike) -> frozenset:
    """Names of the symbols in a dimension."""
    if isinstance(dim, int):
        return frozenset()
    if dim.kind == "sym":
        return frozenset(dim.args)
    return frozenset().union(*(symbols_of(a) for a in dim.args[: 1 if dim.kind == "affine" else 2]))


def dim_to_json(dim: DimLike) -> object:
    """int -> int, symbol -> its name, else ``[kind, ...]``."""
    if isinstance(dim, int):
        return dim
    if dim.kind == "sym":
        return dim.args[0]
    return [dim.kind, *(dim_to_json(a) for a in dim.args)]


def dim_from_json(value: object, depth: int = 0) -> DimLike:
    """Inverse of :func:`dim_to_json`; ValueError for anything else."""
    if isinstance(value, bool) or depth > 16:
        raise ValueError(f"not a dimension: {value!r}")
    if isinstance(value, int):
        if not 0 <= value < 2**48:
            raise ValueError(f"dimension {value} out of range")
        return value
    if isinstance(value, str):
        return symbol(value)
    if isinstance(value, list) and value and value[0] in ("mul", "add") and len(value) == 3:
        a, b = (dim_from_json(v, depth + 1) for v in value[1:])
        return mul(a, b) if value[0] == "mul" else add(a, b)
    if isinstance(value, list) and value and value[0] == "affine" and len(value) == 5:
        ints = value[2:]
        if not all(isinstance(v, int) and not isinstance(v, bool) and abs(v) < 2**48 for v in ints) or ints[2] < 1:
            raise ValueError(f"not a dimension: {value!r}")
        return affine(dim_from_json(value[1], depth + 1), *ints)
    raise ValueError(f"not a dimension: {value!r}")


def format_shape(shape: Sequence[DimLike]) -> str:
    """``(None, 28, 28)`` as Keras prints it: symbols as None."""
    items = ["None" if isinstance(d, Dim) else str(d) for d in shape]
    return "(" + ", ".join(items) + ("," if len(items) == 1 else "") + ")"
