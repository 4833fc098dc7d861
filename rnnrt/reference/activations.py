"""Every activation of :data:`rnnrt.ir.activations.ACTIVATIONS`, written for exactness, not for speed.

Each function takes an array and the activation's parameters and works in the array's dtype.
Sources: keras/src/backend/tensorflow/nn.py, keras/src/activations/activations.py and, where
Keras 2 differs, tf_keras/src/activations.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..ir.activations import Activation
from .registry import OpCall, op

__all__ = ["FUNCTIONS", "activate", "apply"]

SELU_SCALE = 1.0507009873554805
SELU_ALPHA = 1.6732632423543772

_math_erf = np.frompyfunc(math.erf, 1, 1)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), from exp(-|x|) so that nothing overflows and small values keep their digits."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def softplus(x: np.ndarray) -> np.ndarray:
    """log(1 + exp(x))."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def relu_general(x: np.ndarray, max_value: float, negative_slope: float, threshold: float) -> np.ndarray:
    """The ReLU layer. At x == threshold Keras gives 0 (its code compares with ``>``, not ``>=``)."""
    above = np.maximum(x, 0) if threshold == 0 else np.where(x > threshold, x, 0)
    if math.isfinite(max_value):
        above = np.clip(above, 0, max_value)
    if negative_slope:  # or infinity times zero
        above = above - negative_slope * np.maximum(threshold - x, 0)
    return above


def elu(x: np.ndarray, alpha: float) -> np.ndarray:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def erf(x: np.ndarray) -> np.ndarray:
    """In double whatever the dtype: NumPy has no erf of its own."""
    return np.asarray(_math_erf(x.astype(np.float64)), dtype=np.float64).astype(x.dtype)


def gelu_tanh(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


def threshold(x: np.ndarray, bound: float, default_value: float) -> np.ndarray:
    return np.where(x > bound, x, x.dtype.type(default_value))


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def log_softmax(x: np.ndarray) -> np.ndarray:
    z = x - x.max(axis=-1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))


def sparsemax(x: np.ndarray) -> np.ndarray:
    """Keras's: where the support has more than one value, its threshold sums the *cumulative* sums.

    The projection onto the simplex would sum the values themselves. Every backend of Keras 3 does this
    (keras/src/backend/*/nn.py), and a model was trained with what Keras does.
    """
    z = -np.sort(-x, axis=-1)
    total = np.cumsum(z, axis=-1)
    rank = np.arange(1, x.shape[-1] + 1).astype(x.dtype)
    support = z - (total - 1) / rank > 0
    k = support.sum(axis=-1, keepdims=True).astype(x.dtype)
    tau = (np.where(support, total, 0).sum(axis=-1, keepdims=True) - 1) / k
    return np.maximum(x - tau, 0)


def glu(x: np.ndarray) -> np.ndarray:
    half = x.shape[-1] // 2
    return x[..., :half] * sigmoid(x[..., half:])


FUNCTIONS: dict[str, Callable[..., np.ndarray]] = {
    "linear": lambda x: x,
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "hard_sigmoid_k2": lambda x: np.clip(0.2 * x + 0.5, 0, 1),
    "hard_sigmoid_k3": lambda x: np.clip(x + 3, 0, 6) / 6,
    "relu": lambda x: np.maximum(x, 0),
    "relu_general": relu_general,
    "leaky_relu": lambda x, slope: np.where(x > 0, x, slope * x),
    "elu": elu,
    "selu": lambda x: SELU_SCALE * elu(x, SELU_ALPHA),
    "celu": lambda x, alpha: np.maximum(x, 0) + alpha * np.expm1(np.minimum(x, 0) / alpha),
    "exponential": np.exp,
    "softplus": softplus,
    "softsign": lambda x: x / (1 + np.abs(x)),
    "silu": lambda x: x * sigmoid(x),
    "mish": lambda x: x * np.tanh(softplus(x)),
    "gelu": lambda x: 0.5 * x * (1 + erf(x / math.sqrt(2))),
    "gelu_tanh": gelu_tanh,
    "hard_silu": lambda x: x * (np.clip(x + 3, 0, 6) / 6),
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "hard_shrink": lambda x, t: np.where(np.abs(x) > t, x, 0),
    "soft_shrink": lambda x, t: np.where(x > t, x - t, np.where(x < -t, x + t, 0)),
    "tanh_shrink": lambda x: x - np.tanh(x),
    "log_sigmoid": lambda x: -softplus(-x),
    "squareplus": lambda x, b: (x + np.sqrt(x * x + b)) / 2,
    "sparse_plus": lambda x: np.where(x <= -1, 0, np.where(x < 1, (x + 1) ** 2 / 4, x)),
    "sparse_sigmoid": lambda x: np.where(x <= -1, 0, np.where(x >= 1, 1, (x + 1) / 2)),
    "threshold": threshold,
    "thresholded_relu": lambda x, theta: x * (x > theta),
    "softmax": softmax,
    "log_softmax": log_softmax,
    "sparsemax": sparsemax,
    "glu": glu,
}


def apply(activation: Activation, x: np.ndarray) -> np.ndarray:
    """As :func:`activate`, where overflow is ignored already: a recurrent layer calls it at every step."""
    return FUNCTIONS[activation.name](x, *activation.params).astype(x.dtype, copy=False)


def activate(activation: Activation, x: np.ndarray) -> np.ndarray:
    """The activation of ``x``, in the dtype of ``x``; row-wise ones act over the last axis."""
    # Only exp and its kin overflow, and infinity is then what Keras gives as well.
    with np.errstate(over="ignore"):
        return apply(activation, x)


@op("activation")
def activation(call: OpCall) -> list[np.ndarray]:
    return [activate(call.attrs["activation"], call.inputs[0])]
