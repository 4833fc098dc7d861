"""Masks: made, joined, applied; and time folded into the batch for TimeDistributed."""

from __future__ import annotations

import numpy as np

from .registry import OpCall, op


@op("not_equal")
def not_equal(call: OpCall) -> list[np.ndarray]:
    return [call.inputs[0] != _as_stored(call)]


@op("masking")
def masking(call: OpCall) -> list[np.ndarray]:
    """A step counts where any feature differs; NaN differs from everything."""
    return [(call.inputs[0] != _as_stored(call)).any(axis=-1)]


def _as_stored(call: OpCall) -> np.ndarray:
    """The attribute ``value`` in the tensor's own dtype: 0.1 in the data is float32's 0.1."""
    return np.asarray(call.attrs["value"]).astype(call.input_dtypes[0])


@op("apply_mask")
def apply_mask(call: OpCall) -> list[np.ndarray]:
    x, mask = call.inputs
    counts = mask.reshape(mask.shape + (1,) * (x.ndim - mask.ndim))
    if call.attrs["multiply"]:
        return [x * counts.astype(call.dtype)]
    return [np.where(counts, x, call.dtype(call.attrs["value"]))]


@op("logical_and")
def logical_and(call: OpCall) -> list[np.ndarray]:
    return [np.logical_and.reduce(call.inputs)]


@op("logical_or")
def logical_or(call: OpCall) -> list[np.ndarray]:
    return [np.logical_or.reduce(call.inputs)]


@op("ones_mask")
def ones_mask(call: OpCall) -> list[np.ndarray]:
    return [np.ones(call.inputs[0].shape[:2], bool)]


@op("reduce_mask")
def reduce_mask(call: OpCall) -> list[np.ndarray]:
    reduce = np.any if call.attrs["mode"] == "any" else np.all
    return [reduce(call.inputs[0], axis=-1)]


@op("concat_masks")
def concat_masks(call: OpCall) -> list[np.ndarray]:
    return [np.concatenate(call.inputs, axis=1)]


@op("fold_time")
def fold_time(call: OpCall) -> list[np.ndarray]:
    x = call.inputs[0]
    return [x.reshape(-1, *x.shape[2:])]


@op("unfold_time")
def unfold_time(call: OpCall) -> list[np.ndarray]:
    x, like = call.inputs
    return [x.reshape(*like.shape[:2], *x.shape[1:])]
