"""Masks: not_equal, masking, apply_mask, logical_and, logical_or, ones_mask, reduce_mask, concat_masks."""

from .base import Encoded, encoder


@encoder("not_equal")
def _not_equal(node, attrs, ins) -> Encoded:
    return [], [], [attrs["value"]]


@encoder("masking")
def _masking(node, attrs, ins) -> Encoded:
    return [], [ins[0].shape[-1]], [attrs["value"]]


@encoder("apply_mask")
def _apply_mask(node, attrs, ins) -> Encoded:
    return [], [int(attrs["multiply"])], [attrs["value"]]


@encoder("reduce_mask")
def _reduce_mask(node, attrs, ins) -> Encoded:
    return [], [ins[0].shape[-1], int(attrs["mode"] == "all")], []


@encoder("logical_and", "logical_or", "ones_mask", "concat_masks")
def _plain(node, attrs, ins) -> Encoded:
    return [], [], []
