"""info: what is installed and what this machine can do."""

from __future__ import annotations

import os
import platform
from typing import Any

import numpy as np

from . import __version__
from .backends import available
from .native import _native as native

__all__ = ["devices", "info"]


class Devices(list):
    """Names of devices; ``missing`` tells why there is none of a kind: ``{"cuda": "cuda: no NVIDIA driver ..."}``."""

    def __init__(self, names: list[str], missing: dict[str, str]) -> None:
        super().__init__(names)
        self.missing = missing

    def __repr__(self) -> str:
        why = "".join(f"; no {kind}: {reason}" for kind, reason in self.missing.items())
        return super().__repr__() + why


def devices() -> Devices:
    """Devices that a model can be loaded on, and why there is none of a kind (looks for plugins).

    >>> rnnrt.devices()
    ['cpu', 'cuda:0']
    """
    found, missing = available()
    return Devices([str(d) for d in found], missing)


def info() -> dict[str, Any]:
    """Versions, CPU features, kernel tables and what they promise, devices and plugins, as plain data."""
    found, missing = available()
    plugin = [d for d in found if d.kind != "cpu"]
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
        "devices": [str(d) for d in found],
        "cuda": missing.get("cuda") or {"plugin": plugin[0].backend.build_info, "devices": [d.facts() for d in plugin]},
    }
