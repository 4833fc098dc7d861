"""Keras itself, on its own file, as far as it loads it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import BackendError
from . import Peer

__all__ = ["open"]


def open(model: Any, source: str | None) -> Peer:
    """The Keras file in the installed Keras: ``predict_on_batch``, which is its quickest public call."""
    if source is None:
        raise BackendError("needs the Keras file: bench model.h5 or model.keras instead of the .rnnrt file")
    import keras

    loaded = keras.models.load_model(source, compile=False)

    def predict(arrays: list[np.ndarray]) -> list[np.ndarray]:
        y = loaded.predict_on_batch(arrays if len(arrays) > 1 else arrays[0])
        return [np.asarray(v) for v in (y if isinstance(y, (list, tuple)) else [y])]

    return Peer("keras", keras.__version__, predict)
