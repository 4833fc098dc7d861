"""The stored architecture (``{"class_name", "config"}``) as a :class:`~.spec.ModelSpec`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...errors import ConversionError, UnsupportedLayerError
from .dialects import generation_of, normalise_class, normalise_config, version_tuple
from .nodes import parse_calls, parse_references, rebase
from .policies import spread_float64
from .sequential import chain, open_merge, open_sequentials
from .spec import LayerSpec, ModelSpec

__all__ = ["parse_architecture", "parse_layer"]

_INNER = {"TimeDistributed": ("layer",), "RNN": ("cell",), "Bidirectional": ("layer", "backward_layer")}
_MODELS = ("Sequential", "Functional")
_MAX_LAYERS = 100_000


def parse_architecture(architecture: dict[str, Any], keras_version: str) -> ModelSpec:
    """The model of a file.

    Raises ConversionError for what is not a model, UnsupportedLayerError for a subclassed one.
    """
    generation = generation_of(keras_version, architecture)
    if generation not in (1, 2, 3):
        raise ConversionError(f"saved by Keras {keras_version}; versions 1 to 3 are known")
    name = architecture.get("class_name")
    if not isinstance(name, str) or "config" not in architecture:
        raise ConversionError("the architecture has no 'class_name' and 'config'")
    version = version_tuple(keras_version) or (generation,)
    spec = parse_layer(architecture, generation, version, "", top=True)
    if not isinstance(spec, ModelSpec):
        raise UnsupportedLayerError(
            f"{spec.name}: a model of the class {name!r} keeps its arithmetic in code, which is never run; "
            "build it as a functional or Sequential model and save that",
            spec.name,
        )
    spread_float64(spec)
    return spec


def parse_layer(value: Any, generation: int, version: tuple[int, ...], path: str, top: bool = False) -> LayerSpec:
    """One layer, a wrapper with its inner layers, or a nested model. path is the parent's."""
    if not isinstance(value, dict) or not isinstance(value.get("class_name"), str):
        raise ConversionError(f"{path or 'model'}: a layer without a class name: {str(value)[:80]}")
    stored = value["class_name"]
    class_name = normalise_class(stored, generation)
    config = value.get("config")
    if class_name == "Sequential" and isinstance(config, list):  # Keras 1 and 2.0 to 2.2
        config = {"layers": config}
    if not isinstance(config, dict):
        raise ConversionError(f"{path or 'model'}: the config of a {stored[:60]} is not an object")
    name = config.get("name", value.get("name"))
    if class_name == "TensorFlowOpLayer":  # nodes name it by the entry's name, which has a prefix
        name = value.get("name", name)
    if name is None and (top or class_name in _MODELS):
        name = "model" if class_name == "Functional" else class_name.lower()
    if name is None:
        name = class_name.lower()
    if not isinstance(name, str) or not name or "\0" in name or len(name) > 1024:
        raise ConversionError(f"{path or 'model'}: the name of a {stored[:60]} is not valid: {str(name)[:80]!r}")
    here = name if not path else f"{path}/{name}"
    trainable = config.get("trainable", True) is not False
    common: dict[str, Any] = {
        "class_name": class_name,
        "name": name,
        "generation": generation,
        "version": version,
        "trainable": trainable,
        "calls": parse_calls(value.get("inbound_nodes"), here),
        "module": _text(value.get("module")),
        "registered_name": _text(value.get("registered_name")),
    }
    if class_name in _MODELS and isinstance(config.get("layers"), list):
        inside = "" if top else here
        model = ModelSpec(config=dict(config), functional=class_name == "Functional", **common)
        if len(config["layers"]) > _MAX_LAYERS:
            raise ConversionError(f"{here}: {len(config['layers'])} layers")
        _check_overwritten(config["layers"], generation, here)
        model.layers = [parse_layer(v, generation, version, inside) for v in config["layers"]]
        if not model.functional:
            if generation == 1:
                open_sequentials(model)
            open_merge(model, here)
        _check_names(model, here)
        if model.functional and model.inputs is None:
            model.inputs = parse_references(config.get("input_layers"), generation, f"{here}: input_layers")
            model.outputs = parse_references(config.get("output_layers"), generation, f"{here}: output_layers")
        elif not model.functional:
            chain(model, value, here)
        rebase(model, here)
        return model
    spec = LayerSpec(config=normalise_config(class_name, config, generation), **common)
    for attr in _INNER.get(class_name, ()):
        inner = spec.config.get(attr)
        if isinstance(inner, dict):
            spec.inner[attr] = parse_layer(inner, generation, version, here)
    if class_name == "StackedRNNCells" and isinstance(spec.config.get("cells"), list):
        for k, cell in enumerate(spec.config["cells"]):
            spec.inner[str(k)] = _renamed(parse_layer(cell, generation, version, here), spec.inner)
    if class_name == "Merge" and isinstance(spec.config.get("layers"), list):  # Keras 1
        for k, branch in enumerate(spec.config.pop("layers")):
            spec.inner[str(k)] = parse_layer(branch, generation, version, path)
    if class_name == "Bidirectional":
        _directions(spec)
    return spec


