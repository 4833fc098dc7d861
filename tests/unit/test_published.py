"""The numbers that Keras's own unit tests give for its recurrent layers, from files made by hand.

Constant weights: 0.01 in the kernel, 0.02 in the recurrent one, 0.03 in the bias, and 1 for the forget gate.
"""

from __future__ import annotations

import numpy as np
import pytest
from keras_files import functional, input_layer, layer, write_h5

import rnnrt

GATES = {"LSTM": 4, "GRU": 3, "SimpleRNN": 1}


def weights(kind, features, units, bias=0.03, kernel=0.01, recurrent=0.02, **options):
    """The arrays of one layer."""
    wide = GATES[kind] * units
    out = [np.full((features, wide), kernel), np.full((units, wide), recurrent)]
    if options.get("use_bias", True):
        b = np.full(wide, bias)
        if kind == "LSTM" and options.get("unit_forget_bias", True):
            b[units : 2 * units] = 1
        out.append(np.tile(b, (2, 1)) if kind == "GRU" and options.get("reset_after", True) else b)
    return [("w", a.astype(np.float32)) for a in out]


def config(kind, units, **options):
    """The config of a layer, as Keras 2 writes it."""
    more = {"reset_after": True} if kind == "GRU" else {}
    gates = {"recurrent_activation": "sigmoid"} if kind != "SimpleRNN" else {}
    return {"units": units, "activation": "tanh", "use_bias": True, **gates, **more, **options}


def answer(tmp_path, entry, arrays, x, mask=None, states=(), calls=1):
    """What the model of that one layer answers; the last of so many calls."""
    stateful = entry["config"].get("stateful") or "layer" in entry["config"] and calls > 1
    batch = len(x) if stateful else None
    feed = {"x": x}
    layers = [input_layer("x", (batch, None, *x.shape[2:]), functional=True)]
    node = [["x", 0, 0, {}]]
    if mask is not None:
        layers.append(input_layer("m", (batch, None), functional=True))
        layers[-1]["config"]["dtype"] = "bool"
        node[0][3]["mask"] = ["m", 0, 0]
        feed["m"] = np.array(mask, bool)
    for k, s in enumerate(states):
        layers.append(input_layer(f"s{k}", (batch, s.shape[1]), functional=True))
        node.append([f"s{k}", 0, 0, {}])
        feed[f"s{k}"] = s
    entry = {**entry, "name": "rnn", "inbound_nodes": [node]}
    count = 5 if entry["config"].get("layer", {}).get("config", {}).get("return_state") else 1
    outputs = [["rnn", 0, k] for k in range(count)]
    numbers = functional([*layers, entry], [[n, 0, 0] for n in feed], outputs)
    stored = {n: [] for n in feed} | {"rnn": [(f"rnn/w{k}", a) for k, (_, a) in enumerate(arrays)]}
    model = rnnrt.load(write_h5(tmp_path / "m.h5", numbers, stored))
    given = feed if len(feed) > 1 else x
    if calls == 1:
        return model.predict(given)
    session = model.session(batch_size=len(x))
    return [session.run(given) for _ in range(calls)][-1]


def ramp(*shape, scale=1.0):
    """0, 1, 2, ... in that shape."""
    return (np.arange(np.prod(shape)).reshape(shape) * scale).astype(np.float32)


def rows(*values, units):
    """Rows of equal numbers."""
    return np.array([[v] * units for v in values])


BASICS = [
    ("LSTM", {}, (0.6288687, 0.86899155, 0.9460773)),
    ("LSTM", {"go_backwards": True}, (0.35622165, 0.74789524, 0.8872726)),
    ("LSTM", {"unroll": True}, (0.6288687, 0.86899155, 0.9460773)),
    ("LSTM", {"unit_forget_bias": False}, (0.57019705, 0.8661914, 0.9459622)),
    ("LSTM", {"use_bias": False}, (0.54986924, 0.86226785, 0.9443936)),
    ("GRU", {}, (0.5217289, 0.6371659, 0.39384964)),
    ("GRU", {"go_backwards": True}, (0.24406259, 0.611516, 0.3928808)),
    ("GRU", {"unroll": True}, (0.5217289, 0.6371659, 0.39384964)),
    ("GRU", {"reset_after": False}, (0.51447755, 0.6426879, 0.40208298)),
    ("GRU", {"use_bias": False}, (0.49988455, 0.64701194, 0.4103359)),
]


