"""Weight files by class and order, as the versions of 2022 and 2023 wrote them on both kinds of systems."""

import io
import json
import zipfile

import h5py
import numpy as np
import pytest
from keras_files import arrays, functional, input_layer, layer, sequential

from rnnrt.convert import build
from rnnrt.errors import ConversionError

K = arrays(*[s for _ in range(4) for s in ((3, 12), (3, 12), (12,))], (3, 2), (2,), (2, 2), (2,))


_OLD = "_layer_checkpoint_dependencies"


def _layers(n=4):
    return [
        input_layer("x", (None, 5, 3)),
        *(layer("LSTM", f"rec{k}", units=3, return_sequences=True, activation="tanh") for k in range(n)),
        layer("Dropout", "drop", rate=0.1),
        layer("Dense", "a", units=2),
        layer("Dense", "b", units=2),
    ]


def _file(path, tree, joined, version="2.12.0", architecture=None):
    """joined: the whole path is one name, with backslashes, as tf.io.gfile.join makes it on Windows."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as f:
        for where, items in tree.items():
            group = f.require_group("\\".join(where) if joined else "/".join(where)).create_group("vars")
            for k, a in enumerate(items):
                group[str(k)] = a
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("metadata.json", json.dumps({"keras_version": version}))
        z.writestr("config.json", json.dumps(architecture or sequential(*_layers())))
        z.writestr("model.weights.h5", buffer.getvalue())
    return str(path)


def _tree(root, step):
    def name(base, k):
        return f"{base}_{k * step}" if k else base

    tree = {(root, name("lstm", k), "cell"): K[3 * k : 3 * k + 3] for k in range(4)}
    tree |= {(root, name("lstm", k)): [] for k in range(4)}
    tree |= {(root, "dropout"): [], (root, "dense"): K[12:14], (root, name("dense", 1)): K[14:16]}
    return dict(sorted(tree.items(), reverse=True))


@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize("root, step", [("layers", 1), (_OLD, 1), (_OLD, 2)])  # the older one may count twice
def test_folders_of_every_writer(root, step, joined, tmp_path):
    got = build(_file(tmp_path / "m.keras", _tree(root, step), joined)).weights
    for k in range(4):
        np.testing.assert_array_equal(got[f"rec{k}.kernel"], K[3 * k])
        np.testing.assert_array_equal(got[f"rec{k}.bias"], K[3 * k + 2])
    np.testing.assert_array_equal(got["a.kernel"], K[12])
    np.testing.assert_array_equal(got["b.kernel"], K[14])


@pytest.mark.parametrize("joined", [False, True])
def test_eleven_layers_count_by_number_not_by_letters(joined, tmp_path):
    root = _OLD
    kernels = arrays(*[(2, 2)] * 11)
    tree = {(root, f"dense_{2 * k}" if k else "dense"): [a] for k, a in enumerate(kernels)}
    model = sequential(
        input_layer("x", (None, 2)), *(layer("Dense", f"d{k}", units=2, use_bias=False) for k in range(11))
    )
    got = build(_file(tmp_path / "m.keras", tree, joined, architecture=model)).weights
    for k in range(11):
        np.testing.assert_array_equal(got[f"d{k}.kernel"], kernels[k])


@pytest.mark.parametrize("joined", [False, True])
def test_nested_models_in_the_older_folders(joined, tmp_path):
    root = _OLD
    inner = sequential(input_layer("i", (None, 3)), layer("Dense", "one", units=2), name="sub")
    layers = [
        input_layer("x", (None, 3), functional=True),
        inner | {"name": "sub", "inbound_nodes": [[["x", 0, 0, {}]]]},
        layer("Dense", "out", inbound=[[["sub", 1, 0, {}]]], units=2),
    ]
    tree = {(root, "sequential", root, "dense"): K[12:14], (root, "dense"): K[14:16], (root, "input_layer"): []}
    model = functional(layers, [["x", 0, 0]], [["out", 0, 0]])
    got = build(_file(tmp_path / "m.keras", tree, joined, architecture=model)).weights
    np.testing.assert_array_equal(got["sub/one.kernel"], K[12])
    np.testing.assert_array_equal(got["out.kernel"], K[14])


@pytest.mark.parametrize("joined", [False, True])
def test_weights_alone_beside_their_architecture(joined, tmp_path):
    with zipfile.ZipFile(_file(tmp_path / "m.keras", _tree(_OLD, 2), joined)) as z:
        (tmp_path / "m.weights.h5").write_bytes(z.read("model.weights.h5"))
    got = build(tmp_path / "m.weights.h5", architecture=sequential(*_layers())).weights
    np.testing.assert_array_equal(got["rec3.recurrent_kernel"], K[10])


def test_a_layer_that_is_missing_is_said(tmp_path):
    tree = _tree(_OLD, 2)
    del tree[_OLD, "dense_2"]
    with pytest.raises(ConversionError, match="b: 2 arrays expected in layers/dense_1, the file has 0"):
        build(_file(tmp_path / "m.keras", tree, True))
