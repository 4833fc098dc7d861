"""Operations inside graphs, structures, and the numbers of calls, from files made by hand."""

from pathlib import Path

import numpy as np
import pytest
from keras_files import arrays, functional, input_layer, layer, node3, sequential, tensor3, write_h5, write_keras

import rnnrt
from rnnrt.convert import build
from rnnrt.convert.detect import file_kind
from rnnrt.convert.keras.layers import REGISTRY
from rnnrt.convert.keras.operations import KERAS3, TENSORFLOW
from rnnrt.errors import UnsupportedLayerError
from rnnrt.reference import Interpreter

X = np.random.RandomState(0).standard_normal((2, 5, 3)).astype("float32")


def _operation3(class_name, name, *args, module="keras.src.ops.numpy", **config):
    """A Keras 3 operation node."""
    entry = {
        "class_name": class_name,
        "config": {"name": name, **config},
        "name": name,
        "inbound_nodes": [node3(*args)],
    }
    return {**entry, "module": module} if module else entry


def _model3(tmp_path, *nodes, outputs=None, inputs=None):
    layers = [input_layer("x", [None, 5, 3], 3, True), *nodes]
    last = outputs or [nodes[-1]["name"], 0, 0]
    return write_keras(tmp_path / "m.keras", functional(layers, inputs or [["x", 0, 0]], last), {})


def _run(path, *xs):
    built = build(path)
    return Interpreter(built.graph, built.weights, np.float32).predict(xs or [X])


def _lambda(name, function, *entry, class_name="TFOpLambda"):
    """A Keras 2 function node."""
    return {
        "class_name": class_name,
        "name": name,
        "config": {"name": name, "function": function},
        "inbound_nodes": list(entry),
    }


def _model2(tmp_path, *nodes, outputs=None):
    layers = [input_layer("x", [None, 5, 3], 2, True), *nodes]
    architecture = functional(layers, [["x", 0, 0]], outputs or [[nodes[-1]["name"], 0, 0]])
    return write_h5(tmp_path / "m.h5", architecture, {})


# ---- Keras 3 ------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", ["keras.src.ops.numpy", ""])
def test_an_operation_has_the_class_of_a_layer(tmp_path, module):
    """Only the module, or in HDF5 the config, tells Add the operation from Add the layer."""
    add = _operation3("Add", "add", tensor3("x"), 1.5, module=module)
    assert np.array_equal(_run(_model3(tmp_path, add))[0], X + np.float32(1.5))


def test_indices_of_every_kind(tmp_path):
    full = {"class_name": "__slice__", "config": {"start": None, "stop": None, "step": None}}
    cut = {"class_name": "__slice__", "config": {"start": 1, "stop": None, "step": 2}}
    key = [full, None, cut, {"class_name": "__ellipsis__", "config": {}}, -1]
    got = _run(_model3(tmp_path, _operation3("GetItem", "cut", tensor3("x"), key)))[0]
    assert np.array_equal(got, X[:, None, 1::2, ..., -1])


def test_the_last_step_streams_and_another_does_not(tmp_path):
    full = {"class_name": "__slice__", "config": {"start": None, "stop": None, "step": None}}
    for index, streams in ((-1, True), (2, False)):
        path = _model3(tmp_path, _operation3("GetItem", "cut", tensor3("x"), [full, index]))
        rnnrt.convert(path, tmp_path / "m.rnnrt")
        model = rnnrt.load(tmp_path / "m.rnnrt")
        assert np.array_equal(model.predict(X), X[:, index])
        if streams:
            session = model.session(2)
            assert np.array_equal(session.run(X[:, :3]), X[:, 2])
            assert np.array_equal(session.step(X[:, 3]), X[:, 3])
        else:
            with pytest.raises(ValueError, match="cut.*piece out of the sequence"):
                model.session(2)


