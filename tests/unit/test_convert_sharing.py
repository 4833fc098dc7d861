"""Layers that models in each other share: what is one, what only looks alike."""

import numpy as np
import pytest
from keras_files import arrays, functional, input_layer, layer, node3, sequential, tensor3, write_h5, write_keras

from rnnrt.convert import build
from rnnrt.errors import ConversionError, UnsupportedLayerError

SHAPES = ((2, 8), (2, 8), (8,))
ROLES = ("kernel:0", "recurrent_kernel:0", "bias:0")


def _lstm(inbound=None, **config):
    return layer("LSTM", "lstm", 3, inbound, units=2, return_sequences=True, **config)


def _model(inner_config=None, **config):
    """A Sequential that holds an LSTM, and an LSTM of the same name behind it."""
    inner = sequential(input_layer("i", (4, 3, 2), 3), _lstm(**(inner_config or config)), name="inner")
    inner |= {"name": "inner", "inbound_nodes": [node3(tensor3("x"))]}
    outer = _lstm([node3(tensor3("inner", 1))], **config)
    return functional([input_layer("x", (4, 3, 2), 3, True), inner, outer], ["x", 0, 0], ["lstm", 0, 0])


def _named(prefix, values):
    return [(f"{prefix}/{r}", a) for r, a in zip(ROLES, values)]


def test_arrays_at_the_first_place_are_those_of_both(tmp_path):
    values = arrays(*SHAPES)
    built = build(write_keras(tmp_path / "m.keras", _model(), {"layers/sequential/layers/lstm/cell": values}))
    assert sorted(built.weights) == ["inner/lstm.bias", "inner/lstm.kernel", "inner/lstm.recurrent_kernel"]
    assert [n.weights["kernel"] for n in built.graph.nodes] == ["inner/lstm.kernel"] * 2


def test_arrays_at_both_places_are_two_layers(tmp_path):
    tree = {"layers/sequential/layers/lstm/cell": arrays(*SHAPES), "layers/lstm/cell": arrays(*SHAPES, seed=2)}
    built = build(write_keras(tmp_path / "m.keras", _model(), tree))
    assert len(built.weights) == 6


def test_another_option_is_another_layer(tmp_path):
    tree = {"layers/sequential/layers/lstm/cell": arrays(*SHAPES)}
    model = _model({"go_backwards": True}, go_backwards=False)
    with pytest.raises(ConversionError, match="lstm: 3 arrays expected in layers/lstm/cell, the file has 0"):
        build(write_keras(tmp_path / "m.keras", model, tree))


@pytest.mark.parametrize("layout", ["h5", "keras"])
def test_a_shared_stateful_layer_is_refused(tmp_path, layout):
    values = arrays(*SHAPES)
    model = _model(stateful=True)
    if layout == "h5":
        weights = {"inner": _named("lstm", values), "lstm": _named("lstm", values)}
        path = write_h5(tmp_path / "m.h5", model, {"x": [], **weights}, "3.9.0")
    else:
        path = write_keras(tmp_path / "m.keras", model, {"layers/sequential/layers/lstm/cell": values})
    with pytest.raises(UnsupportedLayerError, match=r"lstm \(LSTM\): a layer saved stateful is shared with inner/lstm"):
        build(path)


def test_stateful_layers_of_one_name_are_two(tmp_path):
    weights = {"inner": _named("lstm", arrays(*SHAPES)), "lstm": _named("lstm", arrays(*SHAPES, seed=2))}
    built = build(write_h5(tmp_path / "m.h5", _model(stateful=True), {"x": [], **weights}, "3.9.0"))
    assert len(built.weights) == 6 and np.ptp(built.weights["lstm.kernel"] - built.weights["inner/lstm.kernel"]) > 0


def _spoilt(mark, inside):
    """A functional model whose first layer occurs again in its nested model."""
    shared = {**layer("Dense", "dense", inbound=[[["x", 0, 0, {}]]], units=2), "shared_object_id": mark}
    again = {**shared, "inbound_nodes": inside}
    inner = functional([input_layer("x", (None, 2), 2, True), again], [["x", 0, 0]], [["dense", 0, 0]], "inner")
    inner |= {"name": "inner", "inbound_nodes": [[["dense", 0, 0, {}]]]}
    return functional([input_layer("x", (None, 2), 2, True), shared, inner], [["x", 0, 0]], [["inner", 1, 0]])


def test_what_keras_2_wrote_over_is_refused(tmp_path):
    values = [("dense/kernel:0", arrays((2, 2))[0]), ("dense/bias:0", arrays((2,))[0])]
    weights = {"x": [], "dense": values, "inner": values}
    with pytest.raises(UnsupportedLayerError, match="dense: it is shared with a nested model, and Keras 2 wrote"):
        build(write_h5(tmp_path / "a.h5", _spoilt(1, [[["x", 0, 0, {}]]]), weights))
    built = build(write_h5(tmp_path / "b.h5", _spoilt(140374128564560, [[["x", 0, 0, {}]]]), weights))
    assert sorted(built.weights) == ["dense.bias", "dense.kernel"]
