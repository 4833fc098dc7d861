"""Attention layers, and dense layers over several axes."""

from __future__ import annotations

import math
from typing import Any

from ....errors import ConversionError
from ..activations import rounded
from ..call import LayerCall, Value
from ..masks import join_masks
from ..weights import Part, attention_parts
from ..worn import worn
from .registry import layer


def _three(c: LayerCall) -> tuple[Value, Value, Value]:
    """query, value, key of a layer that is called with a list; the key is the value where it is not given."""
    if len(c.inputs) not in (2, 3):
        raise ConversionError(f"{c.path}: takes [query, value] or [query, value, key], got {len(c.inputs)} tensors")
    q, v, k = (c.floats(x) for x in (*c.inputs, c.inputs[1])[:3])
    for x in (q, v, k):
        if len(c.tensor(x).shape) != 3:
            raise c.refuse(f"its inputs must be (batch, steps, features), got rank {len(c.tensor(x).shape)}")
        c.features(x)
    return q, v, k


def _call_flag(c: LayerCall, name: str) -> bool:
    value = c.kwargs.get(name)
    if value is not None and not isinstance(value, bool):
        raise c.refuse(f"it is called with {name}={str(value)[:40]}")
    return bool(value)


def _attend(c: LayerCall, score: str, weights: dict[str, str]) -> list[Value]:
    q, v, k = _three(c)
    of_query, of_value = (x.mask for x in worn(c, c.inputs[:2]))
    masks = [Value(m) for m in (of_value, of_query) if m is not None]
    attrs = {
        "score": score,
        "use_scale": "scale" in weights,
        "causal": _call_flag(c, "use_causal_mask") or c.flag("causal"),
        "value_mask": of_value is not None,
        "query_mask": of_query is not None,
        "query_mask_zeroes": of_query is not None,
        "return_scores": _call_flag(c, "return_attention_scores"),
    }
    out = c.emit("attention", [q, v, k, *masks], attrs, weights)
    return [Value(out[0].tensor, c.inputs[0].mask), *out[1:]]


_CALLS = ("use_causal_mask", "return_attention_scores")


@layer("Attention", options=("use_scale", "score_mode", "causal"), calls=_CALLS, weighted=True, mask="own", random=True)
def attention(c: LayerCall) -> list[Value]:
    """Luong's attention: softmax(q.k) v; score_mode concat: of tanh(q + k). Masked scores are 1e9 smaller."""
    mode = c.get("score_mode", "dot")
    if mode not in ("dot", "concat"):
        raise c.refuse(f"score_mode={str(mode)[:40]!r}")
    parts = [Part("scale", ())] if c.flag("use_scale") else []
    parts += [Part("concat_score_weight", ())] if mode == "concat" else []
    return _attend(c, mode, c.weights(parts) if parts else {})


@layer("AdditiveAttention", options=("use_scale", "causal"), calls=_CALLS, weighted=True, mask="own", random=True)
def additive_attention(c: LayerCall) -> list[Value]:
    """Bahdanau's attention: scores sum(scale * tanh(q + k))."""
    q, v, _ = _three(c)
    if not c.flag("use_scale", True):
        return _attend(c, "additive", {})
    n = c.features(v if c.spec.generation <= 2 else q)
    if n != c.features(q):
        raise c.refuse(f"Keras 2 gives its scale the {n} features of the value, and the query has {c.features(q)}")
    return _attend(c, "additive", c.weights([Part("scale", (n,))]))


def _project(c: LayerCall, name: str, x: Value, contracted: int, new: tuple[int, ...], use_bias: bool) -> Value:
    """One of the four dense layers inside a MultiHeadAttention."""
    shape = c.tensor(x).shape
    parts = [Part("kernel", (*(d for d in shape[len(shape) - contracted :] if isinstance(d, int)), *new))]
    parts += [Part("bias", new)] if use_bias else []
    spec = attention_parts(c.spec)[name]
    weights = c.builder.declare(f"{c.path}/{name}", spec, parts, [], ())
    attrs = {"contracted": contracted, "new_axes": new, "bias_axes": len(new) if use_bias else 0}
    return c.emit("einsum_dense", [x], attrs, weights)[0]


