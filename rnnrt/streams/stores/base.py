"""The interface of a store: where the states of streams outlive their process.

A store keeps, for each stream id, the latest snapshot with the number of steps that it stands for. A stream has
at most one owner at a time. A claim is answered with a *fencing number* that only grows; whatever comes with an
older number than the last one given out is rejected. An owner is a process: it tells every third of a lease that
it lives, once for all its streams, and when it stops telling, its streams can be claimed by others.
"""

from __future__ import annotations

import math
import os
import secrets
import socket
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import StateError

if TYPE_CHECKING:
    from types import TracebackType

    from ...model import Model
    from .session import StoredSession
    from .writer import Writer

__all__ = ["Claim", "Entry", "Held", "Store"]


@dataclass(frozen=True)
class Claim:
    """A stream is ours: its fencing number, and what was saved last (data None for a new stream)."""

    fence: int
    step: int = 0
    model: str = ""
    data: bytes | None = None


@dataclass(frozen=True)
class Held:
    """A stream is somebody else's: who, and the seconds after which it is free unless that owner is alive."""

    owner: str
    seconds: float


@dataclass(frozen=True)
class Entry:
    """A snapshot to save: steps taken, fingerprint of the model, bytes."""

    id: str
    fence: int
    step: int
    model: str
    data: bytes


def _positive(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not (math.isfinite(value) and value > 0):
        raise StateError(f"{name}: expected a positive number of seconds, got {value!r}")
    return float(value)


class Store(ABC):
    """Where streams are kept; made once, shared by any number of models, sessions, pools and threads.

    ``model.session(id="caller-42", store=store)`` opens a stream or resumes it. Writing goes on in a thread of the
    store, behind the steps: a step never waits for it, and of the snapshots of one stream only the latest waits.

    Parameters
    ----------
    lease : seconds after which the streams of a process that died can be opened by others.
    ttl : seconds after which a stream that nobody has open is removed; None keeps it for ever.
    interval : seconds for which changes are gathered before they are written together.

    A kind of store is a subclass that gives the eight methods below the line. Each is atomic, may be called from
    any thread, and raises its library's own exception where the store cannot be reached; the caller tries again.
    """

    def __init__(self, *, lease: float = 10.0, ttl: float | None = None, interval: float = 0.1) -> None:
        self.lease = _positive("lease", lease)
        self.ttl = None if ttl is None else _positive("ttl", ttl)
        self.interval = _positive("interval", interval)
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._writer: Writer | None = None
        self._closed = False

    @property
    def writer(self) -> Writer:
        """What writes for this store; its thread starts with the first stream. Raises StateError when closed."""
        if self._closed:
            raise StateError(f"{self} is closed")
        if self._writer is None:
            from .writer import Writer

            self._writer = Writer(self)
        return self._writer

    def session(
        self, model: Model, id: str, batch_size: int = 1, *, initial_state: Any = None, state: Any = None
    ) -> StoredSession:
        """Open a stream, or resume it where it was; what ``model.session(id=..., store=...)`` calls."""
        from .session import StoredSession

        return StoredSession(model, batch_size, initial_state=initial_state, state=state, id=id, store=self)

    def flush(self) -> None:
        """Wait until everything is durable. Raises StateError with the store's own error where it cannot be."""
        if self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        """Write what waits, give all streams back and end. Sessions that are open cannot step any more.

        Raises StateError where something could not be saved; the store is closed all the same.
        """
        if self._closed:
            return
        try:
            if self._writer is not None:
                self._writer.close()
        finally:
            self._closed = True
            self.shut()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<rnnrt.stores.{type(self).__name__}>"

    # ---- what a kind of store gives -----------------------------------------------------------------------

    @abstractmethod
    def claim(self, ids: Sequence[str], owner: str, lease: float) -> list[Claim | Held]:
        """Make owner the only owner of each stream that no other living one has. It counts as alive for a lease."""

    @abstractmethod
    def save(self, entries: Sequence[Entry]) -> list[str | None]:
        """Save snapshots: for each None where it is durable, or the present owner ("" for none) where its fence is old.

        All are durable on return.
        """

    @abstractmethod
    def beat(self, owner: str, lease: float) -> None:
        """The owner lives for another lease from now."""

    @abstractmethod
    def retire(self, owner: str) -> None:
        """The owner ends: all its streams are free."""

    @abstractmethod
    def release(self, claims: Sequence[tuple[str, int]]) -> None:
        """Give streams (id, fence) back; a stream that was never saved is forgotten. Old fences are passed over."""

    @abstractmethod
    def remove(self, id: str) -> bool:
        """Forget a stream, whoever owns it; its owner's next save is rejected. False where there is none."""

    @abstractmethod
    def sweep(self, ttl: float) -> int:
        """Forget streams without a living owner that were not used for ttl seconds; how many."""

    @abstractmethod
    def shut(self) -> None:
        """Let go of files and connections; called once, last."""
