"""simple_rnn, lstm, gru."""

from ...ir.activations import Activation
from .base import Encoded, activation_number, encoder, reals


@encoder("simple_rnn", "lstm", "gru")
def _recurrent(node, attrs, ins) -> Encoded:
    act, ract = attrs["activation"], attrs.get("recurrent_activation", Activation())
    numbers = [attrs["units"], ins[0].shape[2], activation_number(act), activation_number(ract)]
    return ["kernel", "recurrent_kernel", "bias"], numbers, reals(act, ract)
