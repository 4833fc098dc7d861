"""The ops of several tensors and of axes: the runtime against the float64 reference, over shapes and dtypes."""

import numpy as np
import pytest
from cases.graphs import Builder
from runtime import BITWISE, model_of, same_bits

from rnnrt.errors import ShapeError
from rnnrt.ir.activations import Activation
from rnnrt.ir.ops import ShapeMismatch
from rnnrt.ir.ops.axes import NONE, slice_length
from rnnrt.ir.ops.functions import REDUCTIONS, UNARY
from rnnrt.ir.ops.merge import BINARY, COMPARISONS
from rnnrt.ir.passes.streamability import analyse, timed_tensors
from rnnrt.reference import Interpreter


def _check(builder, outputs, arrays, tolerance=2e-6):
    """Outputs of the model, compared with the reference."""
    graph, weights = builder.done(*outputs)
    model = model_of(graph, weights)
    got = model.predict(arrays if len(arrays) > 1 else arrays[0])
    got = got if isinstance(got, list) else [got]
    for y, want in zip(got, Interpreter(graph, weights).predict(arrays)):
        assert y.shape == want.shape
        if want.dtype.kind == "f":
            np.testing.assert_allclose(y, want, rtol=tolerance, atol=tolerance)
        else:
            np.testing.assert_array_equal(y, want)
    return got


def _floats(seed, *shape):
    return np.random.RandomState(seed).standard_normal(shape).astype("float32")


SHAPES = [
    ((4,), (4,)),
    ((1,), (4,)),
    ((5, 3), (5, 3)),
    ((5, 3), (5, 1)),
    ((5, 3), (1, 3)),
    ((1, 3), (5, 1)),
    ((2, 3, 4), (2, 1, 4)),
    ((2, 3, 1), (1, 3, 5)),
    ((1, 1, 1), (2, 3, 4)),
    ((17, 33), (17, 33)),
]


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@pytest.mark.parametrize("name", BINARY)
def test_binary(name, shapes):
    b = Builder()
    x, y = (b.input(n, *s) for n, s in zip("xy", shapes))
    arrays = [_floats(k, 3, *s) for k, s in enumerate(shapes)]
    if name in ("divide", "power"):
        arrays = [np.abs(a) + 0.5 for a in arrays]
    outputs = [b.add(name, "out", x, y)[0]]
    if BINARY[name] > 2:
        outputs.append(b.add(name, "three", y, x, y)[0])
    if name != "average":
        outputs.append(b.add(name, "right", x, operand="right", constant=1.25)[0])
        outputs.append(b.add(name, "left", x, operand="left", constant=1.25)[0])
    _check(b, outputs, arrays)


@pytest.mark.parametrize("dtype", ["int32", "int64", "bool"])
def test_binary_of_other_dtypes(dtype):
    b = Builder()
    x, y = (b.input(n, 5, dtype="float32") for n in "xy")
    ints = [b.add("cast", f"as_{n}", n, dtype=dtype)[0] for n in (x, y)]
    names = ["maximum", "minimum"] + ([] if dtype == "bool" else ["add", "subtract", "multiply"])
    outputs = [b.add(n, n, *ints)[0] for n in names]
    outputs += [b.add("compare", f, *ints, function=f)[0] for f in COMPARISONS]
    outputs += [b.add("reduce", f"reduce_{f}", ints[0], function=f, first=1)[0] for f in ("max", "min")]
    _check(b, outputs, [np.round(_floats(k, 4, 5) * 2) for k in (1, 2)])


@pytest.mark.parametrize("function", COMPARISONS)
def test_compare(function):
    b = Builder()
    x, y = b.input("x", 3, 4), b.input("y", 1, 4)
    outputs = [b.add("compare", "out", x, y, function=function)[0]]
    outputs.append(b.add("compare", "right", x, function=function, operand="right", constant=0.5)[0])
    arrays = [np.round(_floats(1, 2, 3, 4) * 2) / 2, np.round(_floats(2, 2, 1, 4) * 2) / 2]
    _check(b, outputs, arrays)


