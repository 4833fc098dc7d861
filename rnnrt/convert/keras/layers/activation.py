"""Activation and the activation layers without weights."""

from __future__ import annotations

from ....ir.activations import Activation
from ..activations import LAYER_ACTIVATIONS, layer_activation
from ..call import LayerCall, Value
from ..weights import Part
from .normalization import axes_of
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
    return _apply(c, layer_activation("ReLU", c.spec.config, c.path, c.spec.generation))


@layer("LeakyReLU", options=LAYER_ACTIVATIONS["LeakyReLU"], per_step=True)
def leaky_relu(c: LayerCall) -> list[Value]:
    """The layer's default slope is 0.3, the function's 0.2."""
    return _apply(c, layer_activation("LeakyReLU", c.spec.config, c.path, c.spec.generation))


@layer("ELU", options=LAYER_ACTIVATIONS["ELU"], per_step=True)
def elu(c: LayerCall) -> list[Value]:
    """alpha * (exp(x) - 1) below zero."""
    return _apply(c, layer_activation("ELU", c.spec.config, c.path, c.spec.generation))


@layer("ThresholdedReLU", options=LAYER_ACTIVATIONS["ThresholdedReLU"], per_step=True)
def thresholded_relu(c: LayerCall) -> list[Value]:
    """x where x > theta, else 0 (Keras 1 and 2)."""
    return _apply(c, layer_activation("ThresholdedReLU", c.spec.config, c.path, c.spec.generation))


@layer("Softmax", options=(*LAYER_ACTIVATIONS["Softmax"], "robust_masking"), per_step=True, note="neighbouring axes")
def softmax(c: LayerCall) -> list[Value]:
    """Over its axes together, by default the last; masked places do not count."""
    from ..operations.arithmetic import plain, where  # the table of operations knows that of layers

    x = c.floats(c.input())
    if c.mask is None:
        return _softmax(c, x)
    mask = Value(c.mask)
    if len(c.tensor(mask).shape) != len(c.tensor(x).shape):
        raise c.refuse("its mask has another rank than its input", "drop the mask before it")
    if c.spec.generation < 3 and len(axes_of(c, x, c.get("axis", -1))) > 1:
        # exp(x - logsumexp(x)) at -1e9: a row that is all masked gives ones, not a distribution
        raise c.refuse("over several axes under a mask Keras 2 loses its digits", "use one axis")
    if c.spec.generation >= 3 or c.flag("robust_masking"):
        x = where(c, mask, x, _MASKED)
    else:
        x = plain("add")(c, x, where(c, mask, 0.0, _MASKED))
    y = _softmax(c, x)
    # Keras 3 zeroes them, which shows where a whole row is masked
    return [where(c, mask, y[0], 0.0)] if c.spec.generation >= 3 else y


_MASKED = -1e9  # what masked scores get before the softmax


def _softmax(c: LayerCall, x: Value) -> list[Value]:
    axes = axes_of(c, x, c.get("axis", -1))
    if axes == (len(c.tensor(x).shape) - 1,):
        return c.emit("activation", [x], {"activation": Activation("softmax")})
    return c.emit("softmax", [x], {"axes": axes})


@layer("PReLU", options=("shared_axes",), weighted=True)
def prelu(c: LayerCall) -> list[Value]:
    """x where positive, else alpha * x with a learned alpha for each place that is not shared."""
    x = c.floats(c.input())
    shape = c.tensor(x).shape
    shared = c.get("shared_axes") or ()
    if not isinstance(shared, (list, tuple)) or any(isinstance(a, bool) or not isinstance(a, int) for a in shared):
        raise c.refuse(f"shared_axes={str(shared)[:40]}")
    axes = tuple(sorted({c.axis(x, a) for a in shared}))
    alpha = tuple(1 if i in axes else d for i, d in enumerate(shape))[1:]
    if any(not isinstance(d, int) for d in alpha):
        raise c.refuse("an axis of free length is not shared")
    names = c.weights([Part("alpha", tuple(d for d in alpha if isinstance(d, int)))])
    return c.emit("prelu", [x], {"shared_axes": axes}, names)
