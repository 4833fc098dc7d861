"""Can a graph be walked step by step, and what does each of its tensors mean then?

A tensor is ``step`` (one value for each time step), ``sequence`` (one value for all that has been seen so far,
such as the last output of an LSTM) or ``constant`` (given once, such as a state input). Whatever mixes steps in
another way than a recurrence cannot be cut, and is named with its reason.
"""

from __future__ import annotations

from ...records import Record, field
from ..dims import DimLike, symbol
from ..graph import Graph, Node, Shape, TensorSpec
from ..ops import OPS, ShapeMismatch, infer_node
from ..ops.recurrent import RECURRENT_OPS
from ..ops.spec import check_attrs

__all__ = ["TIME", "Streamability", "analyse", "time_kind", "timed_tensors"]

TIME = symbol("T")

_KEEPS_IDS = ("cast", "not_equal", "logical_and", "logical_or")


class Streamability(Record):
    """The verdict.

    ok; layer and reason where not; marks: tensor -> ``step | sequence | constant``, or ``folded`` for what each
    step has of its own inside a TimeDistributed; tensors: the graph's
    tensors with the time axis freed, only where ok.
    """

    ok: bool
    layer: str = ""
    reason: str = ""
    marks: dict[str, str] = field(default_factory=dict)
    tensors: dict[str, TensorSpec] = field(default_factory=dict)

    @property
    def message(self) -> str:
        """One sentence for errors and for ``check``."""
        return "streams" if self.ok else f"{self.layer}: {self.reason}"


def sequence_outputs(node: Node) -> int:
    """Of an op that loops over time the number of its outputs before the states; 0 for other ops."""
    if node.op == "host_cell":
        from ..ops.host import signature_of

        return len(signature_of(node.attrs).outputs)
    return int(node.op in RECURRENT_OPS)


def time_kind(node: Node, tensors: dict[str, TensorSpec]) -> tuple[str, str]:
    """(kind, reason) of a node: ``step``, ``recurrent`` or ``mix``."""
    spec = OPS[node.op]
    if callable(spec.time):
        return spec.time(check_attrs(spec, node.attrs), [tensors[t] for t in node.inputs])
    return spec.time, ""


def _steps(tensor: str, consumers: dict[str, list[Node]]) -> bool:
    """Whether each element of a tensor (batch, n) is a step: the ids of an Embedding, or a mask."""
    seen, stack = set(), [tensor]
    while stack:
        t = stack.pop()
        for n in consumers.get(t, []):
            if n.op == "embedding" or n.mask == t or (n.op == "apply_mask" and n.inputs[1] == t):
                return True
            if n.op in _KEEPS_IDS and n.outputs[0] not in seen:
                seen.add(n.outputs[0])
                stack.append(n.outputs[0])
    return False


def timed_tensors(graph: Graph) -> dict[str, bool]:
    """Whether axis 1 of each tensor is a time axis.

    Inputs of rank 3 and more have one; one of rank 2 has it where its elements are ids or a mask.
    """
    consumers = graph.consumers()
    timed: dict[str, bool] = {}
    for i in graph.inputs:
        rank = len(graph.tensors[i.tensor].shape)
        timed[i.tensor] = i.role == "data" and (rank >= 3 or (rank == 2 and _steps(i.tensor, consumers)))
    for n in graph.nodes:
        kind, _ = time_kind(n, graph.tensors)
        loop = sequence_outputs(n)
        source = bool(n.inputs) and all(timed[t] for t in (n.inputs[:1] if loop else n.inputs))
        flat = bool(n.inputs) and all(len(graph.tensors[t].shape) >= 3 for t in n.inputs)
        for k, t in enumerate(n.outputs):
            rank = len(graph.tensors[t].shape)
            if loop:
                timed[t] = k < loop and rank >= 3 and bool(n.attrs.get("return_sequences"))
            elif kind == "unfold":
                timed[t] = True
            elif kind == "fold":
                timed[t] = rank >= 3 or (rank == 2 and _steps(t, consumers))
            elif kind == "last":
                timed[t] = False
            elif kind == "step" and (source or flat):
                timed[t] = source
            else:
                mask = rank == 2 and graph.tensors[t].dtype == "bool"
                timed[t] = rank >= 3 or (mask and _steps(t, consumers))
    return timed