def test_not_a_number_goes_through_maximum_and_minimum():
    b = Builder()
    x, y = b.input("x", 2), b.input("y", 2)
    outputs = [b.add(n, n, x, y)[0] for n in ("maximum", "minimum")]
    graph, weights = b.done(*outputs)
    got = model_of(graph, weights).predict([np.array([[np.nan, 1.0]], "f4"), np.array([[1.0, np.nan]], "f4")])
    assert all(np.isnan(y).all() for y in got)


@pytest.mark.parametrize("function", UNARY)
def test_unary(function):
    b = Builder()
    out = b.add("unary", "out", b.input("x", None, 7), function=function)
    x = np.abs(_floats(1, 2, 3, 7)) + 0.1 if function in ("log", "log1p", "sqrt", "rsqrt") else _floats(1, 2, 3, 7) * 3
    _check(b, out, [x])


@pytest.mark.parametrize("function", REDUCTIONS)
@pytest.mark.parametrize("first, count", [(1, 1), (2, 1), (3, 1), (1, 2), (2, 2), (1, 3)])
def test_reduce(function, first, count):
    b = Builder()
    x = b.input("x", 3, 35, 70)
    outputs = [
        b.add("reduce", f"k{k}", x, function=function, first=first, count=count, keepdims=bool(k))[0] for k in (0, 1)
    ]
    x = _floats(3, 2, 3, 35, 70)
    _check(b, outputs, [1 + x / 100 if function == "prod" else x], 3e-5)


@pytest.mark.parametrize("kernels", BITWISE)
def test_reductions_and_products_have_the_same_bits_on_every_table(kernels):
    b = Builder()
    x = b.input("x", 5, 33)
    outputs = [b.add("reduce", "mean", x, function="mean", first=2)[0], b.add("dot", "dot", x, x, axes=(2, 2))[0]]
    graph, weights = b.done(*outputs)
    data = _floats(5, 3, 5, 33)
    for y, want in zip(
        model_of(graph, weights, kernels).predict(data), model_of(graph, weights, BITWISE[0]).predict(data)
    ):
        assert same_bits(y, want)


DOTS = [
    ((6,), (6,), (1, 1), 1),
    ((5, 6), (6,), (2, 1), 1),
    ((6,), (6, 5), (1, 1), 1),
    ((5, 6), (4, 6), (2, 2), 1),
    ((6, 5), (6, 4), (1, 1), 1),
    ((2, 6, 3), (5, 6), (2, 2), 1),
    ((2, 6, 3), (2, 3, 4), (3, 2), 2),
    ((2, 3, 6), (2, 4, 6), (3, 3), 2),
    ((1, 1), (1, 1), (2, 1), 1),
    ((40, 70), (70, 50), (2, 1), 1),
]


@pytest.mark.parametrize("x, y, axes, common", DOTS, ids=str)
def test_dot(x, y, axes, common):
    b = Builder()
    out = b.add("dot", "out", b.input("x", *x), b.input("y", *y), axes=axes, batch_axes=common)
    _check(b, out, [_floats(1, 3, *x), _floats(2, 3, *y)], 2e-5)


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_concatenate(axis):
    b = Builder()
    shapes = [[2, 3, 4] for _ in range(3)]
    for k, s in enumerate(shapes):
        s[axis - 1] += k
    out = b.add("concatenate", "out", *[b.input(f"x{k}", *s) for k, s in enumerate(shapes)], axis=axis)
    _check(b, out, [_floats(k, 2, *s) for k, s in enumerate(shapes)], 0)


@pytest.mark.parametrize("perm", [(0, 2, 1, 3), (0, 3, 2, 1), (0, 1, 3, 2), (0, 2, 3, 1)])
def test_transpose(perm):
    b = Builder()
    _check(b, b.add("transpose", "out", b.input("x", None, 3, 4), perm=perm), [_floats(1, 2, 5, 3, 4)], 0)


CUTS = [(NONE, NONE, 1), (1, NONE, 1), (NONE, -1, 1), (-3, NONE, 1), (1, 4, 2), (NONE, NONE, -1), (-2, 0, -1)]
CUTS += [(NONE, NONE, 2), (1, -1, 3), (-1, NONE, -2), (4, 1, -1)]