def test_the_batch_stays_whole(tmp_path):
    for key in (0, [{"class_name": "__slice__", "config": {"start": 1, "stop": None, "step": None}}]):
        with pytest.raises(UnsupportedLayerError, match=r"cut \(GetItem\): it selects among the batch"):
            build(_model3(tmp_path, _operation3("GetItem", "cut", tensor3("x"), key)))
    with pytest.raises(UnsupportedLayerError, match=r"mean \(Mean\): it works over the batch"):
        build(_model3(tmp_path, _operation3("Mean", "mean", tensor3("x"), axis=None, keepdims=False)))


def test_reductions_over_axes_that_are_apart(tmp_path):
    wide = _operation3("ExpandDims", "wide", tensor3("x"), axis=2)
    mean = _operation3("Mean", "mean", tensor3("wide"), axis=[1, 3], keepdims=True)
    got = _run(_model3(tmp_path, wide, mean))[0]
    np.testing.assert_allclose(got, X[:, :, None].mean(axis=(1, 3), keepdims=True), rtol=1e-6)


@pytest.mark.parametrize(
    "node, said",
    [
        (
            _operation3("Einsum", "e", tensor3("x"), subscripts="bij->bj"),
            "e (Einsum): the operation Einsum is not among",
        ),
        (_operation3("Fft", "f", tensor3("x"), module=""), "f (Fft): the operation Fft is not among"),
        (_operation3("Cast", "c", tensor3("x"), dtype="complex64"), "c (Cast): a cast to complex64"),
        (_operation3("Add", "a", tensor3("x"), [1.0, 2.0]), "a (Add): the constant [1.0, 2.0] is not one number"),
        (_operation3("Reshape", "r", tensor3("x"), newshape=[5, 6]), "r (Reshape): the shape [5, 6] need not keep"),
        (_operation3("Transpose", "t", tensor3("x"), axes=[1, 0, 2]), "t (Transpose): it moves the batch"),
        (_operation3("Sum", "s", tensor3("x"), axis=1, dtype="float64"), "s (Sum): it is called with dtype=float64"),
    ],
    ids=lambda v: v["class_name"] if isinstance(v, dict) else "",
)
def test_what_is_not_computed_is_refused_by_name(tmp_path, node, said):
    with pytest.raises(UnsupportedLayerError) as e:
        build(_model3(tmp_path, node))
    assert said in str(e.value)


# ---- Keras 2 ------------------------------------------------------------------------------------


@pytest.mark.parametrize("constant", [1, 2.5])
def test_a_constant_on_the_left(tmp_path, constant):
    """A whole number makes the node look like the reference to a tensor."""
    node = _lambda("sub", "math.subtract", ["_CONSTANT_VALUE", -1, constant, {"y": ["x", 0, 0], "name": None}])
    assert np.array_equal(_run(_model2(tmp_path, node))[0], np.float32(constant) - X)


def test_slicing_op_lambda(tmp_path):
    spec = {"slice_spec": [{"start": None, "stop": None, "step": None}, {"start": 1, "stop": -1, "step": None}, 2]}
    node = _lambda("cut", "__operators__.getitem", ["x", 0, 0, spec], class_name="SlicingOpLambda")
    assert np.array_equal(_run(_model2(tmp_path, node))[0], X[:, 1:-1, 2])


def test_a_list_of_tensors(tmp_path):
    node = _lambda("join", "concat", [["x", 0, 0, {"axis": -1}], ["x", 0, 0, {"axis": -1}]])
    assert np.array_equal(_run(_model2(tmp_path, node))[0], np.concatenate([X, X], -1))


@pytest.mark.parametrize("function", ["signal.stft", "nn.ctc_loss", "image.resize"])
def test_functions_outside_of_the_list_are_refused_by_name(tmp_path, function):
    with pytest.raises(UnsupportedLayerError, match=rf"f \(TFOpLambda\): tf.{function} is not among"):
        build(_model2(tmp_path, _lambda("f", function, ["x", 0, 0, {}])))


def test_a_shape_that_is_computed_is_refused(tmp_path):
    node = _lambda("r", "reshape", ["x", 0, 0, {"shape": [["x", 0, 0], 15]}])
    with pytest.raises(UnsupportedLayerError, match="r .*a shape that is computed; use the layer Reshape"):
        build(_model2(tmp_path, node))


