"""The float64 interpreter of the graph: slow, plain, and independent of every kernel.

It is what the proof inside a .rnnrt file is computed with, and what the tests compare against.
Run at float32 it gives an independent estimate of what float32 arithmetic costs on a model.
One file per family of ops; :data:`rnnrt.reference.registry.REFERENCE` maps an op to its function.
"""

from __future__ import annotations

from .interpreter import Interpreter, ReferenceSession

__all__ = ["Interpreter", "ReferenceSession"]
