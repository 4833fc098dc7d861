"""activation, batch_normalization."""

from ...ir.dims import numel
from .base import Encoded, activation_number, encoder, reals


@encoder("activation")
def _activation(node, attrs, ins) -> Encoded:
    act, last = attrs["activation"], ins[0].shape[-1]
    return [], [activation_number(act), last if isinstance(last, int) else 0], reals(act)


@encoder("batch_normalization")
def _batch_normalization(node, attrs, ins) -> Encoded:
    shape, axis = ins[0].shape, attrs["axis"]
    inner = numel(shape[axis + 1 :])
    return ["gamma", "beta", "moving_mean", "moving_variance"], [shape[axis], inner], [attrs["epsilon"]]