def _time_of(graph: Graph, streamed: list[str]) -> dict[str, DimLike]:
    """The time of each streamed input: one for all where they have one length in the file, else each its own.

    Inputs that meet have one length since conversion; others may differ in ``predict``, though not in sessions.
    ShapeMismatch where the file says two lengths.
    """
    lengths = {t: graph.tensors[t].shape[1] for t in streamed}
    if len(set(lengths.values())) == 1:
        return dict.fromkeys(lengths, TIME)
    (first, n), *others = [(t, n) for t, n in lengths.items() if isinstance(n, int)] or [("", 0)]
    for t, m in others:
        if m != n:
            raise ShapeMismatch(f"{t}: this input has {m} steps, and {first!r} has {n}")
    return {t: TIME if isinstance(n, int) else n for t, n in lengths.items()}


def _free_time(graph: Graph, streamed: list[str]) -> dict[str, TensorSpec]:
    """The graph's tensors with axis 1 of the streamed inputs made free; ShapeMismatch if they need it."""
    tensors: dict[str, TensorSpec] = {}
    times = _time_of(graph, streamed)
    for i in graph.inputs:
        spec = graph.tensors[i.tensor]
        shape: Shape = spec.shape
        if i.tensor in times:
            shape = (shape[0], times[i.tensor], *shape[2:])
        tensors[i.tensor] = TensorSpec(spec.name, shape, spec.dtype)
    for n in graph.nodes:
        for name, (shape, dtype) in zip(n.outputs, infer_node(n, tensors)):
            tensors[name] = TensorSpec(name, shape, dtype)
        spec_ = OPS[n.op]
        want = spec_.weights(check_attrs(spec_, n.attrs), [tensors[t] for t in n.inputs])
        for role, shape in want.items():
            if tuple(shape) != tuple(graph.weights[n.weights[role]].shape):
                raise ShapeMismatch(f"{n.name}: its weights need the length that the file wrote")
    return tensors


def _mark_node(
    node: Node, kind: str, reason: str, marks: dict[str, str], state_inputs: set[str]
) -> tuple[list[str], str]:
    """(marks of the outputs, "") or ([], why not)."""
    ins = [marks[t] for t in node.inputs] + ([marks[node.mask]] if node.mask else [])
    if any(t not in state_inputs for t in node.initial_state):
        return [], "its initial state is computed by other layers; cut the model at that state (convert(inputs=...))"
    if kind == "unfold":
        return [ins[1]], ""
    if "folded" in ins or (kind == "fold" and ins == ["step"]):
        # inside TimeDistributed each step has what it needs by itself, whatever is done with it
        return (["folded"] * len(node.outputs), "") if len(set(ins)) == 1 else ([], "it joins a step with its parts")
    if "step" in ins:
        if any(m != "step" for m in ins):
            return [], "it joins a value for each step with a value for the whole sequence"
        if kind == "mix":
            return [], reason
        if kind == "last":
            return ["sequence"] * len(node.outputs), ""
        if kind == "causal":
            return ["step"] * len(node.outputs), ""
        if kind == "recurrent":
            first = "step" if node.attrs.get("return_sequences") else "sequence"
            leading = sequence_outputs(node) or 1
            return [first] * leading + ["sequence"] * (len(node.outputs) - leading), ""
        return ["step"] * len(node.outputs), ""
    if kind in ("recurrent", "causal") or node.op == "repeat_vector":
        return [], "it needs a sequence that is complete only after a layer that collapses the time axis"
    return [("constant" if ins and all(m == "constant" for m in ins) else "sequence")] * len(node.outputs), ""


def analyse(graph: Graph) -> Streamability:
    """Mark every tensor, or say which layer stands in the way and why."""
    timed = timed_tensors(graph)
    marks: dict[str, str] = {}
    streamed: list[str] = []
    state_inputs = {i.tensor for i in graph.inputs if i.role == "state"}
    for i in graph.inputs:
        if i.role == "state":
            marks[i.tensor] = "constant"
        elif timed[i.tensor]:
            marks[i.tensor] = "step"
            streamed.append(i.tensor)
        else:
            return Streamability(False, i.name, "this input has no time axis")
    for n in graph.nodes:
        kind, reason = time_kind(n, graph.tensors)
        if kind == "mix" and sequence_outputs(n) and marks[n.inputs[0]] != "step":
            kind = "recurrent"
        out, why = _mark_node(n, kind, reason, marks, state_inputs)
        if why:
            return Streamability(False, n.name, why)
        marks.update(zip(n.outputs, out))
    try:
        tensors = _free_time(graph, streamed)
    except ShapeMismatch as e:
        place, _, rest = str(e).partition(": ")
        return Streamability(False, place, rest or str(e))
    return Streamability(True, marks=marks, tensors=tensors)
