"""Write-behind: the thread of a store, and the streams that it writes for.

The step path only puts (step, state) into its stream and, if the stream is not queued yet, queues it: at most one
snapshot per stream waits, the latest. The thread encodes and saves them in batches, tells the store that the
process lives, and gives streams back. What fails is kept, told, and tried again.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any

from ...errors import StateError
from .base import Entry, Held, Store

__all__ = ["Stream", "Writer"]

BATCH = 256  # snapshots in one save
YIELD = 8  # snapshots encoded before others may run
BACKOFF = 0.1, 5.0  # seconds, first and longest, between attempts at a store that fails
EXIT_SECONDS = 10.0


class Stream:
    """A stream that this process owns.

    Attributes
    ----------
    step, data : what the store had when it was opened (0, None for a new stream).
    state : what was put last, where the stream is taken back before it had left; data is None then.
    saved_step : steps that the durable state stands for.
    error : why the last attempt to save failed; None when all is well.
    lost : why the stream is no longer ours; None while it is.
    """

    def __init__(self, writer: Writer, id: str, model: str, encode: Callable[[Any], bytes]) -> None:
        self.id = id
        self.fence = 0
        self.step = self.saved_step = 0
        self.data: bytes | None = None
        self.state: Any = None
        self.error: StateError | None = None
        self.lost: StateError | None = None
        self._writer, self._model, self._encode = writer, model, encode
        self._latest: tuple[int, int, Any] = (0, 0, None)  # change, step, state
        self._saved = 0  # change
        self._queued = self._leaving = self._going = self._gone = False
        self._waiters: list[tuple[int, Future[int]]] = []
        self._left: list[Future[None]] = []

    def put(self, step: int, state: Any) -> None:
        """The state after so many steps; never waits. state: what ``encode`` takes, not changed by anybody from now on.

        One thread at a time, as for all that steps.
        """
        self._latest = (self._latest[0] + 1, step, state)
        if not self._queued:  # it is set back before the state is read, so this one is seen or queued
            self._writer.queue(self)

    @property
    def durable(self) -> bool:
        """Whether the last state put is saved."""
        return self._saved == self._latest[0]

    def flush(self) -> Future[int]:
        """A future of ``saved_step`` once all that was put before is durable; StateError where it cannot be."""
        future: Future[int] = Future()
        with self._writer.changed:
            change = self._latest[0]
            if self.lost is not None:
                future.set_exception(self.lost)
            elif self._saved >= change:
                future.set_result(self.saved_step)
            else:
                self._waiters.append((change, future))
                self._writer.queue(self, now=True)
        return future

    def release(self, now: bool = True) -> Future[None]:
        """Save what waits, then give the stream back; the future tells when, or why not yet. now: not later."""
        future: Future[None] = Future()
        with self._writer.changed:
            if self._gone:
                future.set_result(None)
            elif self.lost is not None:
                self._writer.forget(self)
                future.set_exception(self.lost)
            else:
                self._leaving = True
                self._left.append(future)
                self._writer.queue(self, now=now)
        return future

    def _take_back(self, model: str) -> bool:
        """Let a stream that waits to leave stay; the writer's lock is held."""
        _, step, state = self._latest
        if not self._leaving or self._going or self._gone or self.lost is not None or self._model != model:
            return False
        if state is None:  # nothing was put since it was opened, so nothing keeps it from leaving
            return False
        self._leaving = False
        self.step, self.state, self.data = step, state, None
        left, self._left = self._left, []
        for future in left:
            _settle(future)
        return True

    def _fail(self, error: StateError) -> None:
        self.error = error
        waiters, self._waiters = self._waiters, []
        left, self._left = self._left, []
        futures: list[Future[Any]] = [f for _, f in waiters]
        for future in futures + left:
            _settle(future, error=error)

    def _lose(self, error: StateError) -> None:
        self.lost = error
        self._fail(error)

    def _is_saved(self, change: int, step: int) -> None:
        self._saved, self.saved_step, self.error = change, step, None
        ready = [f for c, f in self._waiters if c <= change]
        self._waiters = [(c, f) for c, f in self._waiters if c > change]
        for future in ready:
            _settle(future, step)


