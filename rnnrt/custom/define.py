"""A registered class made with a file's config: its signature, and its arithmetic on flat lists of arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import ConversionError, UnsupportedLayerError
from ..ir.graph import Node
from ..ir.ops.host import Signature, config_of, signature_of
from ..nested import nest
from .registry import CELL, LAYER, find

__all__ = ["Definition", "define", "definition_of"]

_KERAS_ONLY = ("name", "trainable", "dtype")


def _flat(structure: Any, value: Any, what: str) -> list[Any]:
    """The leaves of a value that has the structure; lists and tuples are the same."""
    if isinstance(structure, dict):
        if not isinstance(value, dict) or set(value) != set(structure):
            raise ValueError(f"{what}: expected a dict with the keys {sorted(structure)}, got {type(value).__name__}")
        return [x for k, v in structure.items() for x in _flat(v, value[k], what)]
    if isinstance(structure, list):
        if len(structure) == 1 and not isinstance(value, (list, tuple)):
            value = [value]
        if not isinstance(value, (list, tuple)) or len(value) != len(structure):
            got = len(value) if isinstance(value, (list, tuple)) else type(value).__name__
            raise ValueError(f"{what}: {len(structure)} values are expected, got {got}")
        return [x for s, v in zip(structure, value) for x in _flat(s, v, what)]
    return [value]


def _sizes(size: Any, what: str) -> tuple[Any, list[tuple[int, ...]], list[str]]:
    """(structure, shapes, names) of a state_size or output_size."""
    shapes: list[tuple[int, ...]] = []
    names: list[str] = []

    def walk(value: Any, name: str) -> Any:
        if isinstance(value, dict):
            return {str(k): walk(v, f"{name}_{k}" if name else str(k)) for k, v in value.items()}
        if isinstance(value, list):
            return [walk(v, f"{name}_{i}" if name else str(i)) for i, v in enumerate(value)]
        shape = (value,) if isinstance(value, (int, np.integer)) and not isinstance(value, bool) else value
        if not isinstance(shape, tuple) or not all(isinstance(d, (int, np.integer)) and d > 0 for d in shape):
            raise ValueError(f"{what}: a number, a tuple of numbers, or a list or dict of these, got {value!r:.80}")
        shapes.append(tuple(int(d) for d in shape))
        names.append(name)
        return len(shapes) - 1

    return walk(size, ""), shapes, names


class Definition:
    """One class made for one layer.

    Attributes
    ----------
    place : ``rnn (NestedCell)``, for messages.
    supports_masking : of a layer, whether the mask of its input goes on.
    """

    def __init__(self, kind: str, cls: type, class_name: str, config: dict[str, Any], place: str) -> None:
        self.kind = kind
        self.place = f"{place} ({class_name})"
        own = {k: v for k, v in config.items() if k not in _KERAS_ONLY}
        make: Callable = cls.from_config if hasattr(cls, "from_config") else lambda c: cls(**c)
        self._object = self._ask(lambda: make(own), f"cannot be made with the config {own!r:.120}")
        self.supports_masking = bool(getattr(self._object, "supports_masking", False))

    def _ask(self, question: Callable[[], Any], what: str) -> Any:
        try:
            return question()
        except Exception as e:  # whatever the user's class raises
            raise ConversionError(f"{self.place}: the registered class {what}: {type(e).__name__}: {e}") from e

    def signature(self, inputs: Any, shapes: Sequence[tuple[int | None, ...]]) -> Signature:
        """What the class says for inputs of that structure; shapes with the batch, of a cell without the time axis.

        Raises ConversionError with the place where it contradicts itself.
        """
        return self._ask(lambda: self._signature(inputs, shapes), "does not say what it needs")

    def _signature(self, inputs: Any, shapes: Sequence[tuple[int | None, ...]]) -> Signature:
        per_step = self.kind == LAYER and bool(getattr(self._object, "per_step", False))
        if per_step:  # what it says of a step holds for any number of them
            shapes = [(*s[:1], None, *s[2:]) if len(s) > 2 else s for s in shapes]
        given = nest(inputs, [tuple(s) for s in shapes])
        asked = self._object.weights(given) if hasattr(self._object, "weights") else {}
        weights = tuple((str(n), tuple(int(d) for d in np.atleast_1d(s))) for n, s in dict(asked or {}).items())
        if self.kind == LAYER:
            made = self._object.output_shape(given) if hasattr(self._object, "output_shape") else shapes[0]
            form, dims = _layer_outputs(made)
            return Signature(inputs, (), [], dims, form, weights, per_step)
        state_size = self._object.state_size
        states_in, states, names = _sizes(state_size, "state_size")
        if not isinstance(states_in, (list, dict)):
            states_in = [states_in]
        output_size = getattr(self._object, "output_size", None)
        outputs_in, outputs, _ = _sizes(states[0] if output_size is None else output_size, "output_size")
        labels = tuple((f"state_{n}" if n[:1].isdigit() else n or "state", s) for n, s in zip(names, states))
        return Signature(inputs, labels, states_in, tuple(outputs), outputs_in, weights)

    def state_shapes(self) -> list[tuple[int, ...]]:
        """Of a cell: the shapes of its states, which do not depend on its inputs."""
        return self._ask(lambda: _sizes(self._object.state_size, "state_size")[1], "does not say its state_size")

    def step(
        self, s: Signature, inputs: list[np.ndarray], states: list[np.ndarray], weights: dict[str, np.ndarray]
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """One step of a cell on flat lists: (outputs, new states), shapes checked; raises what the cell raises."""
        made = self._object.step(nest(s.inputs, inputs), nest(s.states_in, states), weights)
        if not isinstance(made, tuple) or len(made) != 2:
            raise ValueError("step() must return (output, new_states)")
        outputs, new = _flat(s.outputs_in, made[0], "output"), _flat(s.states_in, made[1], "new_states")
        batch = len(inputs[0])
        for what, values, shapes in (("output", outputs, s.outputs), ("state", new, [d for _, d in s.states])):
            for k, (v, shape) in enumerate(zip(values, shapes)):
                if np.shape(v) != (batch, *shape):
                    raise ValueError(f"{what} {k}: expected {(batch, *shape)}, got {np.shape(v)}")
        return outputs, new

    def call(self, s: Signature, inputs: list[np.ndarray], weights: dict[str, np.ndarray]) -> list[np.ndarray]:
        """A layer on a flat list of arrays; raises what the layer raises."""
        return _flat(s.outputs_in, self._object.call(nest(s.inputs, inputs), weights), "output")


def _layer_outputs(made: Any) -> tuple[Any, tuple]:
    """(structure, shapes without the batch) of what output_shape() gives: a tuple, or a list or dict of tuples."""
    shapes: list[tuple] = []

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            return {str(k): walk(v) for k, v in value.items()}
        if isinstance(value, list):
            return [walk(v) for v in value]
        if not isinstance(value, tuple) or not value:
            raise ValueError(f"output_shape: a tuple (None, ...) is expected, got {value!r:.80}")
        shapes.append(tuple(None if d is None else int(d) for d in value[1:]))
        return len(shapes) - 1

    form = walk(made)
    return form, tuple(shapes)


def define(kind: str, class_name: str, config: dict[str, Any], place: str, *names: str) -> Definition | None:
    """The registered class for a name, made with a config; None where none is registered."""
    cls = find(kind, class_name, *names)
    return None if cls is None else Definition(kind, cls, class_name, config, place)


def definition_of(
    node: Node, attrs: dict[str, Any], input_shapes: Sequence[tuple[int | None, ...]] | None = None
) -> Definition:
    """The class of a ``host_*`` node; where the input shapes are given, checked against what the file says of it.

    Raises UnsupportedLayerError where it is not registered, ConversionError where it is another one.
    """
    kind, name = (CELL if node.op == "host_cell" else LAYER), attrs["class_name"]
    found = define(kind, name, config_of(attrs), node.name)
    if found is None:
        raise UnsupportedLayerError(
            f"{node.name} ({name}): a {kind} of your own, whose class is not registered (a file holds no code); "
            f"call rnnrt.register_{kind}({name!r}, cls) before, or pass custom_objects={{{name!r}: cls}}",
            node.name,
        )
    if input_shapes is None:
        return found
    filed = signature_of(attrs)
    said = found.signature(filed.inputs, input_shapes)
    for what in ("weights", "states", "outputs", "states_in", "outputs_in", "per_step"):
        if getattr(said, what) != getattr(filed, what):
            raise ConversionError(
                f"{found.place}: the registered class has the {what} {_text(getattr(said, what))}, the file "
                f"{_text(getattr(filed, what))}; register the class that the model was converted with"
            )
    return found


def _text(value: Any) -> str:
    return str(dict(value) if isinstance(value, tuple) and value and isinstance(value[0][0], str) else value)[:200]
