"""How each op is written into a program record: one file for each family, collected in one table.

An encoder gives (weight roles in the order that C reads them, integer attributes, real attributes); the order is that
which the op's file in ``src_c/ops`` names at its top.
"""

from __future__ import annotations

from .base import ENCODERS, Encoded

__all__ = ["ENCODERS", "Encoded"]
