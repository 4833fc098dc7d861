"""asyncio: small calls run in the loop, large ones in a thread, and the loop is never held for long.

asyncio is imported at the first use only, since ``import rnnrt`` loads NumPy and the extension, nothing else.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import StateError

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import Future, ThreadPoolExecutor

    from ..session import Session
    from .pool import Pool

__all__ = ["INLINE_NS", "LoopBatcher", "pool_run", "session_call"]

INLINE_NS = 50_000  # work below this estimate runs in the loop
STREAM_NS = 300  # what gathering and handing out costs for each stream of a batch

_threads: tuple[int, ThreadPoolExecutor] | None = None
_local = threading.local()


def executor() -> ThreadPoolExecutor:
    """The threads of large calls; a forked child gets its own."""
    global _threads
    if _threads is None or _threads[0] != os.getpid():
        from concurrent.futures import ThreadPoolExecutor

        _threads = os.getpid(), ThreadPoolExecutor(min(32, os.cpu_count() or 1), "rnnrt")
    return _threads[1]


async def _spend(ns: int) -> None:
    """Let others run where calls that never wait have filled a slice of the loop's time."""
    import asyncio

    _local.spent = getattr(_local, "spent", 0) + ns
    if _local.spent >= INLINE_NS:
        _local.spent = 0
        await asyncio.sleep(0)


def steps_of(x: Any, axis: int) -> int:
    """Length of the time axis of the first array in a structure."""
    while isinstance(x, (dict, list, tuple)) and len(x) and not isinstance(x, np.ndarray):
        first = next(iter(x.values())) if isinstance(x, dict) else x[0]
        if isinstance(x, (list, tuple)) and not isinstance(first, (np.ndarray, dict)):
            shape = np.shape(x)  # a nested list of numbers
            return shape[axis] if len(shape) > axis else 1
        x = first
    shape = np.shape(x)
    return shape[axis] if len(shape) > axis else 1


async def session_call(session: Session, call: Callable[[Any], Any], x: Any, steps: int) -> Any:
    """``call(x)`` of a session, in the loop or in a thread.

    One call at a time: StateError for a second one. A call whose task is cancelled is not begun, or done as a
    whole; the session's next call waits for it.
    """
    import asyncio

    if session._calling:
        raise StateError("this session is in use by another task; give each task a session of its own")
    session._calling = True
    try:
        if session._orphan is not None:
            await asyncio.wait([asyncio.wrap_future(session._orphan)])
            session._orphan = None
        ns = session.model.estimate(session.batch_size, steps)
        if ns < INLINE_NS:
            y = call(x)
            await _spend(ns)
            return y
        done = executor().submit(call, x)
        try:
            return await asyncio.wrap_future(done)
        except asyncio.CancelledError:
            if not done.cancel() and not done.done():
                session._orphan = done
            raise
    finally:
        session._calling = False


async def pool_run(pool: Pool, call: Callable[[Any], Any], batch: Any) -> Any:
    """``call(batch)`` of a pool with chunks, in the loop or in a thread."""
    import asyncio

    ns = sum(pool.model.estimate(1, steps_of(x, 0)) + STREAM_NS for x in batch.values())
    if ns < INLINE_NS and not pool.waits(batch):
        y = call(batch)
        await _spend(ns)
        return y
    return await asyncio.wrap_future(executor().submit(call, batch))


class LoopBatcher:
    """Gathers the steps that the tasks of one loop ask for, and runs them together.

    One batch at a time; what is asked meanwhile forms the next one. Steps of one stream keep their order.
    """

    def __init__(self, pool: Pool, loop: asyncio.AbstractEventLoop) -> None:
        self.pool = pool
        self.loop = loop
        self.waiting: list[tuple[Hashable, Any, asyncio.Future]] = []
        self.timer: asyncio.Handle | None = None
        self.running = False

    def add(self, id: Hashable, x: Any) -> asyncio.Future:
        """Ask for a step."""
        future = self.loop.create_future()
        self.waiting.append((id, x, future))
        if not self.running:
            self._plan()
        return future

    def _plan(self) -> None:
        full = len(self.waiting) >= self.pool.max_batch
        if self.timer is not None and not full:
            return
        if self.timer is not None:
            self.timer.cancel()
        if full or not self.pool.window_us:
            self.timer = self.loop.call_soon(self._flush)
        else:
            self.timer = self.loop.call_later(self.pool.window_us * 1e-6, self._flush)

    def _take(self) -> dict[Hashable, tuple[Any, asyncio.Future]]:
        """Each stream's first step that still has somebody waiting for it."""
        batch: dict[Hashable, tuple[Any, asyncio.Future]] = {}
        later = []
        for item in self.waiting:
            id, x, future = item
            if future.done():
                continue
            if id in batch:
                later.append(item)
            else:
                batch[id] = x, future
        self.waiting = later
        return batch

    def _flush(self) -> None:
        self.timer = None
        batch = self._take()
        if not batch:
            return
        inputs = {id: x for id, (x, _) in batch.items()}
        ns = self.pool.model.estimate(len(batch), 1) + STREAM_NS * len(batch)
        if ns < INLINE_NS and not self.pool.waits(inputs):
            try:
                given = self.pool.advance(inputs)
            except BaseException as e:  # a task must not wait for ever
                self._give(batch, None, e)
                raise
            self._give(batch, given, None)
            return
        self.running = True
        executor().submit(self.pool.advance, inputs).add_done_callback(
            lambda done: self.loop.call_soon_threadsafe(self._done, batch, done)
        )

    def _done(self, batch: dict, done: Future) -> None:
        self.running = False
        error = done.exception()
        self._give(batch, None if error else done.result(), error)

    def _give(self, batch: dict, given: tuple[dict, dict] | None, error: BaseException | None) -> None:
        results, errors = given or ({}, {})
        for id, (_, future) in batch.items():
            if future.done():  # cancelled meanwhile
                continue
            if error is not None or id in errors:
                future.set_exception(error or errors[id])
            else:
                future.set_result(results[id])
        if self.waiting:
            self._plan()
