"""Arithmetic, comparisons, functions, reductions, products."""

from __future__ import annotations

from typing import Any

from ....ir.activations import Activation
from ..activations import rounded
from ..call import LayerCall, Value
from ..joining import agree_axes, cast, same_dtype
from ..masks import mask_op
from .values import DTYPES, FLOATS, aligned, as_bool, axes_of, binary, emit, floating, like, literal, rank, tensor


def plain(op: str) -> Any:
    """A function of two operands that is one op."""

    def build(c: LayerCall, x: Any, y: Any) -> Value:
        least = "int32" if op in ("add", "subtract", "multiply") else "bool"
        return binary(c, op, x, y, least)

    return build


def divide(c: LayerCall, x: Any, y: Any) -> Value:
    """True division; of integers it gives float32 in Keras 3, float64 in Keras 2."""
    if c.spec.generation <= 2 and any(isinstance(v, Value) and c.tensor(v).dtype not in FLOATS for v in (x, y)):
        raise c.refuse("a division of integers", "cast them to float32 first")
    return binary(c, "divide", x, y, "float32")


def divide_no_nan(c: LayerCall, x: Any, y: Any) -> Value:
    """x / y, zero where y is zero."""
    y = tensor(c, y, "the divisor")
    quotient = divide(c, x, y)
    zero = binary(c, "compare", y, 0.0, function="equal")
    return where(c, zero, 0.0, quotient)


def power(c: LayerCall, x: Any, y: Any) -> Value:
    """x to the y; squares are products."""
    if isinstance(x, Value) and not isinstance(y, Value) and literal(c, y) == 2:
        return square(c, x)
    if any(isinstance(v, Value) and c.tensor(v).dtype not in FLOATS for v in (x, y)):
        raise c.refuse("a power of integers", "cast them to float32 first")
    return binary(c, "power", x, y, "float32")


def square(c: LayerCall, x: Any) -> Value:
    """x * x."""
    x = tensor(c, x)
    return emit(c, "multiply", *same_dtype(c, [x, x], "int32"))


def negative(c: LayerCall, x: Any) -> Value:
    """-x."""
    return binary(c, "multiply", tensor(c, x), -1)


def reciprocal(c: LayerCall, x: Any) -> Value:
    """1 / x."""
    return divide(c, 1.0, tensor(c, x))


def compare(function: str) -> Any:
    """A comparison. ``x != constant`` is the op that masks are made with, so that it is made once."""

    def build(c: LayerCall, x: Any, y: Any) -> Value:
        if function == "not_equal" and isinstance(x, Value) and not isinstance(y, Value):
            value = literal(c, y)
            whole = isinstance(value, int) or value.is_integer() or c.tensor(x).dtype in FLOATS
            if whole and c.tensor(x).dtype != "bool":
                return Value(mask_op(c, "not_equal", [x.tensor or ""], value=float(value)))
        return binary(c, "compare", x, y, function=function)

    return build


def is_nan(c: LayerCall, x: Any) -> Value:
    """Only NaN differs from itself."""
    x = tensor(c, x)
    return emit(c, "compare", x, x, function="not_equal")


def logical(op: str) -> Any:
    """and, or, xor of bools: minimum, maximum, difference."""

    def build(c: LayerCall, x: Any, y: Any) -> Value:
        a, b = [as_bool(c, v) if isinstance(v, Value) else bool(literal(c, v)) for v in (x, y)]
        if op == "xor":
            return binary(c, "compare", a, b, function="not_equal")
        return binary(c, op, a, b)

    return build


def logical_not(c: LayerCall, x: Any) -> Value:
    """False where x is True."""
    return emit(c, "compare", as_bool(c, x), operand="right", constant=0.0, function="equal")


def where(c: LayerCall, condition: Any, x: Any, y: Any) -> Value:
    """x where the condition holds, else y; either may be a number."""
    condition = as_bool(c, condition)
    tensors = [v for v in (x, y) if isinstance(v, Value)]
    numbers = [literal(c, v) for v in (x, y) if not isinstance(v, Value)]
    extra = next((n for n in numbers if isinstance(n, float)), numbers[0] if numbers else None)
    if tensors:
        tensors = same_dtype(c, tensors, "bool", extra)
        dtype = c.tensor(tensors[0]).dtype
    else:
        dtype = "float32" if any(isinstance(n, float) for n in numbers) else "int32"
    rest = iter(tensors)
    pair = [next(rest) if isinstance(v, Value) else like(c, condition, literal(c, v), dtype) for v in (x, y)]
    ranks = {rank(c, v) for v in (condition, *pair)}
    if len(ranks) != 1:
        raise c.refuse(f"it joins tensors of the ranks {sorted(ranks)}, so that the batch meets another axis")
    for axis in range(1, rank(c, condition)):
        agree_axes(c, [condition, *pair], [axis] * 3)
    return emit(c, "where", condition, *pair)


