"""Backends: the CPU executor, plugins, and the kernel tables of this machine."""

from .registry import cpu, kernels_wanted

__all__ = ["cpu", "kernels_wanted"]
