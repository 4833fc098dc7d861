"""The tutorials' cells and layers of one's own, in Keras 2: only ``make.py`` imports this."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras


def _floats(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


@tf_keras.utils.register_keras_serializable("Tutorials")  # Bidirectional makes a copy of its layer
class HandwritingCellPlain(tf_keras.layers.Layer):
    """One input, two states, an output that is neither of them."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.state_size = [units, 2]
        self.output_size = 3

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], self.units), name="kernel")
        self.out_kernel = self.add_weight(shape=(self.units, 3), name="out_kernel")
        self.built = True

    def call(self, inputs, states):
        h, n = states
        h = tf.tanh(inputs @ self.kernel + h)
        n = n + 1.0
        return h @ self.out_kernel + n[:, :1], [h, n]

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class NestedCell(tf_keras.layers.Layer):
    """The guide's: nested inputs, states and outputs."""

    def __init__(self, unit_1, unit_2, unit_3, **kwargs):
        self.unit_1, self.unit_2, self.unit_3 = unit_1, unit_2, unit_3
        self.state_size = [tf.TensorShape([unit_1]), tf.TensorShape([unit_2, unit_3])]
        self.output_size = [tf.TensorShape([unit_1]), tf.TensorShape([unit_2, unit_3])]
        super().__init__(**kwargs)

    def build(self, shapes):
        first, second = (shapes["feature1"], shapes["feature2"]) if isinstance(shapes, dict) else shapes
        self.kernel_1 = self.add_weight(shape=(first[1], self.unit_1), name="kernel_1")
        self.kernel_2_3 = self.add_weight(shape=(second[1], second[2], self.unit_2, self.unit_3), name="kernel_2_3")
        self.built = True

    def call(self, inputs, states):
        input_1, input_2 = tf.nest.flatten(inputs)
        s1, s2 = states
        output_1 = tf.matmul(input_1, self.kernel_1)
        output_2_3 = tf.einsum("bij,ijkl->bkl", input_2, self.kernel_2_3)
        state_1, state_2_3 = s1 + output_1, s2 + output_2_3
        return (output_1, output_2_3), (state_1, state_2_3)

    def get_config(self):
        return {"unit_1": self.unit_1, "unit_2": self.unit_2, "unit_3": self.unit_3}


class VideoAudioCell(tf_keras.layers.Layer):
    """One timestep is {"audio": (batch, frequency), "video": (batch, height, width, channel)}."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.state_size = self.output_size = units

    def build(self, shapes):
        size = int(np.prod(shapes["video"][1:]))
        self.video_kernel = self.add_weight(shape=(size, self.units), name="video_kernel")
        self.audio_kernel = self.add_weight(shape=(shapes["audio"][1], self.units), name="audio_kernel")
        self.recurrent_kernel = self.add_weight(shape=(self.units, self.units), name="recurrent_kernel")
        self.bias = self.add_weight(shape=(self.units,), name="bias")
        self.built = True

    def call(self, inputs, states):
        h = states[0]
        video = tf.reshape(inputs["video"], (-1, self.video_kernel.shape[0]))
        z = video @ self.video_kernel + inputs["audio"] @ self.audio_kernel + h @ self.recurrent_kernel + self.bias
        h = tf.tanh(z)
        return h, [h]

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class HandwritingCell(tf_keras.layers.Layer):
    """One timestep is {"location": (batch, 2), "pressure": (batch, 1)}; a leaky gate on the pressure."""

    def __init__(self, units, leak=0.1, **kwargs):
        super().__init__(**kwargs)
        self.units, self.leak = units, leak
        self.state_size = [units, 1]
        self.output_size = units

    def build(self, shapes):
        self.kernel = self.add_weight(shape=(shapes["location"][1], self.units), name="kernel")
        self.recurrent_kernel = self.add_weight(shape=(self.units, self.units), name="recurrent_kernel")
        self.built = True

    def call(self, inputs, states):
        h, ink = states
        ink = (1 - self.leak) * ink + self.leak * inputs["pressure"]
        h = tf.tanh(inputs["location"] @ self.kernel + h @ self.recurrent_kernel) * tf.sigmoid(ink)
        return h, [h, ink]

    def get_config(self):
        return {**super().get_config(), "units": self.units, "leak": self.leak}


class Scale(tf_keras.layers.Layer):
    """A layer of one's own: a learnt factor for each feature."""

    def build(self, shape):
        self.factor = self.add_weight(shape=(shape[-1],), name="factor")
        self.built = True

    def call(self, x):
        return x * self.factor


def models(k: Any) -> Iterator[tuple]:
    """(name, model, inputs)"""
    la = k.layers
    feature_1, feature_2 = k.Input((None, 8)), k.Input((None, 4, 3))
    rnn = la.RNN(NestedCell(5, 4, 6))
    y = rnn({"feature1": feature_1, "feature2": feature_2})
    yield "nested_cell", k.Model([feature_1, feature_2], y), [_floats(31, 3, 7, 8), _floats(32, 3, 7, 4, 3)]
    feature_1, feature_2 = k.Input((None, 8)), k.Input((None, 4, 3))
    y = la.RNN(NestedCell(5, 4, 6), return_sequences=True, return_state=True)((feature_1, feature_2))
    yield "nested_cell_states", k.Model([feature_1, feature_2], y), [_floats(31, 3, 7, 8), _floats(32, 3, 7, 4, 3)]
    video, audio = k.Input((None, 6, 5, 3), name="video"), k.Input((None, 9), name="audio")
    y = la.RNN(VideoAudioCell(10), return_sequences=True)({"video": video, "audio": audio})
    m = k.Model({"video": video, "audio": audio}, la.Dense(4)(y))
    yield "video_audio", m, {"video": _floats(33, 2, 6, 6, 5, 3), "audio": _floats(34, 2, 6, 9)}
    location, pressure = k.Input((None, 2), name="location"), k.Input((None, 1), name="pressure")
    y = la.RNN(HandwritingCell(7))({"location": location, "pressure": pressure})
    m = k.Model({"location": location, "pressure": pressure}, la.Dense(3, activation="softmax")(y))
    yield "handwriting", m, {"location": _floats(35, 2, 8, 2), "pressure": _floats(36, 2, 8, 1)}
    x = _floats(37, 4, 6, 5)
    x[1, 3:] = 0
    x[2, :2] = 0
    inputs = k.Input((None, 5))
    y = la.RNN(HandwritingCellPlain(6), return_sequences=True)(la.Masking()(inputs))
    yield "custom_masked", k.Model(inputs, la.LSTM(4)(y)), [x]
    inputs = k.Input((None, 5))
    both = la.Bidirectional(la.RNN(HandwritingCellPlain(6), return_sequences=True), merge_mode="sum")
    yield "custom_bidirectional", k.Model(inputs, both(la.Masking()(inputs))), [x]
    inputs = k.Input((None, 4, 5))
    y = la.TimeDistributed(la.RNN(HandwritingCellPlain(6)))(inputs)
    yield "custom_time_distributed", k.Model(inputs, la.LSTM(4)(y)), [_floats(39, 2, 6, 4, 5)]
    inputs = k.Input((None, 5))
    yield "custom_layer", k.Model(inputs, la.LSTM(4)(Scale(name="scale")(inputs))), [_floats(38, 2, 6, 5)]
