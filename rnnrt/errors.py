"""The one error tree of rnnrt.

Every message names the place (``encoder/lstm_2.recurrent_kernel``) and, where
there is one, the remedy.
"""

from __future__ import annotations

__all__ = [
    "BackendError",
    "ConversionError",
    "FormatError",
    "RnnrtError",
    "ShapeError",
    "StateError",
    "UnsupportedLayerError",
]


class RnnrtError(Exception):
    """Base class of all errors that rnnrt raises on purpose."""


class ConversionError(RnnrtError, ValueError):
    """A Keras file cannot be converted exactly."""


class UnsupportedLayerError(ConversionError):
    """A layer, option or activation that rnnrt does not compute.

    Attributes
    ----------
    path : str
        The layer's path in the model, e.g. ``encoder/lstm_2``.
    """

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class FormatError(RnnrtError, ValueError):
    """A file is not a valid .rnnrt file, or not one that this version reads."""


class ShapeError(RnnrtError, ValueError):
    """An array has the wrong rank, shape, dtype or values for its place."""


class StateError(RnnrtError, ValueError):
    """A session's state does not fit, or the session is in use by another thread."""


class BackendError(RnnrtError, RuntimeError):
    """A device or kernel table cannot be had, or failed."""
