"""SimpleRNN, LSTM, GRU, the CuDNN layers, and RNN over the three cells."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....ir.activations import Activation
from ..call import LayerCall, Value
from ..options import check_options
from ..weights import Layout, Part
from .registry import Entry, layer

_LOOP = ("return_sequences", "return_state", "go_backwards", "stateful", "zero_output_for_mask", "time_major")
_CELL = ("units", "activation", "use_bias")
_GATED = (*_CELL, "recurrent_activation")
_STATES = {"simple_rnn": ("h",), "lstm": ("h", "c"), "gru": ("h",)}
_GATES = {"simple_rnn": 1, "lstm": 4, "gru": 3}
_FACTS: dict[str, Any] = {"weighted": True, "mask": "own", "takes_states": True}


def _loop(c: LayerCall) -> dict[str, Any]:
    """The options of the loop over time."""
    if c.flag("time_major"):
        raise c.refuse("time_major=True is not supported", "save the model with time_major=False")
    keys = ("return_sequences", "return_state", "go_backwards", "stateful", "zero_output_for_mask")
    attrs = {k: c.flag(k) for k in keys}
    if attrs["stateful"] and c.initial_state and c.spec.generation <= 2:
        raise c.refuse(
            "stateful=True with initial_state: Keras 2 uses the recorded state where it is not zero",
            "save the layer with stateful=False and use a session",
        )
    return attrs


def _recurrent(c: LayerCall, op: str, cell: dict[str, Any], loop: dict[str, Any]) -> list[Value]:
    """The op of a recurrent layer. cell: the cell's attributes, with reset_after None where it is not said."""
    attrs = {**loop, **cell}
    if attrs["activation"].name == "glu" or getattr(attrs.get("recurrent_activation"), "name", "") == "glu":
        raise c.refuse("glu halves its axis and cannot be a cell's activation")
    said = attrs.get("reset_after", False) is not None
    if not said:
        if not attrs["use_bias"]:
            raise c.refuse(
                "the file does not say reset_after, and without a bias nothing else tells it",
                "load the model in the Keras that wrote it and save it again",
            )
        attrs["reset_after"] = False
    x = c.floats(c.input())
    states = [c.floats(s) for s in c.initial_state]
    names = _STATES[op]
    if states and len(states) != len(names):
        raise c.refuse(f"{len(states)} initial states given, the layer has {len(names)}")
    units, gates = attrs["units"], _GATES[op]
    features = c.features(x)
    parts = [Part("kernel", (features, gates * units)), Part("recurrent_kernel", (units, gates * units))]
    rows = 2 if attrs.get("reset_after") else 1
    if attrs["use_bias"]:
        parts.append(Part("bias", (gates * units,) if rows == 1 else (2, gates * units)))
    others = _layouts(op, features, units, attrs, said)
    weights = c.weights(parts, others, ("cell",))
    out = c.emit(op, [x], attrs, weights, mask=x.mask, initial_state=states)
    for value, label in zip(out[1:], names):
        c.builder.labels[value.tensor or ""] = label
    if attrs["return_sequences"]:
        out[0] = Value(out[0].tensor, x.mask)
    return out


# ---- other layouts of the same arrays -----------------------------------------------------------


def _layouts(op: str, d: int, u: int, attrs: dict[str, Any], said: bool) -> list[Layout]:
    """Keras 1's separate gate arrays, CuDNN's layout, and a GRU's other bias where reset_after is not said."""
    if op == "simple_rnn" or not attrs["use_bias"]:
        return []
    g = _GATES[op]
    out = []
    if op == "lstm":
        order = "icfo"
        split = [Part(f"{m}_{gate}", s) for gate in order for m, s in (("W", (d, u)), ("U", (u, u)), ("b", (u,)))]
        out.append(Layout("keras1 separate gates", tuple(split), _joined([0, 2, 1, 3])))  # to i, f, c, o
        cudnn = (Part("kernel", (d, 4 * u)), Part("recurrent_kernel", (u, 4 * u)), Part("bias", (8 * u,)))
        out.append(Layout("cudnn", cudnn, lambda a: _from_cudnn(a, 4)))
        return out
    bias2 = (Part("kernel", (d, g * u)), Part("recurrent_kernel", (u, g * u)), Part("bias", (2, g * u)))
    cudnn = (*bias2[:2], Part("bias", (2 * g * u,)))
    if not attrs["reset_after"]:
        split = [Part(f"{m}_{gate}", s) for gate in "zrh" for m, s in (("W", (d, u)), ("U", (u, u)), ("b", (u,)))]
        out.append(Layout("keras1 separate gates", tuple(split), _joined([0, 1, 2])))
    if not said:
        after = {"reset_after": True}
        plain = lambda a: {"kernel": a[0], "recurrent_kernel": a[1], "bias": a[2]}  # noqa: E731
        out.append(Layout("reset_after", bias2, plain, after, bias2))
        out.append(Layout("cudnn", cudnn, lambda a: _from_cudnn(a, 3), after, bias2))
    elif attrs["reset_after"]:
        out.append(Layout("cudnn", cudnn, lambda a: _from_cudnn(a, 3)))
    return out