def test_the_refusal_of_a_lambda_says_where_to_cut(tmp_path):
    dense = layer("Dense", "probabilities", inbound=[[["x", 0, 0, {}]]], units=2)
    ctc = {"class_name": "Lambda", "name": "ctc", "config": {"name": "ctc", "function": ["4wE=", None, None]}}
    ctc["inbound_nodes"] = [[["probabilities", 0, 0, {}]]]
    layers = [input_layer("x", [None, 5, 3], 2, True), dense, ctc]
    architecture = functional(layers, [["x", 0, 0]], [["ctc", 0, 0]])
    kernel, bias = arrays((3, 2), (2,))
    weights = {"probabilities": [("probabilities/kernel:0", kernel), ("probabilities/bias:0", bias)]}
    path = write_h5(tmp_path / "m.h5", architecture, weights)
    with pytest.raises(UnsupportedLayerError, match=r"ctc \(Lambda\).*outputs=\['probabilities'\]"):
        build(path)
    built = build(path, outputs=["probabilities"])
    np.testing.assert_allclose(Interpreter(built.graph, built.weights).predict([X])[0], X @ kernel + bias, rtol=1e-6)


def test_tensorflow_op_layers(tmp_path):
    """Constants stand at their places among the inputs; the nodes name the layer with a prefix."""
    attr = {"begin_mask": {"i": "1"}, "end_mask": {"i": "1"}, "shrink_axis_mask": {"i": "2"}}
    cut = {"name": "cut", "op": "StridedSlice", "input": ["x"], "attr": attr}
    constants = {"1": [0, -1], "2": [0, 0], "3": [1, 1]}
    config = {"name": "cut", "trainable": True, "dtype": "float32", "node_def": cut, "constants": constants}
    first = {"class_name": "TensorFlowOpLayer", "name": "tf_op_layer_cut", "config": config}
    first["inbound_nodes"] = [[["x", 0, 0, {}]]]
    mean = {"name": "m", "op": "Mean", "input": ["cut"], "attr": {"keep_dims": {"b": True}}}
    config = {**config, "name": "m", "node_def": mean, "constants": {"1": [1]}}
    second = {"class_name": "TensorFlowOpLayer", "name": "tf_op_layer_m", "config": config}
    second["inbound_nodes"] = [[["tf_op_layer_cut", 0, 0, {}]]]
    got = _run(_model2(tmp_path, first, second))[0]
    np.testing.assert_allclose(got, X[:, -1].mean(1, keepdims=True), rtol=1e-6)


# ---- graphs -------------------------------------------------------------------------------------


def test_the_tables_name_functions_once():
    assert len(KERAS3) >= 80 and len(TENSORFLOW) >= 100
    assert not {"Lambda", "TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer"} & set(REGISTRY)


@pytest.mark.parametrize("generation", [2, 3])
def test_structures_are_mirrored(tmp_path, generation):
    outputs = {"b": ["x", 0, 0], "a": [["double", 0, 0], ["x", 0, 0]]}
    if generation == 3:
        node = _operation3("Multiply", "double", tensor3("x"), 2.0)
        path = _model3(tmp_path, node, outputs=outputs, inputs={"given": ["x", 0, 0]})
    else:
        node = _lambda("double", "math.multiply", ["x", 0, 0, {"y": 2.0, "name": None}])
        architecture = functional([input_layer("x", [None, 5, 3], 2, True), node], {"given": ["x", 0, 0]}, outputs)
        path = write_h5(tmp_path / "m.h5", architecture, {})
    rnnrt.convert(path, tmp_path / "m.rnnrt")
    got = rnnrt.load(tmp_path / "m.rnnrt").predict({"given": X})
    assert list(got) == ["b", "a"] and isinstance(got["a"], list)
    assert np.array_equal(got["b"], X) and np.array_equal(got["a"][0], 2 * X) and np.array_equal(got["a"][1], X)


