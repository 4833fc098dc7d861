"""attention, einsum_dense."""

from .base import Encoded, activation_number, encoder, reals

_SCORE = ("dot", "concat", "additive")
_MASKED = ("subtract", "select", "zero")
_FLAGS = ("causal", "value_mask", "query_mask", "attention_mask", "query_mask_zeroes")


@encoder("attention")
def _attention(node, attrs, ins) -> Encoded:
    flags = sum(1 << k for k, name in enumerate(_FLAGS) if attrs[name])
    numbers = [attrs["heads"] or 1, _SCORE.index(attrs["score"]), _MASKED.index(attrs["masked"]), flags]
    return ["scale", "concat_score_weight"], numbers, [attrs["factor"]]


@encoder("einsum_dense")
def _einsum_dense(node, attrs, ins) -> Encoded:
    act = attrs["activation"]
    return ["kernel", "bias"], [attrs["contracted"], len(attrs["new_axes"]), activation_number(act)], reals(act)