@pytest.mark.parametrize("cut", CUTS, ids=str)
@pytest.mark.parametrize("free", [False, True])
def test_slice(cut, free):
    b = Builder()
    cuts = {"axes": (1,), "begin": cut[:1], "end": cut[1:2], "step": cut[2:]}
    x = b.input("x", None if free else 7, 3)
    if free and cut == (-2, 0, -1):
        cuts["end"] = (NONE,)  # the length of the other would depend on the sequence in a way that has no form
    _check(b, b.add("slice", "out", x, **cuts), [_floats(1, 2, 7, 3)], 0)


def test_a_slice_that_lies_outside_of_a_short_sequence_is_refused():
    b = Builder()
    graph, weights = b.done(
        *b.add("slice", "cut", b.input("x", None, 3), axes=(1,), begin=(-3,), end=(NONE,), step=(1,))
    )
    model = model_of(graph, weights)
    assert model.predict(_floats(1, 2, 3, 3)).shape == (2, 3, 3)
    with pytest.raises(ShapeError, match="cut"):
        model.predict(_floats(1, 2, 2, 3))


def _after_a_cut(*more):
    """A model that begins with the fourth step, and what follows."""
    b = Builder()
    (y,) = b.add("slice", "cut", b.input("x", None, 3), axes=(1,), begin=(3,), end=(NONE,), step=(1,))
    for op, attrs in more:
        (y,) = b.add(op, op, y, **attrs)
    return model_of(*b.done(y))


def test_layers_over_no_steps_make_none():
    model = _after_a_cut(("dense", {"units": 4}), ("batch_normalization", {"axis": 2}))
    assert model.predict(_floats(1, 2, 4, 3)).shape == (2, 1, 4)
    assert model.predict(_floats(1, 2, 3, 3)).shape == (2, 0, 4)
    with pytest.raises(ShapeError, match=r"shape \(2, -1, 4\); its input is too short"):
        model.predict(_floats(1, 2, 2, 3))


def test_the_last_of_no_steps_is_refused():
    for model in _after_a_cut(("gru", {"units": 2})), _after_a_cut(("dense", {"units": 2}), ("last_step", {})):
        assert model.predict(_floats(1, 2, 4, 3)).shape == (2, 2)
        with pytest.raises(ShapeError, match="(gru|last_step): sizes do not fit"):
            model.predict(_floats(1, 2, 3, 3))


@pytest.mark.parametrize("n", range(1, 8))
def test_the_length_of_a_slice_is_python_s(n):
    for begin in (NONE, *range(-8, 9)):
        for end in (NONE, *range(-8, 9)):
            for step in (-3, -1, 1, 2):
                want = len(range(n)[slice(None if begin == NONE else begin, None if end == NONE else end, step)])
                assert slice_length(n, begin, end, step) == want


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_pad_and_repeat(axis):
    b = Builder()
    x = b.input("x", None, 3, 2)
    padding = [0] * 6
    padding[2 * axis - 2 : 2 * axis] = [2, 1]
    outputs = [b.add("pad", "pad", x, padding=tuple(padding))[0], b.add("repeat", "repeat", x, axis=axis, n=3)[0]]
    _check(b, outputs, [_floats(1, 2, 4, 3, 2)], 0)


def _streams(batch_of=3):
    """A graph of all ops that work per step."""
    b = Builder()
    x, y = b.input("x", None, 4), b.input("y", None, 4, time="x")
    (g,) = b.add("gru", "gru", x, units=4, return_sequences=True)
    (s,) = b.add("add", "add", g, y, x)
    (one,) = b.add("reduce", "sum", s, function="mean", first=2, keepdims=True)
    (m,) = b.add("multiply", "multiply", s, one)
    (c,) = b.add("compare", "compare", m, operand="right", constant=0.1, function="greater")
    (w,) = b.add("where", "where", c, m, b.add("unary", "abs", y, function="abs")[0])
    (f,) = b.add(
        "slice", "cut", b.add("pad", "pad", w, padding=(0, 0, 1, 1))[0], axes=(2,), begin=(1,), end=(4,), step=(1,)
    )
    (e,) = b.add("transpose", "turn", b.add("expand_dims", "new", f, axes=(2,))[0], perm=(0, 1, 3, 2))
    (j,) = b.add("concatenate", "join", b.add("squeeze", "drop", e, axes=(3,))[0], one, g, axis=2)
    (r,) = b.add("repeat", "repeat", j, axis=2, n=2)
    (last,) = b.add("last_step", "last", b.add("lstm", "lstm", r, units=3, return_sequences=True)[0])
    (head,) = b.add("dense", "head", last, units=2)
    return b.done(r, head)


