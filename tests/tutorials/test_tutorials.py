"""Every model of the tutorials, by name, from the file that a real Keras saved."""

from __future__ import annotations

import re

import numpy as np
import pytest
from custom_numpy import OBJECTS
from tutorials import assert_equal, leaves, names

import rnnrt
from rnnrt.compat import load_model

NAMES = names()
STATEFUL = [n for n in NAMES if n.startswith("sub_sequences")]
PARAMS = {
    "simple_rnn_dense": 17_921,
    "embedding_lstm": 164_106,
    "embedding_gru_simple_rnn": 361_866,
    "encoder_decoder": 258_698,
    "bidirectional": 80_266,
}
BOTH = pytest.mark.parametrize("keras", ("2", "3"))


def test_all_tutorials_are_there():
    found = {n.rpartition("-")[0] for n in NAMES}
    assert len(found) >= 31
    assert set(PARAMS) <= found


@pytest.mark.parametrize("name", [n for n in NAMES if n not in STATEFUL])
def test_predict_is_keras(tutorial, name):
    t = tutorial(name)
    model = rnnrt.load(t.path, custom_objects=OBJECTS, verify=True)
    assert_equal(model.predict(t.inputs), t.outputs())


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_those_that_keras_prints(tutorial, name):
    t = tutorial(name)
    model = load_model(t.path, custom_objects=OBJECTS)
    assert model.count_params() == t.params == PARAMS.get(name.rpartition("-")[0], t.params)
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    assert f"Total params: {t.params:,} " in lines[0]
    said = re.search(r"Total params: ([\d,]+)", t.summary)
    if said:  # what Keras's own table says
        assert int(said[1].replace(",", "")) == t.params


@pytest.mark.parametrize("name", NAMES)
def test_written_and_read_again(tutorial, name, tmp_path):
    t = tutorial(name)
    path = tmp_path / "model.rnnrt"
    rnnrt.convert(t.path, path, custom_objects=OBJECTS)
    model = rnnrt.load(path, custom_objects=OBJECTS)
    x = t.pieces[0] if name in STATEFUL else t.inputs
    want = rnnrt.load(t.path, custom_objects=OBJECTS).predict(x)
    assert all(np.array_equal(a, b) for a, b in zip(leaves(model.predict(x)), leaves(want)))


@pytest.mark.parametrize("name", NAMES)
def test_sessions_in_pieces_are_predict(tutorial, name):
    t = tutorial(name)
    model = rnnrt.load(t.path, custom_objects=OBJECTS)
    if name in STATEFUL or not model.plan.streams or any(i.role == "state" for i in model.inputs):
        expected = (
            "bidirectional",
            "imdb_b",
            "encoder_d",
            "state_r",
            "char_seq",
            "addition",
            "lstm_auto",
            "merges",
            "custom_bi",
        )
        assert name.startswith((*expected, "sub_sequences")), model.plan.stream_message
        return
    data = t.inputs
    flat = leaves(data)
    rebuild = lambda xs: dict(zip(data, xs)) if isinstance(data, dict) else (xs if len(xs) > 1 else xs[0])  # noqa: E731
    whole = leaves(model.predict(data))
    session = model.session(len(flat[0]))
    pieces = [leaves(session.run(rebuild([x[:, a:b] for x in flat]))) for a, b in ((0, 1), (1, 4), (4, None))]
    for k, y in enumerate(whole):
        timed = model.plan.output_info[k].per_step
        got = np.concatenate([p[k] for p in pieces], axis=1) if timed else pieces[-1][k]
        assert np.array_equal(got, y), k


@BOTH
def test_rnn_over_a_cell_is_the_layer(tutorial, keras):
    layer, loop = tutorial(f"lstm_10-{keras}"), tutorial(f"rnn_lstm_cell_10-{keras}")
    a, b = (rnnrt.load(t.path).predict(t.inputs) for t in (layer, loop))
    assert np.array_equal(a, b)
    layer, loop = tutorial(f"mnist_lstm-{keras}"), tutorial(f"mnist_rnn_cell-{keras}")
    a, b = (rnnrt.load(t.path).predict(t.inputs) for t in (layer, loop))
    assert np.array_equal(a, b)


@BOTH
def test_bidirectional_concatenates_by_default(tutorial, keras):
    t = tutorial(f"bidirectional-{keras}")
    model = load_model(t.path)
    first, second = model.layers[-3], model.layers[-2]
    assert first.output_shape == (None, 5, 128) and second.output_shape == (None, 64)


@BOTH
def test_sub_sequences_of_one_long_sequence(tutorial, keras):
    t = tutorial(f"sub_sequences-{keras}")
    model = load_model(t.path)
    pieces = t.pieces
    assert len(pieces) == 17 and model.stateful and model.input_shape == (2, None, 5)
    for call, x in enumerate(pieces[:16]):
        assert_equal(model.predict(x, batch_size=2, verbose=0), t.outputs(f"y{call}_"))
    assert len(model.layers[0].states) == 2
    model.reset_states()
    assert_equal(model.predict(pieces[16], batch_size=2, verbose=0), t.outputs("y16_"))
    assert np.array_equal(pieces[16], pieces[0])
    assert np.array_equal(t.golden["y16_0"], t.golden["y0_0"])


@BOTH
def test_sub_sequences_as_a_session(tutorial, keras):
    t = tutorial(f"sub_sequences-{keras}")
    model = rnnrt.load(t.path)
    assert model.session_meaning == "calls"
    session = model.session(2)
    for call, x in enumerate(t.pieces[:16]):
        assert_equal(session.run(x), t.outputs(f"y{call}_"))
    session.reset()
    assert_equal(session.run(t.pieces[16]), t.outputs("y16_"))


@BOTH
def test_the_decoder_starts_from_the_encoders_states(tutorial, keras):
    t = tutorial(f"encoder_decoder-{keras}")
    model = rnnrt.load(t.path)
    cut = rnnrt.convert(t.path, t.path.with_name("encoder.rnnrt"), outputs=["encoder"])
    _, h, c = rnnrt.load(cut.path).predict(t.pieces[0])
    assert h.shape == c.shape == (2, 64)
    other = [t.pieces[0][::-1].copy(), t.pieces[1]]
    assert not np.array_equal(model.predict(other), model.predict(t.inputs))
