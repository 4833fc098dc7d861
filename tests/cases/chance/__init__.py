"""Cases by chance: seeded random models over everything that converts, for either Keras.

:func:`draw` gives the case of a family, a version and a seed. A family is what most of the model's pieces come
from; ``all`` takes any. A new layer is a new piece in the file of its kind.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from ..case import H5, KERAS2, KERAS3, WEIGHTS, WEIGHTS_H5, ZIP, Case, Tolerance
from . import joining, local, loops, models, operations, rowwise, sources
from .sketch import PIECES, Piece, Sketch

__all__ = ["FAMILIES", "draw", "under"]

_FILES = (joining, local, loops, models, operations, rowwise, sources)  # importing them fills PIECES

#: family -> families of pieces that its models are mostly made of
FAMILIES: dict[str, tuple[str, ...]] = {
    "all": (),
    "recurrent": ("loops", "stacks"),
    "masks": ("masks", "loops", "wrappers", "merges"),
    "wrappers": ("wrappers", "states"),
    "merges": ("merges", "loops"),
    "local": ("convolutions", "pools", "places", "conv_lstm"),
    "norms": ("norms", "rowwise"),
    "attention": ("attention", "masks"),
    "operations": ("operations",),
    "models": ("models", "shared"),
    "stateful": ("loops", "masks", "wrappers", "states"),
    "policies": (),
}

_POLICIES = ("float64", "float64", "mixed_float16", "mixed_bfloat16", "float16", "bfloat16")
#: what the last digit of an output and of Keras's arithmetic is worth, by the dtype that Keras gives
_DIGIT = {"float64": 1e-12, "float16": 2.0**-10, "bfloat16": 2.0**-7}


def under(case: Case, policy: str) -> Case:
    """The case with every layer under a dtype policy; in float64 its inputs too."""
    if not policy:
        return case
    gives = policy.removeprefix("mixed_")
    # no word for a case at which Keras's own 16 bits lose their way; and a few constants of Keras are float32
    tolerance = Tolerance(max(_DIGIT[gives], 1e-7), 2.0, "a policy")
    inputs = case.inputs
    if policy == "float64":
        inputs = tuple(replace(i, dtype="float64") if i.dtype == "float32" and not i.ids else i for i in inputs)
    return replace(case, policy=policy, gives=gives, tolerance=tolerance, double=_DIGIT[gives], inputs=inputs)


def _pieces(s: Sketch, family: str) -> list[Piece]:
    """What the next piece may be."""
    mine = FAMILIES[family]
    return [p for p in PIECES.values() if not mine or p.family in mine or s.maybe(0.25)]


def draw(seed: int, family: str = "all", version: str = "") -> Case | None:
    """The case of that seed; None where the dice gave no model."""
    r = random.Random(f"{family}|{version}|{seed}")
    version = version or r.choice((KERAS3, KERAS2))
    stateful = family == "stateful"
    chunks = tuple(r.choice((1, 2, 3, 4)) for _ in range(r.choice((2, 3, 4)))) if stateful else ()
    policy = r.choice(_POLICIES) if family == "policies" else ""
    s = Sketch(
        r,
        version,
        min(chunks) if stateful else r.choice((1, 2, 3, 4, 5, 8)),
        stateful or r.random() < 0.45,
        r.choice((1, 2, 3, 6)),
        stateful,
        policy,
    )
    for _ in range(r.choice((1, 1, 2))):
        sources.source(s)
    for _ in range(r.choice((1, 2, 3, 4, 5, 7))):
        s.grow(_pieces(s, family))
    layouts = (H5, ZIP, WEIGHTS_H5) if version == KERAS3 else (H5, ZIP, WEIGHTS_H5, WEIGHTS)
    options: dict[str, Any] = {
        "batch": s.batch,
        "steps": s.steps,
        "chunks": chunks,
        "layout": r.choice(layouts),
        "rounded": False,
        "scale": r.choice((0.3, 1.0, 1.0)),
        "double": 1e-7,  # some constants of Keras are float32 in float64 too
    }
    case = models.assemble(s, r.choice((1, 1, 2, 3)), options)
    if case is None:
        return None
    case = replace(case, name=f"chance/{family}_{version}_{seed}", **_forms(s, case))
    case = _straight(s, case)
    return under(case, policy)


def _forms(s: Sketch, case: Case) -> dict[str, Any]:
    """How inputs and outputs are handed over."""
    forms: dict[str, Any] = {}
    if s.maybe(0.15):
        forms["input_form"] = s.pick("dict", "list", "nested") if len(case.inputs) > 1 else s.pick("dict", "list")
    if len(case.outputs) == 1 and s.maybe(0.8):
        forms["outputs"] = case.outputs[0]
    elif s.maybe(0.25):
        forms["output_form"] = s.pick("dict", "nested") if len(case.outputs) > 1 else "dict"
    return forms


def _straight(s: Sketch, case: Case) -> Case:
    """The same layers as a Sequential model, where they are a chain and the dice say so."""
    at = case.inputs[0].name if len(case.inputs) == 1 else ""
    for v in case.layers:
        if v.inputs != (at,) or v.given or v.call or v.class_name in ("Expression", "Again") or _states(v.config):
            return case
        at = v.name
    if not isinstance(case.outputs, str) or case.outputs != at or not s.maybe(0.5):
        return case
    layers = tuple(replace(v, inputs=()) for v in case.layers)
    start = "deferred" if s.maybe(0.2) and not case.chunks and case.inputs[0].dtype == "float32" else "input"
    return replace(case, layers=layers, outputs=(), input_form="", output_form="", start=start)


def _states(config: Any) -> bool:
    """Whether a layer has several outputs."""
    inner = config.get("layer")
    if inner is not None and (config.get("merge_mode", "concat") is None or _states(inner.config)):
        return True
    return bool(config.get("return_state"))
