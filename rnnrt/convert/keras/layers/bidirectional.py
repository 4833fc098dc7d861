"""Bidirectional: two recurrent layers over one sequence, in two directions, and their merge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ..call import LayerCall, Value
from ..options import check_options, note_ignored
from .conv_lstm import conv_lstm
from .recurrent import recurrent_layer
from .registry import REGISTRY, layer

_MODES = {"concat": "concatenate", "sum": "add", "mul": "multiply", "ave": "average", None: None}


@layer(
    "Bidirectional",
    options=("layer", "backward_layer", "merge_mode"),
    weighted=True,
    mask="own",
    takes_states=True,
    note="over recurrent layers, every merge mode",
)
def bidirectional(c: LayerCall) -> list[Value]:
    """[merged output, or both, *states of the first, *states of the second].

    The second layer's outputs are always turned round in time, whichever way it reads. Both work under the mask,
    and with return_sequences Keras 2 and 3 force zeros at masked steps, which their configs do not show.
    """
    mode = c.get("merge_mode", "concat")
    if mode is not None and mode not in _MODES:
        raise c.refuse(f"merge_mode={str(mode)[:40]!r}")
    if "layer" not in c.spec.inner:
        raise c.refuse("the inner layer is missing")
    first, second = (_direction(c, attr) for attr in ("layer", "backward_layer"))
    for key in ("return_sequences", "return_state", "stateful"):
        if first.flag(key) != second.flag(key):
            raise c.refuse(f"its two layers disagree on {key}")
    if first.flag("go_backwards") == second.flag("go_backwards"):
        raise c.refuse("its two layers read in the same direction")
    half = len(c.initial_state) // 2
    first.initial_state, second.initial_state = c.initial_state[:half], c.initial_state[half:]
    zeros = {} if c.spec.generation == 1 else {"zero_output_for_mask": first.flag("return_sequences")}
    y, *after = _loop(first)(first, **zeros)
    y2, *after2 = _loop(second)(second, reverse_output=True, **zeros)
    if mode is None:
        return [y, y2, *after, *after2]
    op = _MODES[mode]
    axis = {"axis": len(c.tensor(y).shape) - 1} if op == "concatenate" else {}
    return [Value(c.emit(op or "", [y, y2], axis)[0].tensor, y.mask), *after, *after2]


def _loop(c: LayerCall) -> Callable[..., list[Value]]:
    return conv_lstm if c.spec.class_name in ("ConvLSTM1D", "ConvLSTM2D") else recurrent_layer


def _direction(c: LayerCall, attr: str) -> LayerCall:
    """One of the two layers, called as the Bidirectional is."""
    spec = c.spec.inner[attr]
    path = f"{c.path}/{spec.name}"
    note_ignored(spec, path, c.builder.ignored)
    inner = LayerCall(c.builder, replace(spec, config=dict(spec.config)), path, c.inputs, kwargs=dict(c.kwargs))
    inner.mask = c.mask
    entry = REGISTRY.get(spec.class_name)
    if entry is None:
        raise c.refuse(f"Bidirectional({spec.class_name}) is not supported")
    check_options(inner, entry)
    return inner
