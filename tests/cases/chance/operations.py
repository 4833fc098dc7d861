"""Operations on tensors: Keras 3's nodes, and what Keras 2 makes of TensorFlow's functions."""

from __future__ import annotations

from .sketch import Shape, Sketch, Tensor, piece

# name in Keras 3, name in TensorFlow ("" for none); ``a`` is kept where the function is defined and calm
_UNARY = (
    ("ops.exp(-ops.abs({a}))", "tf.exp(-tf.abs({a}))"),
    ("ops.log(ops.abs({a}) + 1)", "tf.math.log(tf.abs({a}) + 1.0)"),
    ("ops.log1p(ops.square({a}))", "tf.math.log1p(tf.square({a}))"),
    ("ops.sqrt(ops.abs({a}) + 0.1)", "tf.sqrt(tf.abs({a}) + 0.1)"),
    ("ops.rsqrt(ops.square({a}) + 0.5)", "tf.math.rsqrt(tf.square({a}) + 0.5)"),
    ("ops.tanh({a})", "tf.tanh({a})"),
    ("ops.sigmoid({a})", "tf.sigmoid({a})"),
    ("ops.relu({a})", "tf.nn.relu({a})"),
    ("ops.relu6({a} * 3.0)", "tf.nn.relu6({a} * 3.0)"),
    ("ops.softplus({a})", "tf.math.softplus({a})"),
    ("ops.elu({a})", "tf.nn.elu({a})"),
    ("ops.selu({a})", "tf.nn.selu({a})"),
    ("ops.silu({a})", "tf.nn.silu({a})"),
    ("ops.gelu({a})", "tf.nn.gelu({a})"),
    ("ops.gelu({a}, approximate=False)", "tf.nn.gelu({a}, approximate=True)"),
    ("ops.leaky_relu({a}, 0.25)", "tf.nn.leaky_relu({a}, 0.25)"),
    ("ops.hard_sigmoid({a})", ""),
    ("ops.log_sigmoid({a})", ""),
    ("ops.sin({a})", "tf.sin({a})"),
    ("ops.cos({a})", "tf.cos({a})"),
    ("ops.sign({a})", "tf.sign({a})"),
    ("ops.erf({a})", "tf.math.erf({a})"),
    ("ops.clip({a}, -0.5, 0.75)", "tf.clip_by_value({a}, -0.5, 0.75)"),
    ("ops.softmax({a})", "tf.nn.softmax({a})"),
    ("ops.log_softmax({a})", "tf.nn.log_softmax({a})"),
    ("ops.normalize({a}, axis=-1)", "tf.math.l2_normalize({a}, axis=-1)"),
    ("-{a}", "-{a}"),
    ("abs({a})", "abs({a})"),
    ("({a} * 2.0 + 1.0)", "({a} * 2.0 + 1.0)"),
    ("(1.0 - {a})", "(1.0 - {a})"),
    ("(2.0 / (abs({a}) + 1.0))", "(2.0 / (abs({a}) + 1.0))"),
    ("{a} ** 2", "{a} ** 2"),
    ("ops.stop_gradient({a})", "tf.stop_gradient({a})"),
    ("ops.flip({a}, axis=-1)", "tf.reverse({a}, axis=[-1])"),
    ("ops.zeros_like({a}) + {a}", "tf.zeros_like({a}) + {a}"),
    ("ops.cast({a} > 0.1, {a}.dtype)", "tf.cast({a} > 0.1, {a}.dtype)"),
    ("ops.where({a} > 0.2, {a}, 0.5)", "tf.where({a} > 0.2, {a}, {a} * 0.5)"),
)

_BINARY = (
    ("({a} + {b})", "({a} + {b})"),
    ("({a} - {b})", "({a} - {b})"),
    ("({a} * {b})", "({a} * {b})"),
    ("({a} / (abs({b}) + 0.5))", "({a} / (abs({b}) + 0.5))"),
    ("ops.maximum({a}, {b})", "tf.maximum({a}, {b})"),
    ("ops.minimum({a}, {b})", "tf.minimum({a}, {b})"),
    ("ops.divide_no_nan({a}, {b})", "tf.math.divide_no_nan({a}, {b})"),
    ("ops.where({a} > {b}, {a}, {b})", "tf.where({a} > {b}, {a}, {b})"),
)

