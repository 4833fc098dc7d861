"""dense, embedding."""

from .base import Encoded, activation_number, encoder, reals


@encoder("dense")
def _dense(node, attrs, ins) -> Encoded:
    act = attrs["activation"]
    return ["kernel", "bias"], [ins[0].shape[-1], attrs["units"], activation_number(act)], reals(act)


@encoder("embedding")
def _embedding(node, attrs, ins) -> Encoded:
    return ["embeddings"], [attrs["input_dim"], attrs["output_dim"], int(attrs["wrap_negative"])], []
