"""The measurement of narrow weights: the same figures as one run of the reference for each choice, with less work."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from cases.graphs import Builder

from rnnrt.convert import measure as room
from rnnrt.convert.calibration import calibration
from rnnrt.convert.narrow import _apply, _choose, _groups, narrow
from rnnrt.errors import ConversionError
from rnnrt.ir.activations import Activation
from rnnrt.reference import Interpreter
from rnnrt.reference.dense import product
from rnnrt.reference.int8 import Int8Matrix


def _branches():
    """Ids and data, a mask, a state input, a branch, time folded into the batch, two outputs."""
    b = Builder()
    ids, x, h = b.input("ids", None, dtype="int32"), b.input("x", None, 6, time="ids"), b.input("h", 9, role="state")
    (e,) = b.add("embedding", "words", ids, input_dim=13, output_dim=6)
    (mask,) = b.add("not_equal", "words/mask", ids, value=0.0)
    (s,) = b.add("add", "sum", e, x)
    y, state = b.add("gru", "gru", s, mask=mask, initial_state=(h,), units=9, return_sequences=True, return_state=True)
    (back,) = b.add("lstm", "back", s, mask=mask, units=5, go_backwards=True)
    (folded,) = b.add("fold_time", "fold", y)
    (d,) = b.add("dense", "each", folded, units=7, activation=Activation("tanh"))
    (u,) = b.add("unfold_time", "unfold", d, y)
    (z,) = b.add("simple_rnn", "last", u, units=4)
    (both,) = b.add("concatenate", "both", z, back, state, axis=1)
    (out,) = b.add("dense", "out", both, units=3)
    return b.done(out, u)


def _inputs(rows, steps, seed=0):
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, 13, (rows, steps)).astype("int32")
    return [ids, rng.standard_normal((rows, steps, 6)).astype("float32"), rng.random((rows, 9), dtype=np.float32)]


def _plainly(graph, weights, asked, groups, inputs):
    """Worst error of each output, mean error: by the definition."""
    small = Interpreter(*_apply(graph, weights, groups, asked)).predict(inputs)
    errors = [
        np.abs(y - r) / np.maximum(1, np.abs(r)) for y, r in zip(small, Interpreter(graph, weights).predict(inputs))
    ]
    every = np.concatenate([e.ravel() for e in errors])
    return [e.max() for e in errors], np.sqrt(np.mean(every**2))


def _measure(graph, weights, asked, arrays, progress=None):
    given = calibration(graph, arrays)
    groups, _ = _groups(graph, weights, asked)
    owners = {n.id: k for k, g in enumerate(groups) for n in graph.nodes if set(n.weights.values()) & set(g.matrices)}
    assert len(groups) == len(owners) == 6
    sides = (Interpreter(graph, weights), Interpreter(*_apply(graph, weights, groups, asked)))
    return room.Measure(graph, *sides, owners, given.arrays, given.lengths, progress)


@pytest.mark.parametrize("asked", ["float16", "int8"])
@pytest.mark.parametrize("values", [1 << 25, 20_000, 1], ids=["at once", "blocks", "row by row"])
def test_every_choice_has_the_error_of_its_own_run(asked, values, monkeypatch):
    monkeypatch.setattr(room, "VALUES", values)
    graph, weights = _branches()
    measured, groups = _measure(graph, weights, asked, _inputs(5, 7)), _groups(graph, weights, asked)[0]
    choices = [frozenset(c) for n in (0, 1, 2, 6) for c in itertools.combinations(range(6), n)]
    for choice, errors in zip(choices, measured.errors(choices)):
        outputs, mean = _plainly(graph, weights, asked, [groups[k] for k in choice], _inputs(5, 7))
        np.testing.assert_allclose(errors.outputs, outputs, rtol=1e-9, atol=1e-14)
        np.testing.assert_allclose(errors.mean, mean, rtol=1e-9, atol=1e-14)
        assert errors.count == 5 * 3 + 5 * 7 * 7 and errors.open == 0


def test_layers_run_once_for_all_choices_that_agree_so_far():
    b = Builder()
    x = b.input("x", None, 4)
    for k in range(6):
        (x,) = b.add("gru", f"gru{k}", x, units=4, return_sequences=True)
    seen = []
    narrow(*b.done(x), "int8", progress=lambda done, total: seen.append((done, total)))
    # layer k: the k inputs that a layer before makes and the true one, with its own weights; alone, and with all others
    runs = [k + 1 + (2 if k else 1) for k in range(6)]
    assert seen == [(done, sum(runs)) for done in np.cumsum(runs)]


def test_progress_counts_to_the_end_and_what_is_known_is_not_measured_again():
    graph, weights = _branches()
    for bound in (None, 0.0, 1e-3, 5e-3, 1.0):
        seen = []
        *_, found = narrow(graph, weights, "int8", max_error=bound, progress=lambda *a, seen=seen: seen.append(a))
        done = [d for d, _ in seen]
        assert done == sorted(set(done)) and all(d <= total for d, total in seen) and seen[-1][0] == seen[-1][1]
        if bound in (None, 0.0, 1.0):  # all of them, or none of them by its own error: one measurement tells
            assert len(seen) == len(graph.nodes)
        assert bound is None or found.error <= bound


@pytest.mark.parametrize("seed", range(40))
def test_the_choice_of_layers_is_the_plain_one(seed):
    rng = np.random.default_rng(seed)
    harm, odd = np.sort(rng.random(9)), rng.random(1 << 9)
    noise, asked = [0.0, 0.5, 2.0][seed % 3], []
    bound = rng.random() * 2

    def error(choice):  # with noise one layer more may even do good
        return sum(harm[k] for k in choice) * (0.4 + odd[sum(1 << k for k in choice)] * noise)

    class Measured:
        def errors(self, choices, enough):
            assert enough == bound
            asked.append(len(choices))
            return [room.Errors([0.0, error(c)]) for c in choices]

    plain = frozenset()
    for k in range(9):
        if error(plain | {k}) <= bound:
            plain = plain | {k}
    assert _choose(range(9), Measured(), bound) == plain
    assert len(asked) <= 9
    if not noise:  # errors add up: first all that fit, and then that no other does
        assert len(asked) <= 2


def test_choices_beyond_what_is_enough_are_given_up(monkeypatch):
    monkeypatch.setattr(room, "VALUES", 1)  # row by row
    graph, weights = _branches()
    arrays, rows = _inputs(24, 7), 24
    choices = [frozenset({k}) for k in range(6)] + [frozenset(range(6))]
    exact = _measure(graph, weights, "int8", arrays).errors(choices)
    enough = sorted(e.worst for e in exact)[3]
    seen = []
    measured = _measure(graph, weights, "int8", arrays, lambda *a: seen.append(a))
    for e, found in zip(exact, measured.errors(choices, enough)):
        if e.worst <= enough:
            np.testing.assert_allclose((found.worst, found.mean, found.count), (e.worst, e.mean, e.count), rtol=1e-9)
        else:
            assert enough < found.worst and found.count < e.count
    assert len(seen) == rows * len(graph.nodes) and all(d <= total for d, total in seen) and seen[-1][0] == seen[-1][1]
    assert seen[-1][0] < seen[0][1]  # fewer runs than if all were measured to the end
    # what was given up is not taken for known
    for e, found in zip(exact, measured.errors(choices)):
        np.testing.assert_allclose((found.worst, found.mean, found.count), (e.worst, e.mean, e.count), rtol=1e-9)


@pytest.mark.parametrize("values", [1 << 25, 1])
def test_a_bound_gives_the_same_layers_in_blocks(values, monkeypatch):
    monkeypatch.setattr(room, "VALUES", values)
    graph, weights = _branches()
    x = _inputs(24, 7)
    groups, _ = _groups(graph, weights, "int8")
    for bound in (2e-3, 4e-3, 8e-3):
        taken = []
        for group in sorted(groups, key=lambda g: max(_plainly(graph, weights, "int8", [g], x)[0])):
            alone = max(_plainly(graph, weights, "int8", [group], x)[0])
            if alone <= bound and max(_plainly(graph, weights, "int8", [*taken, group], x)[0]) <= bound:
                taken.append(group)
        *_, found = narrow(graph, weights, "int8", x, bound)
        assert sorted(n.path for n in found.layers if not n.reason) == sorted(p for g in taken for p in g.paths)
        np.testing.assert_allclose(found.mean_error, _plainly(graph, weights, "int8", taken, x)[1], rtol=1e-9)


# ---------------------------------------------------------------- what it is measured on
def _refused(given, graph=None):
    with pytest.raises(ConversionError) as e:
        narrow(*(graph or _branches()), "int8", given)
    return str(e.value)


def test_calibration_inputs_that_do_not_fit_are_refused_by_name():
    ids, x, h = _inputs(4, 5)
    assert _refused([ids, x[:3], h]) == "calibration: input 'x' has 3 rows, but 'ids' 4"
    assert _refused([ids, x[:, :4], h]) == "calibration: input 'x' has 4 steps, but 'ids' 5"
    assert "input 'x': expected (None, None, 6), got (4, 5, 5)" in _refused([ids, x[..., 1:], h])
    assert "input 'h': expected (None, 9), got an empty array" in _refused([ids, x, h[:0]])
    assert "a list of 3 inputs ['ids', 'x', 'h'] is expected, got ndarray" in _refused(x)
    assert _refused({"ids": ids, "y": x}) == "calibration: expected arrays named ids, x, h, got ids, y"
    assert "input 'x': expected numbers, got dtype complex64" in _refused([ids, x * 1j, h])
    assert "words: ids must lie in [0, 12], got 0..20" in _refused([np.where(ids == ids[0, 0], 20, 0), x, h])
    for value in (1.5, np.nan, 2**40):
        odd = ids.astype(np.asarray(value).dtype)
        odd[1, 3] = value
        assert f"input 'ids': {value} at [1, 3] is not of dtype int32" in _refused([odd, x, h])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("asked", ["float16", "int8"])
def test_a_value_that_is_not_finite_is_named_unless_it_is_masked(value, asked):
    ids, x, h = _inputs(4, 5)
    ids[ids == 0] = 1
    x[2, 4, 5] = value
    graph, weights = _branches()
    if asked == "int8" or np.isnan(value):
        with pytest.raises(
            ConversionError, match=rf"input 'x' holds {value} at \[2, 4, 5\], and with it the output 'out'"
        ):
            narrow(graph, weights, asked, [ids, x, h])
    b = Builder()
    given = b.input("x", None, 3)
    (mask,) = b.add("masking", "masking", given, value=-np.inf) if value == -np.inf else (None,)
    if mask is None:
        return
    (y,) = b.add("lstm", "lstm", given, mask=mask, units=4)
    x = np.random.default_rng(0).standard_normal((4, 6, 3)).astype("float32")
    x[1, 4:] = value
    *_, found = narrow(*b.done(y), asked, x)
    assert 0 < found.error < 0.1 and "finite" not in found.inputs


def test_outputs_that_are_never_finite_are_told():
    b = Builder()
    (y,) = b.add("dense", "open", b.input("x", 4), units=2)
    graph, weights = b.done(y)
    weights["open.bias"][1] = np.inf
    *_, found = narrow(graph, weights, "int8")
    assert "8 of 16 output values are not finite to begin with" in found.inputs and 0 < found.error < 0.1


def test_drawn_inputs_are_bounded():
    b = Builder()
    (y,) = b.add("gru", "gru", b.input("x", 3000, 500), units=2)
    graph, _ = b.done(y)
    drawn = calibration(graph, None)
    assert drawn.arrays[0].shape == (2, 3000, 500) and drawn.words.startswith("seeded inputs (2 rows")
    b = Builder()
    (y,) = b.add(
        "conv",
        "conv",
        b.input("x", None, 3),
        channels=3,
        filters=2,
        kernel_size=(50,),
        strides=(1,),
        dilation_rate=(1,),
    )
    drawn = calibration(b.done(y)[0], None)
    assert drawn.arrays[0].shape == (8, 64, 3)


# ---------------------------------------------------------------- the reference's products
@pytest.mark.parametrize("rows", [1040, 1041])
def test_int8_sums_are_exact_in_either_dtype(rows):
    counts = np.full((rows, 3), 127, np.int8)
    counts[1::2, 1] = -127
    counts[0, 2] = 126
    matrix = Int8Matrix(counts, np.ones(3, np.float32), True)
    assert matrix.counts.dtype == (np.float32 if rows == 1040 else np.float64)
    got = np.ones((2, rows)) @ matrix
    assert (got == 127 * counts.astype(np.int64).sum(0) * (1 / 127)).all()


def test_a_product_takes_any_rank():
    rng = np.random.default_rng(0)
    w = rng.standard_normal((4, 3))
    for shape in ((4,), (5, 4), (2, 5, 4), (2, 0, 4), (2, 3, 5, 4)):
        x = rng.standard_normal(shape)
        np.testing.assert_allclose(product(x, w), x @ w, rtol=1e-13)