_REDUCED = (
    ("ops.mean({a}, axis={n}, keepdims={k})", "tf.reduce_mean({a}, {n}, {k})"),
    ("ops.sum({a}, axis={n}, keepdims={k})", "tf.reduce_sum({a}, {n}, {k})"),
    ("ops.max({a}, axis={n}, keepdims={k})", "tf.reduce_max({a}, {n}, {k})"),
    ("ops.min({a}, axis={n}, keepdims={k})", "tf.reduce_min({a}, {n}, {k})"),
    ("ops.var({a}, axis={n}, keepdims={k})", "tf.math.reduce_variance({a}, {n}, {k})"),
    ("ops.std({a}, axis={n}, keepdims={k})", "tf.math.reduce_std({a} * 1.5, {n}, {k})"),
)


def _emit(s: Sketch, code: str, inputs: list[Tensor], shape: Shape, real: tuple[int, ...]) -> list[Tensor]:
    return s.add("Expression", {"code": code}, inputs, (shape, real))


def _choose(s: Sketch, table: tuple[tuple[str, str], ...]) -> str:
    return s.pick(*[row[s.keras2] for row in table if row[s.keras2]])


@piece("operations", 1, 2, 3, weight=3)
def unary(s: Sketch, x: Tensor) -> list[Tensor]:
    """Functions of each value, one in the other."""
    code = "a"
    for _ in range(s.pick(1, 1, 2, 3)):
        code = _choose(s, _UNARY).format(a=f"({code})" if code != "a" else code)
    return _emit(s, code, [x], x.shape, x.real)


@piece("operations", 1, 2, 3, weight=3)
def binary(s: Sketch, x: Tensor) -> list[Tensor]:
    """Of two tensors, with broadcasting."""
    y = s.pick(*s.others(lambda t: t.shape == x.shape and t.real == x.real))
    a = _choose(s, _UNARY).format(a="a") if s.maybe(0.3) else "a"
    b = "b"
    if s.maybe(0.3):
        kept = "keepdims=True" if not s.keras2 else "keepdims=True"
        mean = "ops.mean" if not s.keras2 else "tf.reduce_mean"
        b = f"{mean}(b, axis={s.r.randrange(1, len(x.shape) + 1)}, {kept})"
    pair = (a, b) if s.maybe(0.5) else (b, a)
    return _emit(s, _choose(s, _BINARY).format(a=f"({pair[0]})", b=f"({pair[1]})"), [x, y], x.shape, x.real)


@piece("operations", 2, 3, weight=2)
def reduced(s: Sketch, x: Tensor) -> list[Tensor]:
    """Over one axis, or two."""
    axis, keep = s.r.randrange(1, len(x.shape) + 1), s.maybe(0.5)
    n = axis if s.maybe(0.5) else axis - len(x.shape) - 1
    code = _choose(s, _REDUCED).format(a="a", n=n, k=keep)
    lead = [1] if keep else []
    shape, real = list(x.shape), list(x.real)
    shape[axis - 1 : axis] = lead
    real[axis - 1 : axis] = lead
    return _emit(s, code, [x], tuple(shape), tuple(real))


