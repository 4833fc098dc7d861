"""convert() and check(): what they write, what they leave behind, what they tell."""

import json
import os

import numpy as np
import pytest
from keras_files import arrays, functional, input_layer, layer, sequential, write_h5, write_keras

from rnnrt.convert import build, check, convert
from rnnrt.errors import ConversionError, UnsupportedLayerError
from rnnrt.format.reader import read
from rnnrt.reference import Interpreter

K, R, B, DK, DB = arrays((3, 16), (4, 16), (16,), (4, 2), (2,))


class ReferenceModel:
    """What a proof is replayed with, by the interpreter alone; off: how wrong its answers are."""

    def __init__(self, path, off=0.0):
        file = read(path)
        self.graph, self._off = file.graph, off
        self._reference = Interpreter(file.graph, file.weights)
        self.opened = path

    def predict(self, value):
        return self._reference.predict([value])[0] + self._off

    def session(self, batch_size=1):
        session, off = self._reference.session(batch_size), self._off

        class Session:
            def run(self, chunk):
                return session.run([chunk])[0] + off

            def get_state(self):
                return session.get_state()

            def set_state(self, state):
                session.set_state(state)

        return Session()


@pytest.fixture
def source(tmp_path):
    model = sequential(
        input_layer("x", (None, None, 3)),
        layer(
            "LSTM",
            "rec",
            units=4,
            recurrent_activation="sigmoid",
            dropout=0.5,
            kernel_constraint={"class_name": "Mine"},
        ),
        layer("Dense", "out", units=2),
    )
    weights = {
        "rec": [("rec/kernel:0", K), ("rec/recurrent_kernel:0", R), ("rec/bias:0", B)],
        "out": [("out/kernel:0", DK), ("out/bias:0", DB)],
    }
    return write_h5(tmp_path / "model.h5", model, weights)


@pytest.fixture
def mixed(tmp_path):
    """A model with two refused layers, one behind the other, and a good one behind both."""
    chain = [
        input_layer("x", (None, 4, 3), functional=True),
        layer("Dense", "d", inbound=[[["x", 0, 0, {}]]], units=4),
        layer("Lambda", "l1", inbound=[[["d", 0, 0, {}]]], function=["4wEAAA==", None, None]),
        layer("MyLayer", "l2", inbound=[[["l1", 0, 0, {}]]], depth=3),
        layer("Dense", "bad", inbound=[[["l2", 0, 0, {}]]], units=2, activation="my_function"),
        layer("Dense", "good", inbound=[[["bad", 0, 0, {}]]], units=2),
    ]
    weights = {"d": [("d/kernel:0", arrays((3, 4))[0]), ("d/bias:0", arrays((4,))[0])]}
    return write_h5(tmp_path / "mixed.h5", functional(chain, [["x", 0, 0]], [["good", 0, 0]]), weights)


def test_convert_writes_what_build_makes(source, tmp_path):
    report = convert(source, tmp_path / "out.rnnrt", load=ReferenceModel)
    file, built = read(tmp_path / "out.rnnrt"), build(source)
    assert file.graph == built.graph
    for name, a in built.weights.items():
        np.testing.assert_array_equal(file.weights[name], a)
    assert report.path == str(tmp_path / "out.rnnrt") and report.params == 16 * 8 + 10
    assert report.nbytes == os.path.getsize(report.path)
    assert report.session == "sequence" and report.streams
    assert report.proof_error <= report.proof_tolerance
    assert file.source_sha256 == report.source["sha256"] == built.source["sha256"]


def test_the_default_target_stands_beside_the_source(source, tmp_path):
    assert convert(source).path == str(tmp_path / "model.rnnrt")
    for name, want in (("m.weights.h5", "m.rnnrt"), ("m.hdf5", "m.rnnrt"), ("m", "m.rnnrt"), ("m.v2", "m.v2.rnnrt")):
        os.replace(source, tmp_path / name)
        assert convert(tmp_path / name).path == str(tmp_path / want)
        source = tmp_path / name


def test_the_report_in_words_and_as_json(source):
    report = convert(source, load=ReferenceModel)
    text = str(report)
    for part in (
        "rec (LSTM)",
        "Total params: 138",
        "h 4, c 4",
        "Ignored:  constraints (rec)",
        "Proof:",
        "model.rnnrt",
        "Keras 2.15.0",
    ):
        assert part in text, part
    d = json.loads(json.dumps(report.to_dict()))
    assert d["params"] == 138 and d["ignored"]["constraints"] == ["rec"] and d["proof"]["error"] == report.proof_error
    assert d["ignored"]["dropout inside recurrent layers"] == ["rec"]


