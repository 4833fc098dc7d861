"""The plan is checked once, in C, for anything: damaged plans are refused, and what passes runs without harm.

The long form, under sanitizers: RNNRT_PLAN_FUZZ=200000 pytest tests/hostile/test_hostile_plan.py
"""

from __future__ import annotations

import copy
import os

import numpy as np
import pytest
from cases.graphs import Builder
from plans_of_layers import attention, convolutions, double_convolutions, float16, int8, lowered, statistics

from rnnrt.custom import given
from rnnrt.custom.host import hosts_of
from rnnrt.errors import BackendError, FormatError, ShapeError
from rnnrt.ir.activations import Activation
from rnnrt.ir.ops.host import Signature, signature_text
from rnnrt.native import _native as native

TABLES = ["dims", "tensors", "ops", "refs", "weights", "states", "regions", "inputs", "outputs"]
ROUNDS = int(os.environ.get("RNNRT_PLAN_FUZZ", "3000"))


def _masked():
    """Masks made, joined and applied, and rows inside a TimeDistributed."""
    b = Builder()
    ids = b.input("ids", None)
    (e,) = b.add("embedding", "table", ids, input_dim=5, output_dim=3)
    (m,) = b.add("not_equal", "mask", ids)
    (n,) = b.add("masking", "masking", e)
    (j,) = b.add("logical_and", "join", m, n)
    (o,) = b.add("logical_or", "either", m, j)
    (x,) = b.add("apply_mask", "apply", e, j, value=2.0)
    (g,) = b.add("gru", "gru", x, mask=o, units=4, return_sequences=True)
    (one,) = b.add("ones_mask", "ones", g)
    (both,) = b.add("concat_masks", "both", one, j)
    (three,) = b.add("not_equal", "three", e)
    (some,) = b.add("reduce_mask", "some", three, mode="all")
    (fours,) = b.add("repeat_vector", "fours", b.add("lstm", "lstm", g, mask=j, units=3, go_backwards=True)[0], n=4)
    (grid,) = b.add("reshape", "grid", fours, target_shape=(2, 2, 3))
    (rows,) = b.add("fold_time", "rows", grid)
    (inner,) = b.add("simple_rnn", "inner", rows, mask=b.add("masking", "marks", rows)[0], units=2)
    (back,) = b.add("unfold_time", "back", inner, grid)
    return lowered(*b.done(back, g, some, both))


def _plan():
    b = Builder()
    ids = b.input("ids", None)
    (e,) = b.add("embedding", "table", ids, input_dim=5, output_dim=3)
    (g,) = b.add("gru", "gru", e, units=4, return_sequences=True)
    (n,) = b.add("batch_normalization", "bn", g, axis=2)
    (a,) = b.add("activation", "act", n, activation=Activation("softmax"))
    y, h, c = b.add("lstm", "lstm", a, units=3, return_state=True, go_backwards=True)
    (r,) = b.add("repeat_vector", "repeat", y, n=2)
    (f,) = b.add("flatten", "flat", r)
    (d,) = b.add("dense", "dense", f, units=4, activation=Activation("glu"))
    return lowered(*b.done(d, h, g))


class _Sum:
    """A cell of the user's own."""

    state_size = [3, (2, 3)]
    output_size = 3

    def step(self, inputs, states, weights):
        h = states[0] + inputs
        return h * 2, [h, states[1] + h[:, None]]


class _Twice:
    """A layer of the user's own."""

    def call(self, inputs, weights):
        return inputs * 2


def _hosts():
    """Classes of the user's own, with state, a mask, and inside a TimeDistributed."""
    cell = Signature(0, (("state_0", (3,)), ("state_1", (2, 3))), [0, 1], ((3,),), 0, ())
    twice = Signature(0, (), [], ((None, 3),), 0, ())
    named = {"signature": signature_text(cell), "class_name": "_Sum"}
    b = Builder()
    ids = b.input("ids", None)
    (e,) = b.add("embedding", "table", ids, input_dim=5, output_dim=3)
    (m,) = b.add("not_equal", "mask", ids)
    y, _, s = b.add(
        "host_cell", "cell", e, mask=m, return_sequences=True, return_state=True, holds_output=True, **named
    )
    (t,) = b.add("host_layer", "layer", y, class_name="_Twice", signature=signature_text(twice))
    (grid,) = b.add("reshape", "grid", s, target_shape=(2, 1, 3))
    (rows,) = b.add("fold_time", "rows", grid)
    (inner,) = b.add("host_cell", "inner", rows, **named)
    (back,) = b.add("unfold_time", "back", inner, grid)
    graph, weights = b.done(t, back)
    plan, arrays = lowered(graph, weights)
    with given({"_Sum": _Sum, "_Twice": _Twice}):
        hosts = hosts_of(graph, weights)
    plan.hosts.update({op: hosts[node] for op, node in plan.host_nodes.items()})
    return plan, arrays


def _program(plan, arrays):
    return native.Program(native.Backend.cpu(), plan, arrays)


def _run(program, plan) -> None:
    lengths = {s: 2 if s == "B" else 3 for s in plan.symbols}
    outs = [np.empty(o.sizes(lengths), o.dtype) for o in plan.output_info]
    program.run_arrays([np.array([[0, 1, 4], [2, 3, 0]], "int32")], [lengths[s] for s in plan.symbols], outs)


