"""What kind of file this is, by its content; file names are not trusted."""

from __future__ import annotations

import hashlib
import os
from typing import Any

from ..errors import ConversionError
from .sources import hdf5
from .sources.base import Source
from .sources.keras_zip import open_keras_zip
from .sources.weights_h5 import open_weights_h5
from .sources.whole_h5 import open_whole_h5

__all__ = ["file_kind", "open_source"]

_HDF5 = b"\x89HDF\r\n\x1a\n"


def file_kind(path: str) -> str:
    """``hdf5``, ``zip`` or ``rnnrt``; ConversionError for anything else, saying what it looks like."""
    try:
        if os.path.isdir(path):
            hint = ""
            if os.path.exists(os.path.join(path, "saved_model.pb")):
                hint = "; it is a TensorFlow SavedModel: save the model as .h5 or .keras from Keras"
            raise ConversionError(f"{path}: a folder, not a file{hint}")
        size = os.path.getsize(path)
        with open(path, "rb") as f:
            head = f.read(4096)
            if head[:8] == _HDF5:
                return "hdf5"
            # before the search for user blocks: a member stored in a zip may lie at such an offset by chance
            if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
                return "zip"
            offset = 512  # HDF5 allows a user block of 512 * 2^n bytes before its signature
            while offset + 8 <= size:
                f.seek(offset)
                if f.read(8) == _HDF5:
                    return "hdf5"
                offset *= 2
    except OSError as e:
        raise ConversionError(f"{path}: cannot read the file ({e.strerror or e})") from None
    if head[8:9] == b"{" and b'"rnnrt' in head:
        return "rnnrt"
    if not head:
        raise ConversionError(f"{path}: an empty file")
    if head[:1].strip(b" \r\n\t") == b"{" or head.lstrip()[:1] == b"{":
        raise ConversionError(
            f"{path}: JSON text; an architecture goes beside its weights: convert('weights.h5', architecture=...)"
        )
    if head.startswith(b"version https://git-lfs"):
        raise ConversionError(f"{path}: a Git LFS pointer, not the model itself; run 'git lfs pull'")
    if head[8:9] == b"{":
        raise ConversionError(f"{path}: a safetensors file without a model in it")
    if head[4:8] == b"TFL3":
        raise ConversionError(f"{path}: a TensorFlow Lite file; rnnrt converts the Keras file it was made from")
    if head[:2] == b"\x80\x04" or head[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x05"):
        raise ConversionError(f"{path}: a pickle, which is never read; save the model as .h5 or .keras")
    raise ConversionError(f"{path}: not a Keras file (neither HDF5 nor a .keras zip)")


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def open_source(src: str | os.PathLike, architecture: Any = None) -> Source:
    """Open a Keras file of any layout. Close the result (it is a context manager).

    architecture: for files with weights only, the path of a JSON file, JSON text or a dict.
    Raises ConversionError where it is not a file that Keras wrote.
    """
    path = os.fspath(src)
    if not isinstance(path, str):
        path = os.fsdecode(path)
    kind = file_kind(path)
    if kind == "rnnrt":
        raise ConversionError(f"{path}: already a .rnnrt file; rnnrt.load() takes it as it is")
    sha = _sha256(path)
    if kind == "zip":
        if architecture is not None:
            raise ConversionError(f"{path}: holds its own architecture; leave architecture= away")
        return open_keras_zip(path, sha)
    file = hdf5.open_file(path, path)
    try:
        if architecture is None and hdf5.attr_text(file, "model_config", path) is not None:
            return open_whole_h5(file, path, sha)
        return open_weights_h5(file, path, sha, architecture)
    except BaseException:
        file.close()
        raise