@layer(
    "MultiHeadAttention",
    options=(
        *("num_heads", "key_dim", "value_dim", "use_bias", "output_shape", "attention_axes", "softmax_robust_masking"),
        *("query_shape", "key_shape", "value_shape", "dropout", "flash_attention"),
    ),
    arguments=("query", "value", "key"),
    calls=(*_CALLS, "attention_mask", "query_mask", "value_mask", "key_mask"),
    weighted=True,
    mask="own",
    random=True,
)
def multi_head_attention(c: LayerCall) -> list[Value]:
    """Scaled dot attention of several heads between dense layers, over the time axis."""
    query, value = c.kwargs.get("query"), c.kwargs.get("value")
    key = c.kwargs.get("key")
    if not isinstance(query, Value) or not isinstance(value, Value):
        raise ConversionError(f"{c.path}: takes query and value")
    given = {"query": query, "value": value, "key": key if isinstance(key, Value) else value}
    values = {name: c.floats(x) for name, x in given.items()}
    for name, x in values.items():
        if len(c.tensor(x).shape) != 3:
            raise c.refuse(f"its {name} must be (batch, steps, features), got rank {len(c.tensor(x).shape)}")
        c.features(x)
    axes = c.get("attention_axes")
    if axes not in (None, 1, [1], (1,)):
        raise c.refuse(f"attention_axes={str(axes)[:40]} is not supported")
    heads, width = c.integer("num_heads"), c.integer("key_dim")
    wide = c.integer("value_dim") if c.get("value_dim") is not None else width
    out_width = c.get("output_shape")
    if isinstance(out_width, (list, tuple)):
        if len(out_width) != 1:
            raise c.refuse(f"output_shape={str(out_width)[:40]} is not supported")
        out_width = out_width[0]
    if out_width is None:
        out_width = c.features(values["query"])
    if isinstance(out_width, bool) or not isinstance(out_width, int) or out_width < 1:
        raise ConversionError(f"{c.path}: output_shape={str(out_width)[:40]}")
    bias = c.flag("use_bias", True)
    inner = []
    for name, n in (("query", width), ("value", wide), ("key", width)):
        x = _project(c, name, values[name], 1, (heads, n), bias)
        inner.append(c.emit("reshape", [x], {"target_shape": (-1, heads * n)})[0])
    scores = _call_flag(c, "return_attention_scores")
    masks, attrs = _masks(c, given, isinstance(key, Value))
    attrs |= {
        "heads": heads,
        "factor": rounded(1.0 / math.sqrt(width)) if c.spec.generation >= 3 else 1.0 / math.sqrt(width),
        "causal": _call_flag(c, "use_causal_mask"),
        "masked": _masked(c, scores),
        "return_scores": scores,
    }
    out = c.emit("attention", [*inner, *masks], attrs)
    y = c.emit("reshape", [out[0]], {"target_shape": (-1, heads, wide)})[0]
    y = _project(c, "attention_output", y, 2, (out_width,), bias)
    return [Value(y.tensor, query.mask), *out[1:]]


def _masked(c: LayerCall, scores: bool) -> str:
    """What becomes of masked scores: Keras 3 takes another way with dropout or where the scores are asked for."""
    if c.spec.generation <= 2:
        return "select" if c.flag("softmax_robust_masking") else "subtract"
    return "zero" if scores or c.number("dropout", 0.0) > 0 else "select"


