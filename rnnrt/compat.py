"""The object that Keras code expects: one import line changes, the calls that services make stay.

    from rnnrt.compat import load_model       # was: from keras.models import load_model
    model = load_model("model.h5")
    y = model.predict(x, batch_size=32, verbose=0)

A model saved with ``stateful=True`` carries its state over ``predict`` and calls here, as in Keras; code written for
rnnrt uses :func:`rnnrt.load`, whose models are pure and whose sessions hold the state.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

import rnnrt

from .errors import ShapeError, StateError
from .nested import leaves
from .summary import SummaryRow, size_text, summary_table

__all__ = ["Layer", "Model", "load_model"]

_BATCH = 32  # Keras's default
_AT_ONCE = 1024  # rows of a run where nobody says; the bits do not depend on it
_NOT_TRAINABLE = ("moving_mean", "moving_variance", "mean", "variance", "count")


class Result(np.ndarray):
    """What calling a model gives: an array that also has ``.numpy()``, as a tensor does."""

    def numpy(self) -> np.ndarray:
        """The plain array."""
        return self.view(np.ndarray)


def _map(value: Any, leaf: Callable[[Any], Any]) -> Any:
    if isinstance(value, Mapping):
        return {k: _map(v, leaf) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_map(v, leaf) for v in value]
    return leaf(value)


def _join(parts: list[Any]) -> Any:
    """The outputs of several batches, put end to end, in their structure."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    if isinstance(first, dict):
        return {k: _join([p[k] for p in parts]) for k in first}
    if isinstance(first, list):
        return [_join([p[k] for p in parts]) for k in range(len(first))]
    return np.concatenate(parts)


class Layer:
    """A layer by name: its arrays in Keras's order and orientation, its shapes, its state.

    Attributes
    ----------
    name, class_name : as in the file.
    stateful : whether it, or a layer inside it, was saved ``stateful=True``.
    """

    def __init__(self, model: Model, name: str, class_name: str, shapes: Sequence[tuple]) -> None:
        self._model = model
        self.name = name
        self.class_name = class_name
        self._shapes = [tuple(s) for s in shapes]

    def _inside(self, path: str) -> bool:
        return path == self.name or path.startswith(f"{self.name}/")

    def _weight_names(self) -> list[str]:
        graph = self._model.runtime.graph
        mine = [w for w in graph.weights if self._inside(w.rpartition(".")[0])]
        if self._model.keras_generation <= 2:  # trainable first, over all inner layers
            mine.sort(key=lambda w: w.rpartition(".")[2] in _NOT_TRAINABLE)
        return mine

    def get_weights(self) -> list[np.ndarray]:
        """Copies of the arrays, in the order and orientation of Keras's ``get_weights``."""
        kinds = {n.name: n.layer_class for n in self._model.runtime.graph.nodes}
        arrays = self._model.runtime.file.weights
        return [_in_keras(np.array(arrays[w]), w, kinds.get(w.rpartition(".")[0], "")) for w in self._weight_names()]

    def count_params(self) -> int:
        """The number of weights."""
        return sum(math.prod(self._model.runtime.graph.weights[w].shape) for w in self._weight_names())

    @property
    def output_shape(self) -> Any:
        """The batch first; a list where the layer has several outputs."""
        return self._shapes[0] if len(self._shapes) == 1 else list(self._shapes)

    @property
    def stateful(self) -> bool:
        """Whether ``predict`` carries its state."""
        return any(n.attrs.get("stateful") for n in self._model.runtime.graph.nodes if self._inside(n.name))

    @property
    def states(self) -> list[np.ndarray]:
        """The states that it carries, in Keras's order; empty before the first call."""
        session = self._model._session
        if session is None or not self.stateful:
            return []
        keras = {s.name for s in self._model.runtime.plan.state_info if s.keras}
        return [a for n, a in session.get_state().items() if n in keras and self._inside(n.rpartition("/")[0])]

    def reset_states(self, states: Any = None) -> None:
        """Its state back to zero, or to the arrays given (one, or a list in Keras's order)."""
        session = self._model._session
        given = None if states is None else leaves(states)
        if session is None:
            if given is None:
                return
            session = self._model._open_session(len(given[0]))
        state = session.get_state()
        keras = {s.name for s in self._model.runtime.plan.state_info if s.keras}
        mine = [n for n in state if self._inside(n.rpartition("/")[0])]
        if given is not None and len(given) != sum(n in keras for n in mine):
            raise StateError(f"{self.name}: {sum(n in keras for n in mine)} states expected, got {len(given)}")
        values = iter(given or ())
        for n in mine:
            state[n] = np.asarray(next(values)) if n in keras and given is not None else np.zeros_like(state[n])
        session.set_state(state)

    reset_state = reset_states

    def __repr__(self) -> str:
        return f"<{self.class_name} name={self.name}>"


