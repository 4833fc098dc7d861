"""rnnrt: Keras recurrent models from one compact file, run from C kernels.

    rnnrt.convert("model.h5")                 # -> model.rnnrt; Keras is not needed
    model = rnnrt.load("model.rnnrt")
    y = model.predict(x)                      # pure, thread-safe
    s = model.session(); y = s.step(x_t)      # streaming, with carried state

``import rnnrt`` loads NumPy and the extension, nothing else; conversion brings h5py when it is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .custom import register_cell, register_layer
from .errors import (
    BackendError,
    BatchError,
    ConversionError,
    FormatError,
    RnnrtError,
    ShapeError,
    StateError,
    UnsupportedLayerError,
)
from .info import __version__, devices, info
from .loading import load
from .model import Model, TensorInfo
from .native._native import DeviceArray
from .session import Session
from .streams.pool import Pool
from .verify import VerifyReport, verify

if TYPE_CHECKING:
    from . import stores
    from .convert.report import CheckReport, ConversionReport

__all__ = [
    "BackendError",
    "BatchError",
    "ConversionError",
    "DeviceArray",
    "FormatError",
    "Model",
    "Pool",
    "RnnrtError",
    "Session",
    "ShapeError",
    "StateError",
    "TensorInfo",
    "UnsupportedLayerError",
    "VerifyReport",
    "__version__",
    "check",
    "convert",
    "devices",
    "info",
    "load",
    "stores",
    "register_cell",
    "register_layer",
    "verify",
]


def convert(src: Any, dst: Any = None, **options: Any) -> ConversionReport:
    """Convert a Keras file to a ``.rnnrt`` file; see :func:`rnnrt.convert.convert` for all options.

    convert(src, dst=None, *, architecture=None, inputs=None, outputs=None, weights="float32", calibration=None,
    max_error=None, custom_objects=None) -> ConversionReport
    """
    from .convert import convert as run

    return run(src, dst, load=load, **options)


def __getattr__(name: str) -> Any:
    """``rnnrt.stores``, loaded when it is first asked for."""
    if name == "stores":
        from importlib import import_module

        return import_module(".stores", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def check(src: Any, **options: Any) -> CheckReport:
    """What :func:`convert` would do, without writing; see :func:`rnnrt.convert.check`."""
    from .convert import check as run

    return run(src, **options)
