"""Models inside models, layers called again, TimeDistributed."""

from __future__ import annotations

from typing import Any

from ..case import Case, Layer
from .sketch import PIECES, Sketch, Tensor, piece

_SIMPLE = ("rowwise", "loops", "convolutions", "pools", "norms", "wrappers", "places")


def _pieces(*families: str) -> list:
    return [p for p in PIECES.values() if p.family in families]


def _chain(sub: Sketch, most: int) -> bool:
    """Grow the sketch as a chain of layers that each read the one before; False where it has none."""
    x = sub.tensors[0]
    for _ in range(sub.pick(*range(1, most + 1))):
        before = len(sub.layers)
        made = sub.grow(_pieces(*_SIMPLE), x)
        straight = len(sub.layers) == before + 1 and sub.layers[-1].inputs == (x.name,) and made and len(made) == 1
        if not straight or len(sub.inputs) > 1:
            del sub.layers[before:]
            break
        x = made[0]
    sub.tensors = [sub.tensors[0], x]
    return bool(sub.layers)


@piece("models", 2, 3, weight=2)
def sequential_inside(s: Sketch, x: Tensor) -> list[Tensor]:
    """A Sequential as a layer."""
    if None in x.shape[1:]:
        return []
    sub = s.inner(x)
    if not _chain(sub, 3):
        return []
    layers = [Layer(v.class_name, v.config) for v in sub.layers]
    y = sub.tensors[1]
    return s.add("Sequential", {"layers": layers}, [x], (y.shape, y.real))


@piece("models", 1, 2, 3, weight=3)
def model_inside(s: Sketch, x: Tensor) -> list[Tensor]:
    """A functional model as a layer, with several inputs and outputs now and then."""
    likes = [x, *(s.pick(*s.tensors) for _ in range(s.pick(0, 0, 1)))]
    if any(None in t.shape[1:] for t in likes):
        return []
    sub = s.inner(*likes)
    families = _SIMPLE + ("merges", "masks", "models", "states", "shared") * (s.outer is None)
    for _ in range(s.pick(1, 2, 3, 4)):
        sub.grow(_pieces(*families))
    if len(sub.inputs) > len(likes):
        return []
    case = assemble(sub, s.pick(1, 1, 2), {})
    if case is None or len(case.inputs) < len(likes):
        return []
    outputs = [next(t for t in sub.tensors if t.name == o) for o in case.outputs]
    if len({t.name for t in outputs}) < len(outputs):
        return []
    single = Case(**{**vars(case), "outputs": case.outputs[0]}) if len(case.outputs) == 1 else case
    return s.add("Model", {"case": single}, likes, *((t.shape, t.real) for t in outputs))


@piece("shared", 1, 2, 3, weight=5)
def again(s: Sketch, x: Tensor) -> list[Tensor]:
    """A layer of this model, or of the one around it, on another tensor."""
    known: dict[str, tuple[tuple[Tensor, ...], list[Tensor]]] = dict(s.made)
    if s.outer is not None and s.maybe(0.7):
        known = dict(s.outer.made)
    fits = [
        (name, made)
        for name, (inputs, made) in known.items()
        if len(inputs) == 1
        and inputs[0].shape == x.shape
        and inputs[0].real == x.real
        and (inputs[0].name != x.name or s.maybe(0.3))
        and not _operation(s, name)
    ]
    if not fits:
        return []
    name, made = s.pick(*fits)
    return s.add("Again", {"of": name}, [x], *((t.shape, t.real) for t in made))


def _operation(s: Sketch | None, name: str) -> bool:
    while s is not None:
        for v in s.layers:
            if v.name == name:
                return v.class_name in ("Expression", "Again")
        s = s.outer
    return True


@piece("wrappers", 2, 3, 4, weight=2)
def time_distributed(s: Sketch, x: Tensor) -> list[Tensor]:
    """A layer, or a model, at every step."""
    if None in x.shape[1:] or s.policy:
        return []
    sub = s.inner(Tensor("x", x.shape[1:], x.real[1:]))
    if not _chain(sub, s.pick(1, 1, 3)):
        return []
    y = sub.tensors[1]
    if len(sub.layers) > 1 or s.maybe(0.15):
        inner: Any = Layer("Sequential", {"layers": [Layer(v.class_name, v.config) for v in sub.layers]})
        if s.maybe(0.4):
            case = assemble(sub, 1, {}, [y])
            if case is None:
                return []
            inner = Layer("Model", {"case": Case(**{**vars(case), "outputs": case.outputs[0]})})
    else:
        inner = Layer(sub.layers[0].class_name, sub.layers[0].config)
    out = ((x.shape[0], *y.shape), (x.real[0], *y.real))
    return s.add("TimeDistributed", {"layer": inner}, [x], out)


def assemble(s: Sketch, wanted: int, options: dict[str, Any], outputs: list[Tensor] | None = None) -> Case | None:
    """The functional case of a sketch: some of its last tensors as outputs, and what they need; None where nothing."""
    own = {i.name for i in s.inputs}
    recent = [t for t in s.tensors[::-1] if t.name not in own and len(t.shape) >= 1]
    if outputs is None:
        if not recent:
            return None
        outputs = [recent[0]]
        for _ in range(wanted - 1):
            more = s.pick(*recent[:5])
            if more not in outputs:
                outputs.append(more)
    needed = {t.name.split(":")[0] for t in outputs}
    layers: list[Layer] = []
    for v in s.layers[::-1]:
        if v.name in needed:
            layers.insert(0, v)
            needed |= {t.split(":")[0] for t in v.inputs}
            for names in v.given.values():
                needed |= {t.split(":")[0] for t in ([names] if isinstance(names, str) else names)}
            needed |= _borrowed(v)
    if not layers:
        return None
    inputs = tuple(i for i in s.inputs if i.name in needed)
    names = tuple(t.name for t in outputs)
    return Case(s.label or "chance", tuple(layers), inputs, names, versions=(s.version,), **options)


def _borrowed(layer: Layer) -> set[str]:
    """The layers that it, or a model in it, calls again."""
    if layer.class_name == "Again":
        return {layer.config["of"]}
    inner = layer.config.get("layer") if layer.class_name == "TimeDistributed" else layer
    if isinstance(inner, Layer) and inner.class_name == "Model":
        return {name for v in inner.config["case"].layers for name in _borrowed(v)}
    return set()
