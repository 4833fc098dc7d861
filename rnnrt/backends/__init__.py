"""Backends: the CPU executor, plugins, and the kernel tables of this machine."""

from .devices import MATH, Device, available, open_device
from .kernels import kernels_wanted

__all__ = ["MATH", "Device", "available", "kernels_wanted", "open_device"]
