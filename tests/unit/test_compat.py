"""The face that Keras code expects, where the tutorials' script does not look."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import rnnrt
from rnnrt.compat import load_model

MODELS = Path(__file__).resolve().parents[2] / "models"


@pytest.fixture(scope="module")
def digits():
    return load_model(MODELS / "digits_lstm" / "model.h5")


@pytest.fixture
def x():
    return np.random.default_rng(0).uniform(0, 1, (45, 8, 8)).astype(np.float32)


def test_batches_change_no_bit(digits, x):
    whole = digits.runtime.predict(x)
    for size in (None, 1, 7, 45, 100):
        assert np.array_equal(digits.predict(x, batch_size=size, verbose=1), whole)
    assert np.array_equal(digits.predict(x, batch_size=7, steps=2), whole[:14])
    assert np.array_equal(digits.predict(x.tolist()), whole)
    assert np.array_equal(digits.predict([x]), whole)
    assert np.array_equal(digits.predict({digits.input_names[0]: x}), whole)


def test_generators_and_sequences(digits, x):
    whole = digits.runtime.predict(x)

    class Batches:
        def __len__(self):
            return 5

        def __getitem__(self, k):
            return x[9 * k : 9 * k + 9], None

    assert np.array_equal(digits.predict(Batches()), whole)
    assert np.array_equal(digits.predict(iter([x[:9], x[9:]])), whole)
    assert np.array_equal(digits.predict(((b, 0, 1) for b in (x[:9], x[9:])), steps=1), whole[:9])


def test_a_call_gives_arrays_with_numpy(digits, x):
    y = digits(x)
    assert isinstance(y, np.ndarray) and type(y.numpy()) is np.ndarray
    assert np.array_equal(digits(x, training=False).numpy(), digits.predict(x))
    with pytest.raises(ValueError, match="only predicts"):
        digits(x, training=True)


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"batch_size": -3}, {"batch_size": True}, {"callbacks": [1]}])
def test_wrong_arguments(digits, x, wrong):
    with pytest.raises(ValueError):
        digits.predict(x, **wrong)


def test_wrong_arrays(digits, x):
    with pytest.raises(rnnrt.ShapeError):
        digits.predict(x[:, :, :5])
    with pytest.raises(rnnrt.ShapeError):
        digits.predict(x[:0])


def test_layers(digits):
    assert [type(v).__name__ for v in digits.layers] == ["LSTM", "Dropout", "Dense"]
    assert digits.get_layer("lstm") is digits.get_layer(index=0)
    assert digits.layers[1].get_weights() == [] and digits.layers[1].output_shape == (None, 32)
    with pytest.raises(ValueError, match="No such layer: gru"):
        digits.get_layer("gru")
    with pytest.raises(ValueError, match="3 layers"):
        digits.get_layer(index=3)
    with pytest.raises(ValueError, match="either"):
        digits.get_layer()
    w = digits.get_layer("lstm").get_weights()
    w[0][...] = 0  # a copy
    assert digits.get_layer("lstm").get_weights()[0].any()
    assert sum(v.count_params() for v in digits.layers) == digits.count_params() == 5578


def test_a_converted_file_answers_too(digits, x):
    other = load_model(MODELS / "digits_lstm" / "model.rnnrt")
    assert np.array_equal(other.predict(x), digits.predict(x))
    assert other.get_layer("lstm").get_weights()[0].shape == (8, 128)
    assert (other.input_shape, other.output_shape) == (digits.input_shape, digits.output_shape)


def test_the_summary_is_printed(digits, capsys):
    digits.summary()
    out = capsys.readouterr().out
    assert "lstm (LSTM)" in out and "Total params: 5,578" in out
    digits.summary(line_length=60)
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 60


@pytest.fixture(scope="module")
def stateful(tmp_path_factory):
    """sine_gru, saved stateful with batches of free size."""
    import json

    import h5py

    path = tmp_path_factory.mktemp("stateful") / "model.h5"
    shutil.copy(MODELS / "sine_gru" / "model.h5", path)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        for layer in config["config"]["layers"]:
            if layer["class_name"] == "GRU":
                layer["config"]["stateful"] = True
        file.attrs["model_config"] = json.dumps(config)
    return path


def test_a_stateful_model_carries_its_state(stateful):
    model, plain = load_model(stateful), rnnrt.load(MODELS / "sine_gru" / "model.h5")
    x = np.random.default_rng(1).standard_normal((2, 30, 1)).astype(np.float32)
    whole = plain.predict(x)
    parts = [model.predict(x[:, :10]), model.predict_on_batch(x[:, 10:11]), model(x[:, 11:]).numpy()]
    assert np.array_equal(np.concatenate(parts, axis=1), whole)
    assert model.stateful and model.get_layer("gru").stateful and not model.get_layer("next").stateful
    (h,) = model.get_layer("gru").states
    with pytest.raises(rnnrt.ShapeError, match="reset_states"):
        model.predict(x[:1])
    model.reset_states()
    assert model.get_layer("gru").states == []
    assert np.array_equal(model.predict(x[:, :10]), whole[:, :10])
    model.get_layer("gru").reset_states(h)
    after = model.predict(x[:, :5])
    session = plain.session(2)
    session.run(x)
    assert np.array_equal(after, session.run(x[:, :5]))
    model.reset_state()
    model.get_layer("gru").reset_state()
    assert np.array_equal(model.predict(x[:1]), whole[:1])
    with pytest.raises(rnnrt.StateError, match="1 states expected"):
        model.get_layer("gru").reset_states([h, h])


def test_a_failed_call_leaves_the_state(stateful):
    model = load_model(stateful)
    x = np.random.default_rng(1).standard_normal((2, 30, 1)).astype(np.float32)
    model.predict(x[:, :10])
    with pytest.raises(rnnrt.ShapeError):
        model.predict(x[:, :10, [0, 0]])
    assert np.array_equal(model.predict(x[:, 10:]), rnnrt.load(MODELS / "sine_gru" / "model.h5").predict(x)[:, 10:])


@pytest.mark.parametrize("wrong, says", [(None, "NoneType"), (object(), "object"), ("text", "str"), (3, "int")])
def test_what_is_no_input_is_refused(digits, wrong, says):
    with pytest.raises(rnnrt.ShapeError, match=f"arrays, or a generator of batches, are expected, got {says}"):
        digits.predict(wrong)


@pytest.mark.parametrize("wrong", [[None], [object()], {"x": None}, np.array([None]), np.array(["a"]), np.float32(3)])
def test_what_holds_no_numbers_is_refused(digits, wrong):
    with pytest.raises(rnnrt.ShapeError, match="arrays of numbers with a batch axis are expected"):
        digits.predict(wrong)


def test_a_generator_without_batches_is_refused(digits):
    with pytest.raises(rnnrt.ShapeError, match="at least one batch"):
        digits.predict(iter([]))
