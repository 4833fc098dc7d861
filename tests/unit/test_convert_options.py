"""Options, activations and policies: resolved for the file's version, or refused by path."""

import numpy as np
import pytest
from keras_files import POLICY, arrays, functional, input_layer, layer, node3, sequential, tensor3, write_h5

from rnnrt.convert import build
from rnnrt.convert.keras.layers import REFUSED, REGISTRY
from rnnrt.errors import ConversionError, UnsupportedLayerError
from rnnrt.ir.activations import ACTIVATIONS

K, R, B = arrays((3, 16), (4, 16), (16,))
DK, DB = arrays((3, 4), (4,))
LSTM = [("r/kernel", K), ("r/recurrent_kernel", R), ("r/bias", B)]


def activation_of(tmp_path, value, version="2.15.0", **more):
    g = 3 if version[0] == "3" else 2
    model = sequential(input_layer("x", (None, 3), g), layer("Dense", "d", g, units=4, activation=value, **more))
    src = write_h5(tmp_path / "a.h5", model, {"d": [("d/kernel", DK), ("d/bias", DB)]}, version)
    return build(src).graph.nodes[0].attrs["activation"]


def lstm_node(tmp_path, version="2.15.0", call=None, **config):
    g = 3 if version[0] == "3" else 2
    entry = layer("LSTM", "r", g, **{"units": 4, "recurrent_activation": "sigmoid", **config})
    if call is None:
        model = sequential(input_layer("x", (None, 5, 3), g), entry)
    else:
        entry |= {"name": "r", "inbound_nodes": [call]}
        model = functional([input_layer("x", (None, 5, 3), g, True), entry], ["x", 0, 0], ["r", 0, 0])
    return build(
        write_h5(tmp_path / "a.h5", model, {"x": [], "r": LSTM} if call else {"r": LSTM}, version)
    ).graph.nodes[0]


# ---- activations --------------------------------------------------------------------------------

KERAS2 = "linear tanh sigmoid relu softmax softplus softsign elu selu exponential gelu mish".split()
KERAS3 = (
    KERAS2
    + (
        "silu leaky_relu celu glu hard_silu hard_tanh hard_shrink soft_shrink tanh_shrink log_sigmoid log_softmax "
        "squareplus sparse_plus sparse_sigmoid sparsemax"
    ).split()
)


@pytest.mark.parametrize("version, names", [("2.15.0", KERAS2), ("3.15.1", KERAS3)])
def test_one_word_one_function(version, names, tmp_path):
    for name in names:
        assert activation_of(tmp_path, name, version).name == name in ACTIVATIONS
    assert activation_of(tmp_path, None, version).name == "linear"


@pytest.mark.parametrize(
    "version, word, name, params",
    [
        ("2.15.0", "hard_sigmoid", "hard_sigmoid_k2", ()),
        ("3.0.0", "hard_sigmoid", "hard_sigmoid_k3", ()),
        ("2.15.0", "swish", "silu", ()),
        ("2.3.0-tf", "swish", "silu", ()),
        ("3.0.0", "swish", "silu", ()),
        ("3.0.0", "hard_swish", "hard_silu", ()),
        ("3.0.0", "relu6", "relu_general", (6.0, 0.0, 0.0)),
        ("3.0.0", "leaky_relu", "leaky_relu", (0.20000000298023224,)),
    ],
)
def test_words_that_depend_on_the_version(version, word, name, params, tmp_path):
    a = activation_of(tmp_path, word, version)
    assert (a.name, a.params) == (name, params)


@pytest.mark.parametrize(
    "version, value",
    [
        ("2.15.0", "my_activation"),
        ("2.15.0", "leaky_relu"),  # a function of the user's own in Keras 2
        ("2.15.0", "relu6"),
        ("2.3.1", "gelu"),  # came with 2.4: here it is the user's
        ("2.3.1", "swish"),  # in tf.keras 2.3, not in Keras 2.3
        ("2.12.0", "mish"),
        ("3.1.0", "my_activation"),
        ("3.1.0", "Package>mine"),
        ("3.1.0", {"class_name": "function", "config": "relu", "module": "builtins", "registered_name": "function"}),
        ("2.15.0", {"class_name": "MyLayer", "config": {}}),
        ("3.1.0", {"class_name": "Softmax", "config": {"axis": 1}}),
    ],
)
def test_unknown_functions_are_never_guessed(version, value, tmp_path):
    with pytest.raises(UnsupportedLayerError, match="^d") as e:
        activation_of(tmp_path, value, version)
    assert e.value.path == "d"


