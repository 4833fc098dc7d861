"""Session: the state of one or more streams of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import StateError
from .native import _native as native
from .structure import as_input, flatten_inputs, shape_text

if TYPE_CHECKING:
    from .model import Model

__all__ = ["Session"]

_FLAG = "int32"  # dtype of the slots that are ours and hold true or false (has_output)


def check_streams(model: Model) -> None:
    """StateError, with the layer and the reason, where a model's streams cannot carry state."""
    if model.session_meaning == "sequence" and not model.tables.streams:
        raise StateError(f"this model cannot run step by step: {model.plan.stream_message}")
    if model.session_meaning == "calls" and any(model.tables.starts):
        raise StateError("a model saved stateful that also takes states as inputs has no session; use predict")


def initial_rows(model: Model, count: int, given: Any) -> np.ndarray:
    """Rows, uint8 (count, row_bytes), that start from arrays for the model's state inputs; zero where given is None."""
    values = np.zeros((count, model.tables.row_bytes), np.uint8)
    if given is None:
        return values
    infos = model.plan.input_info
    wanted = [k for k, i in enumerate(infos) if i.role == "state"]
    if not wanted:
        raise StateError("this model has no state inputs; use set_state")
    given = _by_input(given, {n: infos[k].name for n, k in _targets(model).items()})
    flat = flatten_inputs(list(range(len(infos))), given, [i.name for i in infos], wanted)
    slots = {s.name: s for s in model.plan.state_info}
    for k in wanted:
        info = infos[k]
        shape = (count, *info.free_shape[1:])
        a = as_input(info.name, flat[k], info.dtype, info.accepts, shape)
        for name in model.plan.state_targets[k]:
            slot = slots[name]
            slot_view(values, slot)[...] = a.reshape(count, *slot.shape)
    return values


def _targets(model: Model) -> dict[str, int]:
    """State -> number of the one input that it starts from, where that input starts no other state."""
    targets = model.plan.state_targets
    names = [n for found in targets.values() for n in found]
    return {found[0]: k for k, found in targets.items() if len(found) == 1 and names.count(found[0]) == 1}


def _by_input(given: Any, inputs: Mapping[str, str]) -> Any:
    """What a caller passed, with names of states (as :meth:`Session.get_state` has them) as names of inputs."""
    if not isinstance(given, Mapping):
        return given
    out: dict[str, Any] = {}
    for name, value in given.items():
        wanted = inputs.get(name, name) if name not in inputs.values() else name
        if wanted in out:
            raise StateError(f"initial_state: {wanted!r} is given twice, by its own name and by that of its state")
        out[wanted] = value
    return out


def slot_view(values: np.ndarray, slot: Any) -> np.ndarray:
    """A slot of rows as an array (rows, *shape) that shares their memory."""
    n = int(np.prod(slot.shape, dtype=np.int64)) * np.dtype(slot.dtype).itemsize
    part = values[:, slot.offset : slot.offset + n]
    return part.view(slot.dtype).reshape(len(values), *slot.shape)


def state_of_rows(model: Model, values: np.ndarray) -> dict[str, np.ndarray]:
    """Rows as :meth:`Session.get_state` gives them."""
    out = {}
    for slot in model.plan.state_info:
        a = slot_view(values, slot).copy()
        out[slot.name] = a.astype(bool) if slot.dtype == _FLAG else a
    return out


def rows_of_state(model: Model, count: int, state: Mapping[str, Any]) -> np.ndarray:
    """The way back; StateError where a name is unknown or missing or an array does not fit."""
    slots = {s.name: s for s in model.plan.state_info}
    if not isinstance(state, Mapping):
        raise StateError(f"a dict of arrays is expected, got {type(state).__name__}")
    unknown = sorted(set(state) - set(slots))
    if unknown:
        raise StateError(f"unknown state {unknown[0]!r}; this model has {sorted(slots)}")
    values = np.zeros((count, model.tables.row_bytes), np.uint8)
    for name, slot in slots.items():
        if name not in state:
            if slot.keras:
                raise StateError(f"state {name!r} is missing")
            continue
        a = np.asarray(state[name])
        want = (count, *slot.shape)
        if a.shape != want or a.dtype.kind not in "biuf":
            raise StateError(f"state {name!r}: expected {shape_text(want)}, got {a.dtype} {shape_text(a.shape)}")
        slot_view(values, slot)[...] = a.astype(bool) if slot.dtype == _FLAG else a
    return values


