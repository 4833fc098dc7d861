"""The door for plugins: a table of another library runs programs, and every kind of broken one is refused by name."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from cases.graphs import Builder

from rnnrt.errors import BackendError
from rnnrt.native import _native as native
from rnnrt.planner.lower import lower
from rnnrt.tables import arrays_of


def _plan(op: str = "lstm"):
    b = Builder()
    x = b.input("x", None, 3)
    (y,) = b.add(op, "cell", x, units=2)
    (z,) = b.add("dense", "dense", y, units=2)
    graph, weights = b.done(z)
    plan = lower(graph, weights, native.op_kinds())
    return plan, arrays_of(plan.sources, weights)


def _program(backend, plan):
    return native.Program(backend, *plan)


def test_a_plugin_runs_whole_programs(dummy):
    backend = native.Backend.open(dummy())
    assert (backend.name, backend.build_info) == ("dummy", "for the tests")
    assert backend.devices() == ["dummy zero", "dummy one"]
    program = _program(backend, _plan())
    assert program.predict(np.zeros((1, 4, 3), "f4"))[0, 0] == 2  # the plan has two ops


def test_sessions_outlive_their_program(dummy):
    program = _program(native.Backend.open(dummy()), _plan())
    session = native.SessionCore(program, 2)
    rows = session.get_rows(0, 2)
    rows[:] = 7
    session.set_rows(0, rows)
    del program
    gc.collect()
    assert (session.get_rows(0, 2) == 7).all()
    assert session.step(np.zeros((2, 3), "f4"))[0, 0] == 2


def test_an_op_that_a_plugin_lacks_is_named(dummy):
    with pytest.raises(BackendError, match="cell: not supported on dummy: the dummy has no SimpleRNN"):
        _program(native.Backend.open(dummy()), _plan("simple_rnn"))


def test_an_error_in_the_middle_of_a_run(dummy):
    program = _program(native.Backend.open(dummy("DUMMY_FAIL_RUN")), _plan())
    with pytest.raises(BackendError, match="the dummy broke in the middle of a run"):
        program.predict(np.zeros((1, 4, 3), "f4"))


@pytest.mark.parametrize(
    "define, text",
    [
        ("DUMMY_ABI=0x20000u", "another major version"),
        ("DUMMY_SHORT", "shorter than this version"),
        ("DUMMY_NULL", "is NULL"),
        ("DUMMY_REFUSE", "refuses this version"),
        ("DUMMY_NO_SYMBOL", "does not export rnnrt_backend_get_api"),
    ],
)
def test_broken_plugins_are_refused(dummy, define, text):
    path = dummy(define)
    with pytest.raises(BackendError, match=text) as e:
        native.Backend.open(path)
    assert str(path) in str(e.value)


def test_a_newer_minor_version_is_welcome(dummy):
    assert native.Backend.open(dummy("DUMMY_ABI=0x10005u")).name == "dummy"


def test_a_table_of_the_first_minor_version_is_welcome(dummy):
    program = _program(native.Backend.open(dummy("DUMMY_OLD")), _plan())
    assert program.predict(np.zeros((1, 4, 3), "f4"))[0, 0] == 2


def test_no_such_library(tmp_path):
    with pytest.raises(BackendError, match="nothing.so"):
        native.Backend.open(tmp_path / "nothing.so")


def test_the_cpu_is_a_backend_like_any_other():
    backend = native.Backend.cpu()
    assert backend.name == "cpu" and len(backend.devices()) == 1
