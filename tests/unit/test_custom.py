"""Cells and layers of one's own: registration, files, sessions, errors."""

from __future__ import annotations

import asyncio
import sys
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest

import rnnrt
from rnnrt.custom import registry
from rnnrt.errors import BackendError, ConversionError, UnsupportedLayerError

HERE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(HERE / "tutorials"))

from custom_numpy import OBJECTS, HandwritingCellPlain, Scale  # noqa: E402


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("custom")
    with tarfile.open(HERE / "data" / "tutorials.tar.xz") as archive:
        for m in archive.getmembers():
            if m.name.endswith("/model.h5") and m.name.split("-")[0] in ("custom_masked", "custom_layer"):
                (folder / f"{m.name.split('-')[0]}.h5").write_bytes(archive.extractfile(m).read())
    return folder


@pytest.fixture
def clean():
    before = dict(registry._registered)
    yield
    registry._registered.clear()
    registry._registered.update(before)


class Fragile(HandwritingCellPlain):
    """Raises where told, by the first feature."""

    def step(self, inputs, states, weights):
        if (inputs[:, 0] > 100).any():
            raise RuntimeError("a value beyond all bounds")
        return super().step(inputs, states, weights)


def x(steps=60, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (3, steps, 5)).astype(np.float32)


def test_unregistered_classes_are_refused_by_name_path_and_remedy(files, tmp_path):
    with pytest.raises(UnsupportedLayerError, match="rnn_4.*HandwritingCellPlain") as e:
        rnnrt.load(files / "custom_masked.h5")
    assert "register_cell" in str(e.value) and e.value.path == "rnn_4"
    with pytest.raises(UnsupportedLayerError, match=r"scale \(Scale\).*register_layer\('Scale', cls\)"):
        rnnrt.convert(files / "custom_layer.h5", tmp_path / "a.rnnrt")
    rnnrt.convert(files / "custom_layer.h5", tmp_path / "a.rnnrt", custom_objects=OBJECTS)
    with pytest.raises(UnsupportedLayerError, match=r"scale \(Scale\).*register_layer\('Scale', cls\).*custom_objects"):
        rnnrt.load(tmp_path / "a.rnnrt")
    rnnrt.convert(files / "custom_masked.h5", tmp_path / "b.rnnrt", custom_objects=OBJECTS)
    with pytest.raises(UnsupportedLayerError, match=r"rnn_4 \(HandwritingCellPlain\).*register_cell"):
        rnnrt.load(tmp_path / "b.rnnrt")


def test_registered_classes_are_found(files, tmp_path, clean):
    rnnrt.register_layer("Scale", Scale)
    rnnrt.convert(files / "custom_layer.h5", tmp_path / "a.rnnrt")
    assert rnnrt.load(tmp_path / "a.rnnrt", verify=True).predict(x()).shape == (3, 4)
    assert rnnrt.check(files / "custom_layer.h5").ok


def test_check_names_what_is_missing(files):
    report = rnnrt.check(files / "custom_layer.h5")
    assert not report.ok and report.refused[0].path == "scale"
    report = rnnrt.check(files / "custom_layer.h5", custom_objects=OBJECTS)
    assert report.ok and report.custom == [("scale", "Scale")]
    assert report.to_dict()["custom"] == [{"path": "scale", "class": "Scale"}]
    assert "scale (Scale): to be registered wherever the model is loaded" in str(report)


def test_the_file_holds_the_name_and_no_code(files, tmp_path):
    path = tmp_path / "a.rnnrt"
    rnnrt.convert(files / "custom_layer.h5", path, custom_objects=OBJECTS)
    model = rnnrt.load(path, custom_objects=OBJECTS)
    node = next(n for n in model.graph.nodes if n.op == "host_layer")
    assert node.attrs["class_name"] == "Scale" and model.file.weights["scale.factor"].shape == (5,)
    assert '"host"' in model.file.metadata["rnnrt.requires"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"weights": lambda self, s: {"kernel": (5, 6)}}, "has the weights .* the file"),
        (
            {"__init__": lambda self, units: setattr(self, "state_size", units) or setattr(self, "units", units)},
            "states",
        ),
    ],
)
def test_another_class_of_that_name_is_noticed(files, tmp_path, change, says):
    path = tmp_path / "a.rnnrt"
    rnnrt.convert(files / "custom_masked.h5", path, custom_objects=OBJECTS)
    other = type("HandwritingCellPlain", (HandwritingCellPlain,), change)
    with pytest.raises(ConversionError, match=says):
        rnnrt.load(path, custom_objects={"HandwritingCellPlain": other})


