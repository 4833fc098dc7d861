"""The loop over time that every recurrent op shares: direction, masks, carried state."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..ir.activations import Activation
from .activations import apply
from .registry import OpCall

__all__ = ["apply_gates", "run_cell"]

#: inputs (B, steps, ...) -> what steps read of them (B, steps, ...)
Project = Callable[[np.ndarray], np.ndarray]
#: (what one step reads (B, ...), states each (B, U) or of more axes) -> the next states, the first being the output
Step = Callable[[np.ndarray, list[np.ndarray]], list[np.ndarray]]

ROWS = 256  # of a product of inputs, about


def apply_gates(gate: Activation, z: np.ndarray, count: int) -> list[np.ndarray]:
    """The activation of each of the gates that lie side by side: a softmax runs over one gate's units."""
    if gate.rowwise:
        return [apply(gate, part) for part in np.split(z, count, axis=1)]
    units = z.shape[1] // count
    y = apply(gate, z)
    return [y[:, k * units : (k + 1) * units] for k in range(count)]


def run_cell(call: OpCall, names: str, project: Project, step: Step) -> list[np.ndarray]:
    """Run a cell over the time axis as keras/src/backend/tensorflow/rnn.py does.

    ``project`` is what of a step's arithmetic does not wait for the state, done for some steps at once: products of
    few rows take as long as those of many.
    At a masked step the states hold and the output repeats the previous *output*: zero until the
    row's first unmasked step, even when its state is not zero. ``has_output`` records that a row
    has had one; since a cell's output is its first state, the held output is then that state.

    Returns [output (B, T, U) or (B, U)], and each state (B, U) where ``return_state``.
    """
    x, mask, attrs = call.inputs[0], call.mask, call.attrs
    batch, length = x.shape[:2]
    if length == 0:
        raise ValueError(f"{call.place}: a sequence of length 0 has no output")
    if mask is not None and mask.shape != (batch, length):
        raise ValueError(f"{call.place}: mask: expected {(batch, length)}, got {mask.shape}")
    if attrs["go_backwards"]:
        x = x[:, ::-1]
        mask = None if mask is None else mask[:, ::-1]
    shape = attrs.get("state_shape") or (attrs["units"],)
    zeros = np.zeros((batch, *shape), call.dtype)
    each = (batch,) + (1,) * len(shape)
    states = [call.state.get(name, zeros) for name in names]
    has_output = call.state.get("has_output", np.zeros(batch, bool))
    outputs = np.empty((batch, length, *shape), call.dtype)
    ahead = max(1, ROWS // batch)
    for t in range(length):
        if t % ahead == 0:
            projected = project(x[:, t : t + ahead])
        new = step(projected[:, t % ahead], states)
        if mask is None:
            states = new
            outputs[:, t] = new[0]
            continue
        counts = mask[:, t].reshape(each)
        if attrs["zero_output_for_mask"]:
            held = zeros
        else:
            held = np.where(has_output.reshape(each), states[0], 0)
        outputs[:, t] = np.where(counts, new[0], held)
        states = [np.where(counts, n, old) for n, old in zip(new, states)]
        has_output = has_output | mask[:, t]
    if mask is None:
        has_output = np.ones(batch, bool)
    call.state.update(zip(names, states), has_output=has_output)
    if attrs["return_sequences"]:
        out = outputs[:, ::-1] if attrs["reverse_output"] else outputs
    else:
        out = outputs[:, -1]
    return [out, *states] if attrs["return_state"] else [out]
