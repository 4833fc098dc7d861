"""Model: a converted file, ready to run.

What loading and ``predict`` do not need is imported where it is used: a process that starts often pays for little.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from .backends import MATH, kernels_wanted, open_device
from .errors import BackendError, ShapeError, StateError
from .format.reader import ModelFile
from .native import _native as native
from .records import Record
from .tables import arrays_of

if TYPE_CHECKING:
    from .growth import Growth
    from .ir.graph import Graph
    from .planner.plan import Plan
    from .session import Session
    from .snapshot import SnapshotCodec
    from .streams.pool import Pool

__all__ = ["Model", "TensorInfo", "on_device"]

MOST_THREADS = 64  # of one call


class TensorInfo(Record):
    """What a model takes or gives: name, shape (None where free, batch first), dtype, role ``data`` or ``state``."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    role: str = "data"


def check_threads(threads: Any) -> None:
    """BackendError where a call cannot have so many."""
    if isinstance(threads, bool) or not isinstance(threads, int) or not 1 <= threads <= MOST_THREADS:
        raise BackendError(f"threads: expected an integer from 1 to {MOST_THREADS}, got {threads!r}")


class Model(native.Program):
    """A model: immutable, shared by any number of threads; all state lives in its sessions.

    Made by :func:`rnnrt.load`. ``predict`` is :meth:`rnnrt.native._native.Program.predict`.

    Attributes
    ----------
    inputs, outputs : list of TensorInfo
    session_meaning : ``sequence`` or ``calls``, see :meth:`session`.
    kernels : name of the kernel table that it was packed for; of a plugin, its name.
    device : where it runs, ``cpu`` or ``cuda:0``.
    math : ``fp32`` or ``tf32``, see :func:`rnnrt.load`.
    threads : of one call, see :func:`rnnrt.load`; 1 on a GPU.
    """

    def __new__(cls, file: ModelFile, *args: Any, **kwargs: Any) -> Model:
        return super().__new__(cls)

    def __init__(
        self,
        file: ModelFile,
        kernels: str | None = None,
        *,
        device: str = "cpu",
        math: str = "fp32",
        threads: int = 1,
        hosts: dict[int, Any] | None = None,
    ) -> None:
        check_threads(threads)
        if math not in MATH:
            raise BackendError(f"math={math!r}: known are {', '.join(map(repr, MATH))}")
        self.file = file
        where = open_device(device)
        on_cpu = where.kind == "cpu"
        if threads > 1 and not on_cpu:
            raise BackendError(f"threads={threads} on {where}: only calls on the CPU take threads; leave them out")
        tables = file.tables if file.tables is not None else self._planned(hosts)
        super().__init__(
            where.backend,
            tables,
            arrays_of(tables.sources, file.weights),
            (kernels or kernels_wanted()) if on_cpu else "",
            where.index,
            MATH.index(math),
            threads,
        )
        self.threads = threads
        self.device = str(where)
        self.math = "fp32" if on_cpu else math

    def _planned(self, hosts: dict[int, Any] | None) -> Plan:
        """The plan of a file that keeps none; hosts: what runs the ops of the user's own classes, made where None."""
        plan = self.plan
        if hosts is not None:
            plan.hosts.update(hosts)
        elif plan.host_nodes:
            from .custom.host import hosts_of

            made = hosts_of(self.graph, self.file.weights)
            plan.hosts.update({op: made[node] for op, node in plan.host_nodes.items()})
        return plan

    @property
    def graph(self) -> Graph:
        """The graph of the file."""
        return self.file.graph

    @cached_property
    def plan(self) -> Plan:
        """What the tables mean to users; made when it is first asked for where the file keeps the tables.

        Raises FormatError where these are not the tables of the file's graph.
        """
        from .planner.lower import lower

        plan = lower(self.graph, dict(self.file.weights), native.op_kinds())
        self.file.check_tables(plan)
        return plan

    def to(self, device: str, *, math: str | None = None, threads: int | None = None) -> Model:
        """This model on another device: a new one over the same weights of the file, which keeps nothing of this one.

        device, math, threads: as :func:`rnnrt.load` takes them. Where None, math stays as it is, and so do threads
        from CPU to CPU; a GPU has none, and a model that comes from there has one. Snapshots and states of sessions
        go from one to the other. Raises BackendError as :func:`rnnrt.load`.
        """
        if threads is None:
            threads = self.threads if device in ("cpu", "auto") else 1
        return on_device(self.file, device, math or self.math, threads, self.tables.hosts)

    @property
    def inputs(self) -> list[TensorInfo]:
        """What ``predict`` takes, in order."""
        return [TensorInfo(i.name, i.filed_shape, i.dtype, i.role) for i in self.plan.input_info]

    @property
    def outputs(self) -> list[TensorInfo]:
        """What ``predict`` gives, in order."""
        fixed = {i.symbol_of(1): i.fixed_steps for i in self.plan.input_info if i.timed and i.fixed_steps is not None}
        out = []
        for o in self.plan.output_info:
            shape = list(o.free_shape)
            if o.per_step and len(o.shape) > 1 and str(o.shape[1]) in fixed:
                shape[1] = fixed[str(o.shape[1])]
            out.append(TensorInfo(o.name, tuple(shape), o.dtype))
        return out

    @property
    def session_meaning(self) -> str:
        """``sequence``: every recurrent layer carries its state; ``calls``: the layers saved stateful do."""
        return self.tables.session

    def _structured(self, results: list[Any]) -> Any:
        from .nested import nest

        return nest(self.tables.output_structure, results)

    def _slow(self, x: Any, out: Any, stream: Any) -> Any:
        from .calls import run_call

        return run_call(self, x, out, None, False, stream)

    def session(
        self,
        batch_size: int = 1,
        *,
        initial_state: Any = None,
        id: str | None = None,
        store: Any = None,
        state: bytes | None = None,
    ) -> Session:
        """A session: rows of state that ``step`` and ``run`` carry on.

        *sequence* models (no layer saved stateful): for any cutting into ``step`` and ``run``, outputs with a
        time axis, put end to end, equal ``predict`` on the whole bit for bit; an output without one equals,
        after each piece, ``predict`` on all that has been seen. *calls* models (a layer saved
        ``stateful=True``): each ``run`` is one call of Keras.

        Parameters
        ----------
        batch_size : number of streams that advance together.
        initial_state : for models with state inputs: a list, or a dict by input name; zero where absent.
        state : a snapshot (:meth:`Session.to_bytes`) to go on from, which also gives the number of streams.
        id, store : the stream's name and the store (:mod:`rnnrt.stores`) that keeps it: opened if it is new,
            from state or initial_state where given, and resumed where it was if not. The session is then a
            ``StoredSession``: it has ``steps``, ``saved_step``, ``lag``, ``flush``, ``close``.

        Raises
        ------
        StateError
            The model cannot be cut in time; the message names the layer and the reason. Or the snapshot is
            damaged, or that of another model. Or the stream is owned by another process, or was saved by
            another model.
        """
        if state is not None and initial_state is not None:
            raise StateError("session: either state= or initial_state=")
        if (id is None) != (store is None):
            raise StateError("session: id= and store= go together")
        if store is not None:
            return store.session(self, id, batch_size, initial_state=initial_state, state=state)
        from .session import Session

        if state is None:
            return Session(self, batch_size, initial_state=initial_state)
        rows = self.snapshots.unpack(state)
        if batch_size not in (1, len(rows)):
            raise StateError(f"batch_size: {batch_size!r}, but the snapshot holds {len(rows)} streams")
        session = Session(self, len(rows))
        session.set_rows(0, rows)
        return session

    def pool(
        self,
        max_batch: int = 64,
        window_us: float = 0,
        *,
        store: Any = None,
        max_resident: int | None = None,
        idle_s: float | None = None,
    ) -> Pool:
        """Many streams that come and go by id, stepped together; see :class:`rnnrt.Pool`.

        max_batch: streams of the largest batch; more in one call are stepped in several. window_us: microseconds
        that the first of the steps that :meth:`rnnrt.Pool.submit` and ``astep`` gather waits for others.
        store: where its streams are kept (:mod:`rnnrt.stores`); at most max_resident of them, and those used
        within idle_s seconds, stay in memory, and the others come back with their next step.

        Raises StateError where the model cannot be cut in time, as :meth:`session` does.
        """
        if store is not None:
            from .streams.stored_pool import StoredPool

            return StoredPool(self, max_batch, window_us, store=store, max_resident=max_resident, idle_s=idle_s)
        if max_resident is not None or idle_s is not None:
            raise StateError("pool: max_resident= and idle_s= need store=, where streams go")
        from .streams.pool import Pool  # it imports sessions, which import this module

        return Pool(self, max_batch, window_us)

    @cached_property
    def snapshots(self) -> SnapshotCodec:
        """Rows of this model <-> bytes; made when the first snapshot is taken, since it hashes the weights."""
        from .snapshot import SnapshotCodec

        return SnapshotCodec(self.file.fingerprint, self.plan.state_info, self.plan.row_bytes)

    def _lengths(self, batch: int, steps: int | None) -> dict[str, int]:
        """Symbol values for a batch and a number of steps (a fixed length, or few, where None)."""
        fixed = [n for n in self.tables.fixed if n is not None]
        length = steps if steps is not None else (fixed[0] if fixed else self._few_steps())
        return {s: batch if s == "B" else length for s in self.tables.symbols}

    def _few_steps(self) -> int:
        """1, or where windows need more a power of 2 that is enough for them."""
        length = 1
        while length < 1 << 20:
            try:
                self.measure([1, *[length] * (len(self.tables.symbols) - 1)])
                return length
            except ShapeError:
                length *= 2
        return 1

    def memory(self, batch: int = 1, steps: int | None = None) -> dict[str, int]:
        """Bytes: ``weights`` as stored, ``workspace`` of a predict of that size, ``state`` of one stream; and on the
        device ``packed`` weights, and ``kept``: workspaces that wait for the next call."""
        lengths = self._lengths(batch, steps)
        workspace, _ = self.measure([lengths[s] for s in self.tables.symbols])
        stored = {"weights": self.file.weights_nbytes, "workspace": workspace, "state": self.tables.row_bytes}
        return {**stored, **self.device_memory()}

    def growth(self, batch: int = 1) -> Growth | None:
        """The workspace of a predict of that batch as a formula in its steps; None where the file gives the length."""
        from .growth import growth

        if len(self.tables.symbols) < 2:
            return None

        def measure(steps: int) -> int:
            try:
                return self.measure([batch if s == "B" else steps for s in self.tables.symbols])[0]
            except ShapeError:
                return 0  # too short for a window

        return growth(measure, batch, len(self.tables.tensors))

    def summary(self, batch: int = 1, steps: int | None = None, width: int = 80) -> str:
        """The table that Keras prints, with states and memory.

        steps: number of time steps of the predict whose workspace is shown; default the file's length, or 1. Below
        it stands how that workspace grows with T steps, see :class:`rnnrt.growth.Growth`.
        """
        from .ir.passes.layers import layer_rows, parameter_count
        from .summary import size_text, summary_table

        memory = self.memory(batch, steps)
        total = parameter_count(self.graph)
        lengths = self._lengths(batch, steps)
        shown = next((v for s, v in lengths.items() if s != "B"), 1)
        growth = self.growth(batch)
        totals = [
            ("Total params", f"{total:,} ({size_text(memory['weights'])})"),
            ("Packed weights", size_text(memory.get("packed", 0))),
            ("State of a stream", size_text(memory["state"])),
            (f"Workspace of predict, batch {batch}, {shown} steps", size_text(memory["workspace"])),
            *([(f"Workspace, batch B = {batch}, T steps", str(growth))] if growth else []),
            *([("Threads of a call", str(self.threads))] if self.threads > 1 else []),
            ("Session", self.session_meaning + ("" if self.plan.streams else f"; not cut in time: {self._why()}")),
        ]
        return summary_table(layer_rows(self.graph), self.graph.name, totals, width)

    def _why(self) -> str:
        return self.plan.stream_message

    def describe(self) -> dict[str, Any]:
        """Everything that ``rnnrt inspect`` tells, as plain data."""
        from .ir.passes.layers import layer_rows, parameter_count

        return {
            "name": self.graph.name,
            "path": self.file.path,
            "bytes": self.file.nbytes,
            "fingerprint": self.file.fingerprint,
            "source_sha256": self.file.source_sha256,
            "producer": self.file.producer,
            "parameters": parameter_count(self.graph),
            "inputs": [vars(i) for i in self.inputs],
            "outputs": [vars(o) for o in self.outputs],
            "states": [{"name": s.name, "shape": s.shape, "dtype": s.dtype} for s in self.plan.state_info],
            "state_bytes": self.plan.row_bytes,
            "session": self.session_meaning,
            "streams": self.plan.streams,
            "stream_reason": "" if self.plan.streams else self._why(),
            "kernels": self.kernels,
            "device": self.device,
            "math": self.math,
            "threads": self.threads,
            "layers": [vars(r) for r in layer_rows(self.graph)],
            "proof": self.file.proof is not None,
        }

    def __repr__(self) -> str:
        from .structure import shape_text

        ins = ", ".join(f"{i.name} {shape_text(i.shape)}" for i in self.inputs)
        outs = ", ".join(f"{o.name} {shape_text(o.shape)}" for o in self.outputs)
        return f"<rnnrt.Model {self.graph.name!r}: {ins} -> {outs}>"


def on_device(file: ModelFile, device: str, math: str, threads: int = 1, hosts: dict[int, Any] | None = None) -> Model:
    """A model on a device; with ``auto`` on a GPU where one can be had that does all its layers, else on the CPU, which
    takes the threads."""
    if device != "auto":
        return Model(file, device=device, math=math, threads=threads, hosts=hosts)
    check_threads(threads)
    try:
        return Model(file, device="cuda", math=math, hosts=hosts)
    except (BackendError, MemoryError) as e:
        if math not in MATH:
            raise
        import logging

        logging.getLogger("rnnrt").info("%s: device='auto' takes the CPU: %s", file.path, e)
    return Model(file, math=math, threads=threads, hosts=hosts)
