"""SimpleRNN, LSTM, GRU, the CuDNN layers, and RNN over the three cells and stacks of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ....ir.activations import Activation
from ....ir.ops.axes import NONE
from ..call import LayerCall, Value
from ..masks import rank_of
from ..options import check_options
from ..spec import LayerSpec
from ..weights import Layout, Part
from .custom import custom_rnn
from .registry import Entry, layer

_LOOP = ("return_sequences", "return_state", "go_backwards", "stateful", "zero_output_for_mask", "time_major")
_CELL = ("units", "activation", "use_bias")
_GATED = (*_CELL, "recurrent_activation")
_STATES = {"simple_rnn": ("h",), "lstm": ("h", "c"), "gru": ("h",)}
_GATES = {"simple_rnn": 1, "lstm": 4, "gru": 3}
_FACTS: dict[str, Any] = {"weighted": True, "mask": "own", "takes_states": True}


def loop_options(c: LayerCall) -> dict[str, Any]:
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


@dataclass
class _Cell:
    """A cell of a loop: its op and attributes (reset_after None where it is not said), and the call that names it.

    vars_at: where below the call's folder a ``.keras`` file keeps the arrays.
    """

    call: LayerCall
    op: str
    attrs: dict[str, Any]
    vars_at: tuple[str, ...] = ("cell",)


def _cell_op(cell: _Cell, x: Value, states: list[Value], mask: str | None, loop: dict[str, Any]) -> list[Value]:
    """One recurrent op: its output, and its states where the loop returns them."""
    c, op = cell.call, cell.op
    attrs = {**loop, **cell.attrs}
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
    units, gates = attrs["units"], _GATES[op]
    features = c.features(x)
    parts = [Part("kernel", (features, gates * units)), Part("recurrent_kernel", (units, gates * units))]
    rows = 2 if attrs.get("reset_after") else 1
    if attrs["use_bias"]:
        parts.append(Part("bias", (gates * units,) if rows == 1 else (2, gates * units)))
    others = _layouts(op, features, units, attrs, said)
    weights = c.weights(parts, others, cell.vars_at)
    out = c.emit(op, [x], attrs, weights, mask=mask, initial_state=states)
    for value, label in zip(out[1:], _STATES[op]):
        c.builder.labels[value.tensor or ""] = label
    return out


def _run(c: LayerCall, cells: list[_Cell], loop: dict[str, Any]) -> list[Value]:
    """The loop over one cell, or over stacked ones: each runs the whole sequence under the one mask.

    That is what Keras computes step by step, since all cells of a stack hold at a masked step. Between the
    cells the sequence has its natural order, whatever the direction.
    """
    x = c.floats(c.input())
    if c.mask is not None and rank_of(c, c.mask) != 2:
        raise c.refuse(f"it works under a mask of rank {rank_of(c, c.mask)}; only (batch, time) is supported")
    states = [c.floats(s) for s in c.initial_state]
    count = sum(len(_STATES[cell.op]) for cell in cells)
    if states and len(states) != count:
        raise c.refuse(f"{len(states)} initial states given, the layer has {count}")
    slip = _unrolled_slip(c, loop)
    if slip:
        loop = {**loop, "zero_output_for_mask": False, "reverse_output": False}
    returned: list[Value] = []
    y = x
    for k, cell in enumerate(cells):
        own = dict(loop)
        if k < len(cells) - 1:
            backwards = own["go_backwards"]
            own |= {"return_sequences": True, "reverse_output": backwards, "zero_output_for_mask": False}
        n = len(_STATES[cell.op])
        y, *after = _cell_op(cell, y, states[:n], c.mask, own)
        states = states[n:]
        returned += after
    if slip:
        y = c.emit("apply_mask", [y, Value(c.mask)], {"value": 0.0})[0]
        if slip == "turned":
            y = c.emit("slice", [y], {"axes": (1,), "begin": (NONE,), "end": (NONE,), "step": (-1,)})[0]
    return [Value(y.tensor, x.mask if loop["return_sequences"] else None), *returned]


def _unrolled_slip(c: LayerCall, loop: dict[str, Any]) -> str:
    """Whether Keras zeroes other steps than the masked ones: ``turned`` where the outputs are turned round after it.

    With unroll=True its loop reads a backward sequence's mask in its own order, and writes zeros by the mask as given.
    """
    wanted = ("go_backwards", "return_sequences", "zero_output_for_mask")
    if c.mask is None or not c.flag("unroll") or not all(loop[k] for k in wanted):
        return ""
    return "turned" if loop.get("reverse_output") else "as it lies"


def recurrent_layer(c: LayerCall, **forced: bool) -> list[Value]:
    """A recurrent layer of any class, with options of its loop replaced (as Bidirectional does)."""
    own = custom_rnn(c, forced) if c.spec.class_name == "RNN" else None
    if own is not None:
        if _unrolled_slip(c, {**loop_options(c), **forced}):
            raise c.refuse("unroll=True backwards under a mask, where Keras zeroes other steps than the masked ones")
        return own
    build = _CLASSES.get(c.spec.class_name)
    if build is None:
        raise c.refuse("it is not a recurrent layer that rnnrt knows")
    return _run(c, build(c), {**loop_options(c), **forced})


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


def _cudnn_cell(c: LayerCall, more: dict[str, Any]) -> dict[str, Any]:
    """CuDNN layers: tanh and sigmoid, always with a bias."""
    fixed = {"activation": Activation("tanh"), "recurrent_activation": Activation("sigmoid"), "use_bias": True}
    return {"units": c.integer("units"), **fixed, **more}


_CELL_OPS = {"SimpleRNNCell": "simple_rnn", "LSTMCell": "lstm", "GRUCell": "gru"}
_CELL_OPTIONS = {"simple_rnn": _CELL, "lstm": _GATED, "gru": (*_GATED, "reset_after")}


def _inner_cells(c: LayerCall) -> list[_Cell]:
    """The cell of an RNN, or those of its stack."""
    spec = c.spec.inner.get("cell")
    if c.get("num_constants"):
        raise c.refuse("num_constants: Keras's own cells take no constants")
    if spec is not None and spec.class_name in _CELL_OPS:
        cell = _inner_cell(c, spec)
        return [_Cell(c, cell.op, cell.attrs)]  # the arrays belong to the layer
    if spec is None or spec.class_name != "StackedRNNCells" or not spec.inner:
        if spec is None or spec.class_name == "StackedRNNCells":
            raise c.refuse("RNN over no cell")
        raise c.refuse(
            f"RNN over {spec.class_name}, a cell that rnnrt does not know",
            f"write it in NumPy and register it with rnnrt.register_cell({spec.class_name!r}, cls)",
        )
    if spec.config.get("reverse_state_order") or ((2,) <= spec.version < (2, 2) and _uses_states(c)):
        raise c.refuse("reverse_state_order: the states of its cells come in the reverse order")
    return [_inner_cell(c, x) for x in spec.inner.values()]


def _uses_states(c: LayerCall) -> bool:
    return bool(c.initial_state) or c.flag("return_state")


def _inner_cell(c: LayerCall, spec: LayerSpec) -> _Cell:
    inner = LayerCall(c.builder, spec, f"{c.path}/{spec.name}", [])
    op = _CELL_OPS.get(spec.class_name)
    if op is None:
        raise c.refuse(
            f"a stack with the cell {spec.class_name} is not supported",
            "use SimpleRNN, LSTM or GRU cells in it, or an RNN layer for each cell",
        )
    check_options(inner, Entry(spec.class_name, lambda _: [], "recurrent", frozenset(_CELL_OPTIONS[op])))
    return _Cell(inner, op, _cell(inner, op), ())


_CLASSES: dict[str, Callable[[LayerCall], list[_Cell]]] = {
    "SimpleRNN": lambda c: [_Cell(c, "simple_rnn", _cell(c, "simple_rnn"))],
    "LSTM": lambda c: [_Cell(c, "lstm", _cell(c, "lstm"))],
    "GRU": lambda c: [_Cell(c, "gru", _cell(c, "gru"))],
    "CuDNNLSTM": lambda c: [_Cell(c, "lstm", _cudnn_cell(c, {}))],
    "CuDNNGRU": lambda c: [_Cell(c, "gru", _cudnn_cell(c, {"reset_after": True}))],
    "RNN": _inner_cells,
}


@layer("SimpleRNN", options=(*_CELL, *_LOOP), **_FACTS)
def simple_rnn(c: LayerCall) -> list[Value]:
    """h' = act(x@K + b + h@R)."""
    return recurrent_layer(c)


@layer("LSTM", options=(*_GATED, *_LOOP), **_FACTS)
def lstm(c: LayerCall) -> list[Value]:
    """Gates i, f, c, o; states h, c."""
    return recurrent_layer(c)


@layer("GRU", options=(*_GATED, "reset_after", *_LOOP), **_FACTS)
def gru(c: LayerCall) -> list[Value]:
    """Gates z, r, h; z keeps the old state."""
    return recurrent_layer(c)


@layer("CuDNNLSTM", options=("units", *_LOOP), **_FACTS)
def cudnn_lstm(c: LayerCall) -> list[Value]:
    """An LSTM with tanh and sigmoid, always with a bias."""
    return recurrent_layer(c)


@layer("CuDNNGRU", options=("units", *_LOOP), **_FACTS)
def cudnn_gru(c: LayerCall) -> list[Value]:
    """A GRU with tanh, sigmoid and reset_after."""
    return recurrent_layer(c)


@layer("RNN", options=("cell", "num_constants", *_LOOP), note="Keras's own cells, and stacks of them", **_FACTS)
def rnn(c: LayerCall) -> list[Value]:
    """A loop over one of Keras's own cells, or over a stack of them."""
    return recurrent_layer(c)
