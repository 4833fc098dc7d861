"""Which class stands for a name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from ..errors import ConversionError

__all__ = ["CELL", "LAYER", "find", "given", "register_cell", "register_layer"]

CELL, LAYER = "cell", "layer"
_METHOD = {CELL: "step", LAYER: "call"}

_registered: dict[tuple[str, str], type] = {}
_given: ContextVar[Mapping[str, Any]] = ContextVar("rnnrt_custom_objects", default={})  # noqa: B039  (never written)


def _check(kind: str, name: Any, cls: Any) -> None:
    if not isinstance(name, str) or not name:
        raise ConversionError(f"register_{kind}: the name of a class is expected, got {name!r:.60}")
    if not isinstance(cls, type) or not callable(getattr(cls, _METHOD[kind], None)):
        arguments = "(inputs, states, weights)" if kind == CELL else "(inputs, weights)"
        raise ConversionError(
            f"register_{kind}({name!r}): a class with a method {_METHOD[kind]}{arguments} is expected, got {cls!r:.60}"
        )


def register_cell(name: str, cls: type) -> None:
    """Let ``cls`` compute the cells that files call ``name``; a later registration replaces an earlier one.

    See :mod:`rnnrt.custom` for what the class states. Raises ConversionError where it has no ``step``.
    """
    _check(CELL, name, cls)
    _registered[CELL, name] = cls


def register_layer(name: str, cls: type) -> None:
    """Let ``cls`` compute the layers that files call ``name``; see :mod:`rnnrt.custom`."""
    _check(LAYER, name, cls)
    _registered[LAYER, name] = cls


@contextmanager
def given(custom_objects: Mapping[str, Any] | None) -> Iterator[None]:
    """For the time of a call, classes by name that go before the registered ones.

    What is neither a cell nor a layer (a loss, a metric, Keras's own class) is passed over: callers hand over the dict
    that they gave to Keras.
    """
    for name in custom_objects or {}:
        if not isinstance(name, str):
            raise ConversionError(f"custom_objects: names are expected as keys, got {name!r:.60}")
    token = _given.set(custom_objects if custom_objects is not None else _given.get())
    try:
        yield
    finally:
        _given.reset(token)


def find(kind: str, *names: str) -> type | None:
    """The class for the first of the names that is known; ``Package>Name`` also answers to ``Name``."""
    for name in dict.fromkeys(n for full in names for n in (full, full.rpartition(">")[2]) if n):
        cls = _given.get().get(name)
        if isinstance(cls, type) and callable(getattr(cls, _METHOD[kind], None)):
            return cls
        if (kind, name) in _registered:
            return _registered[kind, name]
    return None
