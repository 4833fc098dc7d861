"""Graph -> program: interned dimensions, storage of tensors, state rows, and one record for each op.

No Keras and no instruction set in here: what a layer means was settled at conversion, how weights are packed is
settled by the kernel table.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import FormatError
from ..ir.dims import Dim, DimLike, symbols_of
from ..ir.graph import Graph, Node
from ..ir.narrow import NARROW_ROLES, scale_name
from ..ir.ops import OPS
from ..ir.ops.recurrent import RECURRENT_OPS
from ..ir.ops.spec import check_attrs
from ..ir.ops.table import HOST_OPS, MASK_OPS
from ..ir.passes.folded import folded_tensors
from ..ir.passes.streamability import Streamability, analyse, timed_tensors
from ..tables import WIDENED, WIDTHS
from .encoders import ENCODERS
from .plan import DTYPES, DimTable, InputInfo, OutputInfo, Plan, StateInfo
from .regions import ALIAS_OPS, Schedule, schedule

__all__ = ["lower"]

_FLAGS = {
    "go_backwards": 1,
    "reverse_output": 2,
    "return_sequences": 4,
    "zero_output_for_mask": 8,
    "reset_after": 16,
}
_LOOPS = {*RECURRENT_OPS, "host_cell", "last_step"}
_READS_IDS = ("embedding", "category_encoding")
_ID_DTYPES = ("int32", "int64", "float32", "float64")
_RANK = 8
_COPY = "copy"


class _States:
    """Places the states of all layers in one row, each slot at a multiple of 64 bytes."""

    def __init__(self, calls: bool) -> None:
        self.calls = calls
        self.rows: list[tuple[int, int, int, int]] = []
        self.info: list[StateInfo] = []
        self.end = 0
        self.names: set[str] = set()
        self.by_node: dict[str, list[str]] = {}  # node id -> names of Keras's states

    def add(self, node: Node, name: str, shape: tuple[int, ...], dtype: str, carried: bool, keras: bool = True) -> int:
        """The number of a new slot."""
        path = f"{node.name}/{name}"
        if path in self.names:  # a layer that is called twice has two streams of states
            path = f"{node.id}/{name}"
        self.names.add(path)
        size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        self.rows.append((self.end, size, int(not carried), 0))
        self.info.append(StateInfo(path, shape, dtype, self.end, keras and dtype != "int32"))
        self.end += -(-size // 64) * 64
        return len(self.rows) - 1

    def of(self, node: Node, attrs: dict[str, Any], at_batch: bool, dtype: str) -> list[int]:
        """Slots of a node: Keras's states, then has_output where a mask can hold the output.

        at_batch: the node's rows are the model's; a layer inside a TimeDistributed keeps nothing between calls.
        dtype: of its arithmetic.
        """
        specs = OPS[node.op].states(attrs) if at_batch else []
        # a layer that is given its state starts from it in each call
        carried = not self.calls or (bool(attrs.get("stateful")) and not node.initial_state)
        slots = [self.add(node, s.name, s.shape, dtype, carried, s.keras) for s in specs]
        self.by_node[node.id] = [self.info[i].name for i in slots]
        if specs and node.mask is not None:
            slots.append(self.add(node, "has_output", (), "int32", not self.calls))
        return slots


class _Lowering:
    """One lowering; the methods run in the order in which :func:`lower` calls them."""

    def __init__(self, graph: Graph, weights: dict[str, np.ndarray], stream: Streamability) -> None:
        self.graph = graph
        self.weights = weights
        self.stream = stream
        self.tensors = stream.tensors if stream.ok else graph.tensors
        self.timed = timed_tensors(graph)
        self.inside = folded_tensors(graph)
        self.plan: Schedule = schedule(graph, self.tensors, self.timed)
        self.dims = DimTable()
        self.refs: list[int] = []
        self.reals: list[float] = []
        self.states = _States(graph.session == "calls")
        self.root: dict[str, str] = {}
        self.index: dict[str, int] = {}
        self.rows: list[list[int]] = []
        self.weight_rows: list[list[int]] = []
        self.weight_index: dict[tuple[str, bool], int] = {}
        self.sources: list[tuple[str, bool]] = []
        self.ops: list[list[int]] = []
        self.op_regions: list[int] = []
        self.other: dict[str, int] = {}
        self.host_nodes: dict[int, str] = {}
        self.places: list[str] = []
        self.region_times: list[DimLike | None] = list(self.plan.times)

    def roots(self) -> None:
        """Follow aliases to the tensor that owns the memory."""
        for t in self.tensors:
            self.root[t] = t
        for n in self.graph.nodes:
            if n.op in ALIAS_OPS:
                self.root[n.outputs[0]] = self.root[n.inputs[0]]

    def whole(self) -> set[str]:
        """Roots whose memory must hold the whole time axis, because another region reads it (or nobody walks)."""
        out = set()
        for t, root in self.root.items():
            home = self.plan.home.get(root, -1)
            if home < 0 or self.plan.times[home] is None or not self.timed[t]:
                out.add(root)
        for n in self.plan.nodes:
            for t in self.graph.reads(n):
                if self.plan.home.get(t, -1) != self.plan.region_of[n.id]:
                    out.add(self.root[t])
        out.update(self.root[t] for t in self.graph.outputs)
        return out

    def place_tensors(self) -> None:
        """One row for each tensor: inputs, then everything in the order of making (aliases after their roots)."""
        whole = self.whole()
        inputs = {i.tensor: k for k, i in enumerate(self.graph.inputs)}
        order = list(inputs)
        made = {t: n for n in self.graph.nodes for t in n.outputs}
        order += [t for t in made if self.root[t] == t] + [t for t in made if self.root[t] != t]
        for t in order:
            spec = self.tensors[t]
            if len(spec.shape) > _RANK:
                raise FormatError(f"{t}: rank {len(spec.shape)} is more than {_RANK}")
            dims = [self.dims.index(d) for d in spec.shape]
            alias = self.index[self.root[t]] if self.root[t] != t else -1
            tile = self.root[t] not in whole
            role, io = (1, inputs[t]) if t in inputs else (0, -1)
            self.index[t] = len(self.rows)
            self.rows.append(
                [DTYPES.index(spec.dtype), len(dims), *dims, *[0] * (_RANK - len(dims)), role, io, alias]
                + [int(tile), int(self.timed[t]), 0]
            )

    def weight_refs(self, node: Node, roles: list[str]) -> list[int]:
        """Numbers of a node's weights by role, -1 where there is none, and of their scales.

        Matrices of float16 and int8 stay so where the op's kernels read them; other 16-bit weights are widened.
        """
        matrices = [node.weights[r] for r in NARROW_ROLES.get(node.op, ())]
        dtypes = {str(self.weights[w].dtype) for w in matrices}
        narrow = matrices if dtypes in ({"float16"}, {"int8"}) else []
        refs = [self.weight(node.weights[r], node.weights[r] in narrow) if r in node.weights else -1 for r in roles]
        return refs + [self.weight(scale_name(w)) for w in matrices if dtypes == {"int8"}]

    def weight(self, name: str, narrow: bool = False) -> int:
        """The number of a weight; narrow: as it is stored."""
        key = (name, narrow)
        if key not in self.weight_index:
            a = self.weights[name]
            dtype = a.dtype.name if narrow else WIDENED.get(a.dtype.name, a.dtype.name)
            self.weight_index[key] = len(self.weight_rows)
            self.weight_rows.append([DTYPES.index(dtype), a.ndim, *a.shape, *[0] * (4 - a.ndim)])
            self.sources.append(key)
        return self.weight_index[key]

    def span(self, values: list[int]) -> list[int]:
        """Append to refs; (start, count)."""
        start = len(self.refs)
        self.refs += [int(v) for v in values]
        return [start, len(values)]

    def add_op(self, kind: int, region: int, place: str, fields: dict[str, Any]) -> None:
        """One record of rnnrt_plan_op."""
        real = len(self.reals)
        self.reals += fields.get("reals", [])
        row = [kind, region, fields.get("flags", 0), fields.get("mask", -1)]
        for key in ("in", "out", "weight", "state", "init", "attr"):
            row += self.span(fields.get(key, []))
        self.ops.append([*row, real, len(fields.get("reals", []))])
        self.op_regions.append(region)
        self.places.append(place)

    def read(self, t: str, node: Node) -> int:
        """The tensor as an op reads it: (batch, time) is rows of features to an op that does not walk the steps.

        To a loop axis 1 is time, also that of a collapsed sequence (the places of a ConvLSTM's last output).
        """
        if node.op in _LOOPS and not self.timed[t]:
            return self.retimed(t, 1)
        if not (self.timed[t] and len(self.tensors[t].shape) == 2) or node.op in MASK_OPS:
            return self.index[t]
        if self.plan.times[self.plan.region_of[node.id]] is not None:
            return self.index[t]
        return self.retimed(t, 0)

    def mask(self, t: str, node: Node) -> int:
        """The mask that an op reads."""
        return self.index[t] if self.timed[t] or node.op not in _LOOPS else self.retimed(t, 1)

    def retimed(self, t: str, timed: int) -> int:
        """The tensor under another name, whose axis 1 is a time axis or is none."""
        if t not in self.other:
            row = list(self.rows[self.index[t]])
            row[2 + _RANK : 8 + _RANK] = [0, -1, self.index[self.root[t]], 0, timed, 0]
            self.other[t] = len(self.rows)
            self.rows.append(row)
        return self.other[t]

    def lower_node(self, node: Node, kinds: dict[str, int]) -> None:
        """A graph node as a program op."""
        attrs = check_attrs(OPS[node.op], node.attrs)
        ins = [self.tensors[t] for t in node.inputs]
        at_batch = bool(ins) and node.inputs[0] not in self.inside
        roles, numbers, reals = ENCODERS[node.op](node, attrs, ins)
        if node.op in HOST_OPS:
            self.host_nodes[len(self.ops)] = node.id
        self.add_op(
            kinds[node.op],
            self.plan.region_of[node.id],
            node.name,
            {
                "flags": sum(bit for name, bit in _FLAGS.items() if attrs.get(name)),
                "mask": -1 if node.mask is None else self.mask(node.mask, node),
                "in": [self.read(t, node) for t in node.inputs],
                "out": [self.index[t] for t in node.outputs],
                "weight": self.weight_refs(node, roles),
                "state": self.states.of(node, attrs, at_batch, ins[0].dtype if ins else "float32"),
                "init": [self.index[t] for t in node.initial_state],
                "attr": numbers,
                "reals": reals,
            },
        )

    def outputs(self, kinds: dict[str, int]) -> tuple[list[int], list[int]]:
        """(tensor that is written, tensor that callers see) of each output; an input, or one named twice, is copied."""
        taken: set[str] = set()
        out, shown, copies = [], [], []
        for io, t in enumerate(self.graph.outputs):
            root = self.root[t]
            row = self.rows[self.index[root]]
            if row[2 + _RANK] == 0 and root not in taken:
                taken.add(root)
                row[2 + _RANK], row[3 + _RANK] = 2, io
                out.append(self.index[root])
                shown.append(self.index[t])
                continue
            spec = self.tensors[t]
            dims = [self.dims.index(d) for d in spec.shape]
            self.rows.append(
                [DTYPES.index(spec.dtype), len(dims), *dims, *[0] * (_RANK - len(dims)), 2, io, -1]
                + [0, int(self.timed[t]), 0]
            )
            out.append(len(self.rows) - 1)
            shown.append(out[-1])
            copies.append((t, out[-1]))
        if copies:
            self.region_times.append(None)
            for t, target in copies:
                fields = {"in": [self.index[t]], "out": [target]}
                self.add_op(kinds[_COPY], len(self.region_times) - 1, t, fields)
        return out, shown

    def regions(self) -> list[list[int]]:
        """One record for each region; ops were added region by region."""
        rows = []
        for r, time in enumerate(self.region_times):
            first = self.op_regions.index(r)
            rows.append([first, self.op_regions.count(r), -1 if time is None else self.dims.index(time), 0])
        return rows

    def bounded(self) -> bool:
        """Whether a call of any length works in a fixed space: no temporary holds the whole time axis."""
        moving = [self.tensors[i.tensor].shape[1] for i in self.graph.inputs if self.timed[i.tensor]]
        times = frozenset().union(*(symbols_of(d) for d in moving))
        for t, k in self.index.items():
            role, _, alias, tile = self.rows[k][2 + _RANK : 6 + _RANK]
            grows = any(times & symbols_of(d) for d in self.tensors[t].shape)
            if grows and role == 0 and alias < 0 and not tile:
                return False
        return True

    def input_info(self) -> list[InputInfo]:
        """What callers may pass for each input."""
        consumers = self.graph.consumers()
        out = []
        for i in self.graph.inputs:
            spec, filed = self.tensors[i.tensor], self.graph.tensors[i.tensor]
            readers = consumers.get(i.tensor, [])
            # a padding id is zero in any dtype
            padding = [n.op == "not_equal" and n.attrs.get("value", 0.0) == 0 for n in readers]
            reads_ids = [n.op in _READS_IDS or p for n, p in zip(readers, padding)]
            ids = any(n.op in _READS_IDS for n in readers) and all(reads_ids) and i.tensor not in self.graph.outputs
            accepts = _ID_DTYPES if ids and spec.dtype in _ID_DTYPES else (spec.dtype,)
            fixed = filed.shape[1] if self.timed[i.tensor] and len(filed.shape) > 1 else None
            steps = fixed if isinstance(fixed, int) else None
            timed = self.timed[i.tensor]
            out.append(InputInfo(i.name, i.role, spec.dtype, accepts, spec.shape, timed, steps))
        return out

    def state_targets(self) -> dict[int, list[str]]:
        """For each state input, the states that start from it."""
        number = {i.tensor: k for k, i in enumerate(self.graph.inputs)}
        out: dict[int, list[str]] = {k: [] for k in number.values()}
        for n in self.plan.nodes:
            for t, name in zip(n.initial_state, self.states.by_node[n.id]):
                if t in number:
                    out[number[t]].append(name)
        return out

    def per_step(self, t: str) -> bool:
        """Whether axis 1 of a tensor is the time that a session walks."""
        if self.stream.ok:
            return self.stream.marks[t] == "step"
        return self.timed[t] and isinstance(self.tensors[t].shape[1], Dim)

    def output_info(self) -> list[OutputInfo]:
        """What callers get."""
        return [
            OutputInfo(name, self.tensors[t].dtype, self.tensors[t].shape, self.per_step(t))
            for name, t in zip(self.graph.output_names, self.graph.outputs)
        ]


def _table(rows: list, name: str) -> np.ndarray:
    table = np.array(rows, dtype=np.int64)
    return table.reshape(len(rows), WIDTHS[name]) if WIDTHS[name] else table


def _check_doubles(graph: Graph) -> None:
    double = {t.name for t in graph.tensors.values() if t.dtype == "float64"}
    if not double:
        return
    from ..ir.ops.doubles import DOUBLE_OPS

    for n in graph.nodes:
        if n.op not in DOUBLE_OPS and not double.isdisjoint((*Graph.reads(n), *n.outputs)):
            raise FormatError(f"{n.name}: this version of rnnrt does not do op {n.op!r} in float64")


def lower(graph: Graph, weights: dict[str, np.ndarray], kinds: dict[str, int]) -> Plan:
    """The program of a graph.

    Parameters
    ----------
    weights : arrays by name as stored, in the shapes of ``graph.weights``, and the scales of int8 ones.
    kinds : op name -> number, as the C core gives them.

    Raises
    ------
    FormatError
        For an op that the core does not know, or does not do in float64, or a rank above 8.
    """
    missing = [n for n in graph.nodes if n.op not in ALIAS_OPS and (n.op not in kinds or n.op not in ENCODERS)]
    if missing:
        raise FormatError(f"{missing[0].name}: this version of rnnrt cannot run op {missing[0].op!r}")
    _check_doubles(graph)
    stream = analyse(graph)
    low = _Lowering(graph, weights, stream)
    low.roots()
    low.place_tensors()
    for node in low.plan.nodes:
        low.lower_node(node, kinds)
    outputs, shown = low.outputs(kinds)
    input_info, output_info = low.input_info(), low.output_info()
    inputs = [
        [low.index[i.tensor], sum(1 << DTYPES.index(d) for d in info.accepts)]
        for i, info in zip(graph.inputs, input_info)
    ]
    regions = _table(low.regions(), "regions")
    return Plan(
        dims=_table(low.dims.rows, "dims"),
        tensors=_table(low.rows, "tensors"),
        ops=_table(low.ops, "ops"),
        refs=_table(low.refs, "refs"),
        reals=np.array(low.reals, dtype=np.float64),
        weights=_table(low.weight_rows, "weights"),
        sources=low.sources,
        states=_table(low.states.rows, "states"),
        row_bytes=low.states.end,
        regions=regions,
        inputs=_table(inputs, "inputs"),
        outputs=_table(outputs, "outputs"),
        shown=_table(shown, "shown"),
        fixed=[i.fixed_steps for i in input_info],
        starts=[i.role == "state" for i in input_info],
        steps=[o.per_step for o in output_info],
        streams=stream.ok,
        bounded=low.bounded(),
        session=graph.session,
        symbols=list(low.dims.symbols),
        places=low.places,
        input_names=[i.name for i in input_info],
        input_structure=graph.input_structure,
        output_structure=graph.output_structure,
        stream_message=stream.message,
        input_info=input_info,
        output_info=output_info,
        state_info=low.states.info,
        state_targets=low.state_targets(),
        host_nodes=low.host_nodes,
    )