@pytest.mark.parametrize("kind, options, expected", BASICS, ids=[f"{k}-{'-'.join(o)}" for k, o, _ in BASICS])
def test_correctness(tmp_path, kind, options, expected):
    entry = layer(kind, "rnn", **config(kind, 3, **options))
    got = answer(tmp_path, entry, weights(kind, 4, 3, **options), ramp(3, 6, 4))
    np.testing.assert_allclose(got, rows(*expected, units=3), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "options, expected", [({}, (0.405432, 0.73605347)), ({"go_backwards": True}, (0.11144729, 0.5528889))]
)
def test_correctness_of_a_simple_rnn(tmp_path, options, expected):
    entry = layer("SimpleRNN", "rnn", **config("SimpleRNN", 4, **options))
    got = answer(tmp_path, entry, weights("SimpleRNN", 4, 4), ramp(2, 3, 4))
    np.testing.assert_allclose(got, rows(*expected, units=4), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "kind, expected",
    [("LSTM", (0.3124785, 0.6863672)), ("GRU", (0.29542392, 0.5885018)), ("SimpleRNN", (0.40559256, 0.7361247))],
)
def test_statefulness(tmp_path, kind, expected):
    """The second call of a stateful layer."""
    entry = layer(kind, "rnn", **config(kind, 4, stateful=True))
    got = answer(tmp_path, entry, weights(kind, 4, 4), ramp(2, 3, 4), calls=2)
    np.testing.assert_allclose(got, rows(*expected, units=4), rtol=1e-5, atol=1e-5)


STATES = [
    ("LSTM", False, [[0.20574439, 0.3558822], [0.64930826, 0.66276]]),
    ("LSTM", True, [[0.13281618, 0.2790356], [0.5839337, 0.5992567]]),
    ("GRU", False, [[0.23774096, 0.33508456], [0.83659905, 1.0227708]]),
    ("GRU", True, [[0.13486053, 0.23261218], [0.78257304, 0.9691353]]),
]


@pytest.mark.parametrize("kind, backwards, expected", STATES)
def test_initial_state(tmp_path, kind, backwards, expected):
    entry = layer(kind, "rnn", **config(kind, 2, go_backwards=backwards))
    states = [ramp(2, 2)] * (2 if kind == "LSTM" else 1)
    got = answer(tmp_path, entry, weights(kind, 3, 2), ramp(2, 4, 3), states=states)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


ENDING, BROKEN = [[1, 1, 1, 0], [1, 1, 0, 0]], [[1, 1, 0, 1], [1, 0, 0, 1]]
MASKS = [
    ("LSTM", {}, ENDING, [0.11755939, 0.28556206]),
    ("GRU", {}, BROKEN, [0.19393763, 0.30818558]),
    ("GRU", {"go_backwards": True}, BROKEN, [0.11669192, 0.28380975]),
    (
        "LSTM",
        {"return_sequences": True},
        ENDING,
        [[0.0158891, 0.05552048, 0.11755939, 0.11755939], [0.14185596, 0.28556206, 0.28556206, 0.28556206]],
    ),
    (
        "GRU",
        {"return_sequences": True},
        BROKEN,
        [[0.03606692, 0.09497581, 0.09497581, 0.19393763], [0.16051409, 0.16051409, 0.16051409, 0.30818558]],
    ),
    (
        "GRU",
        {"return_sequences": True, "zero_output_for_mask": True},
        BROKEN,
        [[0.03606692, 0.09497581, 0.0, 0.19393763], [0.16051409, 0.0, 0.0, 0.30818558]],
    ),
    (
        "SimpleRNN",
        {"return_sequences": True},
        BROKEN,
        [[0.0599281, 0.15122814, 0.15122814, 0.32394567], [0.3969304, 0.3969304, 0.3969304, 0.608085]],
    ),
    (
        "SimpleRNN",
        {"return_sequences": True, "zero_output_for_mask": True},
        BROKEN,
        [[0.0599281, 0.15122814, 0.0, 0.32394567], [0.3969304, 0.0, 0.0, 0.608085]],
    ),
]


@pytest.mark.parametrize("kind, options, mask, expected", MASKS)
def test_masking(tmp_path, kind, options, mask, expected):
    entry = layer(kind, "rnn", **config(kind, 2, **options))
    got = answer(tmp_path, entry, weights(kind, 3, 2), ramp(2, 4, 3), mask=mask)
    np.testing.assert_allclose(got, np.stack([expected, expected], -1), rtol=1e-5, atol=1e-5)


def _both(kind, merge_mode="concat", backward=None, **options):
    more = {} if backward is None else {"backward_layer": backward}
    inner = layer(kind, "inner", **config(kind, 2, **options))
    return layer("Bidirectional", "rnn", layer=inner, merge_mode=merge_mode, **more)


def test_bidirectional(tmp_path):
    one, x = weights("SimpleRNN", 4, 2), ramp(2, 3, 4)
    first, second = [0.39687276, 0.7237238], [0.10004295, 0.53391594]
    got = answer(tmp_path, _both("SimpleRNN"), one + one, x)
    np.testing.assert_allclose(got, np.stack([first, first, second, second], -1), rtol=1e-5, atol=1e-5)
    got = answer(tmp_path, _both("SimpleRNN", "ave"), one + one, x)
    np.testing.assert_allclose(got, rows(0.24845785, 0.6288199, units=2), rtol=1e-5, atol=1e-5)
    back = layer("SimpleRNN", "back", **config("SimpleRNN", 2, go_backwards=True))
    other = weights("SimpleRNN", 4, 2, bias=0.01, kernel=0.03)
    got = answer(tmp_path, _both("SimpleRNN", "mul", back), one + other, x)
    np.testing.assert_allclose(got, rows(0.08374989, 0.6740834, units=2), rtol=1e-5, atol=1e-5)