def _joined(order: list[int]) -> Any:
    """Keras 1's arrays (W, U, b of each gate) joined in Keras 2's gate order."""

    def convert(arrays: list[np.ndarray]) -> dict[str, np.ndarray]:
        roles = ("kernel", "recurrent_kernel", "bias")
        return {r: np.concatenate([arrays[3 * k + m] for k in order], -1) for m, r in enumerate(roles)}

    return convert


def _from_cudnn(arrays: list[np.ndarray], gates: int) -> dict[str, np.ndarray]:
    """tf_keras/src/saving/legacy/hdf5_format.py, _convert_rnn_weights.

    Input kernels lie transposed in Fortran order, recurrent ones transposed; an LSTM's two biases are
    added, a GRU's stay apart as (2, 3 * units).
    """
    kernel, recurrent, bias = arrays
    k = np.hstack([p.T.reshape(p.shape, order="F") for p in np.hsplit(kernel, gates)])
    r = np.hstack([p.T for p in np.hsplit(recurrent, gates)])
    halves = bias.reshape(2, -1)
    # float64: Keras adds the halves as float32; the sum of two float32 is rounded once either way
    b = halves[0] + halves[1] if gates == 4 else halves
    return {"kernel": k, "recurrent_kernel": r, "bias": b}


# ---- cells --------------------------------------------------------------------------------------


def _cell(c: LayerCall, op: str) -> dict[str, Any]:
    """The cell's attributes, from a layer's or a cell's config."""
    attrs: dict[str, Any] = {
        "units": c.integer("units"),
        "activation": c.activation("activation", "tanh"),
        "use_bias": c.flag("use_bias", True),
    }
    if op != "simple_rnn":
        modern = c.spec.generation >= 3
        attrs["recurrent_activation"] = c.activation("recurrent_activation", "sigmoid" if modern else "hard_sigmoid")
    if op == "gru":
        stored = c.get("reset_after")
        # Keras 1 knows only the one; Keras 3 always writes it
        default = {1: False, 2: None, 3: True}[c.spec.generation]
        attrs["reset_after"] = default if stored is None else c.flag("reset_after")
    return attrs


@layer("SimpleRNN", options=(*_CELL, *_LOOP), **_FACTS)
def simple_rnn(c: LayerCall) -> list[Value]:
    """h' = act(x@K + b + h@R)."""
    return _recurrent(c, "simple_rnn", _cell(c, "simple_rnn"), _loop(c))


@layer("LSTM", options=(*_GATED, *_LOOP), **_FACTS)
def lstm(c: LayerCall) -> list[Value]:
    """Gates i, f, c, o; states h, c."""
    return _recurrent(c, "lstm", _cell(c, "lstm"), _loop(c))


@layer("GRU", options=(*_GATED, "reset_after", *_LOOP), **_FACTS)
def gru(c: LayerCall) -> list[Value]:
    """Gates z, r, h; z keeps the old state."""
    return _recurrent(c, "gru", _cell(c, "gru"), _loop(c))


@layer("CuDNNLSTM", options=("units", *_LOOP), **_FACTS)
def cudnn_lstm(c: LayerCall) -> list[Value]:
    """An LSTM with tanh and sigmoid, always with a bias."""
    cell = {
        "units": c.integer("units"),
        "activation": Activation("tanh"),
        "recurrent_activation": Activation("sigmoid"),
        "use_bias": True,
    }
    return _recurrent(c, "lstm", cell, _loop(c))


@layer("CuDNNGRU", options=("units", *_LOOP), **_FACTS)
def cudnn_gru(c: LayerCall) -> list[Value]:
    """A GRU with tanh, sigmoid and reset_after."""
    cell = {
        "units": c.integer("units"),
        "activation": Activation("tanh"),
        "recurrent_activation": Activation("sigmoid"),
        "use_bias": True,
        "reset_after": True,
    }
    return _recurrent(c, "gru", cell, _loop(c))


_CELL_OPS = {"SimpleRNNCell": "simple_rnn", "LSTMCell": "lstm", "GRUCell": "gru"}
_CELL_OPTIONS = {"simple_rnn": _CELL, "lstm": _GATED, "gru": (*_GATED, "reset_after")}


@layer("RNN", options=("cell", "num_constants", *_LOOP), note="SimpleRNNCell, LSTMCell, GRUCell", **_FACTS)
def rnn(c: LayerCall) -> list[Value]:
    """A loop over one of Keras's own cells."""
    cell = c.spec.inner.get("cell")
    if cell is None or cell.class_name not in _CELL_OPS:
        name = cell.class_name if cell else "no cell"
        remedy = "stack RNN layers instead" if name == "StackedRNNCells" else "use SimpleRNN, LSTM or GRU cells"
        raise c.refuse(f"RNN over {name} is not supported", remedy)
    if c.get("num_constants"):
        raise c.refuse("num_constants: Keras's own cells take no constants")
    op = _CELL_OPS[cell.class_name]
    inner = LayerCall(c.builder, cell, f"{c.path}/{cell.name}", [])
    _check_cell(inner, op)
    return _recurrent(c, op, _cell(inner, op), _loop(c))


def _check_cell(c: LayerCall, op: str) -> None:
    check_options(c, Entry(c.spec.class_name, lambda _: [], "recurrent", frozenset(_CELL_OPTIONS[op])))
