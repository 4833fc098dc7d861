"""MemoryStore: the interface without a disk, for tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from .base import Claim, Entry, Held, Store

__all__ = ["MemoryStore"]


@dataclass
class _Stream:
    fence: int
    owner: str
    used: float
    step: int = 0
    model: str = ""
    data: bytes | None = None


@dataclass
class _Shelf:
    lock: threading.Lock = field(default_factory=threading.Lock)
    streams: dict[str, _Stream] = field(default_factory=dict)
    owners: dict[str, float] = field(default_factory=dict)  # until
    fence: int = 0


class MemoryStore(Store):
    """Streams kept in memory, for tests: what it holds ends with the process.

    of: another MemoryStore whose streams it shares, as two processes share a file.
    """

    def __init__(
        self,
        of: MemoryStore | None = None,
        *,
        lease: float = 10.0,
        ttl: float | None = None,
        interval: float = 0.001,
    ) -> None:
        super().__init__(lease=lease, ttl=ttl, interval=interval)
        self._shelf: _Shelf = _Shelf() if of is None else of._shelf

    def _lives(self, owner: str) -> float:
        return self._shelf.owners.get(owner, 0.0) - time.monotonic()

    def claim(self, ids: Sequence[str], owner: str, lease: float) -> list[Claim | Held]:
        with self._shelf.lock:
            self._shelf.owners[owner] = time.monotonic() + lease
            return [self._claim(id, owner) for id in ids]

    def _claim(self, id: str, owner: str) -> Claim | Held:
        shelf = self._shelf
        s = shelf.streams.get(id)
        if s is not None and s.owner not in ("", owner) and (left := self._lives(s.owner)) > 0:
            return Held(s.owner, left)
        shelf.fence += 1
        now = time.monotonic()
        if s is None:
            s = shelf.streams[id] = _Stream(shelf.fence, owner, now)
        s.fence, s.owner, s.used = shelf.fence, owner, now
        return Claim(s.fence, s.step, s.model, s.data)

    def save(self, entries: Sequence[Entry]) -> list[str | None]:
        answers: list[str | None] = []
        with self._shelf.lock:
            for e in entries:
                s = self._shelf.streams.get(e.id)
                if s is None or s.fence != e.fence:
                    answers.append("" if s is None else s.owner)
                    continue
                s.step, s.model, s.data, s.used = e.step, e.model, e.data, time.monotonic()
                answers.append(None)
        return answers

    def beat(self, owner: str, lease: float) -> None:
        with self._shelf.lock:
            self._shelf.owners[owner] = time.monotonic() + lease

    def retire(self, owner: str) -> None:
        with self._shelf.lock:
            self._shelf.owners.pop(owner, None)

    def release(self, claims: Sequence[tuple[str, int]]) -> None:
        with self._shelf.lock:
            for id, fence in claims:
                s = self._shelf.streams.get(id)
                if s is None or s.fence != fence:
                    continue
                s.owner, s.used = "", time.monotonic()
                if s.data is None:
                    del self._shelf.streams[id]

    def remove(self, id: str) -> bool:
        with self._shelf.lock:
            return self._shelf.streams.pop(id, None) is not None

    def sweep(self, ttl: float) -> int:
        with self._shelf.lock:
            before = time.monotonic() - ttl
            gone = [k for k, s in self._shelf.streams.items() if s.used < before and self._lives(s.owner) <= 0]
            for k in gone:
                del self._shelf.streams[k]
            return len(gone)

    def shut(self) -> None:
        pass
