"""Which kernel table of the CPU a load gets.

``RNNRT_ISA`` names a kernel table (``avx512_vnni avx512 avx2 portable oracle``); ``RNNRT_BLAS=always`` runs the matrix
products through scipy's BLAS with the gates fused behind them. Both are read at each load.
"""

from __future__ import annotations

import os
from importlib import import_module

from ..errors import BackendError
from ..native import _native as native

__all__ = ["named_kernels"]


def _install_blas() -> None:
    """Hand scipy's BLAS over, once; the pointers come from capsules, so that scipy loads only when it is asked for."""
    if native.blas_installed():
        return
    try:
        capsules = import_module("scipy.linalg.cython_blas").__pyx_capi__
    except ImportError as e:
        raise BackendError(f"the BLAS path needs scipy (pip install rnnrt[blas]): {e}") from None
    native.install_blas(capsules["sgemm"], capsules["sgemv"])


def named_kernels() -> str:
    """The kernel table that the environment asks for; BackendError where this machine cannot run it."""
    blas = os.environ.get("RNNRT_BLAS", "")
    if blas not in ("", "always", "never"):
        raise BackendError(f"RNNRT_BLAS={blas!r}: known are always and never")
    name = "blas" if blas == "always" else os.environ.get("RNNRT_ISA", "")
    if not name:
        return native.default_kernels()
    known = [t["name"] for t in native.kernel_tables()]
    if name not in known:
        raise BackendError(f"RNNRT_ISA={name!r}: this machine can run {', '.join(known)}")
    if name == "blas":
        _install_blas()
    return name
