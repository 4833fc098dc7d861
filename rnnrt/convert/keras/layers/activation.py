"""Activation and the activation layers without weights."""

from __future__ import annotations

from ....ir.activations import Activation
from ..activations import LAYER_ACTIVATIONS, layer_activation
from ..call import LayerCall, Value
from .registry import layer


def _apply(c: LayerCall, activation: Activation) -> list[Value]:
    x = c.floats(c.input())
    if activation.name == "linear":
        return [Value(x.tensor)]
    return c.emit("activation", [x], {"activation": activation})


@layer("Activation", options=("activation",), per_step=True)
def activation(c: LayerCall) -> list[Value]:
    """A named function of each element, or of each row (softmax: the last axis)."""
    return _apply(c, c.activation("activation"))


@layer("ReLU", options=LAYER_ACTIVATIONS["ReLU"], per_step=True)
def relu(c: LayerCall) -> list[Value]:
    """x >= threshold: min(x, max_value), else negative_slope * (x - threshold)."""
    return _apply(c, layer_activation("ReLU", c.spec.config, c.path))


@layer("LeakyReLU", options=LAYER_ACTIVATIONS["LeakyReLU"], per_step=True)
def leaky_relu(c: LayerCall) -> list[Value]:
    """The layer's default slope is 0.3, the function's 0.2."""
    return _apply(c, layer_activation("LeakyReLU", c.spec.config, c.path))


@layer("ELU", options=LAYER_ACTIVATIONS["ELU"], per_step=True)
def elu(c: LayerCall) -> list[Value]:
    """alpha * (exp(x) - 1) below zero."""
    return _apply(c, layer_activation("ELU", c.spec.config, c.path))


@layer("ThresholdedReLU", options=LAYER_ACTIVATIONS["ThresholdedReLU"], per_step=True)
def thresholded_relu(c: LayerCall) -> list[Value]:
    """x where x > theta, else 0 (Keras 1 and 2)."""
    return _apply(c, layer_activation("ThresholdedReLU", c.spec.config, c.path))


@layer("Softmax", options=LAYER_ACTIVATIONS["Softmax"], per_step=True, note="last axis")
def softmax(c: LayerCall) -> list[Value]:
    """Over the last axis; other axes are refused."""
    axis = c.get("axis", -1)
    if isinstance(axis, list) and len(axis) == 1:
        axis = axis[0]
    if isinstance(axis, bool) or not isinstance(axis, int):
        raise c.refuse(f"softmax over the axes {axis} at once is not supported")
    x = c.input()
    rank = len(c.tensor(x).shape)
    if c.axis(x, axis) != rank - 1:
        raise c.refuse(f"softmax over the axis {axis}, not the last, is not supported")
    return _apply(c, Activation("softmax"))
