"""One model in every file layout gives one graph and the same weights."""

import io
import json

import h5py
import numpy as np
import pytest
from keras_files import (
    arrays,
    functional,
    input_layer,
    layer,
    sequential,
    tree_bytes,
    write_group,
    write_h5,
    write_keras,
    write_tree,
)

from rnnrt.convert import build
from rnnrt.convert.detect import file_kind
from rnnrt.errors import ConversionError, UnsupportedLayerError

W = dict(
    zip(
        ["k", "r", "b", "gamma", "beta", "mean", "var", "dk", "db"],
        arrays((3, 16), (4, 16), (16,), (4,), (4,), (4,), (4,), (4, 2), (2,)),
    )
)
W["var"] = np.abs(W["var"])


def architecture(generation):
    return sequential(
        input_layer("x", (None, 5, 3), generation),
        layer("LSTM", "rec", generation, units=4, activation="tanh", recurrent_activation="sigmoid"),
        layer("Dropout", "drop", generation, rate=0.5),
        layer("BatchNormalization", "norm", generation, axis=-1 if generation == 3 else [1], epsilon=1e-3),
        layer("Dense", "out", generation, units=2, activation="softmax", use_bias=True),
    )


def by_layer(suffix, prefix=""):
    p = prefix
    return {
        "rec": [
            (f"{p}rec/lstm_cell/{n}{suffix}", W[k])
            for n, k in (("kernel", "k"), ("recurrent_kernel", "r"), ("bias", "b"))
        ],
        "drop": [],
        "norm": [
            (f"{p}norm/{n}{suffix}", W[k])
            for n, k in (("gamma", "gamma"), ("beta", "beta"), ("moving_mean", "mean"), ("moving_variance", "var"))
        ],
        "out": [(f"{p}out/kernel{suffix}", W["dk"]), (f"{p}out/bias{suffix}", W["db"])],
    }


TREE = {
    "layers/lstm/cell": [W["k"], W["r"], W["b"]],
    "layers/batch_normalization": [W["gamma"], W["beta"], W["mean"], W["var"]],
    "layers/dense": [W["dk"], W["db"]],
}
WANT = {
    "rec.kernel": "k",
    "rec.recurrent_kernel": "r",
    "rec.bias": "b",
    "norm.gamma": "gamma",
    "norm.beta": "beta",
    "norm.moving_mean": "mean",
    "norm.moving_variance": "var",
    "out.kernel": "dk",
    "out.bias": "db",
}


def _weights_only(path, style="str", chunk=0):
    with h5py.File(path, "w") as f:
        write_group(f, by_layer(":0"), "2.3.1", style, chunk)
    return str(path)


def _tree_file(path, root="layers"):
    with h5py.File(path, "w") as f:
        write_tree(f, {k.replace("layers", root, 1): v for k, v in TREE.items()})
    return str(path)


def _user_block(path):
    write_h5(path, architecture(2), by_layer(":0"))
    data = path.read_bytes()
    with h5py.File(path, "w", userblock_size=1024) as f:
        write_group(f.create_group("model_weights"), by_layer(":0"))
        f.attrs["model_config"] = json.dumps(architecture(2))
        f.attrs["keras_version"] = "2.15.0"
    assert path.read_bytes()[:8] != data[:8]
    return str(path)


def _arch_file(path, generation, version=None):
    stored = architecture(generation) | ({"keras_version": version} if version else {})
    path.write_text(json.dumps(stored))
    return str(path)


