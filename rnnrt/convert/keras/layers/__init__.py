"""The layers: one file per family, each class registered in one table."""

from __future__ import annotations

from . import (  # noqa: F401  (they register)
    activation,
    attention,
    bidirectional,
    conv,
    conv_lstm,
    conv_more,
    core,
    identity,
    merging,
    normalization,
    pooling,
    recurrent,
    refused,
    reshaping,
    wrappers,
)
from .registry import REFUSED, REGISTRY, Entry

__all__ = ["REFUSED", "REGISTRY", "Entry"]
