"""Dtype policies: what a layer stores its weights as, and what dtype its outputs have in Keras.

Arithmetic is done in float64 where that is the policy and in float32 everywhere else: 16-bit layers give what
Keras would give without its rounding in the middle, and only what the model gives out is rounded to 16 bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .spec import LayerSpec, ModelSpec

__all__ = ["Policy", "dtype_name", "has_policy", "keras_dtype", "policy_of", "spread_float64"]


@dataclass(frozen=True)
class Policy:
    """variable: what weights are stored as. output: the dtype of the layer's floating outputs in Keras."""

    variable: str
    output: str

    @property
    def compute(self) -> str:
        """The arithmetic's dtype here: ``float64`` or ``float32``."""
        return "float64" if self.output == "float64" else "float32"


_POLICIES = {
    **{name: Policy(name, name) for name in ("float32", "float64", "float16", "bfloat16")},
    "mixed_float16": Policy("float32", "float16"),
    "mixed_bfloat16": Policy("float32", "bfloat16"),
}
_OPERATIONS = ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer", "InputLayer")
_POLICY_CLASSES = ("DTypePolicy", "Policy", "FloatDTypePolicy", "PolicyV1")


def dtype_name(dtype: Any) -> str:
    """The name of a dtype or policy as any version writes it; the class of what is not one."""
    if dtype is None:
        return "float32"
    if isinstance(dtype, str):
        return dtype
    if isinstance(dtype, dict):
        config = dtype.get("config")
        name = config.get("name") if isinstance(config, dict) else None
        if str(dtype.get("class_name")).rsplit(">", 1)[-1] in _POLICY_CLASSES and isinstance(name, str):
            return name
        return str(dtype.get("class_name"))[:60]
    return type(dtype).__name__


def policy_of(spec: LayerSpec) -> Policy | None:
    """The policy of a layer; None for one that is not known (quantised ones among them)."""
    name = dtype_name(spec.config.get("dtype"))
    if spec.class_name == "Embedding" and spec.generation <= 2 and "int" in name:
        name = "float32"  # until Keras 2.2 the dtype of a first layer was that of its input
    return _POLICIES.get(name)


def has_policy(spec: LayerSpec) -> bool:
    """Whether a layer casts its inputs. Operations on tensors do not; in Keras 3 they are what says no dtype."""
    if spec.class_name in _OPERATIONS:
        return False
    return spec.generation <= 2 or spec.config.get("dtype") is not None


def keras_dtype(spec: LayerSpec, tensor: str, given: list[str]) -> str:
    """The dtype that Keras gives an output, "" where it is the tensor's.

    tensor: its dtype here. given: the Keras dtypes of the inputs.
    """
    if tensor not in ("float32", "float64"):
        return ""
    policy = policy_of(spec) if has_policy(spec) else None
    if policy is not None:
        out = policy.output
    elif given and all(g == given[0] for g in given):
        out = given[0]  # an operation keeps what all its operands are
    else:
        out = tensor
    return "" if out == tensor else out


def spread_float64(model: ModelSpec) -> None:
    """Give layers of Keras 1 and 2 that say no dtype the float64 that the model's inputs say, in place.

    Before 2.3 only first layers wrote it; with inputs of another dtype than the weights no model ran.
    """
    if model.generation >= 3:
        return
    inputs = [x for x in model.layers if x.class_name == "InputLayer"]
    if not any(x.config.get("dtype") == "float64" for x in inputs):
        return
    todo: list[LayerSpec] = [*model.layers]
    while todo:
        spec = todo.pop()
        todo += [*spec.inner.values(), *(spec.layers if isinstance(spec, ModelSpec) else ())]
        if spec.config.get("dtype") is None:
            spec.config["dtype"] = "float64"
