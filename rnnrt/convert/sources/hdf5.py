"""HDF5 read with care: hard links only, plain datasets only, nothing larger than it can be.

Every function raises ConversionError; h5py's own errors (a damaged file) become one.
"""

from __future__ import annotations

import io
import math
import mmap
from collections.abc import Iterator
from contextlib import contextmanager

import h5py
import numpy as np

from ...errors import ConversionError, RnnrtError
from .base import StoredArray
from .heap_check import check_heaps

__all__ = ["attr_text", "attr_names", "child", "dataset", "guard", "group", "has", "open_file"]

_MAX_ATTR = 64 << 20
_BOMB_FLOOR = 64 << 20  # declared bytes above which the stored bytes are asked for
_BOMB_RATIO = 1000
_MAX_NAMES = 1 << 20
_MAX_PARTS = 64


@contextmanager
def guard(place: str) -> Iterator[None]:
    """Turn whatever h5py raises inside into a ConversionError with the place."""
    try:
        yield
    except RnnrtError:
        raise
    except MemoryError:
        raise
    except Exception as e:  # h5py raises OSError, RuntimeError, KeyError, ValueError, TypeError, ...
        text = f"{type(e).__name__}: {e}".replace("\n", " ")
        raise ConversionError(f"{place}: damaged HDF5 ({text[:200]})") from None


def open_file(source: str | bytes, place: str) -> h5py.File:
    """An HDF5 file, or the bytes of one, opened for reading."""
    with guard(place):
        if isinstance(source, bytes):
            check_heaps(source, place)
            return h5py.File(io.BytesIO(source), "r")
        with open(source, "rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as data:
            check_heaps(data, place)
        return h5py.File(source, "r")


def _link(parent: h5py.Group, part: str, place: str) -> bool:
    """Whether parent has a hard link of that name; other links are refused."""
    if part in ("", ".", ".."):
        raise ConversionError(f"{place}: the path part {part!r} is not valid")
    # `in` follows the link, so that a dangling soft or external one looks absent
    if not parent.id.links.exists(part.encode("utf-8")):
        return False
    link = parent.get(part, getlink=True)
    if not isinstance(link, h5py.HardLink):
        raise ConversionError(
            f"{place}: {part!r} is a {type(link).__name__}; only data inside the file is read. "
            "Save the model again, or copy the file with h5repack"
        )
    return True


def child(parent: h5py.Group, path: str, place: str) -> h5py.Group | h5py.Dataset | None:
    """The object at a path below parent, or None; ConversionError for soft and external links."""
    parts = path.split("/")
    if len(parts) > _MAX_PARTS:
        raise ConversionError(f"{place}: path of {len(parts)} parts")
    here = parent
    with guard(place):
        for part in parts:
            if not isinstance(here, h5py.Group) or not _link(here, part, place):
                return None
            here = here[part]
    return here


def has(parent: h5py.Group, path: str, place: str) -> bool:
    """Whether there is an object at a path."""
    return child(parent, path, place) is not None


def group(parent: h5py.Group, path: str, place: str) -> h5py.Group:
    """The group at a path."""
    out = child(parent, path, place)
    if not isinstance(out, h5py.Group):
        raise ConversionError(f"{place}: the group {path!r} is missing")
    return out


def _stored_bytes(ds: h5py.Dataset) -> int:
    return int(ds.id.get_storage_size())


def dataset(parent: h5py.Group, path: str, place: str) -> StoredArray:
    """The dataset at a path, checked for what it declares; its values are read later."""
    with guard(place):
        ds = child(parent, path, place)
        if not isinstance(ds, h5py.Dataset):
            raise ConversionError(f"{place}: the array {path!r} is missing")
        if ds.is_virtual:
            raise ConversionError(f"{place}: {path!r} is a virtual dataset; only data inside the file is read")
        if ds.external:
            raise ConversionError(f"{place}: {path!r} lies in another file; only data inside the file is read")
        if ds.shape is None:
            raise ConversionError(f"{place}: {path!r} is empty")
        shape = tuple(int(d) for d in ds.shape)
        dtype = ds.dtype

    def read() -> np.ndarray:
        # here, not before: layers that nobody reads may hold anything
        bfloat16 = dtype.kind == "V" and dtype.itemsize == 2 and dtype.names is None and dtype.subdtype is None
        if not bfloat16 and (dtype.kind != "f" or dtype.itemsize not in (2, 4, 8)):
            raise ConversionError(
                f"{place}: {path!r} holds {dtype}, not float16, bfloat16, float32 or float64 "
                "(quantised weights are not read)"
            )
        with guard(place):
            declared = math.prod(shape) * dtype.itemsize
            if declared > _BOMB_FLOOR and declared > _BOMB_RATIO * _stored_bytes(ds):
                raise ConversionError(f"{place}: {path!r} declares {declared} bytes but stores {_stored_bytes(ds)}")
            values = np.asarray(ds[()])
            return values.view("<u2") if bfloat16 else values

    return StoredArray(path, shape, read)


def _attr(obj: h5py.Group, name: str, place: str) -> object:
    """An attribute's value, or None where there is none."""
    with guard(place):
        if name not in obj.attrs:
            return None
        info = obj.attrs.get_id(name)
        count = math.prod(info.shape or ())
        if count > _MAX_NAMES or count * info.dtype.itemsize > _MAX_ATTR:
            raise ConversionError(f"{place}: the attribute {name!r} declares {count} values")
        if info.dtype.kind == "O" and h5py.check_string_dtype(info.dtype) is None:
            raise ConversionError(f"{place}: the attribute {name!r} is not text")
        return obj.attrs[name]


def _decode(value: object, place: str) -> str:
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(())[()]
    if isinstance(value, bytes):  # np.bytes_ too
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            raise ConversionError(f"{place}: not UTF-8 text") from None
    if isinstance(value, str):
        return str(value)
    raise ConversionError(f"{place}: text expected, got {type(value).__name__}")


def attr_text(obj: h5py.Group, name: str, place: str) -> str | None:
    """A text attribute (str, bytes or fixed-length), or None."""
    value = _attr(obj, name, place)
    return None if value is None else _decode(value, f"{place}: attribute {name!r}")


def attr_names(obj: h5py.Group, name: str, place: str) -> list[str] | None:
    """A list of names, whole or in chunks ``name0``, ``name1``, ...; None where there is neither."""
    value = _attr(obj, name, place)
    if value is None:
        chunks: list[np.ndarray] = []
        while (value := _attr(obj, f"{name}{len(chunks)}", place)) is not None:
            chunks.append(np.asarray(value).reshape(-1))
            if sum(c.size for c in chunks) > _MAX_NAMES:
                raise ConversionError(f"{place}: more than {_MAX_NAMES} names in {name!r}")
        if not chunks:
            return None
    else:
        chunks = [np.asarray(value).reshape(-1)]
    names = [v for c in chunks for v in c.tolist()]
    return [_decode(v, f"{place}: attribute {name!r}") for v in names]
