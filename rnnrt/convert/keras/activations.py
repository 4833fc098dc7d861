"""Activations as configs write them -> :class:`rnnrt.ir.activations.Activation`, by Keras version."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...errors import ConversionError, UnsupportedLayerError
from ...ir.activations import Activation
from .spec import LayerSpec

__all__ = ["LAYER_ACTIVATIONS", "layer_activation", "parse_activation", "rounded"]

_ALL = {
    n: Activation(n) for n in ("linear", "tanh", "sigmoid", "relu", "softmax", "softplus", "softsign", "elu", "selu")
}
_KERAS2 = {**_ALL, "hard_sigmoid": Activation("hard_sigmoid_k2")}
_SINCE = {  # in Keras 2; a file of an earlier version means a function of the user's own by that word
    "exponential": ((2, 2), Activation("exponential")),
    "swish": ((2, 3), Activation("silu")),
    "silu": ((2, 16), Activation("silu")),
    "gelu": ((2, 4), Activation("gelu")),
    "mish": ((2, 13), Activation("mish")),
}
_KERAS3 = {
    **_ALL,
    **{
        n: Activation(n)
        for n in (
            "exponential silu mish gelu celu glu hard_silu hard_tanh hard_shrink soft_shrink "
            "tanh_shrink log_sigmoid log_softmax squareplus sparse_plus sparse_sigmoid sparsemax"
        ).split()
    },
    "hard_sigmoid": Activation("hard_sigmoid_k3"),
    "swish": Activation("silu"),
    "hard_swish": Activation("hard_silu"),
    "leaky_relu": Activation("leaky_relu", (float(np.float32(0.2)),)),
    "relu6": Activation("relu_general", (6.0, 0.0, 0.0)),
}

# activation layers: class -> the config keys that build() below reads
LAYER_ACTIVATIONS = {
    "ReLU": ("max_value", "negative_slope", "threshold"),
    "LeakyReLU": ("negative_slope",),
    "ELU": ("alpha",),
    "ThresholdedReLU": ("theta",),
    "Softmax": ("axis",),
}


def _known(name: str, spec: LayerSpec) -> Activation | None:
    if spec.generation >= 3:
        return _KERAS3.get(name)
    if name in _KERAS2:
        return _KERAS2[name]
    since, version = _SINCE.get(name), spec.version
    if version[:2] == (2, 3) and len(version) < 4:
        version = (2, 2)  # Keras 2.3 without TensorFlow's suffix has not what tf.keras 2.3 has
    if since and spec.generation == 2 and version[:2] >= since[0]:
        return since[1]
    return None


def parse_activation(value: Any, spec: LayerSpec, path: str, key: str) -> Activation:
    """The activation that an option names.

    Raises UnsupportedLayerError for a function of the user's own: its word says nothing about its
    arithmetic, so it is never guessed.
    """
    if value is None:
        return Activation("linear")
    if isinstance(value, str):
        found = _known(value, spec)
        if found is not None:
            return found
        raise _refusal(path, key, value, spec)
    if isinstance(value, dict) and isinstance(value.get("class_name"), str):
        name, config = value["class_name"], value.get("config")
        if name in LAYER_ACTIVATIONS and isinstance(config, dict):
            inner = dict(config)
            if spec.generation <= 2 and name == "LeakyReLU" and "alpha" in inner:
                inner["negative_slope"] = inner.pop("alpha")
            out = layer_activation(name, inner, f"{path}: {key}", spec.generation)
            axis = inner.get("axis", -1)
            if name == "Softmax" and axis not in (-1, [-1]):
                raise UnsupportedLayerError(f"{path}: {key}: Softmax over the axis {axis}", path)
            return out
        if name == "Activation" and isinstance(config, dict):
            return parse_activation(config.get("activation"), spec, path, key)
        raise _refusal(path, key, config if isinstance(config, str) else name, spec)
    raise ConversionError(f"{path}: {key} is not an activation: {str(value)[:80]}")


def _refusal(path: str, key: str, name: str, spec: LayerSpec) -> UnsupportedLayerError:
    version = ".".join(map(str, spec.version[:3]))
    return UnsupportedLayerError(
        f"{path} ({spec.class_name}): {key} is {name[:80]!r}, which is not an activation of Keras {version}; "
        "its arithmetic is not in the file. Use a built-in activation of that Keras, and save again",
        path,
    )


def rounded(value: float) -> float:
    """A constant that Keras hands to TensorFlow as a Python number: a float32, also in float64 models."""
    return float(np.float32(value))


def layer_activation(class_name: str, config: dict[str, Any], path: str, generation: int) -> Activation:
    """The activation of an activation layer (one of :data:`LAYER_ACTIVATIONS`) without weights."""

    def get(key: str, default: float) -> float:
        from .call import number

        stored = config.get(key)
        v = number(stored)
        if v is None and stored is not None:
            raise ConversionError(f"{path}: {key} must be a number, got {str(stored)[:40]}")
        if v is not None and not math.isfinite(v):
            raise ConversionError(f"{path}: {key} is {v}")
        return default if v is None else v

    if class_name == "ReLU":
        top, slope, threshold = get("max_value", math.inf), get("negative_slope", 0.0), get("threshold", 0.0)
        if (top, threshold) == (math.inf, 0.0):
            slope = rounded(slope)
        params = (rounded(top) if generation >= 3 else top, slope, threshold)
        plain = params == (math.inf, 0.0, 0.0)
        return Activation("relu") if plain else Activation("relu_general", params)
    if class_name == "LeakyReLU":
        return Activation("leaky_relu", (rounded(get("negative_slope", 0.3)),))
    if class_name == "ELU":
        return Activation("elu", (get("alpha", 1.0),))
    if class_name == "ThresholdedReLU":
        return Activation("thresholded_relu", (get("theta", 1.0),))
    return Activation("softmax")