@pytest.mark.parametrize("steps, batch", [(1, 1), (7, 3), (200, 2), (700, 1)])
def test_sessions_give_the_bits_of_predict_at_any_cut(steps, batch):
    graph, weights = _streams()
    verdict = analyse(graph)
    assert verdict.ok, verdict.message
    assert [verdict.marks[t] for t in graph.outputs] == ["step", "sequence"]
    model = model_of(graph, weights)
    x, y = _floats(1, batch, steps, 4), _floats(2, batch, steps, 4)
    whole = model.predict([x, y])
    for y_, want in zip(whole, Interpreter(graph, weights).predict([x, y])):
        np.testing.assert_allclose(y_, want, rtol=1e-5, atol=1e-5)
    session, pieces, at = model.session(batch), [], 0
    for n in (1, 2, 130, steps):
        if at < steps:
            pieces.append(session.run([x[:, at : at + n], y[:, at : at + n]]))
            at += n
    assert same_bits(np.concatenate([p[0] for p in pieces], 1), whole[0])
    assert same_bits(pieces[-1][1], whole[1])


@pytest.mark.parametrize(
    "op, attrs, why",
    [
        ("slice", {"axes": (1,), "begin": (0,), "end": (1,), "step": (1,)}, "cuts a piece"),
        ("transpose", {"perm": (0, 2, 1)}, "moves the time axis"),
        ("pad", {"padding": (1, 0, 0, 0)}, "pads the time axis"),
        ("repeat", {"axis": 1, "n": 2}, "repeats the steps"),
        ("reduce", {"first": 1, "function": "sum"}, "over the time axis"),
        ("expand_dims", {"axes": (1,)}, "moves the time axis"),
    ],
)
def test_what_mixes_steps_does_not_stream(op, attrs, why):
    b = Builder()
    (g,) = b.add("gru", "gru", b.input("x", None, 4), units=3, return_sequences=True)
    graph, _ = b.done(*b.add(op, "mixer", g, **attrs))
    verdict = analyse(graph)
    assert not verdict.ok and verdict.layer == "mixer" and why in verdict.reason


def test_streams_of_two_lengths_do_not_join():
    b = Builder()
    x, y = b.input("x", 5, 3), b.input("y", 1, 3)
    graph, _ = b.done(*b.add("add", "join", x, y))
    assert analyse(graph).layer == "join"
    assert timed_tensors(graph)["join"]


def test_a_value_of_each_step_is_features_to_a_layer_that_takes_all_steps():
    """(batch, time) made per step, then read as rows by Dense."""
    b = Builder()
    (r,) = b.add("reduce", "sum", b.input("x", 5, 3), function="sum", first=2)
    _check(b, b.add("dense", "dense", r, units=4), [_floats(1, 2, 5, 3)])


@pytest.mark.parametrize(
    "op, shapes, attrs",
    [
        ("add", [(3,), (4,)], {}),
        ("add", [(3,), (3, 3)], {}),
        ("subtract", [(3,)], {}),
        ("concatenate", [(3, 2), (4, 3)], {"axis": 1}),
        ("concatenate", [(3,)], {"axis": 2}),
        ("dot", [(3,), (4,)], {"axes": (1, 1)}),
        ("dot", [(3,), (3,)], {"axes": (0, 0)}),
        ("transpose", [(3, 4)], {"perm": (1, 0, 2)}),
        ("squeeze", [(3, 4)], {"axes": (1,)}),
        ("slice", [(3,)], {"axes": (1,), "begin": (3,), "end": (NONE,), "step": (1,)}),
        ("slice", [(3,)], {"axes": (1,), "begin": (0,), "end": (1,), "step": (0,)}),
        ("pad", [(3,)], {"padding": (1,)}),
        ("reduce", [(3,)], {"first": 1, "count": 2}),
    ],
)
def test_what_does_not_fit_is_refused(op, shapes, attrs):
    b = Builder()
    inputs = [b.input(f"x{k}", *s) for k, s in enumerate(shapes)]
    with pytest.raises(ShapeMismatch, match="out"):
        b.add(op, "out", *inputs, **attrs)


