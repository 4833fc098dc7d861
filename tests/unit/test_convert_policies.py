"""Dtype policies: how each version writes them, what weights are kept as, and what is refused."""

import numpy as np
import pytest
from keras_files import arrays, functional, input_layer, layer, sequential, write_h5

import rnnrt
from rnnrt.convert import build, check
from rnnrt.errors import ConversionError, UnsupportedLayerError
from rnnrt.ir.halves import bfloat16_bits, dtype_of, widen
from rnnrt.ir.ops.doubles import DOUBLE_OPS

K, B = arrays((3, 2), (2,))
POLICIES = [
    ("float32", "float32", "float32"),
    ("float64", "float64", "float64"),
    ("float16", "float16", "float16"),
    ("mixed_float16", "float32", "float16"),
    ("mixed_bfloat16", "float32", "float32"),
    ("bfloat16", "bfloat16", "float32"),
]


def _policy(name, form):
    if form == "word":
        return name
    if form == "Keras 2":
        return {"class_name": "Policy", "config": {"name": name}, "module": "keras.mixed_precision"}
    return {"module": "keras", "class_name": "DTypePolicy", "config": {"name": name}, "registered_name": None}


def _dense(path, dtype, kernel=K, **config):
    model = sequential(input_layer("x", (None, 3)), layer("Dense", "d", units=2, **config))
    model["config"]["layers"][1]["config"]["dtype"] = dtype
    return write_h5(path, model, {"d": [("d/kernel:0", kernel), ("d/bias:0", B.astype(kernel.dtype))]})


@pytest.mark.parametrize("form", ["word", "Keras 2", "Keras 3"])
@pytest.mark.parametrize("name, stored, given", POLICIES)
def test_weights_and_outputs_of_a_policy(name, stored, given, form, tmp_path):
    src = _dense(tmp_path / "a.h5", _policy(name, form))
    built = build(src)
    assert {dtype_of(w) for w in built.weights.values()} == {stored}
    assert {w.dtype for w in built.graph.weights.values()} == {stored}
    rnnrt.convert(src, tmp_path / "a.rnnrt")
    model = rnnrt.load(tmp_path / "a.rnnrt", verify=True)
    assert [o.dtype for o in model.outputs] == [given]
    x = np.random.default_rng(1).standard_normal((4, 3)).astype(np.float32)
    y = model.predict(x)
    assert y.dtype == given
    digit = {"float32": 1e-6, "float64": 1e-14}.get(name, 2.0**-7 if "bfloat16" in name else 2.0**-10)
    exact = x.astype(np.float64) @ widen(built.weights["d.kernel"]) + widen(built.weights["d.bias"])
    np.testing.assert_allclose(y, exact, rtol=digit, atol=digit)
    if "bfloat16" in name:  # rounded to bfloat16, though NumPy cannot say so
        np.testing.assert_array_equal(widen(bfloat16_bits(y)), y)


