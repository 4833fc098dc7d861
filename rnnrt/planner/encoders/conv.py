"""conv, depthwise_conv, pool, global_pool."""

from .base import Encoded, activation_number, encoder, reals

_PADDING = ("valid", "same", "causal")
_KIND = ("max", "average")


def window(size, strides, dilation, padding: str) -> list[int]:
    """rank, then taps, strides and dilation of two axes (one axis: the first is 1), then the padding."""
    ones = (1,) * (2 - len(size))
    return [len(size), *ones, *size, *ones, *strides, *ones, *dilation, _PADDING.index(padding)]


@encoder("conv")
def _conv(node, attrs, ins) -> Encoded:
    a = attrs
    numbers = window(a["kernel_size"], a["strides"], a["dilation_rate"], a["padding"])
    numbers = [*numbers, a["channels"], a["filters"], a["groups"], activation_number(a["activation"])]
    return ["kernel", "bias"], numbers, reals(a["activation"])


@encoder("depthwise_conv")
def _depthwise(node, attrs, ins) -> Encoded:
    a = attrs
    numbers = window(a["kernel_size"], a["strides"], a["dilation_rate"], a["padding"])
    numbers = [*numbers, ins[0].shape[-1], a["depth_multiplier"], activation_number(a["activation"])]
    return ["kernel", "bias"], numbers, reals(a["activation"])


@encoder("pool")
def _pool(node, attrs, ins) -> Encoded:
    a = attrs
    numbers = window(a["pool_size"], a["strides"], (1,) * len(a["pool_size"]), a["padding"])
    return [], [*numbers, ins[0].shape[-1], _KIND.index(a["kind"])], []


@encoder("global_pool")
def _global_pool(node, attrs, ins) -> Encoded:
    return [], [ins[0].shape[-1], _KIND.index(attrs["kind"]), int(attrs["mask_mode"] == "multiply")], []
