"""Layers that do nothing at inference: they add no op to the graph."""

from __future__ import annotations

from ..call import LayerCall, Value
from .registry import layer


@layer(
    "Dropout",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "AlphaDropout",
    "GaussianDropout",
    "GaussianNoise",
    options=("data_format",),
    per_step=True,
    random=True,
)
def dropout(c: LayerCall) -> list[Value]:
    """Active in training only."""
    return [Value(c.floats(c.input()).tensor)]


@layer("ActivityRegularization", per_step=True)
def activity_regularization(c: LayerCall) -> list[Value]:
    """Its input."""
    return [Value(c.input().tensor)]


@layer("Identity", per_step=True, mask="pass_keras3")
def identity(c: LayerCall) -> list[Value]:
    """Its input; Keras 2 drops the mask."""
    return [Value(c.input().tensor)]


@layer("InputLayer", options=("sparse", "ragged", "optional"))
def input_layer(c: LayerCall) -> list[Value]:
    """Called as a layer (old nested models do so): its input."""
    return [Value(c.input().tensor)]
