"""transpose, slice, last_step, pad, repeat."""

from .base import Encoded, encoder


@encoder("transpose")
def _transpose(node, attrs, ins) -> Encoded:
    return [], list(attrs["perm"]), []


@encoder("slice")
def _slice(node, attrs, ins) -> Encoded:
    cuts = zip(attrs["axes"], attrs["begin"], attrs["end"], attrs["step"])
    return [], [v for cut in cuts for v in cut], []


@encoder("last_step")
def _last_step(node, attrs, ins) -> Encoded:
    return [], [], []


@encoder("pad")
def _pad(node, attrs, ins) -> Encoded:
    return [], list(attrs["padding"]), []


@encoder("repeat")
def _repeat(node, attrs, ins) -> Encoded:
    return [], [attrs["axis"], attrs["n"]], []
