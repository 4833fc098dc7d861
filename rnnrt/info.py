"""info: what is installed and what this machine can do."""

from __future__ import annotations

import os
import platform
from typing import Any

import numpy as np

from .native import _native as native

__all__ = ["__version__", "devices", "info"]

__version__ = "0.1.0"


def devices() -> list[str]:
    """Devices that a model can be loaded on."""
    return ["cpu"]


def info() -> dict[str, Any]:
    """Versions, CPU features, kernel tables and what they promise, as plain data."""
    tables = native.kernel_tables()
    forced = os.environ.get("RNNRT_ISA") or None
    blas = os.environ.get("RNNRT_BLAS") == "always"
    current = "blas" if blas else forced or native.default_kernels()
    same = [t["name"] for t in tables if t["bitwise_group"] > 0]
    return {
        "rnnrt": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": platform.machine(),
        "compiler": native.Backend.cpu().build_info,
        "cpu_features": native.cpu_features(),
        "kernels": current,
        "kernel_tables": [t["name"] for t in tables],
        "numerics": 1,
        "bitwise_equal": same,
        "bitwise_promise": current in same,
        "blas": "always" if blas else "never",
        "devices": devices(),
    }