@pytest.mark.parametrize("written", [0, 1])
def test_keras_3_numbers_the_calls_of_a_nested_model_in_two_ways(tmp_path, written):
    """From 1 in output_layers; in arguments from 0 or, in earlier versions, from 1."""
    inner = functional(
        [input_layer("i", [None, 5, 3], 3, True), _operation3("Add", "one", tensor3("i"), 1.0)],
        ["i", 0, 0],
        ["one", 0, 0],
        name="inner",
    )
    nested = {**inner, "name": "inner", "inbound_nodes": [node3(tensor3("x"))]}
    double = _operation3("Multiply", "double", tensor3("inner", written), 2.0)
    got = _run(_model3(tmp_path, nested, double, outputs=[["double", 0, 0], ["inner", 1, 0]]))
    assert np.array_equal(got[0], 2 * (X + 1)) and np.array_equal(got[1], X + 1)


def test_inputs_that_meet_have_one_length(tmp_path):
    layers = [
        input_layer("x", [None, None, 3], 2, True),
        input_layer("y", [None, None, 3], 2, True),
        layer("Add", "sum", inbound=[[["x", 0, 0, {}], ["y", 0, 0, {}]]]),
    ]
    architecture = functional(layers, [["x", 0, 0], ["y", 0, 0]], [["sum", 0, 0]])
    rnnrt.convert(write_h5(tmp_path / "m.h5", architecture, {}), tmp_path / "m.rnnrt")
    model = rnnrt.load(tmp_path / "m.rnnrt")
    assert np.array_equal(model.predict([X, X]), X + X)
    with pytest.raises(ValueError, match="input 'y': length 4, but 'x' has 5"):
        model.predict([X, X[:, :4]])


def test_lengths_that_disagree_are_refused(tmp_path):
    layers = [
        input_layer("x", [None, 5, 3], 2, True),
        input_layer("y", [None, 4, 3], 2, True),
        layer("Add", "sum", inbound=[[["x", 0, 0, {}], ["y", 0, 0, {}]]]),
    ]
    architecture = functional(layers, [["x", 0, 0], ["y", 0, 0]], [["sum", 0, 0]])
    with pytest.raises(UnsupportedLayerError, match=r"sum \(Add\): the lengths 5 and 4"):
        build(write_h5(tmp_path / "m.h5", architecture, {}))


def test_an_output_of_a_nested_model_that_nobody_reads(tmp_path):
    """Its arrays lie among those of the model all the same."""
    inner = functional(
        [
            input_layer("i", [None, 5, 3], 2, True),
            layer("Dense", "read", inbound=[[["i", 0, 0, {}]]], units=2),
            layer("Dense", "unread", inbound=[[["i", 0, 0, {}]]], units=4),
        ],
        [["i", 0, 0]],
        [["read", 0, 0], ["unread", 0, 0]],
        name="inner",
    )
    nested = {**inner, "name": "inner", "inbound_nodes": [[["x", 0, 0, {}]]]}
    architecture = functional([input_layer("x", [None, 5, 3], 2, True), nested], [["x", 0, 0]], [["inner", 1, 0]])
    a, b, c, d = arrays((3, 2), (2,), (3, 4), (4,))
    names = ["read/kernel:0", "read/bias:0", "unread/kernel:0", "unread/bias:0"]
    got = _run(write_h5(tmp_path / "m.h5", architecture, {"inner": list(zip(names, (a, b, c, d)))}))[0]
    np.testing.assert_allclose(got, X @ a + b, rtol=1e-5, atol=1e-6)


def test_a_zip_whose_member_lies_where_an_hdf5_file_may_begin_is_a_zip(tmp_path):
    architecture = sequential(input_layer("x", [None, 5, 3], 3))
    path = write_keras(tmp_path / "m.keras", architecture, {})
    data = Path(path).read_bytes()
    at = data.index(b"\x89HDF\r\n\x1a\n")
    architecture["config"]["name"] = "m" + "m" * (4096 - at)
    path = write_keras(tmp_path / "m.keras", architecture, {})
    assert Path(path).read_bytes()[4096:4100] == b"\x89HDF"
    assert file_kind(path) == "zip"
