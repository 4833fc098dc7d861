"""The closed list of ops by family, and tables that know an op from the moment when it is first asked for.

A family is a module of this package, and one of the same name in each room that does something for each op. A model
that is loaded needs three or four of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TypeVar

__all__ = ["FAMILIES", "HOST_OPS", "MASK_OPS", "ByFamily"]

#: module -> the ops that it registers
FAMILIES: dict[str, tuple[str, ...]] = {
    "attention": ("attention", "einsum_dense"),
    "axes": ("expand_dims", "squeeze", "transpose", "slice", "last_step", "pad", "repeat"),
    "conv": ("conv", "depthwise_conv", "pool", "global_pool"),
    "conv_lstm": ("conv_lstm",),
    "elementwise": ("activation", "batch_normalization"),
    "functions": ("unary", "fill_like", "reduce"),
    "host": ("host_cell", "host_layer"),
    "masks": (
        *("not_equal", "masking", "apply_mask", "logical_and", "logical_or", "ones_mask", "reduce_mask"),
        *("concat_masks", "fold_time", "unfold_time"),
    ),
    "matrix": ("dense", "embedding"),
    "merge": (
        *("add", "subtract", "multiply", "divide", "average", "maximum", "minimum", "power", "compare", "where"),
        *("concatenate", "dot"),
    ),
    "normalize": (
        *("layer_normalization", "unit_normalization", "group_normalization", "normalization", "rescaling"),
        *("prelu", "softmax", "category_encoding"),
    ),
    "recurrent": ("simple_rnn", "lstm", "gru"),
    "shape": ("flatten", "reshape", "repeat_vector", "cast"),
}
_FAMILY_OF = {op: family for family, ops in FAMILIES.items() for op in ops}

#: ops that run a class of the user's own
HOST_OPS = FAMILIES["host"]

#: ops whose output of rank 2 is a mask: (batch, time)
MASK_OPS = frozenset(("not_equal", "masking", "logical_and", "logical_or", "ones_mask", "reduce_mask", "concat_masks"))

T = TypeVar("T")


class ByFamily(Mapping[str, T]):
    """Op -> what the modules of a package put in for it; a module is imported with the first of its ops.

    without: ops that the package knows nothing of.
    """

    def __init__(self, package: str, without: frozenset[str] = frozenset()) -> None:
        self._package = package
        self._ops = tuple(op for op in _FAMILY_OF if op not in without)
        self._known: dict[str, T] = {}

    def put(self, op: str, value: T) -> None:
        """What a family's module calls for each of its ops."""
        assert op in self._ops and op not in self._known, op
        self._known[op] = value

    def __getitem__(self, op: str) -> T:
        if op not in self._known and op in self._ops:
            import_module(f"{self._package}.{_FAMILY_OF[op]}")
        return self._known[op]

    def __contains__(self, op: object) -> bool:
        return op in self._ops

    def __iter__(self) -> Iterator[str]:
        return iter(self._ops)

    def __len__(self) -> int:
        return len(self._ops)
