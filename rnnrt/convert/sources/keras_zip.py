"""``.keras``: a zip of metadata.json, config.json and model.weights.h5 (Keras 3, and late Keras 2)."""

from __future__ import annotations

import zipfile

from ...errors import ConversionError, RnnrtError
from . import hdf5, jsontext
from .base import Source
from .vars_tree import VarsTree

__all__ = ["open_keras_zip"]

_MAX_WEIGHTS = 1 << 36
_BOMB_FLOOR = 64 << 20
_BOMB_RATIO = 1000
_MAX_MEMBERS = 65536


def _read(z: zipfile.ZipFile, name: str, limit: int, place: str) -> bytes:
    info = z.getinfo(name)
    where = f"{place}: {name}"
    if info.flag_bits & 1:
        raise ConversionError(f"{where}: encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ConversionError(f"{where}: compressed by a method other than stored or deflate")
    if info.file_size > limit:
        raise ConversionError(f"{where}: {info.file_size} bytes, at most {limit} are read")
    if info.file_size > _BOMB_FLOOR and info.file_size > _BOMB_RATIO * max(info.compress_size, 1):
        raise ConversionError(f"{where}: declares {info.file_size} bytes from {info.compress_size}")
    return z.read(info)


def open_keras_zip(path: str, sha256: str) -> Source:
    """Read the architecture and list the weights of a ``.keras`` file.

    Raises ConversionError for a damaged archive, a member that occurs twice, is missing, encrypted or
    far larger than what is stored.
    """
    try:
        with zipfile.ZipFile(path) as z:
            names = z.namelist()
            if len(names) > _MAX_MEMBERS:
                raise ConversionError(f"{path}: {len(names)} members")
            for name in ("config.json", "metadata.json", "model.weights.h5"):
                if names.count(name) > 1:
                    raise ConversionError(f"{path}: the member {name!r} occurs twice")
            if "config.json" not in names:
                raise ConversionError(f"{path}: a zip file without config.json is not a .keras file")
            if "model.weights.h5" not in names:
                hint = " (sharded weights are not read)" if any("weights" in n for n in names) else ""
                raise ConversionError(f"{path}: no model.weights.h5 in it{hint}")
            config = jsontext.parse(_read(z, "config.json", jsontext.MAX_TEXT, path), f"{path}: config.json")
            meta = {}
            if "metadata.json" in names:
                meta = jsontext.parse(_read(z, "metadata.json", jsontext.MAX_TEXT, path), f"{path}: metadata.json")
            blob = _read(z, "model.weights.h5", _MAX_WEIGHTS, path)
    except RnnrtError:
        raise
    except (OSError, ValueError, RuntimeError, EOFError, NotImplementedError, zipfile.BadZipFile) as e:
        raise ConversionError(f"{path}: damaged zip file ({str(e)[:200]})") from None
    except Exception as e:  # zlib.error is a plain Exception
        raise ConversionError(f"{path}: damaged zip file ({type(e).__name__}: {str(e)[:200]})") from None
    if not isinstance(config, dict) or not isinstance(meta, dict):
        raise ConversionError(f"{path}: config.json and metadata.json must be objects")
    version = meta.get("keras_version", "")
    file = hdf5.open_file(blob, f"{path}: model.weights.h5")
    ignored = ["the training configuration"] if config.get("compile_config") else []
    return Source(
        path=path,
        layout=".keras file",
        architecture=config,
        keras_version=version if isinstance(version, str) else "",
        backend="",
        weights=VarsTree(file, f"{path}: model.weights.h5"),
        sha256=sha256,
        ignored=ignored,
        close=file.close,
    )