def _renamed(cell: LayerSpec, others: dict[str, LayerSpec]) -> LayerSpec:
    """The cell with a name that no other of its stack has."""
    names, name, k = {x.name for x in others.values()}, cell.name, 1
    while name in names:
        name, k = f"{cell.name}_{k}", k + 1
    return replace(cell, name=name)


def _directions(spec: LayerSpec) -> None:
    """Give a Bidirectional its two layers by Keras's names; a file may hold the first one only.

    The second one is a copy: with go_backwards flipped in Keras 1 and 2, True in Keras 3.
    """
    layer = spec.inner.get("layer")
    if layer is None:
        return
    back = spec.inner.get("backward_layer")
    if back is None:
        turned = True if spec.generation >= 3 else not layer.config.get("go_backwards")
        back = replace(layer, config={**layer.config, "go_backwards": turned})
    for attr, x, prefix in (("layer", layer, "forward_"), ("backward_layer", back, "backward_")):
        name = x.name.removeprefix("forward_" if attr == "layer" else "")
        spec.inner[attr] = replace(x, name=name if name.startswith(prefix) else prefix + name)


def _check_overwritten(layers: list[Any], generation: int, place: str) -> None:
    """Refuse what Keras 2 spoils in HDF5 files and JSON: a layer that a later nested model shares.

    Both entries are one object there, so that its place in the nested model is written over that in this one.
    """
    if generation != 2:
        return
    waiting: dict[tuple[int, str], str] = {}
    stack = [(v, False) for v in reversed(layers)]
    while stack:
        v, nested = stack.pop()
        if isinstance(v, list):
            stack += [(x, nested) for x in reversed(v)]
        if not isinstance(v, dict):
            continue
        mark, nodes = v.get("shared_object_id"), str(v.get("inbound_nodes"))
        if isinstance(mark, int) and mark < _LARGEST_MARK and "inbound_nodes" in v:
            if not nested:
                waiting[mark, nodes] = str(v.get("name"))[:80]
            elif (mark, nodes) in waiting:
                raise UnsupportedLayerError(
                    f"{place}/{waiting[mark, nodes]}: it is shared with a nested model, and Keras 2 wrote its place "
                    "there over its place here; save the model as .keras, or keep that layer inside the nested model",
                    waiting[mark, nodes],
                )
        config = v.get("config")
        if isinstance(config, dict) and isinstance(config.get("layers"), list):
            stack.append((config["layers"], True))


#: HDF5 files and JSON count shared objects; ``.keras`` files name them by their address, and are as they should be
_LARGEST_MARK = 1 << 24


def _check_names(model: ModelSpec, place: str) -> None:
    seen: set[str] = set()
    for k, layer in enumerate(model.layers):
        if layer.name in seen:
            if model.functional:
                raise ConversionError(f"{place}: two layers are named {layer.name!r}")
            layer.name = f"{layer.name}_{k}"  # old Sequential configs may lack names
        seen.add(layer.name)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