def _several():
    """Tensors merged, compared, joined, cut, turned, padded, reduced and multiplied."""
    b = Builder()
    ids = b.input("ids", None)
    (e,) = b.add("embedding", "table", ids, input_dim=5, output_dim=4)
    (g,) = b.add("gru", "gru", e, units=4, return_sequences=True)
    (s,) = b.add("add", "sum", e, g, e)
    (one,) = b.add("slice", "one", s, axes=(2,), begin=(1,), end=(2,), step=(1,))
    (m,) = b.add("multiply", "product", one, g)
    (c,) = b.add("compare", "above", m, s, function="greater")
    (w,) = b.add("where", "chosen", c, m, b.add("fill_like", "fill", m, value=2.0)[0])
    (u,) = b.add("unary", "unary", w, function="abs")
    (j,) = b.add("concatenate", "joined", u, one, g, axis=2)
    (r,) = b.add("reduce", "mean", j, function="mean", first=2, keepdims=True)
    (last,) = b.add("last_step", "last", b.add("average", "average", r, one)[0])
    (t,) = b.add("transpose", "turned", g, perm=(0, 2, 1))
    (d,) = b.add(
        "dot",
        "scores",
        j,
        b.add("concatenate", "long", g, s, b.add("pad", "wide", s, padding=(0, 0, 1, 2))[0], axis=2)[0],
        axes=(1, 1),
    )
    (p,) = b.add("pad", "padded", t, padding=(1, 0, 2, 1))
    (q,) = b.add("repeat", "repeated", p, axis=1, n=2)
    (v,) = b.add("slice", "cut", q, axes=(1, 2), begin=(-1, 1), end=(1, 1 << 47), step=(-2, 1))
    (x,) = b.add("squeeze", "dropped", b.add("expand_dims", "new", v, axes=(2,))[0], axes=(2,))
    (low,) = b.add("subtract", "from", last, operand="left", constant=1.0)
    return lowered(*b.done(x, d, low, j))


PLANS = {
    "plain": _plan,
    "masked": _masked,
    "several": _several,
    "hosts": _hosts,
    "convolutions": convolutions,
    "double_convolutions": double_convolutions,
    "statistics": statistics,
    "attention": attention,
    "statistics_float64": lambda: statistics("float64"),
    "attention_float64": lambda: attention("float64"),
    "float16": float16,
    "int8": int8,
}
every_plan = pytest.mark.parametrize("make", PLANS.values(), ids=PLANS)


@every_plan
def test_the_plan_itself_runs(make):
    plan, arrays = make()
    _run(_program(plan, arrays), plan)


@every_plan
def test_weights_that_are_not_as_their_table_says(make):
    plan, arrays = make()
    for k, a in enumerate(arrays):
        for other in (
            a.reshape(-1)[:-1],
            a.astype("float32" if a.dtype == "float64" else "float64"),
            np.zeros((0, *a.shape[1:]), a.dtype),
        ):
            with pytest.raises(FormatError, match=f"weight {k} "):
                _program(plan, [*arrays[:k], other, *arrays[k + 1 :]])


def test_what_no_step_would_make_is_refused():
    b = Builder()
    plan, arrays = lowered(*b.done(*b.add("dense", "dense", b.input("x", 3), units=2)))
    plan.dims = np.vstack([plan.dims, [[0, 0, 0, 0, 0, 1]]])
    plan.regions = plan.regions.copy()
    plan.regions[-1, 2] = len(plan.dims) - 1  # a walk over a length of 0, of what has no steps
    program = _program(plan, arrays)
    with pytest.raises(ShapeError, match="expected 1"):
        _run(program, plan)


def _damage(plan, rng) -> None:
    for _ in range(int(rng.integers(1, 4))):
        table = getattr(plan, TABLES[rng.integers(len(TABLES))])
        flat = table.reshape(-1)
        k = rng.integers(flat.size)
        choices = [-1, 0, 1, 2, 3, 7, 2**31, 2**62, -(2**62), int(flat[k]) + 1, int(flat[k]) - 1, int(rng.integers(64))]
        flat[k] = choices[rng.integers(len(choices))]


@every_plan
@pytest.mark.parametrize("block", range(10))
def test_damaged_plans(block, make):
    (original, arrays), refused = make(), 0
    keep = (*TABLES, "reals")
    for k in range(ROUNDS // 10):
        rng = np.random.default_rng((block, k))
        plan = copy.copy(original)
        for name in keep:
            setattr(plan, name, getattr(original, name).copy())
        _damage(plan, rng)
        # sizes of inputs and outputs that a caller must provide follow from the plan: only unchanged ones are run
        try:
            program = _program(plan, arrays)
        except (FormatError, ShapeError, BackendError, MemoryError):
            refused += 1
            continue
        same = all(
            np.array_equal(getattr(plan, t), getattr(original, t)) for t in ("dims", "tensors", "inputs", "outputs")
        )
        if same:
            try:
                _run(program, plan)
            except (FormatError, ShapeError, BackendError, MemoryError):
                refused += 1
    assert refused > ROUNDS // 10 // 3


@every_plan
@pytest.mark.parametrize("table", TABLES)
def test_every_single_field_pushed_out_of_range(table, make):
    original, arrays = make()
    flat = getattr(original, table).reshape(-1)
    for k in range(flat.size):
        for value in (-(2**62), -2, 2**62):
            plan = copy.copy(original)
            changed = getattr(original, table).copy()
            changed.reshape(-1)[k] = value
            setattr(plan, table, changed)
            try:
                program = _program(plan, arrays)
            except (FormatError, ShapeError, BackendError, MemoryError):
                continue
            # what passes is a field that nothing reads, or a value that means something
            if table not in ("dims", "tensors", "inputs", "outputs"):
                try:
                    _run(program, plan)
                except (FormatError, ShapeError, BackendError, MemoryError):
                    pass
