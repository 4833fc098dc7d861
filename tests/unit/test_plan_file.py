"""Files that keep their plan: used where it fits, made anew where it does not, and never trusted."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from cases.graphs import Builder
from format_models import join, lstm_graph, proof_of, rnn_graph, split, weights_of

import rnnrt
from rnnrt.errors import FormatError
from rnnrt.format.reader import read
from rnnrt.format.writer import write
from rnnrt.loading import planned


def _layers():
    """A graph with ids, an alias as output, a mask, state and a length that the file fixes."""
    b = Builder()
    ids = b.input("ids", 6)
    (e,) = b.add("embedding", "table", ids, input_dim=9, output_dim=16)
    (m,) = b.add("not_equal", "mask", ids)
    (g,) = b.add("gru", "gru", e, mask=m, units=4, return_sequences=True)
    (last,) = b.add("lstm", "lstm", g, mask=m, units=3)
    (flat,) = b.add("reshape", "turned", last, target_shape=(3, 1))
    return b.done(flat, g)


@pytest.fixture
def kept(tmp_path):
    """A file with a plan; and the same model without."""
    graph, weights = _layers()
    write(tmp_path / "kept.rnnrt", graph, weights, tables=planned(graph, weights))
    write(tmp_path / "plain.rnnrt", graph, weights)
    return tmp_path / "kept.rnnrt", tmp_path / "plain.rnnrt"


IDS = np.array([[1, 2, 0, 3, 8, 0], [4, 4, 4, 0, 0, 7]], "int32")


def _edited(path, change, target):
    """The file with its metadata and data changed, all checksums right."""
    top, data = split(path.read_bytes())
    data = change(top["__metadata__"], top, data) or data
    target.write_bytes(join(top, data))
    return target


def test_the_kept_plan_is_the_one_that_would_be_made(kept):
    model, plain = (rnnrt.load(path) for path in kept)
    assert model.file.tables is not None and plain.file.tables is None
    for a, b in zip(model.predict(IDS), plain.predict(IDS)):
        np.testing.assert_array_equal(a, b)
    model.file.check_tables(plain.plan)
    assert model.plan is model.plan and model.summary() == plain.summary()
    assert model.file.fingerprint == plain.file.fingerprint
    assert {n: w.tolist() for n, w in model.file.weights.items()} == {
        n: w.tolist() for n, w in plain.file.weights.items()
    }


def test_sessions_and_pools_of_a_kept_plan(kept):
    model, plain = (rnnrt.load(path) for path in kept)
    for a, b in ((model.session(2), plain.session(2)), (model.session(2), plain.session(2))):
        for t in range(3):
            for y, z in zip(a.step(IDS[:, t]), b.step(IDS[:, t])):
                np.testing.assert_array_equal(y, z)
        assert a.to_bytes() == b.to_bytes()
    pool = model.pool(4)
    pool.open("a")
    for y, z in zip(pool.step({"a": IDS[0, 0]})["a"], plain.session().step(IDS[:1, 0])):
        np.testing.assert_array_equal(y, z[0])


def test_a_model_made_twice_from_one_file(kept):
    model = rnnrt.load(kept[0])
    again = model.to("cpu", threads=2)
    np.testing.assert_array_equal(again.predict(IDS)[0], model.predict(IDS)[0])


def test_the_same_arguments_give_the_same_bytes(kept, tmp_path):
    graph, weights = _layers()
    write(tmp_path / "again.rnnrt", graph, weights, tables=planned(graph, weights))
    assert (tmp_path / "again.rnnrt").read_bytes() == kept[0].read_bytes()


def test_weights_that_are_widened(tmp_path):
    graph, weights = _layers()
    narrow = {"float16": lambda a: a.astype(np.float16), "bfloat16": lambda a: (a.view(np.uint32) >> 16).astype("u2")}
    for dtype, store in narrow.items():
        for name, spec in graph.weights.items():
            graph.weights[name] = type(spec)(name, spec.shape, dtype)
        small = {name: store(w) for name, w in weights.items()}
        write(tmp_path / "kept.rnnrt", graph, small, tables=planned(graph, small))
        write(tmp_path / "plain.rnnrt", graph, small)
        model = rnnrt.load(tmp_path / "kept.rnnrt")
        assert model.file.tables is not None
        np.testing.assert_array_equal(model.predict(IDS)[1], rnnrt.load(tmp_path / "plain.rnnrt").predict(IDS)[1])


@pytest.mark.parametrize("what", ["version", "graph", "weight", "proof", "sums"])
def test_a_plan_of_something_else_is_made_anew(kept, tmp_path, what):
    """Another version of the tables, or anything in the header changed since: the whole file is read as ever."""

    def change(meta, top, data):
        plan = json.loads(meta["rnnrt.plan"])
        if what == "version":
            plan["version"] += 1
            meta["rnnrt.plan"] = json.dumps({k: plan[k] for k in ("version", "seal")})  # another form
        elif what == "graph":
            meta["rnnrt.graph"] = meta["rnnrt.graph"].replace('"name":"lstm"', '"name":"other"')
        elif what == "weight":
            top["more"] = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
        elif what == "proof":
            meta["rnnrt.proof"] = "{}"
        else:
            del meta["rnnrt.crc32"], meta["rnnrt.header_crc32"]

    path = _edited(kept[0], change, tmp_path / "edited.rnnrt")
    if what == "weight":
        with pytest.raises(FormatError, match="F2[36]"):
            read(path)
    elif what == "proof":
        with pytest.raises(FormatError, match="F28"):
            read(path)
    else:
        model = rnnrt.load(path)
        assert model.file.tables is None
        np.testing.assert_array_equal(model.predict(IDS)[0], rnnrt.load(kept[1]).predict(IDS)[0])


def _lie(path, target, change):
    """A plan changed under a seal that stays right."""

    def edit(meta, top, data):
        plan = json.loads(meta["rnnrt.plan"])
        change(plan)
        meta["rnnrt.plan"] = json.dumps(plan)

    return _edited(path, edit, target)


def test_a_plan_that_lies_is_found_when_the_graph_is_read(kept, tmp_path):
    path = _lie(kept[0], tmp_path / "lie.rnnrt", lambda plan: plan.update(fixed=[None]))
    model = rnnrt.load(path)
    model.predict(IDS)
    for ask in (model.summary, lambda: model.pool(4)):
        with pytest.raises(FormatError, match=r"lie\.rnnrt: rnnrt\.plan: not the plan of the graph.*\[F30\]"):
            ask()


def test_verify_compares_the_plan_too(tmp_path):
    graph = lstm_graph()
    weights = weights_of(graph)
    write(tmp_path / "m.rnnrt", graph, weights, proof=proof_of(graph), tables=planned(graph, weights))
    path = _lie(tmp_path / "m.rnnrt", tmp_path / "lie.rnnrt", lambda plan: plan.update(fixed=[9]))
    for ask in (lambda: rnnrt.verify(path), lambda: rnnrt.load(path, verify=True)):
        with pytest.raises(FormatError, match=r"\[F30\]"):
            ask()


@pytest.mark.parametrize(
    "structure", [1, [0, 0], [0, 1], [-1], {"a": 0, "b": 2}, "x", None, [[0], [[0]]], 0.0, True, [], {}]
)
def test_structures_that_name_no_inputs_are_refused(kept, tmp_path, structure):
    path = _lie(kept[0], tmp_path / "lie.rnnrt", lambda plan: plan.update(input_structure=structure))
    with pytest.raises(FormatError, match="structures"):
        rnnrt.load(path)


def test_damaged_numbers_under_a_right_seal(kept, tmp_path):
    """Whatever the tables say, a load is refused or its calls do no harm."""
    rng = np.random.default_rng(0)
    top, data = split(kept[0].read_bytes())
    at = top["rnnrt.plan/integers"]["data_offsets"]
    whole = np.frombuffer(data, "<i4", (at[1] - at[0]) // 4, at[0])
    refused = 0
    for _ in range(1500):
        bad = whole.copy()
        for k in rng.integers(0, bad.size, int(rng.integers(1, 4))):
            bad[k] = rng.choice([-1, 0, 1, 2, 3, 5, 7, 64, 2**31 - 1, bad[k] + 1, bad[k] - 1])
        refused += _try(tmp_path / "m.rnnrt", top, data[: at[0]] + bad.tobytes() + data[at[1] :])
    assert 500 < refused < 1500


def test_damaged_fields_under_a_right_seal(kept, tmp_path):
    rng = np.random.default_rng(1)
    top, data = split(kept[0].read_bytes())
    good = json.loads(top["__metadata__"]["rnnrt.plan"])
    values = [
        0,
        1,
        -1,
        2**40,
        True,
        False,
        None,
        "x",
        [],
        [0],
        ["B"],
        [None],
        [True],
        {},
        [[0, 1]],
        [["lstm.bias", True]],
    ]
    for key in good:
        for value in [*values, [*good[key], *good[key]] if isinstance(good[key], list) else 7]:
            changed = {**good, key: value}
            if rng.integers(4) == 0:
                changed["starts"] = [True]
            top["__metadata__"]["rnnrt.plan"] = json.dumps(changed)
            _try(tmp_path / "m.rnnrt", top, data)


def _try(path, top, data) -> bool:
    """Load, and if that goes call it in every way; whether it was refused."""
    import zlib

    from rnnrt.errors import RnnrtError

    begin, end = top["rnnrt.plan/integers"]["data_offsets"]
    sums = json.loads(top["__metadata__"]["rnnrt.crc32"])
    sums["rnnrt.plan/integers"] = f"{zlib.crc32(data[begin:end]):08x}"
    top["__metadata__"]["rnnrt.crc32"] = json.dumps(sums)
    path.write_bytes(join(top, data))
    try:
        model = rnnrt.load(path)
    except (RnnrtError, MemoryError):
        return True
    for call in (_predict, _step, _run, _pool):
        try:
            call(model)
        except (RnnrtError, MemoryError, TypeError, ValueError, KeyError):  # of a model that means something else
            pass
    return False


def _predict(model):
    model.predict(IDS)


def _step(model):
    model.session(2).step(IDS[:, 0])


def _run(model):
    model.session(2).run(IDS)


def _pool(model):
    pool = model.pool(4)
    pool.open("a")
    pool.step({"a": IDS[0, 0]})


@pytest.mark.parametrize("graph", [lstm_graph(), rnn_graph(state=True)], ids=["lstm", "state"])
def test_proofs_and_states_of_files_with_a_plan(tmp_path, graph):
    weights = weights_of(graph)
    proof = proof_of(graph) if len(graph.inputs) == 1 else None
    write(tmp_path / "m.rnnrt", graph, weights, proof=proof, tables=planned(graph, weights))
    model = rnnrt.load(tmp_path / "m.rnnrt")
    assert model.file.tables is not None
    assert (model.file.proof is None) == (proof is None)
    assert [i.name for i in model.inputs] == [i.name for i in graph.inputs]


_LIGHT = """
import sys
import numpy as np
before = set(sys.modules)
import rnnrt
model = rnnrt.load(sys.argv[1])
model.predict(np.zeros((1, 6), "float32"))
model.session().step(np.zeros((1,), "float32"))
print(*sorted(m for m in set(sys.modules) - before if m.startswith("rnnrt.")))
"""


def test_a_kept_plan_needs_neither_graph_nor_planner(kept):
    run = subprocess.run([sys.executable, "-c", _LIGHT, str(kept[0])], capture_output=True, text=True, check=True)
    rooms = {m.split(".")[1] for m in run.stdout.split()}
    light = {"errors", "tables", "records", "native", "backends", "model", "loading", "nested", "session", "structure"}
    assert rooms <= {*light, "format"}
    assert "rnnrt.format.codec" not in run.stdout.split()
