"""Sequential models as functional chains, so that one walk serves both."""

from __future__ import annotations

from typing import Any

from ...errors import ConversionError
from .spec import ALL, Call, LayerSpec, ModelSpec, TensorRef, refs

__all__ = ["chain", "open_merge", "open_sequentials"]


def chain(model: ModelSpec, stored: dict[str, Any], place: str) -> None:
    """Give a Sequential an InputLayer where it has none, calls, inputs and outputs, in place.

    stored is the layer's whole entry (its ``build_config`` may tell the input's shape). A nested Sequential
    without a shape of its own takes that of its caller.
    """
    if not model.layers:
        raise ConversionError(f"{place}: a Sequential without layers")
    if model.layers[0].class_name != "InputLayer":
        model.layers.insert(0, _implicit_input(model, stored))
    first = model.layers[0]
    if any(x.class_name == "InputLayer" for x in model.layers[1:]):
        raise ConversionError(f"{place}: an InputLayer in the middle of a Sequential")
    before = first
    for layer in model.layers[1:]:
        layer.calls = [Call([TensorRef(before.name, 0, 0)])]
        before = layer
    model.inputs = TensorRef(first.name, 0, 0)
    # the last layer may give its states too (Keras 3; Keras 2 refuses such a layer)
    model.outputs = TensorRef(before.name, 0, ALL)


def open_sequentials(model: ModelSpec) -> None:
    """Put the layers of Sequentials inside a Sequential in their place: so Keras 1 lists them in its weight files."""
    layers: list[LayerSpec] = []
    for layer in model.layers:
        if isinstance(layer, ModelSpec) and not layer.functional:
            layers += [x for x in layer.layers if x.class_name != "InputLayer"]
        else:
            layers.append(layer)
    model.layers = layers


def open_merge(model: ModelSpec, place: str) -> None:
    """Make a functional model of a Sequential of Keras 1 that begins with a Merge of other models, in place.

    The branches' layers come first, as they do in its weight files.
    """
    if not model.layers or model.layers[0].class_name != "Merge" or not model.layers[0].inner:
        return
    merge, *rest = model.layers
    branches: list[ModelSpec] = []
    layers: list[LayerSpec] = []
    for branch in merge.inner.values():
        if not isinstance(branch, ModelSpec):
            raise ConversionError(f"{place}: {merge.name!r} merges a {branch.class_name}, only models can be merged")
        branches.append(branch)
        layers += [x for x in branch.layers if x not in layers]
    merge.inner = {}
    merge.calls = [Call([[branch.outputs for branch in branches]])]
    before = merge
    for layer in rest:
        layer.calls = [Call([TensorRef(before.name, 0, 0)])]
        before = layer
    inputs = [r for branch in branches for r in refs(branch.inputs)]
    model.layers = [*layers, merge, *rest]
    model.functional = True
    model.inputs = list(dict.fromkeys(inputs))
    model.outputs = TensorRef(before.name, 0, 0)


def _implicit_input(model: ModelSpec, stored: dict[str, Any]) -> LayerSpec:
    first = model.layers[0]
    names = {x.name for x in model.layers}
    name = f"{first.name}_input"
    while name in names:
        name += "_"
    config = first.config
    shape = config.get("batch_shape")
    dtype = config.get("input_dtype", config.get("dtype"))
    if shape is None:
        shape = _keras1_shape(first)
    if shape is None and isinstance(first, ModelSpec) and not isinstance(first.inputs, (list, dict)):
        inner = next((x for x in first.layers if x.class_name == "InputLayer"), None)
        if inner is not None:
            shape, dtype = inner.config.get("batch_shape"), inner.config.get("dtype")
    if shape is None:
        built = stored.get("build_config")
        shape = model.config.get("build_input_shape")
        if shape is None and isinstance(built, dict):
            shape = built.get("input_shape")
    new = {"name": name, "batch_shape": shape}
    if isinstance(dtype, str):
        new["dtype"] = dtype
    return LayerSpec("InputLayer", name, new, model.generation, model.version)


def _keras1_shape(first: LayerSpec) -> list | None:
    """``input_dim`` and ``input_length`` of a first layer, as Keras 1 takes them."""
    dim, length = first.config.get("input_dim"), first.config.get("input_length")
    if first.class_name == "Embedding":
        return [None, length] if length is None or isinstance(length, int) else None
    if not isinstance(dim, int):
        return None
    if first.class_name in ("SimpleRNN", "LSTM", "GRU"):
        return [None, length, dim]
    return [None, dim] if first.class_name == "Dense" else None