@pytest.mark.parametrize(
    "version, value, name, params",
    [
        ("2.15.0", {"class_name": "LeakyReLU", "config": {"alpha": 0.125}}, "leaky_relu", (0.125,)),
        ("3.1.0", {"class_name": "LeakyReLU", "config": {"negative_slope": 0.125}}, "leaky_relu", (0.125,)),
        ("2.15.0", {"class_name": "LeakyReLU", "config": {}}, "leaky_relu", (0.30000001192092896,)),
        (
            "3.1.0",
            {"class_name": "ReLU", "config": {"max_value": 6.0, "negative_slope": 0.5}},
            "relu_general",
            (6.0, 0.5, 0.0),
        ),
        ("3.1.0", {"class_name": "Softmax", "config": {"axis": -1}}, "softmax", ()),
        ("3.1.0", {"class_name": "Activation", "config": {"activation": "tanh"}}, "tanh", ()),
    ],
)
def test_layers_as_activations(version, value, name, params, tmp_path):
    a = activation_of(tmp_path, value, version)
    assert (a.name, a.params) == (name, params)


@pytest.mark.parametrize(
    "generation, class_name, config, name, params",
    [
        (2, "LeakyReLU", {"alpha": 0.30000001192092896}, "leaky_relu", (0.30000001192092896,)),
        (3, "LeakyReLU", {"negative_slope": 0.25}, "leaky_relu", (0.25,)),
        (2, "LeakyReLU", {}, "leaky_relu", (0.30000001192092896,)),
        (2, "ReLU", {"max_value": None, "negative_slope": 0.0, "threshold": 0.0}, "relu", ()),
        (3, "ReLU", {"max_value": 2.0, "negative_slope": 0.5, "threshold": 1.0}, "relu_general", (2.0, 0.5, 1.0)),
        (2, "ELU", {"alpha": 0.5}, "elu", (0.5,)),
        (2, "ThresholdedReLU", {"theta": 0.5}, "thresholded_relu", (0.5,)),
        (3, "Softmax", {"axis": [-1]}, "softmax", ()),
        (2, "Softmax", {"axis": 2}, "softmax", ()),
        (
            2,
            "ReLU",
            {"max_value": {"class_name": "__numpy__", "config": {"value": 6.0}}},
            "relu_general",
            (6.0, 0.0, 0.0),
        ),
    ],
)
def test_activation_layers(generation, class_name, config, name, params, tmp_path):
    model = sequential(input_layer("x", (None, 5, 3), generation), layer(class_name, "a", generation, **config))
    node = build(write_h5(tmp_path / "a.h5", model, {"a": []}, f"{generation}.9.0")).graph.nodes[0]
    assert (node.op, node.attrs["activation"].name, node.attrs["activation"].params) == ("activation", name, params)


# ---- recurrent options --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key", ["return_sequences", "return_state", "go_backwards", "stateful", "zero_output_for_mask"]
)
def test_loop_options_reach_the_op(key, tmp_path):
    call = node3(tensor3("x"))
    assert lstm_node(tmp_path, "3.1.0", call).attrs[key] is False
    assert lstm_node(tmp_path, "3.1.0", call, **{key: True}).attrs[key] is True


def test_options_without_a_part_in_prediction(tmp_path):
    node = lstm_node(
        tmp_path,
        unroll=True,
        implementation=1,
        dropout=0.5,
        recurrent_dropout=0.5,
        unit_forget_bias=True,
        kernel_regularizer={"class_name": "L2", "config": {"l2": 0.1}},
        bias_constraint={"class_name": "Mine", "config": {}},
        activity_regularizer={"class_name": "L1", "config": {}},
        seed=3,
        time_major=False,
    )
    assert node.op == "lstm" and node.attrs["units"] == 4


@pytest.mark.parametrize("version, word", [("2.15.0", "hard_sigmoid_k2"), ("3.1.0", "sigmoid")])
def test_recurrent_activation_where_the_file_says_none(version, word, tmp_path):
    g = int(version[0])
    entry = layer("LSTM", "r", g, units=4)
    model = sequential(input_layer("x", (None, 5, 3), g), entry)
    node = build(write_h5(tmp_path / "a.h5", model, {"r": LSTM}, version)).graph.nodes[0]
    assert node.attrs["recurrent_activation"].name == word and node.attrs["activation"].name == "tanh"


