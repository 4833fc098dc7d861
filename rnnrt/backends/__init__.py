"""Backends: the CPU executor, plugins, and the kernel tables of this machine.

Here is what a model on the CPU needs; names of other devices are read in :mod:`.devices`, which kernel tables the
environment may name in :mod:`.kernels`.
"""

from __future__ import annotations

import os
from typing import Any

from ..native import _native as native
from ..records import Record

__all__ = ["MATH", "Device", "available", "kernels_wanted", "open_device"]

MATH = ("fp32", "tf32")  # in the order of rnnrt_math


class Device(Record):
    """One device of a backend.

    kind: ``cpu`` or ``cuda``. index: its number among those of its kind.
    """

    backend: native.Backend
    kind: str
    index: int

    def __str__(self) -> str:
        return "cpu" if self.kind == "cpu" else f"{self.kind}:{self.index}"

    def facts(self) -> dict[str, Any]:
        """Name, memory and versions, as plain data."""
        return {"device": str(self), **self.backend.device(self.index)}


def open_device(name: str) -> Device:
    """The device of that name.

    Raises
    ------
    BackendError
        With cause and remedy: an unknown name, no plugin, no driver or one that is too old, no such device.
    """
    if name == "cpu":
        return Device(native.Backend.cpu(), "cpu", 0)
    from .devices import open_cuda

    return open_cuda(name)


def available() -> tuple[list[Device], dict[str, str]]:
    """(devices that models can be loaded on, kind -> why there is none of it)."""
    from .devices import found_cuda

    found, missing = found_cuda()
    return [open_device("cpu"), *found], missing


def kernels_wanted() -> str:
    """The kernel table that the environment asks for; BackendError where this machine cannot run it."""
    if not (os.environ.get("RNNRT_ISA") or os.environ.get("RNNRT_BLAS")):
        return native.default_kernels()
    from .kernels import named_kernels

    return named_kernels()