def test_bidirectional_sequences(tmp_path):
    one = weights("GRU", 4, 2)
    got = answer(tmp_path, _both("GRU", "sum", return_sequences=True), one + one, ramp(2, 3, 4))
    expected = [[0.20937867, 0.34462988, 0.40290534], [0.59829646, 0.6734641, 0.6479671]]
    np.testing.assert_allclose(got, np.stack([expected, expected], -1), rtol=1e-5, atol=1e-5)


def test_bidirectional_states(tmp_path):
    one, x = weights("LSTM", 3, 2), ramp(2, 4, 3)
    states = [ramp(2, 2, scale=k) for k in (1, 2, 3, 4)]
    got = answer(tmp_path, _both("LSTM"), one + one, x, states=states)
    expected = [[0.20794602, 0.4577124, 0.14046375, 0.48191673], [0.6682636, 0.6711909, 0.60943645, 0.60950446]]
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
    y, *states = answer(tmp_path, _both("LSTM", return_state=True), one + one, x)
    np.testing.assert_allclose(y, np.concatenate([states[0], states[2]], -1))
    expected = [(0.1990008, 0.52335435), (0.35567185, 1.0492687), (0.12659755, 0.44717982), (0.2501858, 0.941473)]
    for got, want in zip(states, expected):
        np.testing.assert_allclose(got, rows(*want, units=2), rtol=1e-5, atol=1e-5)


def test_bidirectional_statefulness(tmp_path):
    one = weights("LSTM", 3, 2)
    got = answer(tmp_path, _both("LSTM", stateful=True), one + one, ramp(2, 4, 3), calls=2)
    expected = [[0.26234663] * 2 + [0.16959146] * 2, [0.6137073] * 2 + [0.5381646] * 2]
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_bidirectional_masking(tmp_path):
    one = weights("GRU", 3, 2)
    got = answer(tmp_path, _both("GRU"), one + one, ramp(2, 4, 3), mask=BROKEN)
    expected = [[0.19393763] * 2 + [0.11669192] * 2, [0.30818558] * 2 + [0.28380975] * 2]
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_stacked_cells_masking(tmp_path):
    cells = [layer("LSTMCell", f"cell_{k}", **config("LSTM", 1)) for k in range(2)]
    entry = layer("RNN", "rnn", cell=layer("StackedRNNCells", "stack", cells=cells))
    arrays = weights("LSTM", 4, 1, 0.0, 1.0, 1.0) + weights("LSTM", 1, 1, 0.0, 1.0, 1.0)
    got = answer(tmp_path, entry, arrays, np.ones((2, 3, 4), np.float32), mask=[[1, 1, 1], [1, 1, 0]])
    np.testing.assert_allclose(got, [[0.7793], [0.5998]], atol=1e-4)


CONVOLUTIONS = [
    (1, ramp(2, 3, 4, 5, scale=0.1), [[0.40807986, 0.46421072], [0.80933154, 0.8233646]]),
    (
        2,
        ramp(2, 3, 4, 4, 5, scale=0.01),
        [[[0.48694518, 0.50237733], [0.5461202, 0.5598283]], [[0.8661607, 0.86909103], [0.8774414, 0.8800861]]],
    ),
]


@pytest.mark.parametrize("axes, x, expected", CONVOLUTIONS)
def test_conv_lstm(tmp_path, axes, x, expected):
    options = {"filters": 2, "kernel_size": [3] * axes, "strides": [1] * axes, "padding": "valid"}
    more = {"dilation_rate": [1] * axes, "activation": "tanh", "recurrent_activation": "sigmoid", "use_bias": True}
    window = (3,) * axes
    bias = np.full(8, 0.03)
    bias[2:4] = 1
    arrays = [np.full((*window, 5, 8), 0.01), np.full((*window, 2, 8), 0.02), bias]
    feed = input_layer("x", (None, *x.shape[1:]), functional=True)
    entry = layer(f"ConvLSTM{axes}D", "rnn", inbound=[[["x", 0, 0, {}]]], **options, **more)
    numbers = functional([feed, entry], [["x", 0, 0]], [["rnn", 0, 0]])
    stored = {"x": [], "rnn": [(f"rnn/w{k}", a.astype(np.float32)) for k, a in enumerate(arrays)]}
    got = rnnrt.load(write_h5(tmp_path / "m.h5", numbers, stored)).predict(x)
    np.testing.assert_allclose(got, np.stack([expected, expected], -1), rtol=1e-5, atol=1e-5)