def test_doubles_are_doubles():
    b = Builder()
    x, y = b.input("x", 5, 3, dtype="float64"), b.input("y", 5, 3, dtype="float64")
    outputs = [b.add(n, n, x, y)[0] for n in ("add", "divide", "maximum")]
    outputs += [b.add("dot", f"dot{a}", x, y, axes=(a, a))[0] for a in (1, 2)]
    outputs += [b.add("reduce", "mean", x, function="mean", first=1)[0], b.add("unary", "erf", x, function="erf")[0]]
    outputs += [b.add("concatenate", "join", x, y, axis=1)[0], b.add("transpose", "turn", x, perm=(0, 2, 1))[0]]
    random = np.random.RandomState(3)
    got = _check(b, outputs, [random.standard_normal((2, 5, 3)) for _ in range(2)], 1e-14)
    assert all(y.dtype == np.float64 for y in got)


def test_scalar_weights_stay_scalars(tmp_path):
    """NumPy lifts a scalar to rank 1 in ascontiguousarray; files and plans keep it as it is."""
    from rnnrt.format.reader import read
    from rnnrt.format.writer import write

    b = Builder()
    x = b.input("x", 3, 4)
    (y,) = b.add("attention", "attention", x, x, x, use_scale=True)
    graph, weights = b.done(y)
    scalars = [n for n, w in weights.items() if w.shape == ()]
    assert scalars
    write(tmp_path / "m.rnnrt", graph, weights)
    assert all(read(tmp_path / "m.rnnrt").weights[n].shape == () for n in scalars)
    assert model_of(graph, weights).predict(np.ones((2, 3, 4), "f4")).shape == (2, 3, 4)


ALONG_TIME = [
    ("softmax", {"axes": (1,)}, None),
    ("unit_normalization", {"axes": (1,)}, None),
    ("softmax", {"axes": (1,)}, 6),
    ("activation", {"activation": Activation("softmax")}, 6),
    ("layer_normalization", {"axes": (1,)}, 6),
    ("unit_normalization", {"axes": (1,)}, 6),
    ("normalization", {"axes": (1,), "mean": (0.5, 1, 0, -1, 2, 0), "variance": (1, 2, 3, 4, 5, 6)}, 6),
    ("rescaling", {"axes": (1,), "scale": (1, 2, 3, 4, 5, 6), "offset": (0.5, 1, 0, -1, 2, 0)}, 6),
    ("batch_normalization", {"axis": 1}, 6),
    ("prelu", {}, 6),
]


@pytest.mark.parametrize(("op", "attrs", "steps"), ALONG_TIME)
@pytest.mark.parametrize("elementwise", [False, True])
def test_what_runs_along_the_steps_of_a_squeezed_sequence(op, attrs, steps, elementwise):
    """(batch, time) that an op squeezed: its axis is time, and what works along it is exact and not cut."""
    b = Builder()
    x = b.input("x", steps, 3)
    (y,) = b.add("slice", "piece", x, axes=(2,), begin=(1,), end=(2,), step=(1,))
    (y,) = b.add("squeeze", "squeezed", y, axes=(2,))
    if elementwise:
        (y,) = b.add("activation", "tanh", y, activation=Activation("tanh"))
    (z,) = b.add(op, "along", y, **attrs)
    _check(b, [z, y], [_floats(1, 2, steps or 7, 3)])
    verdict = analyse(b.graph)
    assert not verdict.ok and verdict.layer == "along"


@pytest.mark.parametrize("name", ["log_softmax", "sparsemax"])
def test_rows_of_free_length_are_refused_by_name(name):
    b = Builder()
    with pytest.raises(ShapeMismatch, match=f"rows: {name} runs over an axis of free length"):
        b.add("activation", "rows", b.input("x", None), activation=Activation(name))