def clip(c: LayerCall, x: Any, low: Any = None, high: Any = None) -> Value:
    """Not below low, not above high."""
    x = tensor(c, x)
    if low is not None:
        x = binary(c, "maximum", x, low)
    return x if high is None else binary(c, "minimum", x, high)


def add_n(c: LayerCall, values: Any) -> Value:
    """The sum of a list."""
    xs = values if isinstance(values, list) else [values]
    xs = aligned(c, [tensor(c, v) for v in xs], least="int32")
    return emit(c, "add", *xs) if len(xs) > 1 else xs[0]


def unary(function: str) -> Any:
    """A function of each element."""

    def build(c: LayerCall, x: Any) -> Value:
        x = tensor(c, x)
        if c.spec.generation <= 2 and c.tensor(x).dtype not in FLOATS:
            raise c.refuse(f"{function} of integers", "cast them to float32 first")
        if function in ("abs", "sign") and c.tensor(x).dtype not in FLOATS:
            raise c.refuse(f"{function} of integers", "cast them to float32 first")
        return emit(c, "unary", floating(c, x), function=function)

    return build


def activation(name: str, *params: float) -> Any:
    """A function that layers know as their activation."""

    def build(c: LayerCall, x: Any) -> Value:
        return activate(c, x, Activation(name, params))

    return build


def activate(c: LayerCall, x: Any, function: Activation) -> Value:
    """An activation on each element, or on the rows of the last axis."""
    return emit(c, "activation", floating(c, tensor(c, x)), activation=function)


def leaky_relu(c: LayerCall, x: Any, slope: Any = 0.2) -> Value:
    """slope * x below zero."""
    return activate(c, x, Activation("leaky_relu", (rounded(literal(c, slope)),)))


def elu(c: LayerCall, x: Any, alpha: Any = 1.0) -> Value:
    """alpha * (exp(x) - 1) below zero."""
    return activate(c, x, Activation("elu", (float(literal(c, alpha)),)))


def gelu(c: LayerCall, x: Any, approximate: Any = None) -> Value:
    """Exact where not approximate: Keras 3's default is approximate, TensorFlow's exact."""
    if approximate is None:
        approximate = c.spec.generation >= 3
    return activate(c, x, Activation("gelu_tanh" if approximate else "gelu"))


def rowwise(name: str) -> Any:
    """softmax or log_softmax over an axis."""

    def build(c: LayerCall, x: Any, axis: Any = -1) -> Value:
        x = tensor(c, x)
        axes = axes_of(c, x, axis)
        last = rank(c, x) - 1
        if len(axes) != 1:
            raise c.refuse(f"{name} over the axes {axes} at once")
        if axes[0] == last:
            return activate(c, x, Activation(name))
        perm = [*range(last + 1)]
        perm[axes[0]], perm[last] = last, axes[0]
        turned = emit(c, "transpose", x, perm=tuple(perm))
        return emit(c, "transpose", activate(c, turned, Activation(name)), perm=tuple(perm))

    return build


def cast_to(c: LayerCall, x: Any, dtype: Any) -> Value:
    """x in another dtype; float32 stands for those of 16 bits, as in all arithmetic."""
    if dtype in ("float16", "bfloat16"):
        given = tensor(c, x)
        same = c.tensor(given).dtype == "float32"
        return Value(given.tensor if same else cast(c, Value(given.tensor), "float32").tensor, None, dtype)
    if dtype not in DTYPES or DTYPES[dtype] != dtype and dtype != "float":
        raise c.refuse(f"a cast to {str(dtype)[:40]}", "use float32, int32, int64 or bool")
    return cast(c, Value(tensor(c, x).tensor), DTYPES[dtype])


def as_tensor(c: LayerCall, x: Any, dtype: Any = None) -> Value:
    """x as it is, or in another dtype where one is given."""
    return Value(tensor(c, x).tensor) if dtype is None else cast_to(c, x, dtype)


def filled(value: float | None) -> Any:
    """ones_like, zeros_like, full_like."""

    def build(c: LayerCall, x: Any, fill: Any = None, dtype: Any = None) -> Value:
        x = tensor(c, x)
        wanted = c.tensor(x).dtype if dtype is None else DTYPES.get(dtype)
        if wanted is None:
            raise c.refuse(f"a tensor of dtype {str(dtype)[:40]}")
        return like(c, x, literal(c, fill) if value is None else value, wanted)

    return build


