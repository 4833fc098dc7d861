"""What a case is: a model as plain data, with its inputs, its weights and its tolerance.

Nothing here knows Keras or rnnrt. The same table is drawn from by the goldens (built in both
Kerases), by the parity suite, by the reference's own tests and by the tests of sessions and kernels.
All numbers come from ``numpy.random.RandomState``, whose streams are frozen.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

KERAS3, KERAS2 = "keras3", "keras2"
BOTH = (KERAS3, KERAS2)

# File layouts that a case is saved in. Keras 3 writes no WEIGHTS.
H5 = "h5"  # whole model, HDF5
ZIP = "keras"  # the .keras zip
WEIGHTS = "weights"  # weights only, groups by layer name (Keras 2 save_weights("x.h5")), + JSON
WEIGHTS_H5 = "weights_h5"  # weights only, *.weights.h5, + JSON


#: for :attr:`Case.double`: gelu's square root of 2 is a float32 in float64 too, rounded otherwise in each TensorFlow
ROUNDED_GELU = 5e-8


#: steps that are padding, row by row in turn: left, right, middle, alternating, none, all; by fifths of the length
PADDED = ("11000", "00011", "01100", "10101", "00000", "11111")


def padded(shape: tuple[int, ...], patterns: tuple[str, ...] = PADDED) -> np.ndarray:
    """The padding of an array (batch, steps, ...): bool (batch, steps)."""
    rows, steps = shape[:2]
    by_row = [patterns[r % len(patterns)] for r in range(rows)]
    return np.array([[p[len(p) * t // steps] == "1" for t in range(steps)] for p in by_row])


@dataclass(frozen=True)
class Tolerance:
    """error <= max(relative * max(1, |ref|), keras_errors * Keras's own float32 error on the case)."""

    relative: float = 1e-5
    keras_errors: float = 20.0
    reason: str = "the one exactness rule of the project"

    def bound(self, ref: np.ndarray, keras_error: float) -> np.ndarray:
        """The largest error allowed at each value."""
        return np.maximum(self.relative * np.maximum(1.0, np.abs(ref)), self.keras_errors * keras_error)


@dataclass(frozen=True)
class Layer:
    """A layer: Keras's class name and arguments.

    An argument may be a Layer itself (the cell of an RNN, the layer of a wrapper). inputs names what
    a functional model's layer is called on: a layer, an input, or ``name:k`` for output k of a layer. given:
    further arguments of the call (``initial_state``), lists of such tensors, or one (``mask``). call: arguments of
    the call that are no tensors. A ``Shared`` layer is one object wherever its inner layer's name occurs, in nested
    models too.
    """

    class_name: str
    config: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    name: str = ""
    given: Mapping[str, tuple[str, ...] | str] = field(default_factory=dict)
    call: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Input:
    """A model input without its batch: a shape with None where free; ids are below ``ids``.

    padding: the value (all features of a step) at the steps that ``padded`` marks, row by row in turn; a pattern is
    stretched over the length.
    """

    shape: tuple[int | None, ...]
    ids: int = 0
    dtype: str = "float32"
    name: str = ""
    padding: float | None = None
    padded: tuple[str, ...] = PADDED


@dataclass(frozen=True)
class Case:
    """One model and one run of it.

    Attributes
    ----------
    outputs
        () for a Sequential model; else the tensors that a functional one gives (a str: a single
        tensor rather than a list of one, which is another structure in the file).
    input_form, output_form
        How a functional model takes its inputs and gives its outputs: "" for a tensor or a list of them, ``dict`` by
        name, ``nested`` for ``[first, {"rest": [...]}]``, ``list`` for a list of one too.
    steps
        Length of the inputs' free axes.
    chunks
        Lengths of the calls that a stateful model is run in; () for one call.
    start
        How a Sequential model learns its input: an ``Input``, or the first layer's own arguments
        (``first_layer``), or only when it is built (``deferred``): three forms in the files.
    absent
        Keys that the saved configs are stripped of, since older Kerases did not write them.
    scale
        Of the matrices: 1 is Keras's default scale, sqrt(1 / fan_in).
    policy
        The dtype policy that every layer is made under; a layer's own ``dtype`` goes before it.
    gives
        The dtype of Keras's outputs.
    rounded
        Draw large arrays on a grid of 1/256, so that the files stay small.
    double
        How near the float64 reference comes to Keras in float64, relative to max(1, |ref|). More where
        Keras itself keeps a constant in float32 (:data:`ROUNDED_GELU`).
    """

    name: str
    layers: tuple[Layer, ...]
    inputs: tuple[Input, ...]
    outputs: tuple[str, ...] | str = ()
    versions: tuple[str, ...] = BOTH
    input_form: str = ""
    output_form: str = ""
    batch: int = 2
    steps: int = 5
    chunks: tuple[int, ...] = ()
    layout: str = ""
    start: str = "input"
    absent: tuple[str, ...] = ()
    scale: float = 1.0
    policy: str = ""
    gives: str = "float32"
    rounded: bool = True
    tolerance: Tolerance = Tolerance()
    double: float = 1e-11

    @property
    def family(self) -> str:
        """The file of the table, and of the goldens, that the case is in."""
        return self.name.split("/")[0]

    @property
    def seed(self) -> int:
        """The same in every run and version."""
        return zlib.crc32(self.name.encode())

    def layout_for(self, version: str) -> str:
        """The file layout: the case's own, or one by turns."""
        if self.layout:
            return self.layout
        turn = (self.seed + (version == KERAS2)) % 8
        by_turns = [H5, ZIP, H5, ZIP, H5, ZIP, WEIGHTS_H5, WEIGHTS if version == KERAS2 else H5]
        return by_turns[turn]

    def draw_inputs(self) -> list[np.ndarray]:
        """One array per input, batch first: N(0, 1) or ids."""
        random = np.random.RandomState(self.seed)
        arrays = []
        for i in self.inputs:
            shape = (self.batch, *(sum(self.chunks) or self.steps if d is None else d for d in i.shape))
            if i.ids or i.dtype == "bool":
                values = random.randint(0, i.ids or 3, shape)
            else:
                values = random.standard_normal(shape)
            if i.padding is not None:
                values[padded(shape, i.padded)] = i.padding
            arrays.append(values.astype(i.dtype))
        return arrays

    def pieces(self) -> list[list[np.ndarray]]:
        """The inputs of each call: one, or the chunks of a stateful model."""
        arrays = self.draw_inputs()
        ends = np.cumsum(self.chunks)
        return [[x[:, e - n : e] for x in arrays] for n, e in zip(self.chunks, ends)] or [arrays]

    def weight(self, layer: str, role: str, shape: tuple[int, ...]) -> np.ndarray:
        """The values of a weight (float32): of the same numbers in both Kerases, none of them trivial."""
        random = np.random.RandomState(zlib.crc32(f"{self.name}|{layer}|{role}".encode()))
        if role == "count":
            return np.full(shape, 7, "float32")
        if role in ("moving_variance", "variance"):
            return random.uniform(0.3, 2.0, shape).astype("float32")
        values = random.standard_normal(shape)
        if role == "gamma":
            values = 1 + 0.3 * values
        elif role in ("kernel", "recurrent_kernel"):
            values *= self.scale / np.sqrt(shape[0])
        elif role == "moving_mean":
            values *= 0.5
        elif role != "embeddings":
            values *= 0.3
        if self.rounded and values.size > 256:
            values = np.round(values * 256) / 256
        return values.astype("float32")


def form(values: list[Any], names: list[str], kind: str) -> Any:
    """Inputs or outputs in one of the forms of :attr:`Case.input_form`."""
    if kind == "dict":
        return dict(zip(names, values))
    if kind == "nested":
        return [values[0], {"rest": list(values[1:])}]
    return values[0] if len(values) == 1 and kind != "list" else list(values)


def leaves(value: Any) -> list[Any]:
    """The arrays of such a structure, those of a dict by the order of its keys."""
    if isinstance(value, dict):
        return [v for k in sorted(value) for v in leaves(value[k])]
    if isinstance(value, (list, tuple)):
        return [v for x in value for v in leaves(x)]
    return [value]


def sequential(name: str, layers: list[Layer], *inputs: Input, **options: Any) -> Case:
    """A Sequential model."""
    return Case(name, tuple(layers), inputs, **options)


def functional(name: str, layers: list[Layer], outputs: list[str] | str, *inputs: Input, **options: Any) -> Case:
    """A functional model."""
    return Case(name, tuple(layers), inputs, outputs if isinstance(outputs, str) else tuple(outputs), **options)
