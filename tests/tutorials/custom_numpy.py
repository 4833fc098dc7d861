"""The cells and layers of ``custom_keras.py`` in NumPy, as users of rnnrt write them."""

from __future__ import annotations

import numpy as np


class NestedCell:
    """The guide's: nested inputs, states and outputs."""

    def __init__(self, unit_1, unit_2, unit_3):
        self.unit_1, self.unit_2, self.unit_3 = unit_1, unit_2, unit_3
        self.state_size = [unit_1, (unit_2, unit_3)]
        self.output_size = [unit_1, (unit_2, unit_3)]

    def weights(self, input_shape):
        a, b = input_shape.values() if isinstance(input_shape, dict) else input_shape
        return {"kernel_1": (a[1], self.unit_1), "kernel_2_3": (b[1], b[2], self.unit_2, self.unit_3)}

    def step(self, inputs, states, weights):
        a, b = (inputs["feature1"], inputs["feature2"]) if isinstance(inputs, dict) else inputs
        out_1 = a @ weights["kernel_1"]
        out_2_3 = np.einsum("bij,ijkl->bkl", b, weights["kernel_2_3"])
        return (out_1, out_2_3), (states[0] + out_1, states[1] + out_2_3)


class VideoAudioCell:
    """A timestep is {"audio": (batch, frequency), "video": (batch, height, width, channel)}."""

    def __init__(self, units):
        self.units = self.state_size = units

    def weights(self, input_shape):
        size = int(np.prod(input_shape["video"][1:]))
        return {
            "video_kernel": (size, self.units),
            "audio_kernel": (input_shape["audio"][1], self.units),
            "recurrent_kernel": (self.units, self.units),
            "bias": (self.units,),
        }

    def step(self, inputs, states, w):
        video = inputs["video"].reshape(len(inputs["video"]), -1)
        z = video @ w["video_kernel"] + inputs["audio"] @ w["audio_kernel"] + states[0] @ w["recurrent_kernel"]
        h = np.tanh(z + w["bias"])
        return h, [h]


class HandwritingCell:
    """A timestep is {"location": (batch, 2), "pressure": (batch, 1)}."""

    def __init__(self, units, leak=0.1):
        self.units, self.leak = units, leak
        self.state_size, self.output_size = [units, 1], units

    def weights(self, input_shape):
        return {"kernel": (input_shape["location"][1], self.units), "recurrent_kernel": (self.units, self.units)}

    def step(self, inputs, states, w):
        h, ink = states
        ink = (1 - self.leak) * ink + self.leak * inputs["pressure"]
        h = np.tanh(inputs["location"] @ w["kernel"] + h @ w["recurrent_kernel"]) / (1 + np.exp(-ink))
        return h, [h, ink]


class HandwritingCellPlain:
    """One input, two states, an output that is neither."""

    def __init__(self, units):
        self.units, self.state_size, self.output_size = units, [units, 2], 3

    def weights(self, input_shape):
        return {"kernel": (input_shape[-1], self.units), "out_kernel": (self.units, 3)}

    def step(self, inputs, states, w):
        h, n = states
        h, n = np.tanh(inputs @ w["kernel"] + h), n + 1
        return h @ w["out_kernel"] + n[:, :1], [h, n]


class Scale:
    """A learnt factor for each feature."""

    per_step = True

    def weights(self, input_shape):
        return {"factor": (input_shape[-1],)}

    def call(self, inputs, weights):
        return inputs * weights["factor"]


CELLS = (NestedCell, VideoAudioCell, HandwritingCell, HandwritingCellPlain)
OBJECTS = {c.__name__: c for c in (*CELLS, Scale)}