LAYOUTS = {
    "h5 of Keras 2": lambda d: (write_h5(d / "a.h5", architecture(2), by_layer(":0")), None),
    "h5 with bytes": lambda d: (write_h5(d / "a.h5", architecture(2), by_layer(":0"), style="bytes"), None),
    "h5 in chunks": lambda d: (write_h5(d / "a.h5", architecture(2), by_layer(":0"), chunk=2), None),
    "h5 behind a user block": lambda d: (_user_block(d / "a.h5"), None),
    "h5 of Keras 3": lambda d: (write_h5(d / "a.h5", architecture(3), by_layer("", "m/"), "3.15.1"), None),
    "keras 3 zip": lambda d: (write_keras(d / "a.keras", architecture(3), TREE), None),
    "keras 3 zip, deflated": lambda d: (write_keras(d / "a.keras", architecture(3), TREE, compression=8), None),
    "keras 2 zip": lambda d: (write_keras(d / "a.keras", architecture(2), TREE, "2.21.0"), None),
    "weights, path": lambda d: (_weights_only(d / "w.h5"), _arch_file(d / "a.json", 2)),
    "weights, bytes, dict": lambda d: (_weights_only(d / "w.h5", "bytes"), architecture(2)),
    "weights, chunks, text": lambda d: (_weights_only(d / "w.h5", chunk=1), json.dumps(architecture(2))),
    "weights, text twice": lambda d: (_weights_only(d / "w.h5"), json.dumps(json.dumps(architecture(2)))),
    "tree, text of Keras 3": lambda d: (_tree_file(d / "w.weights.h5"), json.dumps(architecture(3))),
    "tree, Keras 2": lambda d: (_tree_file(d / "w.weights.h5"), _arch_file(d / "a.json", 2, "2.21.0")),
    "tree of 2022": lambda d: (_tree_file(d / "w.weights.h5", "_layer_checkpoint_dependencies"), architecture(2)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout(layout, tmp_path):
    src, arch = LAYOUTS[layout](tmp_path)
    b = build(src, architecture=arch)
    assert [n.op for n in b.graph.nodes] == ["lstm", "batch_normalization", "dense"]
    assert [n.name for n in b.graph.nodes] == ["rec", "norm", "out"]
    assert b.graph.nodes[1].attrs["axis"] == 1
    assert sorted(b.weights) == sorted(WANT) == sorted(b.graph.weights)
    for name, key in WANT.items():
        a = b.weights[name]
        assert a.dtype == np.float32 and a.flags.c_contiguous
        np.testing.assert_array_equal(a, W[key])
    assert len(b.source["sha256"]) == 64


def test_order_is_not_the_alphabet(tmp_path):
    """HDF5 lists dense_10 before dense_2; Keras and we go by the model's order."""
    n = 12
    kernels = arrays(*[(3, 3)] * n)
    layers = [layer("Dense", f"d{k}", 3, units=3, use_bias=False) for k in range(n)]
    tree = {f"layers/dense{f'_{k}' if k else ''}": [a] for k, a in enumerate(kernels)}
    b = build(write_keras(tmp_path / "a.keras", sequential(input_layer("x", (None, 3), 3), *layers), tree))
    for k, a in enumerate(kernels):
        np.testing.assert_array_equal(b.weights[f"d{k}.kernel"], a)


def test_folders_count_by_class_through_nested_models(tmp_path):
    a, b_, c = arrays((3, 3), (3, 3), (3, 3))
    inner = layer("Sequential", "zzz", 3)
    inner["config"]["layers"] = [input_layer("i", (None, 3), 3), layer("Dense", "q", 3, units=3, use_bias=False)]
    model = sequential(
        input_layer("x", (None, 3), 3),
        layer("Dense", "one", 3, units=3, use_bias=False),
        inner,
        layer("Dense", "two", 3, units=3, use_bias=False),
    )
    tree = {"layers/dense": [a], "layers/sequential/layers/dense": [b_], "layers/dense_1": [c]}
    w = build(write_keras(tmp_path / "a.keras", model, tree)).weights
    np.testing.assert_array_equal(w["one.kernel"], a)
    np.testing.assert_array_equal(w["zzz/q.kernel"], b_)
    np.testing.assert_array_equal(w["two.kernel"], c)


@pytest.mark.parametrize(
    "version, word", [("2.4.0", "hard_sigmoid_k2"), ("3.4.1", "hard_sigmoid_k3"), ("1.2.2", "hard_sigmoid_k2")]
)
@pytest.mark.parametrize("layout", ["h5", "keras"])
def test_the_files_version_decides(version, word, layout, tmp_path):
    """One word, two functions: hard_sigmoid by the version in the file, in a zip as well."""
    g = 3 if version[0] == "3" else 2
    model = sequential(
        input_layer("x", (None, 5, 3), g), layer("LSTM", "rec", g, units=4, recurrent_activation="hard_sigmoid")
    )
    if layout == "h5":
        src = write_h5(tmp_path / "a.h5", model, {"rec": by_layer(":0")["rec"]}, version)
    else:
        src = write_keras(tmp_path / "a.keras", model, {"layers/lstm/cell": TREE["layers/lstm/cell"]}, version)
    assert build(src).graph.nodes[0].attrs["recurrent_activation"].name == word


def test_the_architectures_version_beats_the_weights(tmp_path):
    model = sequential(
        input_layer("x", (None, 5, 3)), layer("LSTM", "rec", units=4, recurrent_activation="hard_sigmoid")
    )
    with h5py.File(tmp_path / "w.h5", "w") as f:
        write_group(f, {"rec": by_layer(":0")["rec"]}, "3.4.1")
    name = lambda m: build(tmp_path / "w.h5", architecture=m).graph.nodes[0].attrs["recurrent_activation"].name  # noqa: E731
    assert name(model | {"keras_version": "2.4.0"}) == "hard_sigmoid_k2"
    assert name(model) == "hard_sigmoid_k3"


def test_the_words_decide_where_no_version_is(tmp_path):
    with h5py.File(tmp_path / "w.weights.h5", "w") as f:
        write_tree(f, {"layers/lstm/cell": TREE["layers/lstm/cell"]})
    for g, word in ((2, "hard_sigmoid_k2"), (3, "hard_sigmoid_k3")):
        model = sequential(
            input_layer("x", (None, 5, 3), g), layer("LSTM", "rec", g, units=4, recurrent_activation="hard_sigmoid")
        )
        node = build(tmp_path / "w.weights.h5", architecture=model).graph.nodes[0]
        assert node.attrs["recurrent_activation"].name == word


def test_old_sequential_without_input_layer(tmp_path):
    """Keras 2.0: config is a bare list, the shape stands in the first layer."""
    model = {
        "class_name": "Sequential",
        "config": [
            layer("LSTM", "rec", units=4, batch_input_shape=[None, 5, 3], recurrent_activation="hard_sigmoid"),
            layer("Dense", "out", units=2),
        ],
    }
    b = build(
        write_h5(tmp_path / "a.h5", model, {k: v for k, v in by_layer(":0").items() if k in ("rec", "out")}, "2.0.4")
    )
    assert [i.name for i in b.graph.inputs] == ["rec_input"]
    assert b.graph.tensors["rec_input"].shape[1:] == (5, 3)


@pytest.mark.parametrize(
    "content, kind",
    [
        (b"", "empty file"),
        (b"hello world, this is no model", "not a Keras file"),
        (b'{"class_name": "Sequential"}', "architecture="),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS"),
        (b"\x80\x04\x95 pickle pickle", "pickle"),
        (b"\x1c\x00\x00\x00TFL3 and so on", "TensorFlow Lite"),
        (b"\x40\x00\x00\x00\x00\x00\x00\x00" + b'{"a":{"dtype":"F32"}}', "safetensors"),
    ],
)
def test_what_is_no_keras_file_is_said(content, kind, tmp_path):
    (tmp_path / "f.h5").write_bytes(content)  # the name says nothing
    with pytest.raises(ConversionError, match=kind):
        build(tmp_path / "f.h5")


def test_our_own_file_folders_and_nothing(tmp_path):
    header = json.dumps({"__metadata__": {"format": "rnnrt"}}).encode()
    (tmp_path / "m.h5").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(ConversionError, match="already a .rnnrt file"):
        build(tmp_path / "m.h5")
    with pytest.raises(ConversionError, match="folder"):
        build(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"")
    with pytest.raises(ConversionError, match="SavedModel"):
        build(tmp_path)
    with pytest.raises(ConversionError, match="cannot read"):
        build(tmp_path / "absent.h5")


def test_the_suffix_does_not_matter(tmp_path):
    src = write_keras(tmp_path / "model.h5", architecture(3), TREE)
    assert file_kind(src) == "zip"
    assert len(build(src).weights) == 9


def test_weights_only_asks_for_the_architecture(tmp_path):
    with pytest.raises(ConversionError, match="architecture="):
        build(_weights_only(tmp_path / "w.h5"))
    with pytest.raises(ConversionError, match="its own architecture"):
        build(write_keras(tmp_path / "a.keras", architecture(3), TREE), architecture=architecture(3))
    with pytest.raises(ConversionError, match="cannot read the architecture"):
        build(_weights_only(tmp_path / "w.h5"), architecture="absent.json")
    with pytest.raises(ConversionError, match="got int"):
        build(_weights_only(tmp_path / "w.h5"), architecture=3)


def test_a_subclassed_model_is_refused(tmp_path):
    src = write_h5(tmp_path / "a.h5", {"class_name": "MyModel", "config": {"name": "mine"}}, {}, "2.15.0")
    with pytest.raises(UnsupportedLayerError, match="'MyModel' keeps its arithmetic in code"):
        build(src)


def test_bytes_of_a_tree_are_an_hdf5_file():
    with h5py.File(io.BytesIO(tree_bytes(TREE)), "r") as f:
        assert f["layers/lstm/cell/vars/0"].shape == (3, 16)


def test_functional_chain_equals_sequential(tmp_path):
    g2 = architecture(2)["config"]["layers"]
    before, chain = "x", []
    for entry in g2:
        name = entry["config"]["name"]
        chain.append(entry | {"name": name, "inbound_nodes": [] if name == "x" else [[[before, 0, 0, {}]]]})
        before = name
    a = build(
        write_h5(tmp_path / "f.h5", functional(chain, [["x", 0, 0]], [["out", 0, 0]]), {"x": [], **by_layer(":0")})
    )
    b = build(write_h5(tmp_path / "s.h5", architecture(2), by_layer(":0")))
    assert a.graph == b.graph
    assert all((a.weights[k] == b.weights[k]).all() for k in b.weights)


def _tuples(value):
    """As ``get_config`` gives it: shapes as tuples, numbers of NumPy."""
    if isinstance(value, dict):
        return {k: np.float32(v) if k == "epsilon" else _tuples(v) for k, v in value.items()}
    if isinstance(value, list):
        return (
            tuple(_tuples(v) for v in value) if value and not isinstance(value[0], dict) else list(map(_tuples, value))
        )
    return value


ARCHITECTURES = {
    "get_config of a Sequential": lambda: _tuples(architecture(2)["config"]),
    "the list of layers": lambda: architecture(2)["config"]["layers"],
    "the list of layers as text": lambda: json.dumps(architecture(2)["config"]["layers"]),
    "the config as text": lambda: json.dumps(architecture(2)["config"]),
}


@pytest.mark.parametrize("form", ARCHITECTURES)
def test_every_form_of_an_architecture(form, tmp_path):
    got = build(_weights_only(tmp_path / "w.h5"), architecture=ARCHITECTURES[form]())
    for name, key in WANT.items():
        np.testing.assert_array_equal(got.weights[name], W[key])


@pytest.mark.parametrize("bad", [{"layers": [object()]}, [{"a": {1, 2}}], {"class_name": "Sequential"}, {}, 3, None])
def test_what_is_no_architecture(bad, tmp_path):
    with pytest.raises(ConversionError, match="architecture"):
        build(_weights_only(tmp_path / "w.h5"), architecture=bad)


def test_a_config_that_holds_itself(tmp_path):
    loop: dict = {"layers": []}
    loop["layers"].append(loop)
    with pytest.raises(ConversionError, match="not plain data"):
        build(_weights_only(tmp_path / "w.h5"), architecture=loop)
