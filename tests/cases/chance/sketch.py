"""A random model while it is drawn: its tensors with their shapes, its layers, and the dice."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..case import KERAS2, Input, Layer
from ..recurrent import ACTIVATIONS

__all__ = ["PIECES", "Piece", "Sketch", "Tensor", "piece"]

T = TypeVar("T")
Shape = tuple["int | None", ...]


@dataclass(frozen=True)
class Tensor:
    """A tensor of the model. shape: without its batch, None where free. real: the lengths that it will have."""

    name: str
    shape: Shape
    real: tuple[int, ...]

    @property
    def static(self) -> bool:
        """Whether the graph knows all of its lengths."""
        return None not in self.shape


@dataclass(frozen=True)
class Piece:
    """One way to go on from a tensor; draw gives the new tensors, or nothing where it does not fit."""

    name: str
    family: str
    ranks: tuple[int, ...]
    draw: Callable[[Sketch, Tensor], list[Tensor] | None]
    weight: float


PIECES: dict[str, Piece] = {}


def piece(family: str, *ranks: int, weight: float = 1.0) -> Callable:
    """Register the decorated function: from tensors of these ranks (without the batch) to the tensors it makes."""

    def add(draw: Callable[[Sketch, Tensor], list[Tensor] | None]) -> Callable:
        name = draw.__name__
        assert name not in PIECES, name
        PIECES[name] = Piece(name, family, ranks, draw, weight)
        return draw

    return add


@dataclass
class Sketch:
    """What is drawn so far.

    version, steps, free (whether lengths stay open), stateful and policy hold for the whole model. label is the
    prefix of names; outer the sketch that this model will be nested in.
    """

    r: random.Random
    version: str
    steps: int
    free: bool
    batch: int
    stateful: bool = False
    policy: str = ""
    label: str = ""
    outer: Sketch | None = None
    inputs: list[Input] = field(default_factory=list)
    layers: list[Layer] = field(default_factory=list)
    tensors: list[Tensor] = field(default_factory=list)
    made: dict[str, tuple[tuple[Tensor, ...], list[Tensor]]] = field(default_factory=dict)
    count: int = 0

    # ---- dice

    def pick(self, *options: T) -> T:
        """One of them."""
        return options[self.r.randrange(len(options))]

    def maybe(self, chance: float) -> bool:
        """True with that chance."""
        return self.r.random() < chance

    @property
    def keras2(self) -> bool:
        """Whether the model is for Keras 2."""
        return self.version == KERAS2

    def size(self) -> int:
        """A number of units, on both sides of the widths of vectors; mostly small."""
        return self.pick(1, 2, 3, 4, 4, 5, 7, 8, 16, 17, 33) if self.maybe(0.5) else self.pick(2, 3, 4)

    def function(self) -> str | None:
        """The name of an activation of this version."""
        if self.maybe(0.4):
            return self.pick("tanh", "relu", "sigmoid", "linear", "softmax", None)
        names = [n for group, versions in ACTIVATIONS.values() if self.version in versions for n in group]
        return self.pick(*names)

    # ---- names, tensors, layers

    def name(self, stem: str) -> str:
        """A name of its own; their alphabetical order says nothing."""
        self.count += 1
        return f"{self.label}{self.pick(*'kqbxtn')}_{stem}_{self.count}"

    def input(self, shape: Shape, real: tuple[int, ...], **options: Any) -> Tensor:
        """A new model input."""
        name = self.name("in")
        self.inputs.append(Input(shape, name=name, **options))
        tensor = Tensor(name, shape, real)
        self.tensors.append(tensor)
        return tensor

    def add(
        self,
        class_name: str,
        config: dict[str, Any],
        inputs: Sequence[Tensor],
        *outputs: tuple[Shape, tuple[int, ...]],
        given: dict[str, Any] | None = None,
        call: dict[str, Any] | None = None,
    ) -> list[Tensor]:
        """A layer on those tensors; outputs are (shape, real) of each."""
        name = self.name(class_name.lower())
        self.layers.append(Layer(class_name, config, tuple(t.name for t in inputs), name, given or {}, call or {}))
        out = [Tensor(f"{name}:{k}" if k else name, *o) for k, o in enumerate(outputs)]
        if not given and not call:
            self.made[name] = (tuple(inputs), out)
        self.tensors += out
        return out

    def same(self, class_name: str, config: dict[str, Any], x: Tensor) -> list[Tensor]:
        """A layer that keeps the shape."""
        return self.add(class_name, config, [x], (x.shape, x.real))

    def last_axis(self, class_name: str, config: dict[str, Any], x: Tensor, n: int) -> list[Tensor]:
        """A layer that changes the last axis."""
        return self.add(class_name, config, [x], ((*x.shape[:-1], n), (*x.real[:-1], n)))

    def dense(self, x: Tensor, n: int) -> Tensor:
        """A Dense to n features."""
        return self.last_axis("Dense", {"units": n}, x, n)[0]

    # ---- nesting

    def inner(self, *likes: Tensor) -> Sketch:
        """The sketch of a model inside this one, whose inputs are as these tensors."""
        label = f"{self.label}{self.pick(*'agz')}{len(self.layers)}"
        sub = Sketch(self.r, self.version, self.steps, self.free, self.batch, False, self.policy, label, self)
        for t in likes:
            sub.input(t.shape, t.real)
        return sub

    def others(self, fits: Callable[[Tensor], bool]) -> list[Tensor]:
        """The tensors so far for which that holds."""
        return [t for t in self.tensors if fits(t)]

    # ---- walking

    def grow(self, pieces: Sequence[Piece], x: Tensor | None = None) -> list[Tensor] | None:
        """One more piece, on ``x`` or a recent tensor; None where no try fitted."""
        for _ in range(8):
            here = x or self.tensors[-1 - min(int(self.r.expovariate(0.7)), len(self.tensors) - 1)]
            fitting = [p for p in pieces if len(here.shape) in p.ranks]
            if not fitting:
                continue
            p = self.r.choices(fitting, [p.weight for p in fitting])[0]
            made = p.draw(self, here)
            if made:
                return made
        return None
