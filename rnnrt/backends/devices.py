"""GPUs by name: ``cuda``, ``cuda:1``. The plugin is looked for only when one is named."""

from __future__ import annotations

import re

from ..errors import BackendError
from . import Device, plugins

__all__ = ["found_cuda", "open_cuda"]


def open_cuda(name: str) -> Device:
    """The GPU of that name; BackendError with cause and remedy where it cannot be had."""
    m = re.fullmatch(r"cuda(?::(\d{1,4}))?", name) if isinstance(name, str) else None
    if m is None:
        raise BackendError(f"device {name!r}: known are 'cpu', 'cuda', 'cuda:1' and so on, and 'auto'")
    index = int(m[1] or 0)
    try:
        backend = plugins.cuda()
        count = backend.count()
    except BackendError as e:
        raise BackendError(f"device {name!r}: {e}") from None
    if index >= count:
        have = ", ".join(f"cuda:{i}" for i in range(count)) or "none"
        raise BackendError(f"device {name!r}: there is no such device; found: {have}")
    return Device(backend, "cuda", index)


def found_cuda() -> tuple[list[Device], dict[str, str]]:
    """(GPUs that models can be loaded on, kind -> why there is none of it)."""
    try:
        backend = plugins.cuda()
        count = backend.count()
    except BackendError as e:
        return [], {"cuda": str(e)}
    if not count:
        return [], {"cuda": "the plugin finds no device"}
    return [Device(backend, "cuda", i) for i in range(count)], {}
