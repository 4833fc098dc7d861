"""Convolutions that are made of others: what is refused by name, and the arrays that code asks for."""

import numpy as np
import pytest
from keras_files import arrays, input_layer, layer, sequential, write_h5

import rnnrt
from rnnrt.compat import load_model
from rnnrt.convert import build
from rnnrt.errors import UnsupportedLayerError


def _path(tmp_path, class_name, shape, *shapes, generation=3, more=(), version=None, **config):
    model = sequential(input_layer("x", shape, generation), layer(class_name, "a", generation, **config), *more)
    weights = [(f"a/{r}", a) for r, a in zip(("kernel:0", "bias:0"), arrays(*shapes))]
    return write_h5(tmp_path / "a.h5", model, {"a": weights}, version or f"{generation}.9.0")


@pytest.mark.parametrize(
    "class_name, config, says",
    [
        ("Conv2DTranspose", {"output_padding": [1, 1], "strides": 2}, "output_padding is not supported; leave it out"),
        ("Conv2DTranspose", {"dilation_rate": 2}, "dilation_rate in a transposed convolution"),
        ("DepthwiseConv2D", {"data_format": "channels_first"}, "answers differ on CPUs and GPUs; Permute the input"),
        ("SeparableConv2D", {"data_format": "channels_first"}, "answers differ on CPUs and GPUs; Permute the input"),
        ("Conv2D", {"data_format": "first"}, "data_format='first'"),
        ("Conv2DTranspose", {"groups": 2}, "groups=2 is not supported"),
    ],
)
def test_refused_by_name(tmp_path, class_name, config, says):
    filters = {} if class_name == "DepthwiseConv2D" else {"filters": 2}
    path = _path(tmp_path, class_name, (None, 4, 4, 2), kernel_size=2, **filters, **config)
    with pytest.raises(UnsupportedLayerError, match=rf"a \({class_name}\): .*{says}"):
        build(path)


@pytest.mark.parametrize(
    "class_name, config",
    [
        ("Conv3D", {"data_format": "channels_first"}),
        ("Conv3D", {"groups": 2}),
        ("Conv3D", {"padding": "same", "strides": 2}),
    ],
)
def test_frames_refused_by_name(tmp_path, class_name, config):
    path = _path(tmp_path, class_name, (None, None, 4, 4, 2), kernel_size=2, filters=2, **config)
    with pytest.raises(UnsupportedLayerError, match=r"a \(Conv3D\): .*(answers differ|groups=2|free number)"):
        build(path)


def test_keras_1_does_not_tell_how_channels_first_kernels_lie(tmp_path):
    config = {"nb_filter": 2, "nb_row": 2, "nb_col": 2, "dim_ordering": "th", "border_mode": "valid"}
    path = _path(tmp_path, "Convolution2D", (None, 2, 4, 4), generation=1, version="1.2.2", **config)
    with pytest.raises(
        UnsupportedLayerError, match="a .*channels_first.*Keras 1.*load it in Keras 2 and save it again"
    ):
        build(path)


def test_a_kernel_of_as_many_filters_as_channels_is_turned(tmp_path):
    """Nothing in its shape tells how it lies."""
    path = _path(tmp_path, "Conv1DTranspose", (None, 3, 2), (2, 2, 2), (2,), kernel_size=2, filters=2)
    kernel, bias = arrays((2, 2, 2), (2,))
    x = np.random.default_rng(0).normal(size=(1, 3, 2)).astype("float32")
    want = np.zeros((1, 4, 2))
    for i in range(3):
        for k in range(2):
            want[0, i + k] += kernel[k] @ x[0, i]
    np.testing.assert_allclose(rnnrt.load(path).predict(x), want + bias, rtol=1e-5, atol=1e-6)
    got = load_model(path).get_layer("a").get_weights()
    np.testing.assert_array_equal(got[0], kernel)


def test_the_kernel_of_frames_is_not_given_away_in_another_form(tmp_path):
    path = _path(tmp_path, "Conv3D", (None, 3, 4, 4, 2), (2, 2, 2, 2, 3), (3,), kernel_size=2, filters=3)
    with pytest.raises(ValueError, match="a.kernel: the kernel of a Conv3D is not kept as Keras has it"):
        load_model(path).get_layer("a").get_weights()


