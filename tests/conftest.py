"""Fixtures of all suites."""

from __future__ import annotations

import signal

import emulated
import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a shell's background; some tests interrupt themselves
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=emulated.DEVICES)
def device(request, monkeypatch) -> str:
    """``cpu``, ``cuda`` over the emulation, ``cuda`` on a GPU: a name for ``rnnrt.load(device=)``."""
    return emulated.plug(monkeypatch, request.param)


@pytest.fixture(params=[d for d in emulated.DEVICES if d != "cpu"])
def cuda(request, monkeypatch) -> str:
    """``cuda``, over the emulation and on a GPU."""
    return emulated.plug(monkeypatch, request.param)