@pytest.mark.parametrize("stored", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("name, kept", [(n, k) for n, k, _ in POLICIES])
def test_the_policy_decides_not_the_array(name, kept, stored, tmp_path):
    kernel = K.astype(stored)
    got = build(_dense(tmp_path / "a.h5", name, kernel)).weights["d.kernel"]
    assert dtype_of(got) == kept
    if kept in ("float32", "float64"):
        np.testing.assert_array_equal(got, kernel.astype(kept))


def test_a_weight_too_large_for_its_policy(tmp_path):
    with pytest.raises(ConversionError, match="d.kernel: holds NaN or infinite"):
        build(_dense(tmp_path / "a.h5", "float16", np.full((3, 2), 1e6, np.float32)))


def test_float64_before_layers_wrote_their_dtype(tmp_path):
    """Keras 2.2 wrote the dtype of inputs only; with another one no model ran."""
    layers = [input_layer("x", (None, 5, 3)), layer("LSTM", "r", units=4), layer("Dense", "d", units=2)]
    layers[0]["config"]["dtype"] = "float64"
    for entry in layers[1:]:
        del entry["config"]["dtype"]
    k, r, b, dk, db = (a.astype(np.float64) for a in arrays((3, 16), (4, 16), (16,), (4, 2), (2,)))
    weights = {"r": [("r/kernel:0", k), ("r/rk:0", r), ("r/bias:0", b)], "d": [("d/kernel:0", dk), ("d/bias:0", db)]}
    built = build(write_h5(tmp_path / "a.h5", sequential(*layers), weights, "2.2.4"))
    assert {dtype_of(w) for w in built.weights.values()} == {"float64"}
    assert {t.dtype for t in built.graph.tensors.values()} == {"float64"}
    np.testing.assert_array_equal(built.weights["r.kernel"], k)


@pytest.mark.parametrize("dtype, digits", [("float16", 2.0**-11), ("bfloat16", 2.0**-8)])
def test_an_input_of_16_bits_is_rounded(dtype, digits, tmp_path):
    model = sequential(input_layer("x", (None, 3)), layer("Dense", "d", units=2))
    model["config"]["layers"][0]["config"]["dtype"] = dtype
    m = rnnrt.load(write_h5(tmp_path / "a.h5", model, {"d": [("d/kernel:0", K), ("d/bias:0", B)]}))
    assert m.inputs[0].dtype == "float32"
    x = np.random.default_rng(2).standard_normal((4, 3)).astype(np.float32)
    rounded = x.astype(np.float16).astype(np.float32) if dtype == "float16" else widen(bfloat16_bits(x))
    assert 0 < np.abs(x - rounded).max() < 8 * digits
    np.testing.assert_array_equal(m.predict(x), m.predict(rounded))


@pytest.fixture
def mixed(tmp_path):
    layers = [
        input_layer("x", (None, 6, 3), functional=True),
        layer("Dense", "one", inbound=[[["x", 0, 0, {}]]], units=2),
        layer("UnitNormalization", "unit", inbound=[[["one", 0, 0, {}]]], axis=-1),
        layer("UnitNormalization", "again", inbound=[[["one", 0, 0, {}]]], axis=-1),
    ]
    for entry in layers[1:]:
        entry["config"]["dtype"] = "float64"
    model = functional(layers, [["x", 0, 0]], [["unit", 0, 0], ["again", 0, 0]])
    return write_h5(tmp_path / "a.h5", model, {"one": [("one/kernel:0", K), ("one/bias:0", B)]})


def test_what_is_not_done_in_double_is_refused_by_its_layer(mixed, monkeypatch):
    monkeypatch.setattr("rnnrt.convert.keras.graph.DOUBLE_OPS", DOUBLE_OPS - {"unit_normalization"})
    with pytest.raises(UnsupportedLayerError, match=r"unit \(UnitNormalization\): .*not done in float64") as e:
        build(mixed)
    assert e.value.path == "unit"
    assert [r.path for r in check(mixed).refused] == ["unit", "again"]


@pytest.mark.parametrize("name", ["int8", "float8", "complex64", "mixed_float32", "int8_from_float32"])
def test_other_policies_are_refused(name, tmp_path):
    with pytest.raises(UnsupportedLayerError, match=f"d .*'{name}'"):
        build(_dense(tmp_path / "a.h5", name))


def test_a_layer_casts_what_it_is_given(tmp_path):
    """float64 behind float32 and the other way round: the values go through the narrower one only there."""
    layers = [input_layer("x", (None, 3)), layer("Dense", "a", units=3), layer("Dense", "b", units=2)]
    layers[1]["config"]["dtype"] = "float64"
    (square,) = arrays((3, 3))
    weights = {
        "a": [("a/kernel:0", square.astype(np.float64)), ("a/bias:0", np.zeros(3))],
        "b": [("b/kernel:0", K), ("b/bias:0", B)],
    }
    built = build(write_h5(tmp_path / "a.h5", sequential(*layers), weights))
    assert [n.op for n in built.graph.nodes] == ["cast", "dense", "cast", "dense"]
    assert [dtype_of(built.weights[w]) for w in ("a.kernel", "b.kernel")] == ["float64", "float32"]
