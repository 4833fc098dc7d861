"""What the tensors of nested models are: the order of dicts, casts on the way in, stateful layers that are shared."""

import numpy as np
import pytest
from keras_files import arrays, functional, input_layer, layer, node3, tensor3, write_h5, write_keras

import rnnrt
from rnnrt.convert import build
from rnnrt.errors import UnsupportedLayerError
from rnnrt.reference import Interpreter

X = np.random.RandomState(0).standard_normal((3, 4, 2)).astype("float32")


def _nested(inner, *inbound):
    return {**inner, "name": inner["config"]["name"], "inbound_nodes": list(inbound)}


def _run(path, *xs):
    built = build(path)
    return Interpreter(built.graph, built.weights, np.float32).predict(list(xs))


def _scale(name, scale, source):
    node = node3(tensor3(source))
    return layer("Rescaling", name, 3, [node], scale=scale, offset=0.0)


def test_dict_outputs_of_a_nested_model_are_numbered_by_key(tmp_path):
    layers = [input_layer("i", (None, 4, 2), 3, True), _scale("double", 2.0, "i"), _scale("triple", 3.0, "i")]
    inner = functional(layers, ["i", 0, 0], {"z": ["double", 0, 0], "a": ["triple", 0, 0]}, "inner")
    top = [input_layer("x", (None, 4, 2), 3, True), _nested(inner, node3(tensor3("x")))]
    model = functional(top, ["x", 0, 0], [["inner", 1, 0], ["inner", 1, 1]])
    a, z = _run(write_keras(tmp_path / "m.keras", model, {}), X)
    np.testing.assert_allclose(a, 3 * X, rtol=1e-6)
    np.testing.assert_allclose(z, 2 * X, rtol=1e-6)


@pytest.mark.parametrize("structure", ["list", "dict"])
def test_a_dict_finds_the_inputs_of_a_nested_model_by_name(tmp_path, structure):
    layers = [input_layer(n, (None, 4, 2), 3, True) for n in ("p", "b")]
    layers.append(layer("Subtract", "minus", 3, [node3([tensor3("p"), tensor3("b")])]))
    inputs = [["p", 0, 0], ["b", 0, 0]]
    inner = functional(layers, dict(zip("pb", inputs)) if structure == "dict" else inputs, ["minus", 0, 0], "inner")
    top = [input_layer(n, (None, 4, 2), 3, True) for n in ("x", "y")]
    top.append(_nested(inner, node3({"b": tensor3("x"), "p": tensor3("y")})))
    model = functional(top, [["x", 0, 0], ["y", 0, 0]], ["inner", 1, 0])
    y = np.flip(X, 0)
    (out,) = _run(write_keras(tmp_path / "m.keras", model, {}), X, y)
    np.testing.assert_array_equal(out, y - X)


def test_a_nested_integer_input_truncates(tmp_path):
    layers = [input_layer("i", (None, 4, 2), 3, True, dtype="int32"), _scale("half", 0.5, "i")]
    inner = functional(layers, ["i", 0, 0], ["half", 0, 0], "inner")
    top = [input_layer("x", (None, 4, 2), 3, True), _nested(inner, node3(tensor3("x")))]
    model = functional(top, ["x", 0, 0], ["inner", 1, 0])
    (out,) = _run(write_keras(tmp_path / "m.keras", model, {}), 3 * X)
    np.testing.assert_array_equal(out, np.trunc(3 * X) / 2)


@pytest.mark.parametrize(("policy", "masked"), [("float32", True), ("mixed_float16", False)])
def test_keras2_loses_the_mask_where_a_nested_model_casts(tmp_path, policy, masked):
    pool = layer("GlobalAveragePooling1D", "pool", 2, [[["i", 0, 0, {}]]])
    inner = functional([input_layer("i", (None, 4, 2), 2, True), pool], [["i", 0, 0]], [["pool", 0, 0]], "inner")
    mask = layer("Masking", "mask", 2, [[["x", 0, 0, {}]]], mask_value=0.0)
    mask["config"]["dtype"] = {"class_name": "Policy", "config": {"name": policy}}
    top = [input_layer("x", (None, 4, 2), 2, True), mask, _nested(inner, [["mask", 0, 0, {}]])]
    x = X.copy()
    x[:, 2:] = 0
    path = write_h5(tmp_path / "m.h5", functional(top, [["x", 0, 0]], [["inner", 1, 0]]), {})
    (out,) = _run(path, x)
    np.testing.assert_allclose(out, x.sum(1) / (2 if masked else 4), rtol=1e-5)


def test_a_stateful_layer_called_twice_is_refused(tmp_path):
    rnn = layer("SimpleRNN", "rnn", 2, [[["x", 0, 0, {}]], [["rnn", 0, 0, {}]]], units=2, stateful=True)
    rnn["config"]["return_sequences"] = True
    model = functional([input_layer("x", (3, None, 2), 2, True), rnn], [["x", 0, 0]], [["rnn", 1, 0]])
    names = ("kernel", "recurrent_kernel", "bias")
    path = write_h5(tmp_path / "m.h5", model, {"rnn": list(zip(names, arrays((2, 2), (2, 2), (2,))))})
    with pytest.raises(UnsupportedLayerError, match="rnn .* more than once"):
        build(path)


def test_casts_to_16_bits_inside_a_graph_stay_float32(tmp_path):
    op = {"class_name": "Cast", "config": {"name": "cast", "dtype": "float16"}, "name": "cast"}
    op |= {"module": "keras.src.ops.core", "inbound_nodes": [node3(tensor3("x"))]}
    top = [input_layer("x", (None, 4, 2), 3, True), op, _scale("double", 2.0, "cast")]
    path = write_keras(tmp_path / "m.keras", functional(top, ["x", 0, 0], ["double", 0, 0]), {})
    np.testing.assert_allclose(_run(path, X)[0], 2 * X, rtol=1e-3)


def test_a_session_takes_the_data_inputs_of_a_dict(tmp_path):
    """States are not among what a session is fed; feeding them too changes nothing."""
    rnn = layer("SimpleRNN", "rnn", 3, [node3(tensor3("sum"), initial_state=[tensor3("h")])], units=2)
    rnn["config"]["return_sequences"] = True
    top = [input_layer(n, (None, None, 2), 3, True) for n in ("x", "y")]
    top += [input_layer("h", (None, 2), 3, True), layer("Add", "sum", 3, [node3([tensor3("x"), tensor3("y")])]), rnn]
    model = functional(top, {"h": ["h", 0, 0], "one": ["x", 0, 0], "two": ["y", 0, 0]}, ["rnn", 0, 0])
    weights = arrays((2, 2), (2, 2), (2,))
    path = write_keras(tmp_path / "m.keras", model, {"layers/simple_rnn/cell": weights})
    m = rnnrt.load(path)
    h = np.ones((3, 2), "float32")
    want = m.predict({"h": h, "one": X, "two": -2 * X})
    for feed in ({"two": -2 * X, "one": X}, {"h": h, "one": X, "two": -2 * X}):
        session = m.session(3, initial_state={"h": h})
        np.testing.assert_array_equal(session.run(feed), want)
