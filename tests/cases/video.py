"""Frames: convolutions and pooling over three axes, transposed ones, both directions of a ConvLSTM."""

from .case import Input, Layer, sequential

_FRAMES = Input((None, 5, 4, 2))
_FIXED = Input((5, 5, 4, 2))


def _one(class_name, name, x, **config):
    return sequential(f"video/{name}", [Layer(class_name, config)], x)


def _three():
    for padding in ("valid", "same"):
        yield _one("Conv3D", f"conv_{padding}", _FRAMES, filters=3, kernel_size=[3, 2, 3], padding=padding)
        strides = {"strides": [2, 1, 2], "use_bias": False, "activation": "relu"}
        yield _one("Conv3D", f"conv_strides_{padding}", _FIXED, filters=2, kernel_size=2, padding=padding, **strides)
        yield _one(
            "Conv3D", f"conv_dilation_{padding}", _FIXED, filters=2, kernel_size=2, dilation_rate=2, padding=padding
        )
    # TensorFlow pools no frames in double: tests/unit/test_convert_video.py
    yield _one("GlobalMaxPooling3D", "global_max", _FIXED)
    yield _one("GlobalAveragePooling3D", "global_average", _FRAMES, keepdims=True)
    yield sequential(
        "video/padded_and_cropped",
        [
            Layer("ZeroPadding3D", {"padding": [1, 2, 1]}),
            Layer("Cropping3D", {"cropping": [[1, 0], [0, 2], [1, 1]]}),
            Layer("UpSampling3D", {"size": [1, 2, 2]}),
        ],
        _FIXED,
    )


def _transposed():
    for padding in ("valid", "same"):
        for size, strides in ((1, 2), (3, 1), (3, 2), (2, 3)):
            options = {"strides": strides, "padding": padding}
            name = f"{padding}_{size}_{strides}"
            yield _one(
                "Conv1DTranspose", f"transposed_one_{name}", Input((None, 3)), filters=3, kernel_size=size, **options
            )
            yield _one(
                "Conv2DTranspose",
                f"transposed_two_{name}",
                Input((4, 3, 2)),
                filters=2,
                kernel_size=[size, 2],
                **options,
            )


def _lstm(**config):
    return Layer("ConvLSTM2D", {"filters": 3, "kernel_size": 2, "padding": "same", "return_sequences": True, **config})


def _time(class_name, **config):
    return Layer("TimeDistributed", {"layer": Layer(class_name, config)})


CASES = [
    *_three(),
    *_transposed(),
    sequential(
        "video/next_frame",
        [
            _lstm(),
            Layer("BatchNormalization"),
            _lstm(kernel_size=1),
            Layer("Conv3D", {"filters": 1, "kernel_size": 3, "padding": "same"}),
        ],
        _FRAMES,
    ),
    sequential(
        "video/activity",
        [
            _lstm(),
            Layer("Conv3D", {"filters": 2, "kernel_size": [1, 2, 2], "strides": [1, 2, 2]}),
            _time("Dropout", rate=0.2),
            _time("Flatten"),
            Layer("LSTM", {"units": 3}),
        ],
        _FRAMES,
    ),
    sequential(
        "video/anomaly",
        [
            _time("Conv2D", filters=3, kernel_size=3, strides=2, padding="same", activation="relu"),
            _lstm(),
            _time("Conv2DTranspose", filters=3, kernel_size=3, strides=2, padding="same"),
        ],
        _FRAMES,
    ),
    sequential("video/both_ways", [Layer("Bidirectional", {"layer": _lstm()})], _FRAMES),
    sequential(
        "video/both_ways_last",
        [Layer("Bidirectional", {"layer": _lstm(return_sequences=False, activation="relu"), "merge_mode": "sum"})],
        _FRAMES,
    ),
    sequential(
        "video/reshaped_by_a_written_length",
        [
            Layer("LSTM", {"units": 6, "return_sequences": True}),
            Layer("Reshape", {"target_shape": [4, 3, 2]}),
            _time("Flatten"),
            Layer("GRU", {"units": 2, "return_sequences": True}),
        ],
        Input((4, 3)),
    ),
    sequential(
        "video/reshaped_into_more_steps",
        [Layer("Reshape", {"target_shape": [-1, 3]}), Layer("GRU", {"units": 2})],
        Input((None, 6)),
    ),
]
