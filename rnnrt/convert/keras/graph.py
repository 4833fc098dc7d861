"""The walk from a :class:`~.spec.ModelSpec` to a graph: calls, sharing, nesting, refusals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import ConversionError, UnsupportedLayerError
from ...ir.dims import BATCH, Dim, DimLike, symbol
from ...ir.graph import Graph, Node, Shape, TensorSpec
from ...ir.ops import OPS, ShapeMismatch, infer_node
from ...ir.ops.doubles import DOUBLE_OPS
from ...ir.ops.table import MASK_OPS
from .call import LayerCall, UnknownInput, Value
from .layers import REFUSED, REGISTRY, Entry
from .layers.custom import custom_call
from .masks import with_masks
from .operations import is_operation, run
from .options import check_options, note_ignored
from .policies import dtype_name, keras_dtype
from .spec import ALL, LayerSpec, ModelSpec, TensorRef, map_structure, refs
from .weights import Layout, Leaf, Part
from .worn import WornMasks

__all__ = ["GraphBuilder", "InputTensor", "flatten"]

_MAX_CALLS = 20_000
_INPUT_DTYPES = ("float32", "float64", "float16", "bfloat16", "int32", "int64", "bool")
_DTYPE_ALIASES = {"int8": "int32", "int16": "int32", "uint8": "int32", "uint16": "int32", "uint32": "int64"}


@dataclass
class InputTensor:
    """A model input as the walk met it."""

    name: str
    tensor: str


def flatten(structure: Any) -> list:
    """The leaves of lists and dicts, in order; None leaves are left out."""
    if isinstance(structure, dict):
        return [x for v in structure.values() for x in flatten(v)]
    if isinstance(structure, (list, tuple)):
        return [x for v in structure for x in flatten(v)]
    return [] if structure is None else [structure]


@dataclass
class GraphBuilder:
    """Collects tensors, nodes and weight declarations while the model is walked.

    refused: (layer path, class, error) of each layer that does not convert; the walk goes on behind them,
    so that all are found. labels: what a tensor is beside its layer's output (``h``, ``c``). shapes: of the outputs
    of each layer by path. worn: which masks Keras 3 finds on tensors when it runs the model.
    """

    tensors: dict[str, TensorSpec] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    stateful: list[str] = field(default_factory=list)  # layers of the nodes that are
    inputs: list[InputTensor] = field(default_factory=list)
    leaves: dict[str, Leaf] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    refused: list[tuple[str, str, UnsupportedLayerError]] = field(default_factory=list)
    built: list[tuple[str, str]] = field(default_factory=list)
    ignored: dict[str, list[str]] = field(default_factory=dict)
    shapes: dict[str, list[Shape]] = field(default_factory=dict)
    mask_ops: dict[tuple, str] = field(default_factory=dict)
    worn: WornMasks = field(default_factory=WornMasks)
    backend: str = ""
    _ids: dict[str, int] = field(default_factory=dict)
    _calls: int = 0

    # ---- what layers' builders call ---------------------------------------------------------

    def emit(
        self,
        call: LayerCall,
        op: str,
        inputs: Sequence[Value],
        attrs: dict[str, Any],
        weights: dict[str, str],
        mask: str | None,
        initial_state: Sequence[Value],
    ) -> list[Value]:
        """Add a node; its outputs are named after the layer."""
        for v in (*inputs, *initial_state):
            if v.tensor is None:
                raise UnknownInput
        if op == "activation" and attrs["activation"].name == "softmax":
            shape = self.tensors[inputs[0].tensor or ""].shape
            if isinstance(shape[-1], Dim):  # rows of free length: an op of its own
                op, attrs = "softmax", {"axes": (len(shape) - 1,)}
        node = Node(
            id=self._unique(f"{call.path}/mask" if op in MASK_OPS else call.path),
            op=op,
            name=call.path,
            inputs=tuple(v.tensor or "" for v in inputs),
            outputs=(),
            attrs={k: a.default for k, a in OPS[op].attrs.items()} | attrs,
            weights=weights,
            mask=mask,
            initial_state=tuple(v.tensor or "" for v in initial_state),
            layer_class=call.spec.class_name,
        )
        if op not in DOUBLE_OPS and any(self.tensors[t].dtype == "float64" for t in Graph.reads(node)):
            raise call.refuse("its arithmetic is not done in float64", "save the model with the float32 policy")
        try:
            made = infer_node(node, self.tensors)
        except ShapeMismatch as e:
            raise ConversionError(str(e)) from None
        names = [node.id if k == 0 else f"{node.id}:{k}" for k in range(len(made))]
        for name, (shape, dtype) in zip(names, made):
            self.tensors[name] = TensorSpec(name, shape, dtype)
        object.__setattr__(node, "outputs", tuple(names))
        self.nodes.append(node)
        if behind := self.worn.behind_of(Graph.reads(node)):
            self.worn.behind.update(dict.fromkeys(names, behind))
        if attrs.get("stateful"):
            self.stateful.append(call.path)
        return [Value(n) for n in names]

    def declare(
        self, path: str, spec: LayerSpec, parts: list[Part], layouts: list[Layout], vars_at: tuple[str, ...]
    ) -> dict[str, str]:
        """Record a layer's arrays; a shared layer's second call must want the same ones."""
        have = self.leaves.get(path)
        if have is None:
            self.leaves[path] = Leaf(path, spec, parts, layouts, vars_at)
        elif have.parts != parts:
            raise ConversionError(f"{path}: called again with an input of another size")
        return {p.role: f"{path}.{p.role}" for p in parts}

    def _unique(self, path: str) -> str:
        name, k = path, self._ids.get(path, 1)
        while name in self._ids or name in self.tensors:
            k += 1
            name = f"{path}#{k}"
        self._ids[path] = k  # a shared layer's next call goes on from here
        self._ids.setdefault(name, 1)
        return name

    # ---- inputs -----------------------------------------------------------------------------

    def add_input(self, spec: LayerSpec) -> Value:
        """The graph input of a top-level InputLayer; free axes become symbols ``<input>:<axis>``."""
        where = f"{spec.name} (InputLayer)"
        shape = spec.config.get("batch_shape")
        if not isinstance(shape, (list, tuple)) or not shape:
            raise ConversionError(f"{where}: the file does not say the input's shape; save the model after building it")
        dims: list[DimLike] = [BATCH]
        for axis, d in enumerate(shape[1:], 1):
            if d is not None and (isinstance(d, bool) or not isinstance(d, int) or not 0 < d < 2**48):
                raise ConversionError(f"{where}: axis {axis} of its shape is {str(d)[:40]}")
            dims.append(symbol(f"{spec.name}:{axis}") if d is None else d)
        for key in ("sparse", "ragged"):
            if spec.config.get(key):
                raise UnsupportedLayerError(f"{where}: a {key} input; give dense arrays instead", spec.name)
        dtype = dtype_name(spec.config.get("dtype") or "float32").removeprefix("mixed_")
        dtype = _DTYPE_ALIASES.get(dtype, dtype)
        if dtype not in _INPUT_DTYPES:
            raise UnsupportedLayerError(f"{where}: an input of dtype {dtype[:60]}", spec.name)
        if dtype not in ("float16", "bfloat16"):
            return self.new_input(spec.name, TensorSpec(spec.name, tuple(dims), dtype))
        # taken as float32 and rounded: no op but cast works on 16 bits
        call = LayerCall(self, spec, spec.name, [])
        value = self.new_input(spec.name, TensorSpec(spec.name, tuple(dims), "float32"))
        for step in (dtype, "float32"):
            value = self.emit(call, "cast", [value], {"dtype": step}, {}, None, ())[0]
        return Value(value.tensor, None, dtype)

    def new_input(self, name: str, like: TensorSpec) -> Value:
        """A graph input of that shape and dtype."""
        tensor = self._unique(name)
        self.tensors[tensor] = TensorSpec(tensor, like.shape, like.dtype)
        self.inputs.append(InputTensor(name, tensor))
        return Value(tensor)

    # ---- models -----------------------------------------------------------------------------

    def model(self, model: ModelSpec, path: str, given: Any, outputs: Any, cut: frozenset[str] = frozenset()) -> Any:
        """The Values of ``outputs`` (a structure of TensorRefs) of a model.

        given: a structure of Values like model.inputs, or None at the top, where InputLayers become graph
        inputs. cut: layers whose outputs become graph inputs.
        """
        layers = {layer.name: layer for layer in model.layers}
        values: dict[tuple[str, int], list[Value]] = {}
        if given is not None:
            self._bind(model, path, given, values)
        for layer, call in self._order(model, layers, path, outputs, values):
            spec = layers[layer]
            here = f"{path}/{layer}" if path else layer
            if spec.class_name == "InputLayer":
                if given is not None:
                    raise ConversionError(f"{here}: an InputLayer that is none of the model's inputs")
                values[layer, call] = [self.add_input(spec)]
                continue
            out = self._call(
                spec,
                here,
                self._resolve(spec.calls[call].args, values, here),
                self._resolve(spec.calls[call].kwargs, values, here),
                model,
            )
            values[layer, call] = self._cut(here, out) if layer in cut else out
        return self._resolve(outputs, values, path or "model")

    def _bind(self, model: ModelSpec, path: str, given: Any, values: dict) -> None:
        wanted = flatten(_sorted(model.inputs))
        if isinstance(given, dict) and not isinstance(model.inputs, dict):  # Keras finds them by name
            given = [given.get(ref.layer) for ref in wanted]
        elif isinstance(given, dict):
            given = {k: given.get(k) for k in model.inputs}
        flat = flatten(_sorted(given))
        if len(flat) != len(wanted):
            raise ConversionError(f"{path}: the model takes {len(wanted)} tensors, got {len(flat)}")
        layers = {layer.name: layer for layer in model.layers}
        for ref, value in zip(wanted, flat):
            ids = all(  # an Embedding casts them itself
                x.class_name == "Embedding"
                for x in model.layers
                if any(r.layer == ref.layer for c in x.calls for r in refs([c.args, c.kwargs]))
            )
            values[ref.layer, ref.call] = [self._as_inner(layers[ref.layer], path, value, ids)]

    def _as_inner(self, spec: LayerSpec, path: str, value: Any, ids: bool) -> Any:
        """What a nested model's InputLayer makes of a tensor: Keras 2 loses the mask of one that it has to cast."""
        said = spec.config.get("dtype")
        if said is None or not isinstance(value, Value) or value.tensor is None:
            return value
        given, wanted = self.tensors[value.tensor].dtype, _DTYPE_ALIASES.get(dtype_name(said), dtype_name(said))
        if wanted == (value.dtype or given):
            return value
        mask = value.mask if spec.generation >= 3 else None
        if given.startswith("float") and not wanted.startswith(("float", "bfloat", "mixed")) and not ids:
            call = LayerCall(self, spec, f"{path}/{spec.name}", [])
            if wanted not in _INPUT_DTYPES:
                raise call.refuse(f"an input of dtype {wanted[:60]}")
            return Value(call.emit("cast", [Value(value.tensor)], {"dtype": wanted})[0].tensor, mask)
        return Value(value.tensor, mask, value.dtype)

    def _order(self, model: ModelSpec, layers: dict, path: str, outputs: Any, values: dict) -> list:
        """The calls that the outputs need, each after what it reads; ConversionError for a cycle."""
        order: list[tuple[str, int]] = []
        state: dict[tuple[str, int], bool] = dict.fromkeys(values, True)
        stack = [((r.layer, r.call), False) for r in reversed(list(refs(outputs)))]
        while stack:
            key, done = stack.pop()
            if done:
                state[key] = True
                order.append(key)
                continue
            if key in state:
                if not state[key]:
                    raise ConversionError(f"{path or 'model'}: the layer {key[0]!r} depends on itself")
                continue
            state[key] = False
            stack.append((key, True))
            spec = layers[key[0]]
            if spec.class_name == "InputLayer":
                continue
            if not spec.calls:
                raise ConversionError(f"{path or 'model'}: the layer {key[0]!r} is used but never called")
            call = spec.calls[key[1]]
            for r in reversed([*refs(call.args), *refs(call.kwargs)]):
                if state.get((r.layer, r.call)) is not True:
                    stack.append(((r.layer, r.call), False))
        return order

    def _resolve(self, structure: Any, values: dict, place: str) -> Any:
        def leaf(r: TensorRef) -> Any:
            out = values[r.layer, r.call]
            if r.tensor == ALL:
                return out[0] if len(out) == 1 else list(out)
            if r.tensor >= len(out):
                if out and out[0].tensor is None:
                    return Value(None)
                raise ConversionError(f"{place}: reads output {r.tensor} of {r.layer!r}, which has {len(out)}")
            return out[r.tensor]

        return map_structure(structure, leaf)

    def _cut(self, path: str, made: list[Value]) -> list[Value]:
        """Inputs in the place of a layer's outputs."""
        out = []
        for k, value in enumerate(made):
            if value.tensor is None:
                raise ConversionError(f"{path}: cannot cut behind a layer that is refused: its shape is not known")
            t = self.tensors[value.tensor]
            label = self.labels.get(t.name, "" if k == 0 else str(k))
            name = f"{path}/{label}" if label else path
            dims = tuple(d if isinstance(d, int) else symbol(f"{name}:{a}") for a, d in enumerate(t.shape))
            new = self.new_input(name, TensorSpec(name, (BATCH, *dims[1:]), t.dtype))
            if value.mask is not None:  # what made the mask is cut off: it is given from outside too
                m = self.tensors[value.mask]
                given = TensorSpec(f"{name}/mask", (BATCH, *dims[1 : len(m.shape)]), m.dtype)
                new = Value(new.tensor, self.new_input(given.name, given).tensor)
            out.append(new)
        return out

    # ---- one call ---------------------------------------------------------------------------

    def _call(self, spec: LayerSpec, path: str, args: list, kwargs: dict, model: ModelSpec) -> list[Value]:
        self._calls += 1
        if self._calls > _MAX_CALLS:
            raise ConversionError(f"{path}: more than {_MAX_CALLS} calls of layers")
        try:
            out = self.call_layer(spec, path, args, kwargs)
            self.shapes[path] = [self.tensors[v.tensor].shape for v in out if v.tensor]
            last = spec.generation >= 3 and isinstance(model.outputs, TensorRef) and model.outputs.layer == spec.name
            if not model.functional and not last and len(out) != 1:
                raise ConversionError(f"{path}: a layer of a Sequential must have one output, it has {len(out)}")
            return out
        except UnsupportedLayerError as e:
            if all(p != path for p, _, _ in self.refused):
                self.refused.append((path, spec.class_name, e))
        except UnknownInput:
            pass
        return [Value(None)]

    def call_layer(self, spec: LayerSpec, path: str, args: list, kwargs: dict, rank_shift: int = 0) -> list[Value]:
        """The flat outputs of one call of a layer or nested model.

        Raises UnsupportedLayerError where it does not convert, UnknownInput behind a refused layer.
        """
        note_ignored(spec, path, self.ignored)
        if isinstance(spec, ModelSpec):
            return self._nested(spec, path, args, kwargs)
        if path in self.shapes and any(name == path or name.startswith(f"{path}/") for name in self.stateful):
            raise LayerCall(self, spec, path, []).refuse(
                "a layer saved stateful is called more than once, each call going on from the state of the one before",
                "save it with stateful=False and use a session, or call it once",
            )
        entry = REGISTRY.get(spec.class_name)
        call = LayerCall(self, spec, path, [], kwargs=dict(kwargs), rank_shift=rank_shift)
        if is_operation(spec):
            out = run(call, args, kwargs)
            self.built.append((path, spec.class_name))
            return out
        own = custom_call(call, args) if entry is None or spec.class_name == "RNN" else None
        if own is not None:
            self.built.append((path, spec.class_name))
            return own
        if entry is None:
            why, remedy = REFUSED.get(spec.class_name, _unknown(spec))
            raise call.refuse(why, remedy.replace("[...] before it", f"[{self._before(args)}]"))
        check_options(call, entry)
        call.inputs, call.initial_state = self._arguments(call, entry, args)
        out = [self._in_keras(call, v) for v in entry.build(call)]
        self.built.append((path, spec.class_name))
        passes = entry.mask == "pass" or (entry.mask == "pass_keras3" and spec.generation >= 3)
        if passes and call.inputs and call.inputs[0].mask is not None:
            out = [Value(v.tensor, call.inputs[0].mask, v.dtype) for v in out]
        if spec.generation >= 3:
            self.worn.made(call, out, passes)
        return out

    def _in_keras(self, call: LayerCall, value: Value) -> Value:
        """An output with the dtype that Keras gives it."""
        if value.tensor is None:
            return value
        given = [v.dtype or self.tensors[v.tensor].dtype for v in call.inputs if v.tensor is not None]
        return Value(value.tensor, value.mask, keras_dtype(call.spec, self.tensors[value.tensor].dtype, given))

    def _before(self, args: list) -> str:
        """The layers that give the arguments, as they stand in outputs=[...]."""
        given = {i.tensor for i in self.inputs}
        made = {t: n.name for n in self.nodes for t in n.outputs}
        names = dict.fromkeys(
            made[v.tensor].split("/")[0]
            for v in flatten(args)
            if isinstance(v, Value) and v.tensor in made and v.tensor not in given
        )
        return ", ".join(repr(n) for n in names) or "..."

    def _arguments(self, call: LayerCall, entry: Entry, args: list) -> tuple[list[Value], list[Value]]:
        """(inputs, initial states): Keras 2 lists states after the input, Keras 3 names them."""
        args = self._name_arguments(call, entry, args)
        first = flatten(args[0]) if args else []
        rest = [a for a in args[1:] if a is not None]
        states = call.kwargs.pop("initial_state", None)
        if entry.takes_states:
            if rest and states is None:
                states, rest = rest[0], rest[1:]
            if len(first) > 1 and states is None:
                first, states = first[:1], first[1:]
        elif states is not None:
            raise call.refuse("it is called with initial_state")
        if any(not isinstance(a, bool) for a in rest):
            raise call.refuse("it is called with more positional arguments than rnnrt knows")
        mask = call.kwargs.pop("mask", None)
        for key, value in call.kwargs.items():
            if value is None or key in ("training", "name") or key in entry.arguments or key in entry.calls:
                continue
            raise call.refuse(f"it is called with {key}=, which is not supported")
        flat = flatten(states)
        if not all(isinstance(v, Value) for v in (*first, *flat)):
            raise call.refuse("it is called with a constant in the place of a tensor")
        first = with_masks(call, first, mask)
        # Keras 3 hands a layer that is called with several tensors no mask, though its output keeps it
        if first and (mask is not None or not flat or call.spec.generation <= 2):
            call.mask = first[0].mask
        return first, flat

    def _name_arguments(self, call: LayerCall, entry: Entry, args: list) -> list:
        """The tensors of a layer with several arguments, as a list in the first; by name they go into kwargs."""
        if not entry.arguments:
            return args
        if len(args) > len(entry.arguments):
            raise call.refuse("it is called with more positional arguments than rnnrt knows")
        for name, value in zip(entry.arguments, args):
            flat = flatten(value)
            if len(flat) > 1 or name in call.kwargs:
                raise call.refuse(f"it is called with several tensors as {name}")
            call.kwargs[name] = flat[0] if flat else None
        return [[call.kwargs[name] for name in entry.arguments if call.kwargs.get(name) is not None]]

    def _nested(self, spec: ModelSpec, path: str, args: list, kwargs: dict) -> list[Value]:
        call = LayerCall(self, spec, path, [])
        if kwargs.get("training"):
            raise call.refuse("it is called with training=True", "call it without, and save again")
        if any(a is not None for a in args[1:]):
            raise call.refuse("it is called with more positional arguments than rnnrt knows")
        given = args[0] if args else None
        if kwargs.get("mask") is not None:
            masked = iter(with_masks(call, flatten(given), kwargs["mask"]))
            given = _refill(given, masked)
        out = self.model(spec, path, given, spec.outputs)
        return flatten(_sorted(out))


def _sorted(structure: Any) -> Any:
    """The structure with its dicts by key: so Keras numbers the tensors of a nested model."""
    if isinstance(structure, dict):
        return {k: _sorted(structure[k]) for k in sorted(structure)}
    if isinstance(structure, (list, tuple)):
        return [_sorted(v) for v in structure]
    return structure


def _refill(structure: Any, values: Iterator[Value]) -> Any:
    """The structure with its leaves, in order, replaced."""
    if isinstance(structure, dict):
        return {k: _refill(v, values) for k, v in structure.items()}
    if isinstance(structure, (list, tuple)):
        return [_refill(v, values) for v in structure]
    return None if structure is None else next(values)


def _unknown(spec: LayerSpec) -> tuple[str, str]:
    return (
        "a class that rnnrt does not know, and whose code is not in the file",
        f"write it in NumPy and register it with rnnrt.register_layer({spec.class_name!r}, cls), or, if it is a "
        "training-only head, cut it off with outputs=[...] before it",
    )
