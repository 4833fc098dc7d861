"""The one table of the layer classes that conversion knows; the coverage table is made from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..call import LayerCall, Value

__all__ = ["REFUSED", "REGISTRY", "Entry", "layer", "refuse"]

Builder = Callable[["LayerCall"], "list[Value]"]


@dataclass(frozen=True)
class Entry:
    """A layer class that converts.

    build: makes the ops of one call and gives the flat list of its outputs.
    options: the config keys that it reads; others must be harmless or the layer is refused.
    mask: what becomes of the mask of its first input: ``pass`` | ``pass_keras3`` (Keras 1 and 2 drop it) |
    ``stop`` | ``own`` (build decides).
    weighted: whether it may hold weights. per_step: the same code works on (batch, time, ...), so that
    TimeDistributed is the layer itself. takes_states: it can be called with initial_state. random: it does
    something else when called with ``training=True``. arguments: names of the tensors that it is called with, where
    these are several arguments; they are in the call's kwargs then. calls: other keywords of a call that it reads.
    """

    class_name: str
    build: Builder
    family: str
    options: frozenset[str] = frozenset()
    mask: str = "pass"
    weighted: bool = False
    per_step: bool = False
    takes_states: bool = False
    random: bool = False
    arguments: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()
    note: str = ""


REGISTRY: dict[str, Entry] = {}
#: known classes that do not convert: class -> (why, what to do instead)
REFUSED: dict[str, tuple[str, str]] = {}


def layer(*class_names: str, options: tuple[str, ...] = (), **facts: Any) -> Callable[[Builder], Builder]:
    """Register the decorated builder for these classes; facts are Entry's other fields."""

    def add(build: Builder) -> Builder:
        family = build.__module__.rsplit(".", 1)[-1]
        for name in class_names:
            assert name not in REGISTRY and name not in REFUSED, name
            REGISTRY[name] = Entry(name, build, family, frozenset(options), **facts)
        return build

    return add


def refuse(why: str, remedy: str, *class_names: str) -> None:
    """Register classes that are refused by name with a reason and a remedy."""
    for name in class_names:
        assert name not in REGISTRY and name not in REFUSED, name
        REFUSED[name] = (why, remedy)