def test_a_failing_proof_leaves_nothing_behind(source, tmp_path):
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(ConversionError, match="not written: the whole run of the proof"):
        convert(source, load=lambda path: ReferenceModel(path, off=1e-3))
    assert sorted(os.listdir(tmp_path)) == before
    (tmp_path / "model.rnnrt").write_text("the older one")
    with pytest.raises(ConversionError):
        convert(source, load=lambda path: ReferenceModel(path, off=1e-3))
    assert (tmp_path / "model.rnnrt").read_text() == "the older one"
    assert convert(source, load=ReferenceModel).nbytes > 100


def test_max_error_bounds_the_proof(source, tmp_path):
    off = lambda path: ReferenceModel(path, off=2e-6)  # noqa: E731
    assert convert(source, load=off).proof_error > 1e-6
    with pytest.raises(ConversionError, match="max_error is 1e-07"):
        convert(source, tmp_path / "b.rnnrt", load=off, max_error=1e-7)
    assert not (tmp_path / "b.rnnrt").exists()


@pytest.mark.parametrize(
    "options,why",
    [
        ({"weights": "int4"}, "expected one of float32, float16, int8"),
        ({"calibration": [1]}, "ask for one of them"),
        ({"weights": "int8", "max_error": -1}, "expected a number from 0"),
        ({"weights": "int8", "calibration": [np.ones(3), np.ones(3)]}, "the model takes 1 inputs"),
        ({"weights": "int8", "calibration": {"other": np.ones(3)}}, "expected arrays named x, got other"),
        ({"weights": "int8", "calibration": np.ones((1, 2, 3, 4, 5, 6))}, "calibration: input .*expected"),
        ({"weights": "float16", "calibration": np.ones((0, 2, 3))}, "an empty array"),
    ],
)
def test_options_of_weights_are_checked(source, tmp_path, options, why):
    with pytest.raises(ConversionError, match=why):
        convert(source, **options)
    assert not (tmp_path / "model.rnnrt").exists()


def test_the_source_is_never_replaced(source):
    size = os.path.getsize(source)
    with pytest.raises(ConversionError, match="would replace its source"):
        convert(source, source)
    assert os.path.getsize(source) == size


def test_check_tells_all_refused_layers(mixed, tmp_path):
    report = check(mixed)
    assert not report.ok
    assert [(r.path, r.layer_class) for r in report.refused] == [("l1", "Lambda"), ("l2", "MyLayer"), ("bad", "Dense")]
    assert "outputs=['d']" in report.refused[0].reason and "my_function" in report.refused[2].reason
    assert ("d", "Dense") in report.layers
    assert "Converts: no, 3 layers refused" in str(report)
    assert json.loads(json.dumps(report.to_dict()))["refused"][1]["class"] == "MyLayer"
    with pytest.raises(UnsupportedLayerError, match=r"l1 \(Lambda\).*refused too: l2, bad") as e:
        convert(mixed)
    assert e.value.path == "l1"
    assert not (tmp_path / "mixed.rnnrt").exists()


def test_check_of_a_cut(mixed):
    report = check(mixed, outputs="d")
    assert report.ok and report.params == 16 and not report.refused
    assert "Converts: yes" in str(report) and report.streams
    assert convert(mixed, outputs="d").params == 16


def test_check_of_weights_that_do_not_fit(tmp_path):
    model = sequential(input_layer("x", (None, 3)), layer("Dense", "d", units=5))
    src = write_h5(tmp_path / "a.h5", model, {"d": [("d/kernel:0", K), ("d/bias:0", B)]})
    report = check(src)
    assert not report.ok and not report.refused and "d.kernel: expected (3, 5)" in report.error
    assert "Converts: no" in str(report)


def test_check_says_why_there_are_no_sessions(tmp_path):
    model = sequential(input_layer("x", (None, 5, 3), 3), layer("SimpleRNN", "r", 3, units=2, go_backwards=True))
    tree = {"layers/simple_rnn/cell": arrays((3, 2), (2, 2), (2,))}
    report = check(write_keras(tmp_path / "a.keras", model, tree))
    assert report.ok and not report.streams and report.stream_message.startswith("r: ")
    assert "Sessions: no: r: " in str(report)


def test_check_of_what_is_no_model(tmp_path):
    (tmp_path / "a.h5").write_bytes(b"nothing at all")
    with pytest.raises(ConversionError, match="not a Keras file"):
        check(tmp_path / "a.h5")


def test_conversion_is_the_same_each_time(source, tmp_path):
    convert(source, tmp_path / "a.rnnrt")
    convert(source, tmp_path / "b.rnnrt")
    assert (tmp_path / "a.rnnrt").read_bytes() == (tmp_path / "b.rnnrt").read_bytes()
