"""How each op is written into a program record: one file for each family, collected in one table.

An encoder gives (weight roles in the order that C reads them, integer attributes, real attributes); the order is that
which the op's file in ``src_c/ops`` names at its top.
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
from .base import ENCODERS, Encoded

__all__ = ["ENCODERS", "Encoded"]
