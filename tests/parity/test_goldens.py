"""Files that real Kerases wrote, against what real Kerases answered.

Two implementations are held to the goldens: the float64 reference, to nearly double precision, and
the runtime, to the tolerance of the case. ``tools/golden/make_goldens.py`` writes them.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import numpy as np
import pytest
from cases import ALL, BY_NAME, Case
from cases.case import form, leaves
from cases.golden import Golden, load

import rnnrt
from rnnrt.convert import build
from rnnrt.ir.passes.streamability import analyse
from rnnrt.reference import Interpreter

PAIRS = [(case.name, version) for case in ALL for version in case.versions]
every_golden = pytest.mark.parametrize("name, version", PAIRS, ids=[f"{n}-{v}" for n, v in PAIRS])

CUTS = (1, 2)  # and the rest


@functools.cache
def _golden(name: str, version: str) -> Golden:
    return load(BY_NAME[name], version)


@functools.cache
def _built(name: str, version: str):
    g = _golden(name, version)
    return build(g.model, architecture=g.architecture)


_FOLDER = tempfile.TemporaryDirectory(prefix="rnnrt-goldens-")


@functools.cache
def _converted(name: str, version: str) -> Path:
    g = _golden(name, version)
    path = Path(_FOLDER.name) / f"{name.replace('/', '-')}-{version}.rnnrt"
    rnnrt.convert(g.model, path, architecture=g.architecture)
    return path


@functools.cache
def _model(name: str, version: str):
    return rnnrt.load(_converted(name, version))


def _flat(value) -> list[np.ndarray]:
    return [np.asarray(v) for v in leaves(value)]


def _feed(case: Case, arrays: list[np.ndarray]):
    return form(arrays, [i.name for i in case.inputs], case.input_form)


def _ordered(built, flat: list[np.ndarray]) -> list[np.ndarray]:
    """What the reference gives in the graph's order, in the order of the outputs' structure."""
    return [flat[n] for n in leaves(built.graph.output_structure)]


def _compare(golden: Golden, piece: int, got: list[np.ndarray]) -> None:
    """Within the tolerance of the case, for each output of a call."""
    wanted = golden.outputs[piece]
    assert len(got) == len(wanted)
    for k, (y, want) in enumerate(zip(got, wanted)):
        excess = want.error(y) / golden.case.tolerance.bound(want.values, want.keras_error)
        assert excess.max() <= 1, (
            f"call {piece}, output {k}: {excess.max():.3g} times the tolerance "
            f"(Keras's own error {want.keras_error:.2g}; {golden.case.tolerance.reason})"
        )


@every_golden
def test_reference_is_keras_in_double(name, version):
    """Keras's float64 outputs, to 1e-11 by default: what the layers mean, apart from all rounding."""
    g, built = _golden(name, version), _built(name, version)
    reference = Interpreter(built.graph, built.weights)
    session = reference.session(g.case.batch)
    for piece, arrays in enumerate(g.case.pieces()):
        got = _ordered(built, session.run(arrays) if g.case.chunks else reference.predict(arrays))
        assert len(got) == len(g.outputs[piece])
        for y, want in zip(got, g.outputs[piece]):
            error = float((want.error(y) / np.maximum(1, np.abs(want.values))).max())
            assert error <= g.case.double, f"call {piece}: off by {error:.3g}"


@every_golden
def test_predict_is_keras(name, version):
    """convert, load, predict; a stateful model's predict is its first call."""
    g, model = _golden(name, version), _model(name, version)
    got = model.predict(_feed(g.case, g.case.pieces()[0]))
    assert isinstance(got, np.ndarray) == g.single, "Keras gives one array here, or a list, and so must we"
    given = "float32" if g.case.gives == "bfloat16" else g.case.gives  # NumPy has no bfloat16
    assert all(y.dtype == given for y in _flat(got))
    _compare(g, 0, _flat(got))


@pytest.mark.parametrize("name, version", [("functional/chain", "keras3"), ("dense/rank_3", "keras2")])
def test_a_single_input_may_come_bare_in_a_list_or_by_name(name, version):
    """As Keras takes it."""
    model = _model(name, version)
    (x,) = _golden(name, version).case.draw_inputs()
    bare = model.predict(x)
    np.testing.assert_array_equal(model.predict([x]), bare)
    np.testing.assert_array_equal(model.predict({model.inputs[0].name: x}), bare)


