"""Masks as Keras 3 finds them on tensors while it runs a model.

Most layers are given their mask by their node. Attention layers, Multiply, Maximum and Minimum read it from the tensors
instead; layers that take no mask hand on what they find there; and MultiHeadAttention deletes the masks of the tensors
that it is called on. So a mask that the graph knows may be gone when a layer looks for it. It is where the layer
depends on that MultiHeadAttention (as the second block of a transformer does), it is not where that depends on the
layer; between others only the order in which Keras runs them would tell, and they are refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...ir.graph import Graph
from .call import LayerCall, Value

if TYPE_CHECKING:
    from .graph import GraphBuilder

__all__ = ["WornMasks", "worn"]

_OF_QUERY = ("Attention", "AdditiveAttention", "MultiHeadAttention")  # the mask that they hand on
_GIVEN = ("BatchNormalization", "Softmax")  # their nodes give them the mask, and they hand it on
_JOINED = ("Add", "Subtract", "Average", "Multiply", "Maximum", "Minimum", "Concatenate")


@dataclass
class _Reader:
    """A layer that has found a mask on a tensor; its outputs, once they are made. link: it only hands the mask on."""

    path: str
    outputs: tuple[str, ...] = ()
    link: bool = False


@dataclass
class WornMasks:
    """What the walk has seen of them.

    takers: the calls that delete a tensor's mask, as (bit, path). behind: those that a tensor depends on, as bits,
    filled as nodes are added. readers: who has found a tensor's mask. born: False for a tensor that is made without
    the mask that the graph knows, a path where that depends on when this layer runs. reading, taking: what the layer
    that is being built has read, and its bit, by path.
    """

    takers: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    behind: dict[str, int] = field(default_factory=dict)
    readers: dict[str, list[_Reader]] = field(default_factory=dict)
    born: dict[str, bool | str] = field(default_factory=dict)
    reading: dict[str, list[_Reader]] = field(default_factory=dict)
    taking: dict[str, int] = field(default_factory=dict)
    count: int = 0

    def behind_of(self, tensors: Iterable[str | None]) -> int:
        """The takers that a layer on these tensors depends on."""
        bits = 0
        for t in tensors if self.behind else ():
            bits |= self.behind.get(t or "", 0)
        return bits

    def look(self, tensor: str, behind: int, own: int = 0) -> bool | str:
        """Whether a layer finds the mask of a tensor; a path: that depends on when this layer runs. own: its bit."""
        found = self.born.get(tensor, True)
        for bit, taker in self.takers.get(tensor, ()):
            if bit == own:
                continue
            if bit & behind:
                return False
            found = found and taker
        return found

    def read(self, c: LayerCall, tensor: str) -> bool | str:
        """:meth:`look`, of a layer whose numbers depend on it."""
        found = self.look(tensor, self.behind_of(v.tensor for v in c.inputs))
        if found is True:
            reader = _Reader(c.path)
            self.readers.setdefault(tensor, []).append(reader)
            self.reading.setdefault(c.path, []).append(reader)
        return found

    def take(self, c: LayerCall, values: Sequence[Value]) -> str:
        """Delete the masks of the tensors of a call; gives the path of a reader that may run before it or behind it."""
        masked = {v.tensor for v in values if v.tensor is not None and v.mask is not None}
        if not masked:
            return ""
        bit = self.taking[c.path] = 1 << self.count
        self.count += 1
        own = self.reading.get(c.path, [])
        before: frozenset[str] | None = None
        for tensor in sorted(masked):
            self.takers.setdefault(tensor, []).append((bit, c.path))
            unordered = [r for r in self.readers.get(tensor, ()) if all(r is not o for o in own)]
            if unordered and before is None:
                before = _ancestors(c.builder, [v.tensor for v in values if v.tensor is not None])
            unordered = [r for r in unordered if not (before or frozenset()).intersection(r.outputs)]
            while unordered:
                reader = unordered.pop()
                if not reader.link:
                    return reader.path
                for made in reader.outputs:
                    if self.born.get(made, True) is True:
                        self.born[made] = c.path
                        unordered += self.readers.get(made, ())
        return ""

    def made(self, c: LayerCall, outputs: Sequence[Value], passes: bool) -> None:
        """Note a layer's outputs: which takers they depend on, and whether they are made with their masks."""
        own = tuple(v.tensor for v in outputs if v.tensor is not None)
        for reader in self.reading.pop(c.path, ()):
            reader.outputs = own
        bit = self.taking.pop(c.path, 0)
        for tensor in own if bit else ():
            self.behind[tensor] = self.behind.get(tensor, 0) | bit
        name = c.spec.class_name
        if name in _GIVEN or not (passes or name in _JOINED or name in _OF_QUERY):
            return
        given = c.inputs if name in _JOINED else c.inputs[:1]
        masked = {v.tensor for v in given if v.tensor is not None and v.mask is not None}
        behind = self.behind_of(v.tensor for v in c.inputs)
        found = [self.look(t, behind, bit) for t in sorted(masked)]
        doubt = next((f for f in found if isinstance(f, str)), None)
        if name == "Concatenate" and len({bool(f) for f in found}) > 1:  # ones in the place of those that are gone
            doubt = doubt or c.path
        elif False in found:
            doubt = None
        for v in outputs:
            if v.mask is None or v.tensor is None or v.tensor in masked:
                continue
            if doubt or False in found:
                self.born[v.tensor] = doubt or False
            else:
                for t in masked:
                    self.readers.setdefault(t, []).append(_Reader(c.path, (v.tensor,), True))


def worn(c: LayerCall, values: Sequence[Value], takes: bool = False) -> list[Value]:
    """The values, without the masks that Keras 3 does not find on them any more.

    takes: it deletes them, as MultiHeadAttention does. Raises UnsupportedLayerError where only Keras's order would
    tell.
    """
    if c.spec.generation <= 2:
        return list(values)
    out, other = [], ""
    for v in values:
        found = v.mask is None or v.tensor is None or c.builder.worn.read(c, v.tensor)
        other = found if isinstance(found, str) else other
        out.append(v if found else Value(v.tensor, None, v.dtype))
    other = other or (c.builder.worn.take(c, values) if takes else "")
    if other:
        raise _refused(c, other)
    return out


def _refused(c: LayerCall, other: str) -> Exception:
    return c.refuse(
        f"{other} and it use the mask of one tensor, which Keras 3's MultiHeadAttention deletes from it: "
        "what the other finds depends on which of them Keras runs first",
        "give one of them the tensor without its mask, as x + 0.0 has none",
    )


def _ancestors(builder: GraphBuilder, tensors: Sequence[str]) -> frozenset[str]:
    """The tensors, and all that they are made of."""
    makers = {t: node for node in builder.nodes for t in node.outputs}
    found, todo = set(tensors), list(tensors)
    while todo:
        node = makers.get(todo.pop())
        for t in Graph.reads(node) if node else ():
            if t not in found:
                found.add(t)
                todo.append(t)
    return frozenset(found)
