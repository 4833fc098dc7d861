"""The one error tree of rnnrt.

Every message names the place (``encoder/lstm_2.recurrent_kernel``) and, where
there is one, the remedy.
"""

from __future__ import annotations

__all__ = [
    "BackendError",
    "BatchError",
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


class BatchError(RnnrtError, ValueError):
    """Some streams of a pool's call failed; the others went on.

    Attributes
    ----------
    errors : dict
        id -> exception of each stream that failed; its state is as it was before the call.
    results : dict
        id -> result of each of the others.
    """

    def __init__(self, errors: dict, results: dict) -> None:
        shown = "; ".join(f"{k!r}: {e}" for k, e in list(errors.items())[:3])
        more = f"; and {len(errors) - 3} more" if len(errors) > 3 else ""
        super().__init__(f"{len(errors)} of {len(errors) + len(results)} streams failed: {shown}{more}")
        self.errors = errors
        self.results = results


class BackendError(RnnrtError, RuntimeError):
    """A device or kernel table cannot be had, or failed."""
