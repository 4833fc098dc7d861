"""The closed list of ops: attributes, weights, states and shape rule of each.

One entry of ``FAMILIES`` in :mod:`.table` is one entry in ``src_c/ops/ops.def`` (a test compares the two). An op's
module registers :class:`OpSpec` objects; nothing else in the project knows what an op takes.
"""

from __future__ import annotations

from .spec import OPS, Attr, OpSpec, ShapeMismatch, StateSpec, infer_node

__all__ = ["OPS", "Attr", "OpSpec", "ShapeMismatch", "StateSpec", "infer_node"]