# ---- reductions and products --------------------------------------------------------------------


def _runs(axes: tuple[int, ...]) -> list[tuple[int, int]]:
    """Neighbouring axes as (first, count), the last ones first."""
    out: list[tuple[int, int]] = []
    for a in axes:
        if out and a == sum(out[-1]):
            out[-1] = (out[-1][0], out[-1][1] + 1)
        else:
            out.append((a, 1))
    return out[::-1]


def reduced(c: LayerCall, x: Value, function: str, axis: Any, keepdims: Any = False) -> Value:
    """A reduction over any axes but the batch."""
    for first, count in _runs(axes_of(c, x, axis)):
        x = emit(c, "reduce", x, function=function, first=first, count=count, keepdims=bool(keepdims))
    return x


def reduction(function: str) -> Any:
    """sum, mean, max, min, prod over axes."""

    def build(c: LayerCall, x: Any, axis: Any = None, keepdims: Any = False) -> Value:
        x = tensor(c, x)
        dtype = c.tensor(x).dtype
        if function == "mean" and c.spec.generation >= 3:
            x = floating(c, x)
        elif dtype not in FLOATS and (function not in ("max", "min") or dtype == "bool"):
            raise c.refuse(f"the {function} of {dtype}", "cast it to float32 first")
        return reduced(c, x, function, axis, keepdims)

    return build


def any_of(function: str) -> Any:
    """any (max) and all (min) of bools. Any feature != value is the op that Masking makes."""

    def build(c: LayerCall, x: Any, axis: Any = None, keepdims: Any = False) -> Value:
        x = as_bool(c, x)
        n = rank(c, x)
        made = next((node for node in c.builder.nodes if x.tensor in node.outputs), None)
        if function == "max" and not keepdims and made is not None and made.op == "not_equal" and n >= 3:
            source = c.builder.tensors[made.inputs[0]]
            if axes_of(c, x, axis) == (n - 1,) and source.dtype in FLOATS and isinstance(source.shape[-1], int):
                return Value(mask_op(c, "masking", [made.inputs[0]], value=made.attrs["value"]))
        return reduced(c, x, function, axis, keepdims)

    return build


def variance(c: LayerCall, x: Any, axis: Any = None, keepdims: Any = False) -> Value:
    """The mean square distance from the mean."""
    x = floating(c, tensor(c, x))
    off = emit(c, "subtract", x, reduced(c, x, "mean", axis, True))
    return reduced(c, square(c, off), "mean", axis, keepdims)


def deviation(c: LayerCall, x: Any, axis: Any = None, keepdims: Any = False) -> Value:
    """The square root of the variance."""
    return emit(c, "unary", variance(c, x, axis, keepdims), function="sqrt")


def normalize(c: LayerCall, x: Any, axis: Any = -1, order: Any = 2, epsilon: Any = None) -> Value:
    """x / its L2 norm: Keras 2 (l2_normalize) bounds the sum of squares from below, Keras 3 the factor from above."""
    if order != 2:
        raise c.refuse(f"the norm of order {str(order)[:20]}")
    x = floating(c, tensor(c, x))
    total = reduced(c, square(c, x), "sum", axis, True)
    if c.spec.generation <= 2:
        total = binary(c, "maximum", total, 1e-12 if epsilon is None else literal(c, epsilon))
    factor = emit(c, "unary", total, function="rsqrt")
    if c.spec.generation >= 3:
        factor = binary(c, "minimum", factor, 1.0 / (1e-7 if epsilon is None else literal(c, epsilon)))
    return emit(c, "multiply", x, factor)


def matmul(c: LayerCall, x: Any, y: Any, transpose_a: Any = False, transpose_b: Any = False) -> Value:
    """The product of the last two axes, matrix by matrix."""
    x, y = (floating(c, tensor(c, v, "an operand")) for v in (x, y))
    n = rank(c, x)
    if n != rank(c, y) or n < 3:
        raise c.refuse(f"a product of tensors of the ranks {n} and {rank(c, y)}", "use Dense or Dot")
    axes = (n - 2 if transpose_a else n - 1, n - 1 if transpose_b else n - 2)
    agree_axes(c, [x, y], axes)
    for k in range(1, n - 2):
        agree_axes(c, [x, y], [k, k])
        if c.tensor(x).shape[k] != c.tensor(y).shape[k]:
            raise c.refuse("a product that repeats one side over an axis")
    return emit(c, "dot", x, y, axes=axes, batch_axes=n - 2)