def _settle(future: Future[Any], result: Any = None, error: StateError | None = None) -> None:
    if not future.set_running_or_notify_cancel():
        return  # the one who waited has gone
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


class Writer:
    """The thread of one store; made by the store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.changed = threading.Condition()
        self._streams: dict[str, Stream] = {}
        self._queue: dict[str, Stream] = {}
        self._urgent = self._stop = self._abandoned = False
        self._retry_at = 0.0
        self._backoff = BACKOFF[0]
        self._next_beat = self._next_sweep = 0.0
        self._beat_error: StateError | None = None
        self._ticks: weakref.WeakSet[Any] = weakref.WeakSet()
        self._thread: threading.Thread | None = None
        _WRITERS.add(self)

    # ---- from any thread ------------------------------------------------------------------------------------

    def open(self, id: str, model: str, encode: Callable[[Any], bytes]) -> Stream:
        """Claim a stream; waits for the store.

        model: the model's fingerprint. encode: makes a snapshot of what is put; called in the writer's thread.
        Raises StateError where somebody else owns the stream, where another model saved it, and where the store
        cannot be reached.
        """
        streams, errors = self.open_many([id], model, encode)
        if errors:
            raise errors[id]
        return streams[id]

    def open_many(
        self, ids: Iterable[str], model: str, encode: Callable[[Any], bytes]
    ) -> tuple[dict[str, Stream], dict[str, StateError]]:
        """Claim streams together: those that are ours now, and why the others are not."""
        streams: dict[str, Stream] = {}
        errors: dict[str, StateError] = {}
        fresh: dict[str, Stream] = {}
        leaving: dict[str, Future[None]] = {}
        with self.changed:
            for id in ids:
                if not isinstance(id, str) or not id or "\0" in id:
                    errors[id] = StateError(f"id: expected a string that is not empty, got {id!r}")
                    continue
                other = self._streams.get(id)
                if other is not None and other._take_back(model):
                    streams[id] = other
                    continue
                fresh[id] = Stream(self, id, model, encode)
                if other is not None and other._leaving and other.lost is None:
                    leaving[id] = other.release()
        for id, future in leaving.items():
            try:
                future.result()
            except StateError as e:
                errors[id] = e
                del fresh[id]
        with self.changed:
            for id, stream in list(fresh.items()):
                if self._stop:
                    errors[id] = StateError(f"{self.store} is closed")
                elif self._streams.setdefault(id, stream) is not stream:
                    errors[id] = StateError(f"stream {id!r} is open already in this process; close that session first")
                if id in errors:
                    del fresh[id]
        if fresh:
            refused = self._claim(fresh)
            errors |= refused
            for id, stream in fresh.items():
                if id in refused:
                    self.forget(stream)
                else:
                    streams[id] = stream
            self._start()
        return streams, errors

    def _claim(self, streams: dict[str, Stream]) -> dict[str, StateError]:
        """Ask the store for streams; why it refuses some."""
        store = self.store
        try:
            claims = store.claim(list(streams), store.owner, store.lease)
        except Exception as e:
            return {id: _caused(StateError(f"stream {id!r}: {store} cannot be reached: {e}"), e) for id in streams}
        errors: dict[str, StateError] = {}
        back = []
        for (id, stream), claim in zip(streams.items(), claims):
            if isinstance(claim, Held):
                errors[id] = StateError(
                    f"stream {id!r} is owned by {claim.owner}; it is free when it is closed there, or at most "
                    f"{claim.seconds:.1f} s after that process died"
                )
                continue
            stream.fence = claim.fence
            if claim.data is None:
                continue
            if claim.model != stream._model:
                back.append((id, claim.fence))
                errors[id] = StateError(
                    f"stream {id!r} was saved by another model (fingerprint {claim.model[:16]}..., this one is "
                    f"{stream._model[:16]}...); load that model, use another id, or forget the stream with "
                    f"store.remove({id!r})"
                )
                continue
            stream.step = stream.saved_step = claim.step
            stream.data = claim.data
        if back:
            store.release(back)
        return errors

    def queue(self, stream: Stream, now: bool = False) -> None:
        """The stream has something to do: at the next writing, or now."""
        with self.changed:
            first = not self._queue
            stream._queued = True
            self._queue[stream.id] = stream
            self._urgent |= now
            if first or now:
                self.changed.notify_all()

    def forget(self, stream: Stream) -> None:
        """The stream is no longer ours."""
        with self.changed:
            if self._streams.get(stream.id) is stream:
                del self._streams[stream.id]

    def flushing(self) -> list[Future[int]]:
        """What to wait for until everything is durable."""
        with self.changed:
            return [s.flush() for s in list(self._streams.values())]

    def flush(self) -> None:
        """Wait until everything is durable; raises the first error."""
        for future in self.flushing():
            future.result()

    def first_error(self) -> StateError | None:
        """An error of some stream, if there is one."""
        with self.changed:
            return next((e for s in list(self._streams.values()) if (e := s.lost or s.error) is not None), None)

    def on_tick(self, pool: Any) -> None:
        """Call ``pool.tick()`` each third of a lease as long as the pool lives."""
        self._ticks.add(pool)

    def close(self, timeout: float | None = None) -> None:
        """Write everything, give all streams back, end the thread; raises the first error, after all was tried."""
        with self.changed:
            if self._abandoned:
                return
            self._stop = True
            streams = list(self._streams.values())
            futures = [s.release() for s in streams]
        end = None if timeout is None else time.monotonic() + timeout
        first: BaseException | None = None
        for future in futures:
            try:
                future.result(None if end is None else max(0.0, end - time.monotonic()))
            except Exception as e:
                first = first or e
        with self.changed:
            for s in streams:
                if s.lost is None:
                    s._lose((not s._gone and s.error) or StateError(f"stream {s.id!r}: {self.store} is closed"))
            self._streams.clear()
            self._queue.clear()
            self.changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout)
        try:
            self.store.retire(self.store.owner)
        except Exception as e:
            first = first or StateError(f"{self.store}: {e}")
        if first is not None:
            raise first

    def abandon(self) -> None:
        """In the child of a fork: the streams are the parent's."""
        self.changed = threading.Condition()  # the parent's may be locked for ever
        self._thread, self._stop, self._abandoned = None, True, True
        for s in list(self._streams.values()):
            s._waiters, s._left = [], []
            s.lost = StateError(f"stream {s.id!r} is the parent's; open it here with a store made after the fork")
        self._streams, self._queue = {}, {}

    # ---- the thread -----------------------------------------------------------------------------------------

    def _start(self) -> None:
        with self.changed:
            if self._thread is None:
                now = time.monotonic()
                self._next_beat, self._next_sweep = now + self.store.lease / 3, now
                self._thread = threading.Thread(target=self._run, name=f"{self.store}", daemon=True)
                self._thread.start()

    def _due(self) -> float:
        """Seconds until there is something to do; 0 for now."""
        if self._urgent or (self._stop and not self._streams):
            return 0.0
        now = time.monotonic()
        due = self._next_beat - now
        if self._queue:
            due = min(due, self._retry_at - now)
        return max(0.0, due)

    def _run(self) -> None:
        while True:
            with self.changed:
                while (due := self._due()) > 0:
                    self.changed.wait(due)
                if self._stop and not self._streams:
                    return
                gather = bool(self._queue) and not self._urgent
                if gather:
                    self.changed.wait_for(lambda: self._urgent, self.store.interval)
                self._urgent = False
                work, self._queue = list(self._queue.values()), {}
            for k in range(0, len(work), BATCH):
                self._write(work[k : k + BATCH])
            self._live()

    def _live(self) -> None:
        """Tell that this process lives; forget streams that nobody has used for long."""
        now = time.monotonic()
        if now < self._next_beat:
            return
        store = self.store
        self._next_beat = now + store.lease / 3
        for pool in list(self._ticks):
            pool.tick()
        try:
            store.beat(store.owner, store.lease)
            if store.ttl is not None and now >= self._next_sweep:
                self._next_sweep = now + max(store.lease / 3, store.ttl / 10)
                store.sweep(store.ttl)
        except Exception as e:
            self._next_beat = now + min(self._backoff, store.lease / 3)
            self._tell(_caused(StateError(f"{store} does not hear that this process lives: {e}"), e))
        else:
            self._tell(None)

    def _tell(self, error: StateError | None) -> None:
        """What the last heartbeat gave, to streams without an error of their own."""
        with self.changed:
            for s in list(self._streams.values()):
                if s.error is None or s.error is self._beat_error:
                    s.error = error
            self._beat_error = error

    def _write(self, streams: list[Stream]) -> None:
        """Save the latest of each, then give back those that leave."""
        taken: list[tuple[Stream, int]] = []
        entries: list[Entry] = []
        for k, s in enumerate(streams):
            if k % YIELD == 0:
                time.sleep(0)  # hand over the GIL: a thread that steps would else wait for a switch interval
            s._queued = False  # before the state is read: see Stream.put
            change, step, state = s._latest
            if s.lost is not None or s._gone or change == s._saved:
                continue
            try:
                entries.append(Entry(s.id, s.fence, step, s._model, s._encode(state)))
                taken.append((s, change))
            except Exception as e:
                with self.changed:
                    s._fail(_error(s, self.store, e))
        try:
            answers = self.store.save(entries) if entries else []
            with self.changed:
                for (s, change), entry, owner in zip(taken, entries, answers):
                    if owner is None:
                        s._is_saved(change, entry.step)
                    else:
                        self._reject(s, owner)
            with self.changed:
                leaving = [s for s in streams if s._leaving and not s._gone and s.lost is None and s.durable]
                for s in leaving:
                    s._going = True
            if leaving:
                self.store.release([(s.id, s.fence) for s in leaving])
        except Exception as e:
            self._again([s for s in streams if s.lost is None and (s._leaving or not s.durable)], e)
            return
        self._backoff, self._retry_at = BACKOFF[0], 0.0
        with self.changed:
            for s in leaving:
                s._gone = True
                self.forget(s)
                left, s._left = s._left, []
                for future in left:
                    _settle(future)

    def _reject(self, s: Stream, owner: str) -> None:
        """The store has given the stream to somebody else since."""
        whose = f"is owned by {owner} now" if owner else "is no longer in the store: it was removed"
        s._lose(
            StateError(
                f"stream {s.id!r} {whose}; what this session did after step {s.saved_step} is not saved: open it anew"
            )
        )
        self.forget(s)

    def _again(self, streams: Iterable[Stream], e: Exception) -> None:
        """Keep what could not be saved for the next attempt, and tell those who wait."""
        with self.changed:
            self._retry_at = time.monotonic() + self._backoff
            self._backoff = min(2 * self._backoff, BACKOFF[1])
            for s in streams:
                s._going = False
                s._fail(_error(s, self.store, e))
                if not (self._stop and s._leaving):
                    s._queued = True
                    self._queue[s.id] = s


def _error(s: Stream, store: Store, e: Exception) -> StateError:
    text = f"stream {s.id!r}: not saved after step {s.saved_step}, will be tried again: {store}: {e}"
    return _caused(StateError(text), e)


def _caused(error: StateError, cause: Exception) -> StateError:
    error.__cause__ = cause
    return error


# ---- the ends of a process ------------------------------------------------------------------------------------

_WRITERS: weakref.WeakSet[Writer] = weakref.WeakSet()


def _after_fork() -> None:
    for writer in list(_WRITERS):
        writer.abandon()


def _at_exit() -> None:
    """What was not closed is saved now; there is nobody left to raise to, so failures go to the log."""
    for writer in list(_WRITERS):
        if not writer._stop:
            try:
                writer.close(EXIT_SECONDS)
            except Exception as e:
                logging.getLogger("rnnrt.stores").error("%s", e)


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
