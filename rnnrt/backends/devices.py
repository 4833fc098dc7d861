"""Devices by name: ``cpu``, ``cuda``, ``cuda:1``. Plugins are looked for only when one is named."""

from __future__ import annotations

import re
from typing import Any

from ..errors import BackendError
from ..native import _native as native
from ..records import Record

__all__ = ["MATH", "Device", "available", "open_device"]

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
    m = re.fullmatch(r"cuda(?::(\d{1,4}))?", name) if isinstance(name, str) else None
    if m is None:
        raise BackendError(f"device {name!r}: known are 'cpu', 'cuda', 'cuda:1' and so on, and 'auto'")
    from . import plugins  # it brings pathlib

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


def available() -> tuple[list[Device], dict[str, str]]:
    """(devices that models can be loaded on, kind -> why there is none of it)."""
    from . import plugins

    found = [open_device("cpu")]
    try:
        backend = plugins.cuda()
        count = backend.count()
    except BackendError as e:
        return found, {"cuda": str(e)}
    if not count:
        return found, {"cuda": "the plugin finds no device"}
    return found + [Device(backend, "cuda", i) for i in range(count)], {}