@pytest.mark.parametrize(
    "version, config, why",
    [
        ("2.15.0", {"time_major": True}, "time_major=True is not supported"),
        ("3.1.0", {"some_new_option": 3}, "the option some_new_option=3 is not supported"),
        ("3.1.0", {"some_new_option": [1]}, "the option some_new_option"),
        ("3.1.0", {"dtype": {"class_name": "DTypePolicy", "config": {"name": "int8_from_float32"}}}, "'int8_from"),
        ("3.1.0", {"dtype": {"class_name": "FP8DTypePolicy", "config": {"mode": "float8"}}}, "'FP8DTypePolicy'"),
        ("2.15.0", {"dtype": "complex64"}, "'complex64'"),
        (
            "3.1.0",
            {"dtype": {"class_name": "QuantizedDTypePolicy", "config": {"mode": "int8"}}},
            "'QuantizedDTypePolicy'",
        ),
        ("3.1.0", {"activation": "glu"}, "glu halves its axis"),
    ],
)
def test_options_that_change_the_numbers_are_refused(version, config, why, tmp_path):
    with pytest.raises(UnsupportedLayerError, match=why) as e:
        lstm_node(tmp_path, version, **config)
    assert e.value.path == "r" and str(e.value).startswith("r (LSTM): ")


def test_policy_float32_is_written_in_three_ways(tmp_path):
    for dtype in ("float32", POLICY, {"class_name": "Policy", "config": {"name": "float32"}}, None):
        assert lstm_node(tmp_path, dtype=dtype).op == "lstm"


@pytest.mark.parametrize("units", [0, -1, 1.5, True, "4", None, 2**60, float("nan"), 10**400])
def test_units_that_are_no_number_of_units(units, tmp_path):
    with pytest.raises(ConversionError, match="r: units must be an integer >= 1|not JSON|expected"):
        lstm_node(tmp_path, units=units)


@pytest.mark.parametrize(
    "version, call, why",
    [
        ("3.1.0", node3(tensor3("x"), mask=tensor3("x")), "a mask of rank 3 for a tensor of rank 3"),
        ("3.1.0", node3(tensor3("x"), mask=1.0), "a constant as mask"),
        ("3.1.0", node3(tensor3("x"), other=3), "called with other="),
        ("3.1.0", node3(tensor3("x"), initial_state=[3, 4]), "a constant in the place of a tensor"),
        ("3.1.0", node3(tensor3("x"), initial_state=[tensor3("x")]), "1 initial states given"),
        ("2.15.0", [["x", 0, 0, {"mask": ["x", 0, 0]}]], "a mask of rank 3 for a tensor of rank 3"),
        ("2.15.0", [["x", 0, 0, {}], ["_CONSTANT_VALUE", -1, 0.5, {}]], "a constant in the place of a tensor"),
    ],
)
def test_calls_that_are_refused(version, call, why, tmp_path):
    with pytest.raises(UnsupportedLayerError, match=why):
        lstm_node(tmp_path, version, call)


def test_training_true_is_refused_where_it_matters(tmp_path):
    call = node3(tensor3("x"), training=True)
    assert lstm_node(tmp_path, "3.1.0", call).op == "lstm"
    with pytest.raises(UnsupportedLayerError, match="output is random"):
        lstm_node(tmp_path, "3.1.0", call, dropout=0.2)
    assert lstm_node(tmp_path, "3.1.0", node3(tensor3("x"), training=False, mask=None), dropout=0.2).op == "lstm"


def test_stateful_with_initial_state_in_keras2(tmp_path):
    def model(g):
        states = [input_layer(n, (2, 4), g, True) for n in ("h", "c")]
        if g == 3:
            node = node3(tensor3("x"), initial_state=[tensor3("h"), tensor3("c")])
        else:
            node = [["x", 0, 0, {}], ["h", 0, 0, {}], ["c", 0, 0, {}]]
        entry = layer("LSTM", "r", g, [node], units=4, stateful=True, recurrent_activation="sigmoid")
        inputs = [[n, 0, 0] for n in "xhc"]
        return functional([input_layer("x", (2, 5, 3), g, True), *states, entry], inputs, [["r", 0, 0]])

    weights = {"x": [], "h": [], "c": [], "r": LSTM}
    with pytest.raises(UnsupportedLayerError, match="Keras 2 uses the recorded state"):
        build(write_h5(tmp_path / "a.h5", model(2), weights, "2.15.0"))
    g = build(write_h5(tmp_path / "b.h5", model(3), weights, "3.1.0")).graph
    assert [i.role for i in g.inputs] == ["data", "state", "state"]