def test_sequentials_inside_a_sequential_of_keras_1(tmp_path):
    """Its weight files list the layers of all of them, one after the other."""
    first = layer("Dense", "one", output_dim=3, batch_input_shape=[None, 2], activation="linear")
    inner = {"class_name": "Sequential", "config": [first, layer("Dense", "two", output_dim=4, activation="tanh")]}
    model = {"class_name": "Sequential", "config": [inner, layer("Dense", "three", output_dim=2, activation="linear")]}
    shapes = {"one": (2, 3), "two": (3, 4), "three": (4, 2)}
    made = {n: list(zip((f"{n}_W", f"{n}_b"), arrays(s, s[1:], seed=k))) for k, (n, s) in enumerate(shapes.items())}
    path = write_h5(tmp_path / "a.h5", model, made, "1.2.2", group_version=None)
    x = np.random.default_rng(0).normal(size=(3, 2)).astype("float32")
    (w1, b1), (w2, b2), (w3, b3) = ([a for _, a in made[n]] for n in shapes)
    want = np.tanh((x @ w1 + b1) @ w2 + b2) @ w3 + b3
    np.testing.assert_allclose(rnnrt.load(path).predict(x), want, rtol=1e-5, atol=1e-5)


def _pooled(x, size, strides, mode, function):
    """The maximum or mean of each window over three axes, as TensorFlow pads them: padding is no element."""
    for axis, (k, s) in enumerate(zip(size, strides), 1):
        n = x.shape[axis]
        count = -(-n // s) if mode == "same" else (n - k) // s + 1
        before = max((count - 1) * s + k - n, 0) // 2 if mode == "same" else 0
        spans = [slice(max(0, i * s - before), min(n, i * s - before + k)) for i in range(count)]
        x = np.stack([function(x[(slice(None),) * axis + (span,)], axis=axis) for span in spans], axis=axis)
    return x


@pytest.mark.parametrize("kind", ["Max", "Average"])
@pytest.mark.parametrize("mode", ["valid", "same"])
@pytest.mark.parametrize(
    "size, strides", [((2, 2, 2), None), ((1, 2, 2), None), ((3, 2, 2), (2, 1, 3)), ((2, 1, 1), (3, 1, 1))]
)
def test_pooling_of_frames(tmp_path, kind, mode, size, strides):
    config = {"pool_size": list(size), "strides": list(strides) if strides else None, "padding": mode}
    model = sequential(input_layer("x", (None, None, 5, 4, 2), 3), layer(f"{kind}Pooling3D", "a", 3, **config))
    loaded = rnnrt.load(write_h5(tmp_path / "a.h5", model, {"a": []}, "3.9.0"))
    x = np.random.default_rng(0).normal(size=(2, 5, 5, 4, 2)).astype("float32")
    want = _pooled(x.astype("float64"), size, strides or size, mode, np.max if kind == "Max" else np.mean)
    np.testing.assert_allclose(loaded.predict(x), want, rtol=1e-6, atol=1e-6)
    if size[0] == 1:  # frame by frame
        session = loaded.session(2)
        np.testing.assert_array_equal(
            np.concatenate([session.run(x[:, :2]), session.run(x[:, 2:])], 1), loaded.predict(x)
        )


@pytest.mark.parametrize(
    "class_name, shape, shapes, config",
    [
        ("Conv1D", (7, 3), ((2, 3, 4), (4,)), {"filters": 4, "kernel_size": 2}),
        ("Conv2D", (6, 5, 2), ((2, 2, 2, 3), (3,)), {"filters": 3, "kernel_size": 2, "padding": "same", "strides": 2}),
        ("Conv2DTranspose", (4, 3, 2), ((2, 2, 3, 2), (3,)), {"filters": 3, "kernel_size": 2, "strides": 2}),
        ("MaxPooling2D", (6, 5, 2), (), {"pool_size": 2}),
        ("AveragePooling1D", (7, 3), (), {"pool_size": 2, "padding": "same"}),
        ("GlobalAveragePooling2D", (6, 5, 2), (), {"keepdims": True}),
        ("GlobalMaxPooling1D", (7, 3), (), {}),
    ],
)
def test_channels_first_is_channels_last_turned(tmp_path, class_name, shape, shapes, config):
    x = np.random.default_rng(0).normal(size=(2, *shape)).astype("float32")
    last = rnnrt.load(_path(tmp_path, class_name, (None, *shape), *shapes, **config)).predict(x)
    turned = np.ascontiguousarray(np.moveaxis(x, -1, 1))
    path = _path(tmp_path, class_name, (None, *turned.shape[1:]), *shapes, **config, data_format="channels_first")
    want = np.moveaxis(last, -1, 1) if last.ndim == x.ndim else last
    np.testing.assert_array_equal(rnnrt.load(path).predict(turned), want)