@pytest.mark.parametrize("wrong", [3, "a", int, type("NoStep", (), {})])
def test_what_is_no_cell_is_not_registered(wrong, clean):
    with pytest.raises(ConversionError, match="step"):
        rnnrt.register_cell("A", wrong)
    with pytest.raises(ConversionError, match="call"):
        rnnrt.register_layer("A", wrong)
    with pytest.raises(ConversionError, match="name"):
        rnnrt.register_cell("", HandwritingCellPlain)


def test_sessions_fork_and_snapshots(files):
    model = rnnrt.load(files / "custom_masked.h5", custom_objects=OBJECTS)
    data = x()
    data[0, 20:30] = 0  # masked
    data[1, :5] = 0
    data[2] = 0
    whole = model.predict(data)
    session = model.session(3)
    for a, b in ((0, 1), (1, 8), (8, 25)):
        session.run(data[:, a:b])
    session.step(data[:, 25])
    twin, state = session.fork(), session.get_state()
    assert np.array_equal(session.run(data[:, 26:]), whole)
    assert np.array_equal(twin.run(data[:, 26:]), whole)
    again = model.session(3)
    again.set_state(state)
    assert np.array_equal(again.run(data[:, 26:]), whole)
    assert state["rnn_4/state_0"].shape == (3, 6)
    for row in range(3):
        assert np.array_equal(model.predict(data[row : row + 1])[0], whole[row])


@pytest.mark.parametrize("stepwise", [False, True])
def test_a_cell_that_raises_at_step_57_leaves_the_session_as_it_was(files, stepwise):
    model = rnnrt.load(files / "custom_masked.h5", custom_objects={"HandwritingCellPlain": Fragile})
    session = model.session(3)
    session.run(x(10, seed=1))
    before = session.get_state()
    data = x(80)
    data[1, 57, 0] = 1000
    with pytest.raises(BackendError, match=r"rnn_4 \(HandwritingCellPlain\).*at step") as e:
        if stepwise:
            session.step(data[:, 57])
        else:
            session.run(data)
    assert ("step 0" if stepwise else "step 57") in str(e.value)
    assert isinstance(e.value.__cause__, RuntimeError) and "beyond all bounds" in str(e.value.__cause__)
    after = session.get_state()
    assert all(np.array_equal(before[k], after[k]) for k in before)
    good = session.run(data[:, :57])
    other = model.session(3)
    other.set_state(before)
    assert np.array_equal(other.run(data[:, :57]), good)


@pytest.mark.parametrize(
    ("result", "says"),
    [
        (lambda out, new: out, "must return"),
        (lambda out, new: (out[:, :2], new), "output 0: expected"),
        (lambda out, new: (out, new[:1]), "2 values are expected"),
        (lambda out, new: (out, [new[0], new[1][:1]]), "state 1: expected"),
    ],
)
def test_a_wrong_result_is_an_error(files, result, says):
    good = rnnrt.load(files / "custom_masked.h5", custom_objects=OBJECTS)
    step = HandwritingCellPlain.step
    wrong = {"on": False}

    class Wrong(HandwritingCellPlain):
        def step(self, inputs, states, weights):
            made = step(self, inputs, states, weights)
            return result(*made) if wrong["on"] else made

    model = rnnrt.load(files / "custom_masked.h5", custom_objects={"HandwritingCellPlain": Wrong})
    assert np.array_equal(model.predict(x()), good.predict(x()))
    wrong["on"] = True
    with pytest.raises(BackendError, match=says):
        model.predict(x())


def test_interrupts_come_through(files):
    class Interrupted(HandwritingCellPlain):
        stop = False

        def step(self, inputs, states, weights):
            if self.stop:
                raise KeyboardInterrupt
            return super().step(inputs, states, weights)

    model = rnnrt.load(files / "custom_masked.h5", custom_objects={"HandwritingCellPlain": Interrupted})
    Interrupted.stop = True
    with pytest.raises(KeyboardInterrupt):
        model.predict(x())


