"""The closed list of ops: attributes, weights, states and shape rule of each.

One entry here is one entry in ``src_c/ops/ops.def`` (a test compares the two). An op's module
registers :class:`OpSpec` objects; nothing else in the project knows what an op takes.
"""

from __future__ import annotations

from . import (  # noqa: F401  (they register)
    attention,
    axes,
    conv,
    conv_lstm,
    elementwise,
    functions,
    host,
    masks,
    matrix,
    merge,
    normalize,
    recurrent,
    shape,
)
from .spec import OPS, Attr, OpSpec, ShapeMismatch, StateSpec, infer_node

__all__ = ["OPS", "Attr", "OpSpec", "ShapeMismatch", "StateSpec", "infer_node"]
