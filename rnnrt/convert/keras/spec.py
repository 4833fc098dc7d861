"""A Keras architecture in one dialect: what the rest of conversion works on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

__all__ = ["ALL", "Call", "LayerSpec", "ModelSpec", "TensorRef", "map_structure", "refs"]


#: TensorRef.tensor for all outputs of a call
ALL = -1


@dataclass(frozen=True)
class TensorRef:
    """Output ``tensor`` of call number ``call`` of a layer (calls count from 0 in every version).

    shape is what the file says about it (Keras 3), batch included, or None.
    """

    layer: str
    call: int
    tensor: int
    shape: tuple[int | None, ...] | None = None


@dataclass
class Call:
    """One call of a layer in a functional model; TensorRefs at the leaves of args and kwargs."""

    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)


@dataclass
class LayerSpec:
    """One layer as the file describes it, with Keras 3's words in ``config``.

    generation: 1, 2 or 3, the Keras whose semantics hold; version the whole version as numbers.
    inner: the layers that a wrapper holds, by attribute (``layer``, ``cell``).
    """

    class_name: str
    name: str
    config: dict[str, Any]
    generation: int
    version: tuple[int, ...] = ()
    trainable: bool = True
    calls: list[Call] = field(default_factory=list)
    inner: dict[str, LayerSpec] = field(default_factory=dict)
    module: str = ""
    registered_name: str = ""


@dataclass
class ModelSpec(LayerSpec):
    """A Sequential (inputs and outputs unused) or functional model.

    inputs and outputs: structures (lists, dicts) with TensorRefs at the leaves.
    """

    functional: bool = False
    layers: list[LayerSpec] = field(default_factory=list)
    inputs: Any = None
    outputs: Any = None


def map_structure(structure: Any, leaf: Callable[[TensorRef], Any]) -> Any:
    """The structure with each TensorRef replaced; literals stay."""
    if isinstance(structure, TensorRef):
        return leaf(structure)
    if isinstance(structure, (list, tuple)):
        return [map_structure(s, leaf) for s in structure]
    if isinstance(structure, dict):
        return {k: map_structure(s, leaf) for k, s in structure.items()}
    return structure


def refs(structure: Any) -> Iterator[TensorRef]:
    """The TensorRefs of a structure, in order."""
    if isinstance(structure, TensorRef):
        yield structure
    elif isinstance(structure, (list, tuple)):
        for s in structure:
            yield from refs(s)
    elif isinstance(structure, dict):
        for s in structure.values():
            yield from refs(s)
