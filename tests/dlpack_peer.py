"""Another library, as DLPack sees it: lends arrays that claim to lie on a GPU, and takes capsules. In ctypes, so that
what rnnrt reads and writes is judged by a second hand."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["Lender", "Taken", "WithInterface"]


class _Tensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


_DELETER = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class _Managed(ctypes.Structure):
    _fields_ = [("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", _DELETER)]


class _Versioned(ctypes.Structure):
    _fields_ = [
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("context", ctypes.c_void_p),
        ("deleter", _DELETER),
        ("flags", ctypes.c_uint64),
        ("tensor", _Tensor),
    ]


_api = ctypes.pythonapi
_api.PyCapsule_New.restype = ctypes.py_object
_api.PyCapsule_New.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
_api.PyCapsule_GetPointer.restype = ctypes.c_void_p
_api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
_api.PyCapsule_IsValid.argtypes = [ctypes.py_object, ctypes.c_char_p]
_api.PyCapsule_SetName.argtypes = [ctypes.py_object, ctypes.c_char_p]
_CODES = {"f": 2, "i": 0, "u": 1, "b": 6}
_NAMES = {_Managed: b"dltensor", _Versioned: b"dltensor_versioned"}
_USED = {_Managed: b"used_dltensor", _Versioned: b"used_dltensor_versioned"}
_alive: dict[int, Any] = {}  # what lent memory needs, until its deleter was called


class Lender:
    """Host memory that says it lies on ``device``.

    versioned: whether it knows DLPack 1.0. Counts ``lent`` and ``returned``; ``streams``: what it was asked with.
    """

    def __init__(
        self, array: np.ndarray, device: tuple[int, int] = (2, 0), versioned: bool = True, **extra: Any
    ) -> None:
        self.array, self.device, self.versioned = array, device, versioned
        self.readonly: bool = extra.get("readonly", False)
        self.strides: bool = extra.get("strides", True)
        self.lanes: int = extra.get("lanes", 1)
        self.major: int = extra.get("major", 1)
        self.lent = self.returned = 0
        self.streams: list[Any] = []

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device

    def __dlpack__(self, stream: Any = None, **more: Any) -> Any:
        if more and not self.versioned:
            raise TypeError(f"unexpected arguments {sorted(more)}")
        self.streams.append(stream)
        kind = _Versioned if self.versioned else _Managed
        a, m = self.array, kind()
        n = a.ndim
        t = m.tensor
        shape = (ctypes.c_int64 * max(n, 1))(*a.shape)
        strides = (ctypes.c_int64 * max(n, 1))(*(s // a.itemsize for s in a.strides))
        t.data, t.byte_offset = a.ctypes.data - 64, 64
        t.device_type, t.device_id = self.device
        t.ndim, t.code, t.bits, t.lanes = n, _CODES[a.dtype.kind], 8 * a.itemsize, self.lanes
        t.shape = ctypes.cast(shape, ctypes.POINTER(ctypes.c_int64))
        t.strides = ctypes.cast(strides, ctypes.POINTER(ctypes.c_int64)) if self.strides else None
        if self.versioned:
            m.major, m.minor, m.flags = self.major, 0, int(self.readonly)
        address = ctypes.addressof(m)

        def returned(given: int) -> None:
            assert given == address and address in _alive, "a deleter is called once, with its own tensor"
            self.returned += 1
            _alive.pop(address)

        m.deleter = _DELETER(returned)
        _alive[address] = (m, shape, strides, self)
        self.lent += 1
        return _api.PyCapsule_New(address, _NAMES[kind], None)


class WithInterface:
    """``__cuda_array_interface__`` over host memory."""

    def __init__(self, array: np.ndarray, stream: int | None = None, **more: Any) -> None:
        self.facts = {
            "shape": array.shape,
            "typestr": array.dtype.str,
            "data": (array.ctypes.data, False),
            "version": 3,
            "strides": None if array.flags.c_contiguous else array.strides,
            "stream": stream,
            **more,
        }
        self.array = array

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return self.facts


class Taken:
    """What a library makes of a capsule: a NumPy view of the memory, until :meth:`done` calls the deleter."""

    def __init__(self, capsule: Any) -> None:
        kind: Any = next(k for k, name in _NAMES.items() if _api.PyCapsule_IsValid(capsule, name))
        self.kind = kind
        self.address = _api.PyCapsule_GetPointer(capsule, _NAMES[kind])
        _api.PyCapsule_SetName(capsule, _USED[kind])
        self.managed = kind.from_address(self.address)
        t = self.managed.tensor
        self.device = (t.device_type, t.device_id)
        self.shape = tuple(t.shape[i] for i in range(t.ndim))
        self.strides = tuple(t.strides[i] for i in range(t.ndim))
        dtype = np.dtype(f"{ {2: 'f', 0: 'i', 6: 'b'}[t.code] }{t.bits // 8}")
        size = int(np.prod(self.shape)) * dtype.itemsize
        memory = (ctypes.c_char * size).from_address(t.data + t.byte_offset)
        self.array = np.frombuffer(memory, dtype).reshape(self.shape)

    def done(self) -> None:
        """The consumer is through: as its destructor would."""
        deleter: Callable[[int], None] = self.managed.deleter
        deleter(self.address)