def _in_keras(a: np.ndarray, name: str, class_name: str) -> np.ndarray:
    """An array in Keras's orientation; ValueError for a kernel that is kept in another form."""
    if not name.endswith(".kernel") or class_name not in ("Conv3D", "Conv1DTranspose", "Conv2DTranspose"):
        return a
    if class_name == "Conv3D":
        raise ValueError(f"{name}: the kernel of a Conv3D is not kept as Keras has it; read it from the Keras file")
    return np.ascontiguousarray(np.flip(a, tuple(range(a.ndim - 2))).swapaxes(-1, -2))


def _layer(model: Model, name: str, class_name: str, shapes: Sequence[tuple]) -> Layer:
    """A layer whose Python class has Keras's name, since code asks for ``layer.__class__.__name__``."""
    kind = type(class_name, (Layer,), {"__doc__": Layer.__doc__, "__module__": Layer.__module__})
    return kind(model, name, class_name, shapes)


class Model:
    """A Keras model, as far as those who only predict need it; made by :func:`load_model`.

    Attributes
    ----------
    runtime : the :class:`rnnrt.Model` underneath.
    name : the model's name.
    """

    def __init__(self, runtime: rnnrt.Model) -> None:
        self.runtime = runtime
        self.name = runtime.graph.name
        self._session: Any = None
        face = getattr(runtime.file, "face", None)
        self._batch = face.batch_size if face is not None else None
        if face is not None:
            self._layers = [_layer(self, x.name, x.class_name, x.shapes) for x in face.layers]
        else:  # a .rnnrt file keeps the layers that compute
            self._layers = self._layers_of_graph()

    def _layers_of_graph(self) -> list[Layer]:
        graph = self.runtime.graph
        made: dict[str, tuple[str, tuple[str, ...]]] = {i.name: ("InputLayer", (i.tensor,)) for i in graph.inputs}
        for n in graph.nodes:
            top, _, below = n.name.partition("/")
            made[top] = (made[top][0] if below and top in made else "Functional" if below else n.layer_class, n.outputs)
        shapes = {k: [tuple(d if isinstance(d, int) else None for d in s.shape)] for k, s in graph.tensors.items()}
        return [_layer(self, k, c, [s for t in ts for s in shapes[t]]) for k, (c, ts) in made.items()]

    # ---- what it is -------------------------------------------------------------------------

    @property
    def keras_generation(self) -> int:
        """1, 2 or 3: the Keras that saved the file; 3 where the file does not say."""
        version = self.runtime.file.producer.rpartition("Keras ")[2]
        return int(version[0]) if version[:1] in ("0", "1", "2", "3") else 3

    @property
    def layers(self) -> list[Layer]:
        """The layers in the model's order."""
        return list(self._layers)

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """A layer by name or index; ValueError as in Keras where there is none."""
        if (name is None) == (index is None):
            raise ValueError("give either the name or the index of a layer")
        if index is not None:
            if not -len(self._layers) <= index < len(self._layers):
                raise ValueError(f"layer {index} was asked for, the model has {len(self._layers)} layers")
            return self._layers[index]
        for layer in self._layers:
            if layer.name == name:
                return layer
        raise ValueError(f"No such layer: {name}. Existing layers are: {[x.name for x in self._layers]}.")

    def _shape(self, shape: tuple) -> tuple:
        return (self._batch, *shape[1:])

    @property
    def input_shape(self) -> Any:
        """The batch first, None where free; in the structure of the inputs where there are several."""
        shapes = [self._shape(i.shape) for i in self.runtime.inputs]
        return _map(self.runtime.graph.input_structure, lambda i: shapes[i])

    @property
    def output_shape(self) -> Any:
        """As :attr:`input_shape`."""
        shapes = [self._shape(o.shape) for o in self.runtime.outputs]
        return _map(self.runtime.graph.output_structure, lambda i: shapes[i])

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs."""
        return [i.name for i in self.runtime.inputs]

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs."""
        return [o.name for o in self.runtime.outputs]

    @property
    def stateful(self) -> bool:
        """Whether predict carries a state."""
        return self.runtime.session_meaning == "calls"

    def get_weights(self) -> list[np.ndarray]:
        """The arrays of all layers, layer by layer."""
        return [w for layer in self._layers for w in layer.get_weights()]

    def count_params(self) -> int:
        """The number of weights, those of shared layers once."""
        return sum(math.prod(w.shape) for w in self.runtime.graph.weights.values())

    def summary(
        self, line_length: int | None = None, positions: Any = None, print_fn: Callable[[str], Any] = print, **_: Any
    ) -> None:
        """Print the table of layers; print_fn takes the text."""
        rows = []
        for layer in self._layers:
            shapes = ", ".join("(" + ", ".join(map(str, s)) + ("," if len(s) == 1 else "") + ")" for s in layer._shapes)
            rows.append(SummaryRow(layer.name, layer.class_name, shapes, layer.count_params()))
        chain = [SummaryRow(r.name, r.kind, r.shape, r.params, "", (b.name,)) for b, r in zip(rows, rows[1:])]
        total = self.count_params()
        size = size_text(self.runtime.file.weights_nbytes)
        totals = [("Total params", f"{total:,} ({size})")]
        print_fn(summary_table([*rows[:1], *chain], self.name, totals, line_length or 80))

    # ---- running ----------------------------------------------------------------------------

    def _open_session(self, rows: int) -> Any:
        if self._session is not None and self._session.batch_size != rows:
            raise ShapeError(
                f"this model is stateful and its state has {self._session.batch_size} rows, got a batch of {rows}; "
                "give batches of one size, or call reset_states() first"
            )
        if self._session is None:
            self._session = self.runtime.session(rows)
        return self._session

    def _run(self, x: Any) -> Any:
        """One batch: a pure run, or one call that carries the state."""
        if not self.stateful:
            return self.runtime.predict(x)
        rows_of = leaves(x) if isinstance(x, (dict, list, tuple)) and len(self.runtime.inputs) > 1 else [x]
        rows = len(rows_of[0])
        if self._batch is not None and rows != self._batch:
            raise ShapeError(f"this model was saved with batches of {self._batch} rows, got {rows}")
        return self._open_session(rows).run(x)

    def _slices(self, x: Any, batch_size: int | None, steps: int | None) -> Iterator[Any]:
        arrays = _map(x, np.asarray) if self._nested(x) else np.asarray(x)
        flat = leaves(arrays) if self._nested(x) else [arrays]
        odd = next((a for a in flat if not a.ndim or a.dtype.kind not in "biuf"), None)
        if odd is not None:
            what = f"a single {odd.dtype}" if not odd.ndim else f"dtype {odd.dtype}"
            raise ShapeError(f"x: arrays of numbers with a batch axis are expected, got {what}")
        lengths = {len(a) for a in flat}
        if len(lengths) != 1:
            raise ShapeError(f"inputs of one length are expected, got lengths {sorted(lengths)}")
        rows = lengths.pop()
        if rows == 0:
            raise ShapeError("predict needs at least one row")
        if batch_size is None:
            batch_size = self._batch or (_BATCH if self.stateful or steps is not None else _AT_ONCE)
        for k, start in enumerate(range(0, rows, batch_size)):
            if steps is not None and k >= steps:
                return
            part = slice(start, start + batch_size)
            yield _map(arrays, lambda a: a[part]) if self._nested(x) else arrays[part]  # noqa: B023

    def _nested(self, x: Any) -> bool:
        """Whether x is a structure of arrays, not an array written as lists."""
        several = len(self.runtime.inputs) > 1
        of_arrays = isinstance(x, (list, tuple)) and any(hasattr(v, "shape") for v in x)
        return isinstance(x, dict) or (isinstance(x, (list, tuple)) and (several or (len(x) == 1 and of_arrays)))

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
        **_: Any,
    ) -> Any:
        """Outputs for all rows of x, as Keras gives them: float32 arrays in the model's output structure.

        Parameters
        ----------
        x : array, list or dict of arrays, or a generator of batches (``x``, ``(x, y)`` or ``(x, y, weights)``).
        batch_size : rows of one run. It changes no result, save for stateful models: there each batch is a Keras
            call that goes on from the state of the batch before (32 rows where it is not given).
        verbose : taken and passed over; nothing is printed.
        steps : the number of batches; all of them where None.
        callbacks : must be empty.
        """
        if callbacks:
            raise ValueError("callbacks are not supported")
        if batch_size is not None and (isinstance(batch_size, bool) or batch_size < 1):
            raise ValueError(f"batch_size: expected a positive integer, got {batch_size!r}")
        array_like = hasattr(x, "__array__") or isinstance(x, (list, tuple, dict))
        batches = self._slices(x, batch_size, steps) if array_like else _batches(x, steps)
        parts = [self._run(b) for b in batches]
        if not parts:
            raise ShapeError("predict needs at least one batch")
        return _join(parts)

    def predict_on_batch(self, x: Any) -> Any:
        """Outputs for one batch."""
        return self._run(_map(x, np.asarray) if self._nested(x) else np.asarray(x))

    def predict_step(self, data: Any) -> Any:
        """The same, under the name that overriding code uses."""
        return self.predict_on_batch(data)

    def __call__(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Outputs for one batch, as arrays that also have ``.numpy()``."""
        if training:
            raise ValueError("training=True: rnnrt only predicts")
        if mask is not None:
            raise ValueError("mask=: masks come from the model's own Masking and Embedding layers")
        return _map(self.predict_on_batch(inputs), lambda a: a.view(Result))

    def reset_states(self) -> None:
        """Forget the state that a stateful model carries."""
        self._session = None

    reset_state = reset_states

    def compile(self, *_: Any, **__: Any) -> None:
        """Nothing: what a model needs for training is not in it."""

    def __repr__(self) -> str:
        return f"<rnnrt.compat.Model name={self.name}, stateful={self.stateful}>"


def _batches(x: Any, steps: int | None) -> Iterator[Any]:
    """Batches of a generator or a sequence object, without what follows the inputs."""
    indexed = hasattr(x, "__len__") and hasattr(x, "__getitem__")
    if isinstance(x, (str, bytes)) or not (indexed or hasattr(x, "__iter__")):
        raise ShapeError(f"x: arrays, or a generator of batches, are expected, got {type(x).__name__}")
    source = (x[k] for k in range(len(x))) if indexed else iter(x)
    for k, batch in enumerate(source):
        if steps is not None and k >= steps:
            return
        yield batch[0] if isinstance(batch, tuple) else batch


def load_model(
    filepath: str | os.PathLike[str],
    custom_objects: dict[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> Model:
    """A model from a Keras file (converted in memory) or a ``.rnnrt`` file.

    custom_objects: as in :func:`rnnrt.load`. compile and safe_mode are taken and have no meaning here: nothing is
    trained, and no code of a file is ever run.

    Raises ConversionError or FormatError as :func:`rnnrt.load`.
    """
    return Model(rnnrt.load(filepath, custom_objects=custom_objects))