@piece("operations", 2, 3, weight=2)
def sliced(s: Sketch, x: Tensor) -> list[Tensor]:
    """A step, some steps, some features."""
    t, n = x.real[0], x.real[-1]
    rest, real = x.shape[1:], x.real[1:]
    time = x.shape[0]
    if s.maybe(0.3):
        return _emit(s, f"a[:, {s.pick(0, -1)}]", [x], rest, real)
    if s.maybe(0.3) and t > 1:
        cut, m = s.pick(("1:", t - 1), (":-1", t - 1), ("::-1", t), ("::2", (t + 1) // 2), ("-1:", 1))
        return _emit(s, f"a[:, {cut}]", [x], (None if time is None else m, *rest), (m, *real))
    if x.shape[-1] is None:
        return []
    k = s.r.randrange(n)
    dots = ", ".join([":"] * len(x.shape))
    if s.maybe(0.5):
        return _emit(s, f"a[{dots}, {k}:]", [x], (*x.shape[:-1], n - k), (*x.real[:-1], n - k))
    return _emit(s, f"a[{dots}, {k}]", [x], x.shape[:-1], x.real[:-1])


@piece("operations", 1, 2, 3, weight=2)
def moved(s: Sketch, x: Tensor) -> list[Tensor]:
    """Joined, stacked, transposed, with axes more or fewer."""
    rank = len(x.shape)
    v = s.keras2
    same = s.others(lambda t: t.shape == x.shape and t.real == x.real)
    kind = s.pick("join", "stack", "turn", "new", "shape", "scores", "repeat", "pad", "split")
    if kind == "join" and x.shape[-1] is not None:
        n = 2 * x.shape[-1]
        return _emit(s, f"{'tf.concat' if v else 'ops.concatenate'}([a, b], -1)", [x, s.pick(*same)],
                     (*x.shape[:-1], n), (*x.real[:-1], n))  # fmt: skip
    if kind == "stack" and rank < 3:
        at = s.r.randrange(rank + 1)
        return _emit(s, f"{'tf' if v else 'ops'}.stack([a, b], axis={at + 1})", [x, s.pick(*same)],
                     (*x.shape[:at], 2, *x.shape[at:]), (*x.real[:at], 2, *x.real[at:]))  # fmt: skip
    if kind == "turn" and rank == 2:
        return _emit(s, f"{'tf' if v else 'ops'}.transpose(a, (0, 2, 1))", [x], x.shape[::-1], x.real[::-1])
    if kind == "new" and rank < 3:
        at = s.r.randrange(rank + 1)
        return _emit(s, f"{'tf' if v else 'ops'}.expand_dims(a, {at + 1})", [x],
                     (*x.shape[:at], 1, *x.shape[at:]), (*x.real[:at], 1, *x.real[at:]))  # fmt: skip
    if kind == "shape" and x.static and rank > 1:
        n = x.real[-1] * x.real[-2]
        lead = x.real[:-2]
        return _emit(s, f"{'tf' if v else 'ops'}.reshape(a, {(-1, *lead, n)})", [x], (*lead, n), (*lead, n))
    if kind == "scores" and rank == 2 and x.shape[-1] is not None:
        y = s.pick(*s.others(lambda t: len(t.shape) == 2 and t.shape[1] == x.shape[1]))
        code = "tf.matmul(a, b, transpose_b=True)" if v else "ops.matmul(a, ops.transpose(b, (0, 2, 1)))"
        return _emit(s, code, [x, y], (x.shape[0], y.shape[0]), (x.real[0], y.real[0]))
    if kind == "repeat" and x.shape[-1] is not None:
        n = 2 * x.shape[-1]
        return _emit(s, f"{'tf' if v else 'ops'}.repeat(a, 2, axis={rank})", [x],
                     (*x.shape[:-1], n), (*x.real[:-1], n))  # fmt: skip
    if kind == "pad" and rank == 2 and x.shape[-1] is not None:
        wide = None if x.shape[0] is None else x.shape[0] + 1
        return _emit(s, f"{'tf' if v else 'ops'}.pad(a, [[0, 0], [1, 0], [0, 2]])", [x],
                     (wide, x.shape[1] + 2), (x.real[0] + 1, x.real[1] + 2))  # fmt: skip
    if kind == "split" and x.shape[-1] is not None and x.shape[-1] % 2 == 0:
        n = x.shape[-1] // 2
        return _emit(s, f"{'tf' if v else 'ops'}.split(a, 2, axis=-1)[{s.pick(0, 1)}]", [x],
                     (*x.shape[:-1], n), (*x.real[:-1], n))  # fmt: skip
    return []
