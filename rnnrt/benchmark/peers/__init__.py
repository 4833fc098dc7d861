"""Other runtimes on the same model, each in its best known form, to be timed turn by turn with ours.

A peer is built from our own graph and weights (Keras: from its own file), and its answer is compared with ours
before it is timed. What a peer cannot be given is refused by the layer's path.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from ...errors import BackendError

__all__ = ["PEERS", "Peer", "open_peer"]

#: name -> module here; each has ``open(model, source) -> Peer``
PEERS = {"onnxruntime": "ort", "openvino": "vino", "torch": "torch_modules", "keras": "keras_model"}


class Peer:
    """A model in another runtime.

    Attributes
    ----------
    name, version : of the runtime.
    predict : function of a list of arrays, as the model's inputs, to a list of arrays; its outputs may be overwritten
        by the next call.
    stepper : function of a list of arrays of one time step each, that makes a function of no argument which does that
        step for one stream, from the state that the last left; None where the peer cannot.
    """

    def __init__(
        self,
        name: str,
        version: str,
        predict: Callable[[list[np.ndarray]], list[np.ndarray]],
        stepper: Callable[[list[np.ndarray]], Callable[[], list[np.ndarray]]] | None = None,
    ) -> None:
        self.name, self.version, self.predict, self.stepper = name, version, predict, stepper


def open_peer(name: str, model: Any, source: str | None) -> Peer:
    """A peer by name; BackendError says why there is none.

    source: the Keras file that the model was made from, where it is known.
    """
    if name not in PEERS:
        raise BackendError(f"no peer {name!r}; known: {', '.join(PEERS)}")
    try:
        return import_module(f".{PEERS[name]}", __name__).open(model, source)
    except ImportError as e:
        raise BackendError(f"{e.name or name} is not installed here") from None
