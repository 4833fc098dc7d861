"""Pool: streams that come and go by id, stepped together."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Hashable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import BatchError, StateError
from ..native import _native as native
from ..session import check_streams, initial_rows, rows_of_state, state_of_rows
from ..structure import as_input
from .aio import LoopBatcher, pool_run
from .ragged import advance_chunks

if TYPE_CHECKING:
    from concurrent.futures import Future

    from ..model import Model
    from .batcher import Batcher

__all__ = ["Pool"]

_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


class Pool(native.PoolCore):
    """Streams of one model by id; made by :meth:`rnnrt.Model.pool`.

    Streams that are stepped in one call share its batches; a stream's numbers do not depend on who shares them (the
    same bits as in a session of its own, but for classes of the user's own that compute in NumPy, whose products round
    by the number of rows). An error hits its own stream only, whose state stays as it was. Any
    number of threads may use a pool; two calls at once on one stream are refused with StateError for that stream.

    An id is any hashable. A stream is opened by its first step, or by :meth:`open`, and ends with :meth:`close`.
    Memory of an idle stream: its state row, and less than 200 bytes.
    """

    def __new__(cls, model: Model, max_batch: int = 64, window_us: float = 0) -> Pool:
        check_streams(model)
        if isinstance(max_batch, bool) or not isinstance(max_batch, (int, np.integer)) or not 1 <= max_batch <= 1 << 16:
            raise StateError(f"max_batch: expected an integer from 1 to 65536, got {max_batch!r}")
        if isinstance(window_us, bool) or not isinstance(window_us, (int, float)) or not 0 <= window_us <= 1e9:
            raise StateError(f"window_us: expected microseconds from 0 to 1e9, got {window_us!r}")
        return super().__new__(cls, model, int(max_batch))

    def __init__(self, model: Model, max_batch: int = 64, window_us: float = 0) -> None:
        self.model = model
        self.window_us = window_us
        self._batcher: Batcher | None = None
        self._batcher_lock = threading.Lock()
        self._loops: weakref.WeakKeyDictionary[Any, LoopBatcher] = weakref.WeakKeyDictionary()
        infos = model.plan.input_info
        self._data = [k for k, i in enumerate(infos) if i.role == "data"]
        first = infos[self._data[0]]
        self._step_shape = first.free_shape[2:] if first.timed else first.free_shape[1:]
        _pools.add(self)

    # -- streams

    def open(self, id: Hashable, *, state: bytes | Mapping[str, Any] | None = None, initial_state: Any = None) -> None:
        """Open a stream: at zero, at a snapshot or a dict of :meth:`get_state`, or at an initial state.

        initial_state: for models with state inputs; arrays (1, units) as :meth:`rnnrt.Model.session` takes them.
        Raises StateError where the id is open already, or the state does not fit.
        """
        if id in self:
            raise StateError(f"stream {id!r} is open already")
        if state is not None and initial_state is not None:
            raise StateError("open: either state= or initial_state=")
        self.open_row(id, initial_rows(self.model, 1, initial_state) if state is None else self._row_of(state))

    def _row_of(self, state: bytes | Mapping[str, Any]) -> np.ndarray:
        """A state as a row."""
        if isinstance(state, Mapping):
            return rows_of_state(self.model, 1, {k: np.asarray(v)[None] for k, v in state.items()})
        rows = self.model.snapshots.unpack(state)
        if len(rows) != 1:
            raise StateError(f"the snapshot holds {len(rows)} streams, expected 1")
        return rows

    def get_state(self, id: Hashable) -> dict[str, np.ndarray]:
        """A stream's state: name -> array, as :meth:`rnnrt.Session.get_state` without the batch axis."""
        return {k: v[0] for k, v in state_of_rows(self.model, self.get_row(id)).items()}

    def set_state(self, id: Hashable, state: Mapping[str, Any]) -> None:
        """Put a state back into an open stream; StateError, and no change, where it does not fit."""
        if not isinstance(state, Mapping):
            raise StateError(f"a dict of arrays is expected, got {type(state).__name__}")
        self.set_row(id, self._row_of(state))

    def to_bytes(self, id: Hashable) -> bytes:
        """A stream's state as a snapshot of one stream (SNAPSHOT.md); sessions take it too."""
        return self.model.snapshots.pack(self.get_row(id))

    def put(self, id: Hashable, snapshot: bytes) -> None:
        """Let a stream go on from a snapshot; it is opened where it is not there.

        Raises StateError, and changes nothing, for a snapshot that is damaged or of another model.
        """
        row = self._row_of(snapshot)
        if id in self:
            self.set_row(id, row)
        else:
            self.open_row(id, row)

    def reset(self, id: Hashable, initial_state: Any = None) -> None:
        """A stream back to zero, or to an initial state as :meth:`open` takes it."""
        self.set_row(id, None if initial_state is None else initial_rows(self.model, 1, initial_state))

    def fork(self, id: Hashable, new_id: Hashable) -> None:
        """Open a stream at the state that another has now; independent from here on."""
        self.open_row(new_id, self.get_row(id))

    def waits(self, ids: Iterable[Hashable]) -> bool:
        """Whether a call on these streams may have to wait for more than the arithmetic (a disk)."""
        return False

    # -- steps

    def _as_step(self, x: Any) -> np.ndarray:
        i = self.model.plan.input_info[self._data[0]]
        return as_input(i.name, x, i.dtype, i.accepts, self._step_shape)

    def _step_slow(self, keys: list, values: list, results: dict, errors: dict) -> None:
        advance_chunks(self, keys, values, results, errors, step=True)

    def step(self, batch: Mapping[Hashable, Any], *, return_exceptions: bool = False) -> dict[Hashable, Any]:
        """Advance each stream named by one time step.

        batch: id -> x, one step of one stream: (features,), or one id where the model takes ids; a list or dict of
        them for several inputs. Streams that are not open are opened. Returns id -> y, as :meth:`rnnrt.Session.step`
        gives it without the batch axis (rows of one array).

        Where streams fail (a wrong shape, an id outside its table, a stream in use by another call), their states
        stay as they were, and all others are stepped: BatchError, whose ``results`` and ``errors`` hold both; with
        return_exceptions no error is raised, and a failed stream's exception stands in the place of its y.
        """
        results, errors = self.advance(batch)
        return _given(batch, results, errors, return_exceptions) if errors else results

    def run(self, batch: Mapping[Hashable, Any], *, return_exceptions: bool = False) -> dict[Hashable, Any]:
        """Advance each stream named by a chunk of its own length: id -> (T, features), or (T,) of ids.

        Returns and raises as :meth:`step`; outputs keep their time axis.
        """
        results: dict = {}
        errors: dict = {}
        advance_chunks(self, list(batch), list(batch.values()), results, errors, step=False)
        return _given(batch, results, errors, return_exceptions) if errors else results

    def submit(self, id: Hashable, x: Any) -> Future:
        """Ask for a step of a stream from any thread; a ``concurrent.futures.Future`` of its y.

        What is asked within ``window_us`` microseconds of the first, or while a batch runs, shares a batch, of at
        most max_batch streams. Steps of one stream keep their order. A future cancelled before its batch begins
        leaves its stream as it was; an error comes to its own future only.
        """
        with self._batcher_lock:
            if self._batcher is None:
                from .batcher import Batcher  # brings concurrent.futures

                self._batcher = Batcher(self.window_us * 1e-6, self.max_batch)
                weakref.finalize(self, self._batcher.close)
        return self._batcher.submit(self, id, x)

    async def astep(self, id: Hashable, x: Any) -> Any:
        """A step of a stream, in an asyncio loop: as :meth:`submit`, batched with what other tasks ask for.

        Runs in the loop where the estimate is below 50 microseconds, in a thread above. A step whose task is
        cancelled is not begun, or done as a whole.
        """
        import asyncio

        loop = asyncio.get_running_loop()
        batcher = self._loops.get(loop)
        if batcher is None:
            batcher = self._loops[loop] = LoopBatcher(self, loop)
        return await batcher.add(id, x)

    async def arun(self, batch: Mapping[Hashable, Any], *, return_exceptions: bool = False) -> dict[Hashable, Any]:
        """:meth:`run` in an asyncio loop: in the loop where it is short, in a thread where it is not."""
        return await pool_run(self, partial(self.run, return_exceptions=return_exceptions), batch)

    def _after_fork(self) -> None:
        """In a child: the threads of the parent are not here, and their locks may be held."""
        self._batcher, self._batcher_lock = None, threading.Lock()
        self.after_fork()

    def __repr__(self) -> str:
        return f"<rnnrt.Pool of {self.model.graph.name!r}, {len(self)} streams>"


def _given(batch: Mapping, results: dict, errors: dict, return_exceptions: bool) -> dict:
    if return_exceptions:
        return {k: errors[k] if k in errors else results[k] for k in batch}
    raise BatchError(errors, results)


def _in_child() -> None:
    for pool in list(_pools):
        pool._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
