"""StoredPool: a pool whose streams a store keeps; those that are idle leave memory and come back by themselves."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import StateError
from ..session import initial_rows
from .aio import steps_of
from .pool import Pool, _given
from .ragged import advance_chunks

if TYPE_CHECKING:
    from ..model import Model
    from .stores.base import Store
    from .stores.writer import Stream

__all__ = ["StoredPool"]


class _Kept:
    """A stream that is in memory."""

    __slots__ = ("fresh", "steps", "stream", "used")

    def __init__(self, stream: Stream, fresh: bool) -> None:
        self.stream, self.fresh = stream, fresh
        self.steps: int = stream.step
        self.used = time.monotonic()


class StoredPool(Pool):
    """A :class:`rnnrt.Pool` over a store; made by ``model.pool(store=...)``. Ids are strings.

    A step of an id opens its stream, or brings it back from the store where it was; after each step the new state
    goes to the store behind it. Every stream in memory is owned by this process; one that another process owns is
    refused with StateError, for that stream only. Steps of a stream that must be fetched wait for the store; ``astep``
    does so in a thread.

    Parameters
    ----------
    max_resident : streams that stay in memory after a call; the ones used longest ago leave. None: all.
    idle_s : seconds without use after which a stream leaves, looked at with each call and each third of a lease.
    """

    def __new__(
        cls,
        model: Model,
        max_batch: int = 64,
        window_us: float = 0,
        *,
        store: Store,
        max_resident: int | None = None,
        idle_s: float | None = None,
    ) -> StoredPool:
        if max_resident is not None and (isinstance(max_resident, bool) or not _is_count(max_resident)):
            raise StateError(f"max_resident: expected a positive integer, got {max_resident!r}")
        if idle_s is not None and not (
            isinstance(idle_s, (int, float)) and not isinstance(idle_s, bool) and idle_s > 0
        ):
            raise StateError(f"idle_s: expected a positive number of seconds, got {idle_s!r}")
        return super().__new__(cls, model, max_batch, window_us)  # type: ignore[return-value]

    def __init__(
        self,
        model: Model,
        max_batch: int = 64,
        window_us: float = 0,
        *,
        store: Store,
        max_resident: int | None = None,
        idle_s: float | None = None,
    ) -> None:
        super().__init__(model, max_batch, window_us)
        self.store, self.max_resident, self.idle_s = store, max_resident, idle_s
        self._kept: OrderedDict[str, _Kept] = OrderedDict()  # used longest ago first
        self._busy: set[str] = set()
        self._lock = threading.Lock()
        if idle_s is not None:
            store.writer.on_tick(self)
        weakref.finalize(self, _release_all, self._kept).atexit = False

    # -- who is in memory

    def waits(self, ids: Iterable[Hashable]) -> bool:
        """Whether a call on these streams has to wait for the store."""
        return any(id not in self._kept for id in ids)

    def _take(self, ids: Iterable[Hashable], errors: dict) -> list[str]:
        """Those of the streams that this call may use alone until :meth:`_leave`."""
        taken = []
        with self._lock:
            for id in ids:
                if not isinstance(id, str):
                    errors[id] = StateError(f"stream {id!r}: ids of a pool with a store are strings")
                elif id in self._busy:
                    errors[id] = StateError(f"stream {id!r} is in use by another call")
                else:
                    self._busy.add(id)
                    taken.append(id)
        return taken

    def _leave(self, ids: Iterable[str]) -> None:
        with self._lock:
            self._busy.difference_update(ids)
            self._evict()

    def _bring(self, id: str, make: bool = True) -> _Kept:
        """A stream, fetched where it is not in memory. make: open it where the store does not have it."""
        errors: dict[str, Exception] = {}
        self._bring_all([id], errors, make)
        if errors:
            raise errors[id]
        return self._kept[id]

    def _bring_all(self, ids: list[str], errors: dict, make: bool = True) -> None:
        """Fetch those that are not in memory, together."""
        absent = []
        for id in ids:
            kept = self._kept.get(id)
            if kept is None:
                absent.append(id)
            elif kept.stream.lost is not None:  # told once; the next call asks the store whose it is
                with self._lock:
                    self._drop(id)
                errors[id] = kept.stream.lost
        if not absent:
            return
        streams, refused = self.store.writer.open_many(absent, self.model.file.fingerprint, self.model.snapshots.pack)
        errors |= refused
        for id, stream in streams.items():
            try:
                self._admit_stream(id, stream, make)
            except Exception as e:
                errors[id] = e

    def _admit_stream(self, id: str, stream: Stream, make: bool) -> None:
        """A stream that is ours gets its row."""
        try:
            fresh = stream.data is None and stream.state is None
            if fresh and not make:
                raise StateError(f"stream {id!r} is not open, and not in {self.store}")
            super().open_row(id, self._fetched(id, stream))
        except BaseException:
            stream.release()
            raise
        stream.data = stream.state = None
        with self._lock:
            self._kept[id] = _Kept(stream, fresh)

    def _fetched(self, id: str, stream: Stream) -> np.ndarray | None:
        rows = stream.state
        if stream.data is not None:
            try:
                rows = self.model.snapshots.unpack(stream.data)
            except StateError as e:
                raise StateError(f"stream {id!r} in {self.store}: {e}") from e
        if rows is not None and len(rows) != 1:
            raise StateError(f"stream {id!r} was saved by a session of batch size {len(rows)}; a pool takes one row")
        return rows

    def _drop(self, id: str) -> Future[None]:
        """Out of memory; what was not saved waits in the store's thread."""
        kept = self._kept.pop(id)
        super().close(id)
        return kept.stream.release(now=False)

    def _evict(self) -> None:
        """Let go of those that have not been used for long; the lock is held."""
        too_many = 0 if self.max_resident is None else len(self._kept) - self.max_resident
        before = -1.0 if self.idle_s is None else time.monotonic() - self.idle_s
        if too_many <= 0 and (self.idle_s is None or not self._kept):
            return
        going: list[str] = []
        for id, kept in self._kept.items():
            if len(going) >= too_many and kept.used >= before:
                break
            if id not in self._busy:
                going.append(id)
        for id in going:
            self._drop(id)

    def tick(self) -> None:
        """From the store's thread, now and then."""
        with self._lock:
            self._evict()

    def after_fork(self) -> None:
        """In a child: the streams are the parent's."""
        self._lock = threading.Lock()
        self._busy.clear()
        super().after_fork()

    # -- steps

    def _go(self, batch: Mapping, call: Callable[[dict], tuple[dict, dict]], one: bool) -> tuple[dict, dict]:
        """A call on the streams that can be had; their new states go to the store."""
        errors: dict = {}
        taken = self._take(batch, errors)
        try:
            self._bring_all(taken, errors)
            results, failed = call({id: batch[id] for id in taken if id not in errors})
            now = time.monotonic()
            for id in results:
                kept = self._kept[id]
                kept.steps += 1 if one else steps_of(batch[id], 0)
                kept.fresh, kept.used = False, now
                kept.stream.put(kept.steps, super().get_row(id))
            with self._lock:
                for id in results:
                    self._kept.move_to_end(id)
                for id in failed:
                    if id in self._kept and self._kept[id].fresh:
                        self._drop(id)  # its first step failed: it is not open
        finally:
            self._leave(taken)
        return results, {**errors, **failed}

    def advance(self, batch: Mapping[Hashable, Any]) -> tuple[dict, dict]:
        """(results, errors) of a step; what ``step``, ``submit`` and ``astep`` call."""
        return self._go(batch, super().advance, True)

    def run(self, batch: Mapping[Hashable, Any], *, return_exceptions: bool = False) -> dict[Hashable, Any]:
        """As :meth:`Pool.run`; the new states go to the store behind it."""

        def chunks(given: dict) -> tuple[dict, dict]:
            results: dict = {}
            errors: dict = {}
            advance_chunks(self, list(given), list(given.values()), results, errors, step=False)
            return results, errors

        results, errors = self._go(batch, chunks, False)
        return _given(batch, results, errors, return_exceptions) if errors else results

    # -- streams

    def _alone(self, id: Hashable, act: Callable[[], Any]) -> Any:
        errors: dict = {}
        taken = self._take([id], errors)
        if errors:
            raise errors[id]
        try:
            return act()
        finally:
            self._leave(taken)

    def open(self, id: Hashable, *, state: bytes | Mapping[str, Any] | None = None, initial_state: Any = None) -> None:
        """Open a stream or bring it back; state and initial_state (see :meth:`Pool.open`) are those of a new one.

        Raises StateError where it is in memory already, another process owns it, or the state does not fit.
        """

        def act() -> None:
            if id in self._kept:
                raise StateError(f"stream {id!r} is open already")
            if state is not None and initial_state is not None:
                raise StateError("open: either state= or initial_state=")
            row = initial_rows(self.model, 1, initial_state) if state is None else self._row_of(state)
            kept = self._bring(str(id))
            if kept.fresh and (state is not None or initial_state is not None):
                Pool.set_row(self, id, row)
                kept.stream.put(0, row)
            kept.fresh = False

        self._alone(id, act)

    def open_row(self, id: Hashable, values: np.ndarray | None = None) -> None:
        """Open a stream that neither memory nor the store has, at a row (zeros where None)."""

        def act() -> None:
            kept = None if id in self._kept else self._bring(str(id))
            if kept is None or not kept.fresh:
                raise StateError(f"stream {id!r} is open already, or in {self.store}")
            kept.fresh = False
            if values is not None:
                Pool.set_row(self, id, values)
                kept.stream.put(0, np.array(values))

        self._alone(id, act)

    def get_row(self, id: Hashable) -> np.ndarray:
        """A stream's state row, uint8 (1, row_bytes): a copy; fetched where it is not in memory."""

        def act() -> np.ndarray:
            self._bring(str(id), make=False)
            return Pool.get_row(self, id)

        return self._alone(id, act)

    def set_row(self, id: Hashable, values: np.ndarray | None) -> None:
        """Put a stream's state row (zeros where None); the store gets it too."""

        def act() -> None:
            kept = self._bring(str(id), make=False)
            Pool.set_row(self, id, values)
            kept.stream.put(kept.steps, Pool.get_row(self, id))

        self._alone(id, act)

    def put(self, id: Hashable, snapshot: bytes) -> None:
        """Let a stream go on from a snapshot; it is opened where neither memory nor the store has it."""
        row = self._row_of(snapshot)

        def act() -> None:
            kept = self._bring(str(id))
            kept.fresh = False
            Pool.set_row(self, id, row)
            kept.stream.put(kept.steps, row)

        self._alone(id, act)

    def close(self, id: Hashable) -> None:
        """Let a stream go: it is saved behind this call and stays in the store, free for others. See :meth:`flush`."""

        def act() -> None:
            if id not in self._kept:
                raise StateError(f"stream {id!r} is not in memory")
            with self._lock:
                self._drop(str(id))

        self._alone(id, act)

    # -- what is durable

    def _stream(self, id: Hashable) -> _Kept:
        kept = self._kept.get(id)  # type: ignore[call-overload]
        if kept is None:
            raise StateError(f"stream {id!r} is not in memory")
        return kept

    def steps(self, id: Hashable) -> int:
        """Time steps that a stream in memory has taken in its life."""
        return self._stream(id).steps

    def saved_step(self, id: Hashable) -> int:
        """The steps that its durable state stands for."""
        return self._stream(id).stream.saved_step

    @property
    def store_error(self) -> StateError | None:
        """Why the last attempt to save some stream failed, or why one was lost; None when all is well."""
        return self.store.writer.first_error()

    def flush_now(self) -> None:
        """Wait until all streams are durable. Raises StateError where they cannot be now."""
        self.store.flush()

    async def flush(self) -> None:
        """:meth:`flush_now` for asyncio."""
        futures = self.store.writer.flushing()
        await asyncio.gather(*(asyncio.wrap_future(f) for f in futures))

    def __repr__(self) -> str:
        return f"<rnnrt.Pool of {self.model.graph.name!r}, {len(self)} streams in memory, kept by {self.store}>"


def _is_count(n: Any) -> bool:
    return isinstance(n, (int, np.integer)) and int(n) >= 1


def _release_all(kept: OrderedDict[str, _Kept]) -> None:
    """The pool was dropped: its streams are given back."""
    for k in list(kept.values()):
        k.stream.release()
