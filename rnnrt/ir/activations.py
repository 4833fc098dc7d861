"""The closed list of activation functions; what one word means differently by Keras version is two words.

Source: keras/src/activations/activations.py (Keras 3) and tf_keras/src/activations.py (Keras 2).
The position in :data:`ACTIVATIONS` is the number that C knows (``src_c/include/activations.def``).
"""

from __future__ import annotations

from typing import Any

from ..records import Record

__all__ = ["ACTIVATIONS", "Activation", "ActivationInfo", "activation_from_json", "activation_to_json"]


class ActivationInfo(Record):
    """params: (name, default) pairs. rowwise: a value depends on its whole row (last axis)."""

    params: tuple[tuple[str, float], ...] = ()
    rowwise: bool = False


_P = ActivationInfo
ACTIVATIONS: dict[str, ActivationInfo] = {
    "linear": _P(),
    "tanh": _P(),
    "sigmoid": _P(),
    "hard_sigmoid_k2": _P(),  # clip(0.2 x + 0.5, 0, 1): Keras 1 and 2
    "hard_sigmoid_k3": _P(),  # relu6(x + 3) / 6: Keras 3
    "relu": _P(),
    # ReLU layer: x >= threshold: min(x, max_value), else negative_slope * (x - threshold)
    "relu_general": _P((("max_value", float("inf")), ("negative_slope", 0.0), ("threshold", 0.0))),
    "leaky_relu": _P((("negative_slope", 0.2),)),
    "elu": _P((("alpha", 1.0),)),
    "selu": _P(),
    "celu": _P((("alpha", 1.0),)),
    "exponential": _P(),
    "softplus": _P(),
    "softsign": _P(),
    "silu": _P(),
    "mish": _P(),
    "gelu": _P(),  # exact: x Phi(x) through erf
    "gelu_tanh": _P(),  # approximate=True
    "hard_silu": _P(),  # x * hard_sigmoid_k3(x)
    "hard_tanh": _P(),
    "hard_shrink": _P((("threshold", 0.5),)),
    "soft_shrink": _P((("threshold", 0.5),)),
    "tanh_shrink": _P(),
    "log_sigmoid": _P(),
    "squareplus": _P((("b", 4.0),)),
    "sparse_plus": _P(),
    "sparse_sigmoid": _P(),
    "threshold": _P((("threshold", 0.0), ("default_value", 0.0))),
    "thresholded_relu": _P((("theta", 1.0),)),  # x * (x > theta): Keras 2 layer
    "softmax": _P(rowwise=True),
    "log_softmax": _P(rowwise=True),
    "sparsemax": _P(rowwise=True),
    "glu": _P(rowwise=True),  # halves the last axis: a * sigmoid(b)
}


class Activation(Record):
    """A function of the list with its parameters, in the order of the list."""

    name: str = "linear"
    params: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        info = ACTIVATIONS.get(self.name)
        if info is None:
            raise ValueError(f"unknown activation {self.name!r}")
        if not self.params and info.params:
            object.__setattr__(self, "params", tuple(d for _, d in info.params))
        if len(self.params) != len(info.params):
            raise ValueError(f"activation {self.name!r} takes {len(info.params)} parameters, got {len(self.params)}")

    @property
    def rowwise(self) -> bool:
        """Whether a value depends on its whole row."""
        return ACTIVATIONS[self.name].rowwise

    def __str__(self) -> str:
        if not self.params:
            return self.name
        return f"{self.name}({', '.join(f'{p:g}' for p in self.params)})"


def activation_to_json(a: Activation) -> Any:
    """``"tanh"`` or ``["leaky_relu", 0.3]``; infinity is written as the string ``"inf"``."""
    if not a.params:
        return a.name
    return [a.name, *("inf" if p == float("inf") else p for p in a.params)]


def activation_from_json(value: Any) -> Activation:
    """Inverse of :func:`activation_to_json`; ValueError for anything else."""
    if isinstance(value, str):
        return Activation(value)
    if not isinstance(value, list) or not value or not isinstance(value[0], str):
        raise ValueError(f"not an activation: {value!r}")
    params = []
    for v in value[1:]:
        if v == "inf":
            v = float("inf")
        if isinstance(v, bool) or not isinstance(v, (int, float)) or v != v:
            raise ValueError(f"not an activation parameter: {v!r}")
        params.append(float(v))
    return Activation(value[0], tuple(params))