class Session(native.SessionCore):
    """Rows of state, one for each stream; made by :meth:`rnnrt.Model.session`.

    ``step(x, out=None)`` and ``run(chunk, out=None)`` are the hot path (see there). A call commits its new state
    or, after any error, leaves the state as it was. One thread at a time; any number of sessions side by side.
    """

    _calling = False  # a task is in a call
    _orphan: Any = None  # a call whose task was cancelled

    def __new__(cls, model: Model, batch_size: int = 1, *, initial_state: Any = None) -> Session:
        check_streams(model)
        if isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
            raise StateError(f"batch_size: expected a positive integer, got {batch_size!r}")
        return super().__new__(cls, model, int(batch_size))

    def __init__(self, model: Model, batch_size: int = 1, *, initial_state: Any = None) -> None:
        self.model = model
        if initial_state is not None:
            self.reset(initial_state=initial_state)

    def _slow(self, x: Any, out: Any, step: bool, stream: Any) -> Any:
        from .calls import run_call

        return run_call(self.model, x, out, self, step, stream)

    def _rows(self, rows: Sequence[int] | None) -> list[int]:
        """Row numbers, checked."""
        if rows is None:
            return list(range(self.batch_size))
        out = []
        for r in rows:
            if isinstance(r, bool) or not isinstance(r, (int, np.integer)) or not 0 <= r < self.batch_size:
                raise StateError(f"row {r!r}: expected 0..{self.batch_size - 1}")
            out.append(int(r))
        if len(set(out)) != len(out):
            raise StateError("a row is named twice")
        return out

    def _write(self, rows: list[int], values: np.ndarray) -> None:
        """Put whole rows back, after everything was checked."""
        if rows == list(range(self.batch_size)):
            self.set_rows(0, values)
            return
        every = self.get_rows(0, self.batch_size)
        every[rows] = values
        self.set_rows(0, every)

    def reset(self, rows: Sequence[int] | None = None, initial_state: Any = None) -> None:
        """Back to the zero state, or to the initial state given for the model's state inputs.

        rows: which streams; all where None. initial_state: a list of arrays (rows, units) in the order of the
        model's state inputs, or a dict by their names. Raises StateError where it does not fit.
        """
        chosen = self._rows(rows)
        self._write(chosen, initial_rows(self.model, len(chosen), initial_state))

    def get_state(self) -> dict[str, np.ndarray]:
        """All that determines the future: name -> array (batch_size, ...) in Keras's shapes (a copy).

        Keras's states lie under ``<layer path>/<state>`` (``lstm/h``, ``lstm/c``); ``.../has_output`` is bool:
        whether a layer under a mask has seen a step that counts; ``.../context`` is what a causal convolution
        still sees of the past.
        """
        return state_of_rows(self.model, self.get_rows(0, self.batch_size))

    def set_state(self, state: Mapping[str, Any], rows: Sequence[int] | None = None) -> None:
        """Put a state back.

        state: a dict as :meth:`get_state` gives it, with arrays (rows, ...); Keras's states alone are enough
        (the layers then count as not having seen a step under their mask, and contexts are zero). rows: which
        streams; all where None.

        Raises StateError, and changes nothing, where a name is unknown or missing or an array does not fit.
        """
        chosen = self._rows(rows)
        self._write(chosen, rows_of_state(self.model, len(chosen), state))

    def to_bytes(self) -> bytes:
        """The state as a snapshot: versioned, checksummed, with the model's fingerprint (SNAPSHOT.md); never pickle.

        It goes on with the same bits in another process, on another machine, instruction set or device:
        :meth:`restore`, ``model.session(state=...)``.
        """
        return self.model.snapshots.pack(self.get_rows(0, self.batch_size))

    def restore(self, snapshot: bytes, rows: Sequence[int] | None = None) -> None:
        """Go on from a snapshot of as many streams; rows: which streams take it, all where None.

        Raises StateError, and changes nothing, for a snapshot that is damaged, of another model or of another size.
        """
        chosen = self._rows(rows)
        values = self.model.snapshots.unpack(snapshot)
        if len(values) != len(chosen):
            raise StateError(f"the snapshot holds {len(values)} streams, expected {len(chosen)}")
        self._write(chosen, values)

    async def astep(self, x: Any) -> Any:
        """:meth:`step` in an asyncio loop: run there where the estimate is below 50 microseconds, in a thread above.

        StateError where another task is in a call of this session. A step whose task is cancelled is not begun, or
        done as a whole; the next call waits for it.
        """
        from .streams.aio import session_call

        return await session_call(self, self.step, x, 1)

    async def arun(self, chunk: Any) -> Any:
        """:meth:`run` in an asyncio loop, as :meth:`astep`."""
        from .streams.aio import session_call, steps_of

        return await session_call(self, self.run, chunk, steps_of(chunk, 1))

    def fork(self) -> Session:
        """A new session at the same state, independent from here on: for beam search, and for what-if."""
        rows = self.get_rows(0, self.batch_size)
        other = Session(self.model, self.batch_size)
        other.set_rows(0, rows)
        return other

    def __repr__(self) -> str:
        return f"<rnnrt.Session of {self.model.graph.name!r}, batch size {self.batch_size}>"
