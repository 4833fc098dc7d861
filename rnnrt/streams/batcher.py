"""The thread behind ``pool.submit``: gathers steps that any thread asks for, and runs them together."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Hashable
from concurrent.futures import Future
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .pool import Pool

__all__ = ["Batcher"]


class Batcher:
    """A queue of steps and the thread that serves it; steps of one stream keep their order.

    window: seconds that the first step of a batch waits for others; max_batch ends the wait.
    """

    def __init__(self, window: float, max_batch: int) -> None:
        self.window, self.max_batch = window, max_batch
        self.pid = os.getpid()
        self.ready = threading.Condition()
        # an item holds its pool: one that nobody else holds still serves what was asked of it
        self.items: deque[tuple[Pool, Hashable, Any, Future, float]] = deque()
        self.closed = False
        self.thread = threading.Thread(target=self._work, name="rnnrt-pool", daemon=True)
        self.thread.start()

    def submit(self, pool: Pool, id: Hashable, x: Any) -> Future:
        """Ask for a step."""
        future: Future = Future()
        hash(id)  # unhashable ids are the caller's error, not the thread's
        with self.ready:
            self.items.append((pool, id, x, future, monotonic()))
            self.ready.notify()
        return future

    def close(self) -> None:
        """Serve what is left, then end the thread. In a forked child there is no thread."""
        if os.getpid() != self.pid:
            return
        with self.ready:
            self.closed = True
            self.ready.notify()
        if threading.current_thread() is not self.thread:
            self.thread.join()

    def _take(self) -> tuple[Pool, dict[Hashable, Any], dict[Hashable, Future]] | None:
        """Wait for a batch; None at the end."""
        with self.ready:
            while not self.items:
                if self.closed:
                    return None
                self.ready.wait()
            if self.window:
                until = self.items[0][4] + self.window
                while len(self.items) < self.max_batch and not self.closed and (left := until - monotonic()) > 0:
                    self.ready.wait(left)
            inputs: dict[Hashable, Any] = {}
            futures: dict[Hashable, Future] = {}
            later: list[tuple[Pool, Hashable, Any, Future, float]] = []
            # a stream that is far ahead of the others must not be looked through again for each batch
            while self.items and len(inputs) < self.max_batch and len(later) < 4 * self.max_batch:
                item = self.items.popleft()
                pool, id, x, future, _ = item
                if id in inputs:
                    later.append(item)
                elif future.set_running_or_notify_cancel():
                    inputs[id], futures[id] = x, future
            self.items.extendleft(reversed(later))
        return pool, inputs, futures

    def _work(self) -> None:
        while (taken := self._take()) is not None:
            pool, inputs, futures = taken
            try:
                results, errors = pool.advance(inputs)
            except BaseException as e:  # nobody may wait for ever
                results, errors = {}, dict.fromkeys(futures, e)
            for id, future in futures.items():
                if id in errors:
                    future.set_exception(errors[id])
                else:
                    future.set_result(results[id])
            del taken, pool, inputs, futures, results, errors  # hold nothing while waiting
