"""The CUDA plugin of rnnrt: one shared library, found by the entry point ``cuda`` of the group ``rnnrt.backends``."""

from pathlib import Path

__all__ = ["library"]


def library() -> str:
    """The library's path."""
    return str(Path(__file__).with_name("librnnrt_cuda.so"))