def _masks(c: LayerCall, given: dict[str, Value], has_key: bool) -> tuple[list[Value], dict[str, Any]]:
    """The mask inputs of the op and their flags: those of the tensors, or those that the call names. Keras 3 takes
    that of the query from the tensor all the same."""
    own = {}
    for name, found in zip(given, worn(c, list(given.values()), takes=True)):
        named = c.kwargs.get(f"{name}_mask")
        own[name] = found.mask
        if isinstance(named, Value) and not (c.spec.generation >= 3 and name == "query"):
            own[name] = named.tensor
            if c.tensor(named).dtype != "bool":
                own[name] = c.emit("cast", [named], {"dtype": "bool"})[0].tensor
    of_values = [m for m in (own["value"], own["key"] if has_key else None) if m is not None]
    masks = [Value(join_masks(c, "logical_and", of_values))] if of_values else []
    masks += [Value(own["query"])] if own["query"] is not None else []
    pairs = c.kwargs.get("attention_mask")
    if pairs is not None:
        if not isinstance(pairs, Value) or len(c.tensor(pairs).shape) != 3:
            raise c.refuse("its attention_mask must be a tensor (batch, queries, values)")
        masks.append(pairs if c.tensor(pairs).dtype == "bool" else c.emit("cast", [pairs], {"dtype": "bool"})[0])
    flags = {"value_mask": bool(of_values), "query_mask": own["query"] is not None}
    return masks, {**flags, "attention_mask": pairs is not None}


@layer("EinsumDense", options=("equation", "output_shape", "bias_axes", "activation"), weighted=True, mask="stop")
def einsum_dense(c: LayerCall) -> list[Value]:
    """Equations that contract the last axes of the input and put new axes in their place."""
    equation = c.get("equation")
    x = c.floats(c.input())
    rank = len(c.tensor(x).shape)
    contracted, new = _einsum(c, str(equation).replace(" ", ""), rank)
    shape = c.get("output_shape")
    shape = list(shape) if isinstance(shape, (list, tuple)) else [shape]
    lengths = tuple(
        d for d in shape[len(shape) - len(new) :] if isinstance(d, int) and not isinstance(d, bool) and d > 0
    )
    if len(lengths) != len(new):
        raise c.refuse(f"output_shape={str(shape)[:60]} does not tell the lengths of {new!r}")
    axes = c.get("bias_axes") or ""
    if not isinstance(axes, str) or not set(axes) <= set(new) or set(new[len(new) - len(axes) :]) != set(axes):
        raise c.refuse(f"bias_axes={str(axes)[:40]!r}: only the last of the new axes are supported")
    known = [d for d in c.tensor(x).shape[rank - contracted :] if isinstance(d, int)]
    if len(known) != contracted:
        raise c.refuse("an axis that it contracts has no known length")
    parts = [Part("kernel", (*known, *lengths))]
    parts += [Part("bias", lengths[len(lengths) - len(axes) :])] if axes else []
    activation = c.activation("activation")
    attrs = {"contracted": contracted, "new_axes": lengths, "bias_axes": len(axes)}
    if not activation.rowwise:
        return c.emit("einsum_dense", [x], {**attrs, "activation": activation}, c.weights(parts))
    y = c.emit("einsum_dense", [x], attrs, c.weights(parts))
    return c.emit("activation", y, {"activation": activation})


def _einsum(c: LayerCall, equation: str, rank: int) -> tuple[int, str]:
    """(number of contracted axes, letters of the new ones) of an equation; refused where it is another kind."""
    error = c.refuse(f"the equation {equation[:60]!r} is not supported", "use Dense, Permute and Reshape for it")
    left, arrow, out = equation.partition("->")
    given, comma, kernel = left.partition(",")
    if not arrow or not comma:
        raise error
    if given.startswith("...") and out.startswith("..."):
        given, out = given[3:], out[3:]
        if len(given) > rank - 1:
            raise error
    elif len(given) != rank:
        raise error
    letters = given + kernel + out
    if not letters.isalpha() or any(len(set(part)) != len(part) for part in (given, kernel, out)):
        raise error
    contracted = "".join(x for x in given if x in kernel)
    new = "".join(x for x in out if x not in given)
    kept = given[: len(given) - len(contracted)]
    if not contracted or not new or given != kept + contracted or kernel != contracted + new or out != kept + new:
        raise error
    return len(contracted), new
