"""One file per layout of Keras's files; each gives a :class:`Source`."""

from __future__ import annotations

from .base import OrderedWeights, PathWeights, Source, StoredArray

__all__ = ["OrderedWeights", "PathWeights", "Source", "StoredArray"]
