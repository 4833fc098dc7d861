"""Finds and opens the CUDA plugin, when it is first asked for.

In this order: the library that ``RNNRT_CUDA_PLUGIN`` names; the entry point ``cuda`` of the group ``rnnrt.backends``,
a function without arguments that gives a path (the distribution ``rnnrt-cuda`` has it); the library that
``RNNRT_CUDA=1 pip install .`` or ``python setup.py build_cuda`` left in this package. The first that is there counts:
where it cannot be used that is an error, not a reason to take the next one.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import BackendError
from ..native import _native as native

__all__ = ["GROUP", "IN_TREE", "cuda"]

GROUP = "rnnrt.backends"
IN_TREE = Path(__file__).parent / "librnnrt_cuda.so"

_HOW = (
    "pip install 'rnnrt[cuda]', build it with 'RNNRT_CUDA=1 pip install .' (needs nvcc), "
    "or name a library in RNNRT_CUDA_PLUGIN"
)
_opened: dict[str, native.Backend] = {}  # by path; a library that was opened stays open


def _by_entry_point() -> tuple[str, str] | None:
    """(path, who gave it) of an installed distribution's plugin, None where there is none."""
    from importlib.metadata import entry_points

    found = sorted(entry_points(group=GROUP, name="cuda"), key=lambda e: e.value)
    if not found:
        return None
    who = f"the entry point {found[0].value!r} of {GROUP}"
    try:
        return os.fspath(found[0].load()()), who
    except Exception as e:  # code of another distribution: whatever it raises
        raise BackendError(f"{who} gives no library: {type(e).__name__}: {e}; install rnnrt-cuda anew") from e


def _find() -> tuple[str, str]:
    """(path, who named it)."""
    named = os.environ.get("RNNRT_CUDA_PLUGIN")
    if named:
        return named, "RNNRT_CUDA_PLUGIN"
    given = _by_entry_point()
    if given is not None:
        return given
    if IN_TREE.exists():
        return str(IN_TREE), "the build in this package"
    raise BackendError(f"the CUDA plugin is not installed: {_HOW}")


def cuda() -> native.Backend:
    """The CUDA plugin; BackendError with cause and remedy where there is none, or where it cannot be used."""
    path, who = _find()
    if path not in _opened:
        if not os.path.isfile(path):
            raise BackendError(f"{who} names {path!r}, which is not a file: {_HOW}")
        try:
            # an absolute path: dlopen looks for a bare name elsewhere
            _opened[path] = native.Backend.open(os.path.abspath(path))
        except BackendError as e:
            raise BackendError(f"the CUDA plugin named by {who} cannot be used: {e}") from None
    return _opened[path]
