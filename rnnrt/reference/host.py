"""Classes of the user's own, in double: the same loop over time as for every cell, written by itself."""

from __future__ import annotations

import numpy as np

from ..custom.define import Definition, definition_of
from ..errors import ConversionError
from ..ir.graph import Node
from ..ir.ops.host import signature_of
from .registry import OpCall, op


def _definition(call: OpCall, kind: str) -> Definition:
    return definition_of(Node(call.place, kind, call.place, (), ()), call.attrs)


def _guarded(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Views that the class cannot write to."""
    out = {}
    for role, a in weights.items():
        out[role] = a.view()
        out[role].flags.writeable = False
    return out


def _rows(mask: np.ndarray, like: np.ndarray) -> np.ndarray:
    return mask.reshape(-1, *[1] * (like.ndim - 1))


@op("host_layer")
def host_layer(call: OpCall) -> list[np.ndarray]:
    found = _definition(call, "host_layer")
    try:
        made = found.call(signature_of(call.attrs), [x.copy() for x in call.inputs], _guarded(call.weights))
    except Exception as e:  # whatever the user's class raises
        raise ConversionError(f"{found.place}: the registered class failed: {e!r:.200}") from e
    return [np.asarray(y, call.dtype) for y in made]


@op("host_cell")
def host_cell(call: OpCall) -> list[np.ndarray]:
    s, attrs, found = signature_of(call.attrs), call.attrs, _definition(call, "host_cell")
    inputs, mask, weights = call.inputs, call.mask, _guarded(call.weights)
    batch, length = inputs[0].shape[:2]
    if attrs["go_backwards"]:
        inputs = [x[:, ::-1] for x in inputs]
        mask = None if mask is None else mask[:, ::-1]
    states = [call.state.get(n, np.zeros((batch, *d), call.dtype)) for n, d in s.states]
    seen = call.state.get("has_output", np.zeros(batch, bool))
    before = [call.state.get(f"output_{k}", np.zeros((batch, *d), call.dtype)) for k, d in enumerate(s.outputs)]
    before = [np.where(_rows(seen, y), y, 0) for y in before]
    steps = []
    for t in range(length):
        try:
            made = found.step(s, [x[:, t].copy() for x in inputs], [v.copy() for v in states], weights)
        except Exception as e:
            raise ConversionError(f"{found.place}: the registered class failed at step {t}: {e!r:.200}") from e
        out, new = ([np.array(v, call.dtype) for v in part] for part in made)
        if mask is not None:
            at = mask[:, t]
            held = [np.zeros_like(y) for y in out] if attrs["zero_output_for_mask"] else before
            out = [np.where(_rows(at, a), a, b) for a, b in zip(out, held)]
            new = [np.where(_rows(at, a), a, b) for a, b in zip(new, states)]
            seen = seen | at
        states, before = new, out
        steps.append(out)
    call.state.update(zip((n for n, _ in s.states), states))
    if attrs["holds_output"]:
        call.state.update({f"output_{k}": y for k, y in enumerate(before)}, has_output=seen)
    if attrs["return_sequences"]:
        outputs = [np.stack(y, axis=1) for y in zip(*steps)]
        outputs = [y[:, ::-1] for y in outputs] if attrs["reverse_output"] else outputs
    else:
        outputs = steps[-1]
    return [*outputs, *states] if attrs["return_state"] else list(outputs)
