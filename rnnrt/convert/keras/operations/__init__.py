"""Operations on tensors inside a graph: Keras 3's operation nodes, Keras 2's TFOpLambda and its kin.

The whitelist is two tables, from Keras's classes and from TensorFlow's names to the functions here; what is not in
them is refused by name. An operation's output carries no mask, in either Keras.
"""

from __future__ import annotations

from .tables import KERAS3, TENSORFLOW, is_operation, run

__all__ = ["KERAS3", "TENSORFLOW", "is_operation", "run"]
