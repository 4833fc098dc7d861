"""The devices that tests run on: ``cpu``, ``cuda-emulated`` (the plugin over its emulation), ``cuda`` (a real GPU).

The emulated plugin is built once, below ``build/``, and anew when its sources change.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import tempfile
from pathlib import Path
from types import ModuleType

import pytest

__all__ = ["DEVICES", "builder", "library", "plug"]

ROOT = Path(__file__).resolve().parents[1]
DEVICES = ("cpu", "cuda-emulated", "cuda")


@functools.cache
def builder() -> ModuleType:
    """``src_c/cuda/build.py``"""
    spec = importlib.util.spec_from_file_location("cuda_build", ROOT / "src_c" / "cuda" / "build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def folder() -> Path:
    """Where objects and libraries over the emulation are kept."""
    writable = os.access(ROOT / "build" if (ROOT / "build").exists() else ROOT, os.W_OK)
    return (ROOT / "build" if writable else Path(tempfile.gettempdir())) / f"cuda-emulated-{os.getuid()}"


@functools.cache
def library() -> Path:
    """The emulated plugin; skips where there is no compiler for it."""
    build = builder()
    if build.find_cxx() is None:
        pytest.skip("the emulated CUDA plugin needs g++ to be built")
    target = folder() / "librnnrt_cudaemu.so"
    build.build(target, emulated=True, objects=folder())
    return target


def plug(monkeypatch: pytest.MonkeyPatch, device: str) -> str:
    """Set up one of DEVICES; its name for ``rnnrt.load(device=)``. Skips with the plugin's own reason."""
    import rnnrt

    if device == "cuda-emulated":
        monkeypatch.setenv("RNNRT_CUDA_PLUGIN", str(library()))
    elif device == "cuda":
        found = rnnrt.devices()
        if "cuda:0" not in found:
            pytest.skip(f"no GPU: {found.missing['cuda']}")
    return "cpu" if device == "cpu" else "cuda"
