"""rnnrt: Keras recurrent models from one compact file, run from C kernels.

    rnnrt.convert("model.h5")                 # -> model.rnnrt; Keras is not needed
    model = rnnrt.load("model.rnnrt")
    y = model.predict(x)                      # pure, thread-safe
    s = model.session(); y = s.step(x_t)      # streaming, with carried state

``import rnnrt`` loads NumPy and the extension, nothing else; conversion brings h5py when it is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
from .loading import load
from .model import Model, TensorInfo
from .native._native import DeviceArray

if TYPE_CHECKING:
    from . import stores
    from .convert.report import CheckReport, ConversionReport
    from .custom import register_cell, register_layer
    from .machine import devices, info
    from .session import Session
    from .streams.pool import Pool
    from .verify import VerifyReport, verify

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

__version__ = "0.1.0"


def convert(src: Any, dst: Any = None, **options: Any) -> ConversionReport:
    """Convert a Keras file to a ``.rnnrt`` file; see :func:`rnnrt.convert.convert` for all options.

    convert(src, dst=None, *, architecture=None, inputs=None, outputs=None, weights="float32", calibration=None,
    max_error=None, custom_objects=None, progress=None) -> ConversionReport
    """
    from .convert import convert as run
    from .loading import planned

    return run(src, dst, load=load, plan=planned, **options)


_LATER = {
    "Pool": ".streams.pool",
    "Session": ".session",
    "VerifyReport": ".verify",
    "devices": ".machine",
    "info": ".machine",
    "register_cell": ".custom",
    "register_layer": ".custom",
    "stores": ".stores",
    "verify": ".verify",
}


def __getattr__(name: str) -> Any:
    """Names that loading and ``predict`` do not need, imported when they are first asked for."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module = import_module(_LATER[name], __name__)
    if name == "stores":
        return module
    if _LATER[name] == ".verify":
        globals()["verify"] = module.verify  # the import has put the module there
    globals()[name] = found = getattr(module, name)
    return found


def check(src: Any, **options: Any) -> CheckReport:
    """What :func:`convert` would do, without writing; see :func:`rnnrt.convert.check`."""
    from .convert import check as run

    return run(src, **options)