def test_what_a_class_keeps_is_its_own(files):
    kept = []

    class Keeps(HandwritingCellPlain):
        def step(self, inputs, states, weights):
            kept.append((inputs, *states))
            inputs[...] += 0  # may be written to: a copy
            assert not weights["kernel"].flags.writeable
            return super().step(inputs, states, weights)

    model = rnnrt.load(files / "custom_masked.h5", custom_objects={"HandwritingCellPlain": Keeps})
    kept.clear()
    data = x()
    model.predict(data)
    first = [a.copy() for a in kept[0]]
    for _ in range(20):
        model.predict(x(seed=9))
    assert all(np.array_equal(a, b) for a, b in zip(kept[0], first)) and np.array_equal(kept[3][0], data[:, 3])


def test_a_layer_that_sees_the_whole_sequence_does_not_stream(files):
    whole = type("Scale", (Scale,), {"per_step": False})
    model = rnnrt.load(files / "custom_layer.h5", custom_objects={"Scale": whole})
    assert np.array_equal(
        model.predict(x()), rnnrt.load(files / "custom_layer.h5", custom_objects=OBJECTS).predict(x())
    )
    with pytest.raises(rnnrt.StateError, match="scale: a layer of your own"):
        model.session()


def test_a_snapshot_takes_the_state_along(files):
    model = rnnrt.load(files / "custom_masked.h5", custom_objects=OBJECTS)
    session = model.session(3)
    session.run(x(9))
    again = model.session(state=session.to_bytes())
    assert np.array_equal(again.run(x(5, seed=2)), session.run(x(5, seed=2)))


def test_threads_share_a_model(files):
    model = rnnrt.load(files / "custom_masked.h5", custom_objects=OBJECTS)
    whole, wrong = model.predict(x()), []

    def work():
        wrong.extend(1 for _ in range(10) if not np.array_equal(model.predict(x()), whole))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_streams_of_a_pool_step_a_cell_together(files):
    """As alone, for steps, chunks of several lengths, steps from threads and in a loop.

    Not the same bits: the cell's products are NumPy's, whose rounding depends on the number of rows.
    """
    model = rnnrt.load(files / "custom_masked.h5", custom_objects=OBJECTS)
    data = x()
    data[0, 20:30] = 0  # masked
    alone = [model.session() for _ in data]
    pool = model.pool(max_batch=2)

    def same(got, call):
        return all(np.allclose(got[i], call(i)[0], rtol=0, atol=1e-6) for i in range(3))

    for t in range(4):
        assert same(pool.step({i: data[i, t] for i in range(3)}), lambda i, t=t: alone[i].step(data[i : i + 1, t]))
    ends = [9, 25, 25]
    assert same(
        pool.run({i: data[i, 4 : ends[i]] for i in range(3)}), lambda i: alone[i].run(data[i : i + 1, 4 : ends[i]])
    )
    futures = {i: pool.submit(i, data[i, 30]) for i in range(3)}
    assert same({i: f.result(30) for i, f in futures.items()}, lambda i: alone[i].step(data[i : i + 1, 30]))

    async def ask():
        return await asyncio.gather(*(pool.astep(i, data[i, 31]) for i in range(3)))

    assert same(asyncio.run(ask()), lambda i: alone[i].step(data[i : i + 1, 31]))


@pytest.mark.parametrize("chunks", [False, True])
def test_a_cell_that_raises_hits_its_own_stream_of_a_pool(files, chunks):
    model = rnnrt.load(files / "custom_masked.h5", custom_objects={"HandwritingCellPlain": Fragile})
    pool, data = model.pool(), x(12)
    pool.run({i: data[i] for i in range(3)})
    before = {i: pool.to_bytes(i) for i in range(3)}
    more = x(12, seed=1)
    more[1, 7, 0] = 1000
    batch = {i: more[i] if chunks else more[i, 7] for i in range(3)}
    with pytest.raises(rnnrt.BatchError) as e:
        (pool.run if chunks else pool.step)(batch)
    assert set(e.value.errors) == {1} and isinstance(e.value.errors[1], BackendError)
    assert pool.to_bytes(1) == before[1]
    for i in (0, 2):
        session = model.session(state=before[i])
        want = session.run(more[i : i + 1]) if chunks else session.step(more[i : i + 1, 7])
        assert np.array_equal(e.value.results[i], want[0]) and pool.to_bytes(i) == session.to_bytes()