def test_inputs_that_never_meet_may_have_two_lengths():
    """predict takes them as Keras does; a session's inputs advance together."""
    name = "wiring/shared_recurrent", "keras3"
    x, y = _golden(*name).case.draw_inputs()
    model, built = _model(*name), _built(*name)
    (want,) = Interpreter(built.graph, built.weights).predict([x, y[:, :3]])
    np.testing.assert_allclose(model.predict([x, y[:, :3]]), want, rtol=0, atol=1e-6)
    with pytest.raises(rnnrt.ShapeError, match="'y': length 3, but 'x' has 5"):
        model.session(batch_size=len(x)).run([x, y[:, :3]])


@every_golden
def test_a_row_by_itself_has_the_same_bits(name, version):
    g, model = _golden(name, version), _model(name, version)
    arrays = g.case.pieces()[0]
    whole = _flat(model.predict(_feed(g.case, arrays)))
    for row in {0, g.case.batch - 1}:
        for y, want in zip(_flat(model.predict(_feed(g.case, [x[row : row + 1] for x in arrays]))), whole):
            np.testing.assert_array_equal(y, want[row : row + 1])


@every_golden
def test_predict_through_blas_is_keras(name, version, monkeypatch):
    """The second path: outside the promise of bits, inside the tolerance."""
    path = _converted(name, version)
    monkeypatch.setenv("RNNRT_BLAS", "always")
    g, model = _golden(name, version), rnnrt.load(path)
    _compare(g, 0, _flat(model.predict(_feed(g.case, g.case.pieces()[0]))))


STATEFUL = [(n, v) for n, v in PAIRS if BY_NAME[n].chunks]


@pytest.mark.parametrize("name, version", STATEFUL, ids=[f"{n}-{v}" for n, v in STATEFUL])
def test_calls_of_a_stateful_model_are_keras(name, version):
    """Each run of a session is one call of the stateful Keras model on the same cuts."""
    g, model = _golden(name, version), _model(name, version)
    session = model.session(batch_size=g.case.batch)
    for piece, arrays in enumerate(g.case.pieces()):
        _compare(g, piece, _flat(session.run(_feed(g.case, arrays))))
    session.reset()
    _compare(g, 0, _flat(session.run(_feed(g.case, g.case.pieces()[0]))))


PLAIN = [(n, v) for n, v in PAIRS if not BY_NAME[n].chunks]


@pytest.mark.parametrize("name, version", PLAIN, ids=[f"{n}-{v}" for n, v in PLAIN])
def test_a_session_goes_on_as_the_whole(name, version):
    """A model that is not stateful, cut in pieces, gives Keras's answer on the whole; else it says why not."""
    g, model = _golden(name, version), _model(name, version)
    verdict = analyse(_built(name, version).graph)
    if not verdict.ok:
        with pytest.raises(ValueError, match=verdict.layer.split("/")[-1]):
            model.session(batch_size=g.case.batch)
        return
    arrays = g.case.draw_inputs()
    graph = _built(name, version).graph
    data = {i.name: x for x, i in zip(arrays, graph.inputs) if i.role == "data"}
    states = [x for x, i in zip(arrays, graph.inputs) if i.role == "state"]
    length = min(x.shape[1] for x in data.values())
    session = model.session(batch_size=g.case.batch, initial_state=states or None)
    ends = [e for e in np.cumsum(CUTS) if e < length] + [length]
    pieces = []
    for start, end in zip([0, *ends], ends):
        pieces.append(_flat(session.run({n: x[:, start:end] for n, x in data.items()})))
    marks = _ordered(_built(name, version), [verdict.marks[t] for t in graph.outputs])
    whole = [
        np.concatenate([p[k] for p in pieces], axis=1) if mark == "step" else pieces[-1][k]
        for k, mark in enumerate(marks)
    ]
    _compare(g, 0, whole)
    for y, want in zip(whole, _flat(model.predict(_feed(g.case, arrays)))):
        np.testing.assert_array_equal(y, want)  # bit for bit