def test_cells(tmp_path):
    cell = layer("LSTMCell", "cell", 3, units=4, activation="relu", recurrent_activation="hard_sigmoid")
    model = sequential(input_layer("x", (None, 5, 3), 3), layer("RNN", "r", 3, cell=cell, return_sequences=True))
    node = build(write_h5(tmp_path / "a.h5", model, {"r": LSTM}, "3.1.0")).graph.nodes[0]
    assert (node.op, node.name, node.layer_class) == ("lstm", "r", "RNN")
    assert node.attrs["activation"].name == "relu" and node.attrs["return_sequences"] is True
    np.testing.assert_array_equal(build(tmp_path / "a.h5").weights["r.kernel"], K)


@pytest.mark.parametrize("cell", [layer("StackedRNNCells", "cells", 3, cells=[]), layer("MyCell", "mine", 3), None])
def test_other_cells_are_refused(cell, tmp_path):
    model = sequential(input_layer("x", (None, 5, 3), 3), layer("RNN", "r", 3, cell=cell))
    with pytest.raises(UnsupportedLayerError, match=r"r \(RNN\): RNN over"):
        build(write_h5(tmp_path / "a.h5", model, {"r": LSTM}, "3.1.0"))


def test_options_of_a_cell_are_held_to_the_same_rules(tmp_path):
    cell = layer("LSTMCell", "cell", 3, units=4, peephole=True)
    model = sequential(input_layer("x", (None, 5, 3), 3), layer("RNN", "r", 3, cell=cell))
    with pytest.raises(UnsupportedLayerError, match=r"r/cell \(LSTMCell\): the option peephole=True"):
        build(write_h5(tmp_path / "a.h5", model, {"r": LSTM}, "3.1.0"))


# ---- other layers -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "entry, why",
    [
        (layer("BatchNormalization", "e", renorm=True), "renorm"),
        (layer("BatchNormalization", "e", axis=[1, 2]), "over the axes"),
        (layer("Reshape", "e", target_shape=None), "no target_shape"),
        (layer("Reshape", "e", newshape=[15]), "newshape"),  # an operation, not the layer
        (layer("Dense", "e", units=2, quantization_config={"mode": "int8"}), "quantization_config"),
    ],
)
def test_refused_options_of_other_layers(entry, why, tmp_path):
    model = sequential(input_layer("x", (None, 5, 3)), entry)
    with pytest.raises(UnsupportedLayerError, match=why) as e:
        build(write_h5(tmp_path / "a.h5", model, {"e": []}))
    assert e.value.path == "e"


@pytest.mark.parametrize("class_name", [*sorted(REFUSED), "MyLayer", "Custom>MyLayer"])
def test_refused_classes_say_why_and_what_to_do(class_name, tmp_path):
    model = sequential(input_layer("x", (None, 5, 3)), layer(class_name, "e"))
    with pytest.raises(UnsupportedLayerError) as e:
        build(write_h5(tmp_path / "a.h5", model, {"e": []}))
    assert e.value.path == "e" and "; " in str(e.value)


def test_operations_are_not_the_layers_of_the_same_name(tmp_path):
    op = layer("Flatten", "e", 3, [node3(tensor3("x"))]) | {"module": "keras.src.ops.numpy"}
    model = functional([input_layer("x", (None, 5, 3), 3, True), op], ["x", 0, 0], ["e", 0, 0])
    with pytest.raises(UnsupportedLayerError, match="the operation Flatten is not among"):
        build(write_h5(tmp_path / "a.h5", model, {"x": [], "e": []}, "3.1.0"))


def test_the_table_names_each_class_once():
    assert not set(REGISTRY) & set(REFUSED)
    for name, entry in REGISTRY.items():
        assert entry.class_name == name and entry.mask in ("pass", "pass_keras3", "stop", "own") and entry.family


@pytest.mark.parametrize("version", ["4.0.0", "77"])
def test_a_keras_of_the_future(version, tmp_path):
    with pytest.raises(ConversionError, match=f"saved by Keras {version}"):
        activation_of(tmp_path, "tanh", version)
