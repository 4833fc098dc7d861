"""The dummy plugin, built in as many kinds as the tests ask for."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CC = shutil.which("cc") or shutil.which("gcc") or "cc"


@pytest.fixture(scope="session")
def dummy(tmp_path_factory) -> Callable[..., Path]:
    """dummy("DUMMY_X", ...) -> the library built with these macros (see dummy_backend.c)."""
    folder = tmp_path_factory.mktemp("plugins")

    def build(*defines: str) -> Path:
        target = folder / ("dummy" + "".join(d.replace("=", "_") for d in defines) + ".so")
        if not target.exists():
            source = ROOT / "tests" / "plugins" / "dummy_backend.c"
            flags = ["-shared", "-fPIC", "-Wall", "-Wextra", "-I", str(ROOT / "src_c"), *(f"-D{d}" for d in defines)]
            subprocess.run([CC, *flags, str(source), "-o", str(target)], check=True)
        return target

    return build
