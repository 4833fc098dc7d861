"""What a layer's builder works with: one call of one layer, its inputs, options and weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...errors import ConversionError, UnsupportedLayerError
from ...ir.activations import Activation
from ...ir.dims import format_shape
from ...ir.graph import TensorSpec
from .activations import parse_activation
from .policies import has_policy, policy_of
from .spec import LayerSpec
from .weights import Layout, Part

if TYPE_CHECKING:
    from .graph import GraphBuilder

__all__ = ["LayerCall", "UnknownInput", "Value"]


@dataclass(frozen=True)
class Value:
    """A tensor on the walk, by its name in the graph, with the mask (a tensor's name) that it carries.

    tensor is None behind a layer that was refused: only the survey of all refused layers sees such values.
    dtype: what Keras has it in, where that is not the tensor's own ("" where it is): 16-bit values are float32 here.
    """

    tensor: str | None
    mask: str | None = None
    dtype: str = ""


class UnknownInput(Exception):
    """The input lies behind a refused layer; ends a builder quietly during the survey."""


@dataclass
class LayerCall:
    """One call of a layer.

    inputs: the tensors of its first argument, flat. initial_state: those given as such, in either version's
    way. rank_shift: 1 inside TimeDistributed, where axes count from the time axis. mask: the mask that the layer
    works under; that of the first input goes on with the output even where the layer is not given it.
    """

    builder: GraphBuilder
    spec: LayerSpec
    path: str
    inputs: list[Value]
    initial_state: list[Value] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)
    rank_shift: int = 0
    mask: str | None = None

    # ---- refusals ---------------------------------------------------------------------------

    def refuse(self, why: str, remedy: str = "") -> UnsupportedLayerError:
        """The error that refuses this layer; raise it."""
        text = f"{self.path} ({self.spec.class_name}): {why}"
        return UnsupportedLayerError(f"{text}; {remedy}" if remedy else text, self.path)

    # ---- options ----------------------------------------------------------------------------

    def get(self, key: str, default: Any = None) -> Any:
        """An option as stored, default where the key is absent."""
        return self.spec.config.get(key, default)

    def flag(self, key: str, default: bool = False) -> bool:
        """A bool option; null counts as the default."""
        v = self.get(key)
        if v is None:
            return default
        if isinstance(v, bool) or (isinstance(v, int) and v in (0, 1)):
            return bool(v)
        raise ConversionError(f"{self.path}: {key} must be true or false, got {str(v)[:40]}")

    def integer(self, key: str, minimum: int = 1, default: int | None = None) -> int:
        """An integer option, at least minimum."""
        v = self.get(key, default)
        if isinstance(v, float) and v.is_integer() and abs(v) < 2**48:
            v = int(v)
        if isinstance(v, bool) or not isinstance(v, int) or not minimum <= v < 2**48:
            raise ConversionError(f"{self.path}: {key} must be an integer >= {minimum}, got {str(v)[:40]}")
        return v

    def number(self, key: str, default: float) -> float:
        """A finite number; null counts as the default."""
        v = number(self.get(key))
        if v is None:
            if self.get(key) is not None:
                raise ConversionError(f"{self.path}: {key} must be a number, got {str(self.get(key))[:40]}")
            return default
        if not math.isfinite(v):
            raise ConversionError(f"{self.path}: {key} is {v}")
        return v

    def activation(self, key: str, default: str = "linear") -> Activation:
        """An activation option, resolved for the file's Keras version."""
        return parse_activation(self.get(key, default), self.spec, self.path, key)

    # ---- inputs -----------------------------------------------------------------------------

    def tensor(self, value: Value) -> TensorSpec:
        """What is known about a value."""
        if value.tensor is None:
            raise UnknownInput
        return self.builder.tensors[value.tensor]

    def input(self) -> Value:
        """The only input. ConversionError where there are more."""
        if len(self.inputs) != 1:
            raise ConversionError(f"{self.path}: takes one tensor, got {len(self.inputs)}")
        self.tensor(self.inputs[0])
        return self.inputs[0]

    def floats(self, value: Value) -> Value:
        """The value in the layer's arithmetic, float32 or float64: layers cast what they are given to their dtype."""
        if self.tensor(value).dtype == self.compute:
            return value
        return Value(self.emit("cast", [value], {"dtype": self.compute})[0].tensor, value.mask)

    @property
    def compute(self) -> str:
        """The dtype of this call's arithmetic; an operation, which has no policy, takes its inputs'."""
        policy = policy_of(self.spec) if has_policy(self.spec) else None
        if policy is not None:
            return policy.compute
        known = [self.builder.tensors[v.tensor].dtype for v in self.inputs if v.tensor is not None]
        return "float64" if "float64" in known else "float32"

    def ranked(self, value: Value, rank: int) -> tuple[Any, ...]:
        """The shape, which must be of that rank."""
        shape = self.tensor(value).shape
        if len(shape) != rank:
            raise ConversionError(f"{self.path}: needs an input of rank {rank}, got rank {len(shape)}")
        return shape

    def features(self, value: Value) -> int:
        """The length of the last axis, which must be known."""
        shape = self.tensor(value).shape
        if len(shape) < 2 or not isinstance(shape[-1], int):
            raise ConversionError(
                f"{self.path}: needs an input of rank >= 2 with a known last axis, got {format_shape(shape)}"
            )
        return shape[-1]

    def axis(self, value: Value, axis: int) -> int:
        """An axis counted from the batch, of an axis as the layer writes it (negative from the end)."""
        rank = len(self.tensor(value).shape) - self.rank_shift
        if not -rank <= axis < rank:
            raise ConversionError(f"{self.path}: axis {axis} of a tensor of rank {rank}")
        return axis % rank + (self.rank_shift if axis % rank else 0)

    # ---- ops and weights --------------------------------------------------------------------

    def emit(
        self,
        op: str,
        inputs: Sequence[Value],
        attrs: dict[str, Any] | None = None,
        weights: dict[str, str] | None = None,
        mask: str | None = None,
        initial_state: Sequence[Value] = (),
    ) -> list[Value]:
        """Add an op to the graph; its outputs, without masks."""
        return self.builder.emit(self, op, inputs, attrs or {}, weights or {}, mask, initial_state)

    def weights(
        self, parts: Sequence[Part], others: Sequence[Layout] = (), vars_at: tuple[str, ...] = ()
    ) -> dict[str, str]:
        """Declare this layer's arrays, in the order in which the layer makes them: {role: weight name}.

        others: layouts in which a file may hold them instead. vars_at: where below the layer's path a
        ``.keras`` file keeps them.
        """
        return self.builder.declare(self.path, self.spec, list(parts), list(others), vars_at)


def number(v: Any) -> float | None:
    """A number as configs write it, also wrapped as a NumPy value; None for anything else."""
    if isinstance(v, dict):
        config = v.get("config")
        v = v.get("value", config.get("value") if isinstance(config, dict) else None)
    if isinstance(v, list) and len(v) == 1:
        v = v[0]
    if isinstance(v, bool) or not isinstance(v, (int, float)):
        return None
    try:
        return float(v)
    except OverflowError:
        return None
