"""StoredSession: a session whose state a store keeps."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import StateError
from ...session import Session
from ...structure import flatten_inputs

if TYPE_CHECKING:
    from types import TracebackType

    from ...model import Model
    from .base import Store

__all__ = ["StoredSession"]


class StoredSession(Session):
    """A :class:`rnnrt.Session` of one named stream; made by ``model.session(id=..., store=...)``.

    ``step`` and ``run`` never wait for the store: after each, the state lies ready for the store's thread, which
    writes the latest. Only this session owns the stream. ``fork`` gives an ordinary session that nobody keeps.
    Opening and closing do wait: in an asyncio service ``await asyncio.to_thread(model.session, id=id, store=store)``
    and ``aclose``, or a pool.

    Attributes
    ----------
    id, store : as given.
    steps : time steps that this stream has taken in its life: those before it was resumed count, and ``reset``
        and ``set_state`` leave the number as it is. 0 for a new stream.
    """

    id: str
    store: Store
    steps: int

    def __new__(
        cls, model: Model, batch_size: int = 1, *, initial_state: Any = None, state: Any = None, id: str, store: Store
    ) -> StoredSession:
        return super().__new__(cls, model, batch_size)  # type: ignore[return-value]

    def __init__(
        self,
        model: Model,
        batch_size: int = 1,
        *,
        initial_state: Any = None,
        state: Any = None,
        id: str,
        store: Store,
    ) -> None:
        super().__init__(model, batch_size)
        self.id, self.store = id, store
        self.steps = 0
        self._busy = threading.Lock()
        self._closed = False
        self._stream = store.writer.open(id, model.file.fingerprint, model.snapshots.pack)
        try:
            if self._stream.data is not None or self._stream.state is not None:
                self._resume()
            elif state is not None or initial_state is not None:
                if state is not None:
                    super().restore(state)
                else:
                    super().reset(initial_state=initial_state)
                self._keep(0)
        except BaseException:
            self._stream.release()
            raise
        # a session that is dropped gives its stream back; the store itself does so at the end of the process
        self._dropped = weakref.finalize(self, self._stream.release)
        self._dropped.atexit = False

    def _resume(self) -> None:
        stream = self._stream
        rows = stream.state
        if stream.data is not None:
            try:
                rows = self.model.snapshots.unpack(stream.data)
            except StateError as e:
                raise StateError(f"stream {self.id!r} in {self.store}: {e}") from e
        if len(rows) != self.batch_size:
            raise StateError(f"stream {self.id!r} was saved with batch size {len(rows)}, not {self.batch_size}")
        self.set_rows(0, rows)
        self.steps = stream.step
        stream.data = stream.state = None

    def _enter(self) -> None:
        if not self._busy.acquire(blocking=False):
            raise StateError("this session is in use by another thread; use one session a thread, or a pool")
        try:
            if self._closed:
                raise StateError(f"stream {self.id!r}: this session is closed; open it anew with model.session")
            if self._stream.lost is not None:
                raise self._stream.lost
        except BaseException:
            self._busy.release()
            raise

    def _keep(self, steps: int) -> None:
        self.steps += steps
        self._stream.put(self.steps, self.get_rows(0, self.batch_size))

    def _length(self, chunk: Any) -> int:
        """Time steps of a chunk that has just been run."""
        infos = self.model.plan.input_info
        wanted = [k for k, i in enumerate(infos) if i.role == "data"]
        timed = next((k for k in wanted if infos[k].timed), None)
        if timed is None:
            return 1
        flat = flatten_inputs(self.model.graph.input_structure, chunk, [i.name for i in infos], wanted)
        return int(np.shape(flat[timed])[1])

    def step(self, x: Any, out: Any = None, *, stream: Any = None) -> Any:
        """As :meth:`Session.step`; the new state goes to the store behind it."""
        self._enter()
        try:
            y = super().step(x, out, stream=stream)
            self._keep(1)
        finally:
            self._busy.release()
        return y

    def run(self, chunk: Any, out: Any = None, *, stream: Any = None) -> Any:
        """As :meth:`Session.run`; the new state goes to the store behind it."""
        self._enter()
        try:
            y = super().run(chunk, out, stream=stream)
            self._keep(self._length(chunk))
        finally:
            self._busy.release()
        return y

    def reset(self, rows: Sequence[int] | None = None, initial_state: Any = None) -> None:
        """As :meth:`Session.reset`; the store gets the new state."""
        self._change(super().reset, rows, initial_state)

    def set_state(self, state: Mapping[str, Any], rows: Sequence[int] | None = None) -> None:
        """As :meth:`Session.set_state`; the store gets the new state."""
        self._change(super().set_state, state, rows)

    def restore(self, snapshot: bytes, rows: Sequence[int] | None = None) -> None:
        """As :meth:`Session.restore`; the store gets the new state."""
        self._change(super().restore, snapshot, rows)

    def _change(self, how: Any, *given: Any) -> None:
        self._enter()
        try:
            how(*given)
            self._keep(0)
        finally:
            self._busy.release()

    @property
    def saved_step(self) -> int:
        """The steps that the durable state stands for: what a process that dies now would come back at."""
        return self._stream.saved_step

    @property
    def lag(self) -> int:
        """Steps taken that are not durable yet."""
        return max(0, self.steps - self.saved_step)

    @property
    def store_error(self) -> StateError | None:
        """Why the last attempt to save failed, or why the stream is no longer ours; None when all is well.

        A failing store does not disturb the steps: the latest state is kept, and saved when the store is back.
        """
        return self._stream.lost or self._stream.error

    async def flush(self) -> int:
        """Wait until all done so far is durable; the saved step. Raises StateError where it cannot be now."""
        return await asyncio.wrap_future(self._stream.flush())

    def flush_now(self, timeout: float | None = None) -> int:
        """:meth:`flush` for code without asyncio. Raises TimeoutError after timeout seconds."""
        return self._stream.flush().result(timeout)

    def _leave(self) -> Future[None]:
        self._closed = True
        self._dropped.detach()
        return self._stream.release()

    def close(self) -> None:
        """Save, and give the stream back: others can open it from here on.

        Raises StateError where it could not be saved now; the store goes on trying as long as the process lives.
        """
        if not self._closed:
            self._leave().result()

    async def aclose(self) -> None:
        """:meth:`close` for asyncio."""
        if not self._closed:
            await asyncio.wrap_future(self._leave())

    def __enter__(self) -> StoredSession:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> StoredSession:
        return self

    async def __aexit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<rnnrt.Session {self.id!r} of {self.model.graph.name!r}, step {self.steps}, kept by {self.store}>"
