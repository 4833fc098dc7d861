"""Conversion of convolutions, pooling and attention: old words, other layouts, refusals; sessions of causal ones."""

from __future__ import annotations

import h5py
import keras_files as files
import numpy as np
import pytest

import rnnrt
from rnnrt.convert import build
from rnnrt.reference import Interpreter


def _conv(path, config, kernel, bias, version="2.15.0", class_name="Conv1D", shape=(None, None, 2)):
    """A file with an InputLayer and one convolution."""
    layers = [files.layer(class_name, "conv", **config)]
    layers[0]["config"]["batch_input_shape"] = list(shape)
    weights = {"conv": [("conv/kernel:0", kernel), ("conv/bias:0", bias)]}
    return files.write_h5(path, files.sequential(*layers), weights, version, group_version=version)


def test_keras_1_words_and_kernel(tmp_path):
    """Keras 1 wrote nb_filter, filter_length, subsample_length, border_mode, and a kernel with an axis more."""
    kernel, bias = files.arrays((3, 2, 5), (5,))
    new = {"filters": 5, "kernel_size": [3], "strides": [2], "padding": "same", "activation": "relu", "use_bias": True}
    old = {
        "nb_filter": 5,
        "filter_length": 3,
        "subsample_length": 2,
        "border_mode": "same",
        "activation": "relu",
        "bias": True,
        "init": "glorot_uniform",
    }
    first = build(_conv(tmp_path / "new.h5", new, kernel, bias))
    second = build(_conv(tmp_path / "old.h5", old, kernel[:, None], bias, "1.2.2", "Convolution1D"))
    x = np.random.default_rng(0).normal(size=(2, 7, 2)).astype("f")
    got = [Interpreter(b.graph, b.weights).predict([x])[0] for b in (first, second)]
    assert got[0].shape == (2, 4, 5)
    np.testing.assert_array_equal(*got)


CONFIG = {"filters": 5, "kernel_size": [3], "strides": [1], "padding": "causal", "activation": "tanh"}


@pytest.mark.parametrize(
    "change, word",
    [
        ({"padding": "reflect"}, "reflect"),
        ({"activation": "glu"}, "glu"),
        ({"pad_value": 1.0}, "pad_value"),
    ],
)
def test_refused_with_its_place(tmp_path, change, word):
    kernel, bias = files.arrays((3, 2, 5), (5,))
    with pytest.raises(rnnrt.UnsupportedLayerError, match=f"^conv .*{word}"):
        build(_conv(tmp_path / "m.h5", CONFIG | change, kernel, bias))


def test_theano_kernels_are_refused(tmp_path):
    kernel, bias = files.arrays((3, 2, 5), (5,))
    path = _conv(tmp_path / "m.h5", CONFIG, kernel, bias)
    with h5py.File(path, "r+") as f:
        f.attrs["backend"] = "theano"
    with pytest.raises(rnnrt.UnsupportedLayerError, match=r"^conv \(Conv1D\).*Theano"):
        build(path)


def test_a_window_that_does_not_fit(tmp_path):
    kernel, bias = files.arrays((3, 2, 5), (5,))
    model = rnnrt.load(_conv(tmp_path / "m.h5", CONFIG | {"padding": "valid"}, kernel, bias))
    assert model.predict(np.ones((1, 3, 2), "f")).shape == (1, 1, 5)
    with pytest.raises(rnnrt.ShapeError):
        model.predict(np.ones((1, 2, 2), "f"))


@pytest.mark.parametrize("dilation", [1, 3])
@pytest.mark.parametrize("cuts", [(1,) * 11, (4, 7), (2, 1, 8), (10, 1)])
def test_a_causal_convolution_streams_bit_for_bit(tmp_path, dilation, cuts):
    """Its context is carried from piece to piece, through snapshots too."""
    kernel, bias = files.arrays((3, 2, 5), (5,))
    model = rnnrt.load(_conv(tmp_path / "m.h5", CONFIG | {"dilation_rate": [dilation]}, kernel, bias))
    x = np.random.default_rng(1).normal(size=(3, 11, 2)).astype("f")
    session, pieces, at = model.session(batch_size=3), [], 0
    for n in cuts:
        pieces.append(session.run(x[:, at : at + n]))
        at += n
        session = model.session(state=session.to_bytes())
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), model.predict(x))


@pytest.mark.parametrize("prefix", ["", "_"])
def test_folders_of_attention_in_both_spellings(tmp_path, prefix):
    """query_dense is _query_dense in older files of Keras 3."""
    attention = files.layer(
        "MultiHeadAttention",
        "heads",
        3,
        [files.node3(files.tensor3("x"), files.tensor3("x"))],
        num_heads=2,
        key_dim=3,
    )
    shape = files.input_layer("x", (None, 4, 5), 3, functional=True)
    model = files.functional([shape, attention], ["x", 0, 0], ["heads", 0, 0])
    stored = {
        f"layers/multi_head_attention/{prefix}{name}_dense": files.arrays(*shapes, seed=k)
        for k, (name, shapes) in enumerate(
            {
                "query": ((5, 2, 3), (2, 3)),
                "key": ((5, 2, 3), (2, 3)),
                "value": ((5, 2, 3), (2, 3)),
                "output": ((2, 3, 5), (5,)),
            }.items()
        )
    }
    built = build(files.write_keras(tmp_path / "m.keras", model, stored))
    wanted = {
        f"heads/{part}.{role}": stored[f"layers/multi_head_attention/{prefix}{folder}_dense"][k]
        for part, folder in (("query", "query"), ("key", "key"), ("value", "value"), ("attention_output", "output"))
        for k, role in enumerate(("kernel", "bias"))
    }
    assert set(built.weights) == set(wanted)
    for name, value in wanted.items():
        np.testing.assert_array_equal(built.weights[name], value)


@pytest.mark.parametrize(
    "equation", ["abc,bcd->bad", "abc,dc->abd", "ab,bc->ca", "abc,cd", "abc,abd->abd", "...x,xy->y..."]
)
def test_other_einsum_equations_are_refused(tmp_path, equation):
    dense = files.layer(
        "EinsumDense", "dense", equation=equation, output_shape=[None, 6], batch_input_shape=[None, 3, 4]
    )
    path = files.write_h5(tmp_path / "m.h5", files.sequential(dense), {"dense": [("k:0", files.arrays((4, 6))[0])]})
    with pytest.raises(rnnrt.UnsupportedLayerError, match="^dense .*equation"):
        build(path)
