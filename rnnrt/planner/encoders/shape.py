"""repeat_vector, cast."""

from .base import Encoded, encoder


@encoder("repeat_vector")
def _repeat_vector(node, attrs, ins) -> Encoded:
    return [], [attrs["n"]], []


@encoder("cast")
def _cast(node, attrs, ins) -> Encoded:
    return [], [], []
