"""conv_lstm."""

from .base import Encoded, activation_number, encoder, reals
from .conv import window


@encoder("conv_lstm")
def _conv_lstm(node, attrs, ins) -> Encoded:
    a, x = attrs, ins[0]
    ones = (1,) * (2 - len(a["kernel_size"]))
    act, ract = a["activation"], a["recurrent_activation"]
    numbers = [
        *window(a["kernel_size"], a["strides"], a["dilation_rate"], a["padding"]),
        *(x.shape[-1], a["filters"], activation_number(act), activation_number(ract)),
        *(*ones, *x.shape[2:-1], *ones, *a["state_shape"][:-1]),
    ]
    return ["kernel", "recurrent_kernel", "bias"], numbers, reals(act, ract)
