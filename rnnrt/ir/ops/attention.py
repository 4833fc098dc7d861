"""Attention and dense layers over several axes.

Source: keras/src/layers/attention, keras/src/layers/core/einsum_dense.py.
"""

from __future__ import annotations

from ..activations import Activation
from ..dims import format_shape
from .spec import Attr, OpSpec, ShapeMismatch, register

__all__ = ["MASK_FLAGS"]

#: masks among the inputs, in their order
MASK_FLAGS = ("value_mask", "query_mask", "attention_mask")


def _shapes(attrs, inputs):
    """(query, value, key) after checking them and the masks."""
    count = 3 + sum(attrs[f] for f in MASK_FLAGS)
    if len(inputs) != count:
        raise ShapeMismatch(f"attention with these masks takes {count} tensors, got {len(inputs)}")
    q, v, k = inputs[:3]
    heads = attrs["heads"] or 1
    for x in (q, v, k):
        if len(x.shape) != 3 or not isinstance(x.shape[2], int) or x.shape[2] % heads or x.dtype != q.dtype:
            raise ShapeMismatch(f"attention takes (batch, steps, {heads} * width), got {format_shape(x.shape)}")
    steps = [x.shape[1] for x in (k, v) if isinstance(x.shape[1], int)]
    if q.shape[2] != k.shape[2] or len(set(steps)) > 1:
        raise ShapeMismatch(
            f"query {format_shape(q.shape)}, value {format_shape(v.shape)} and key {format_shape(k.shape)} do not fit"
        )
    masks = iter(inputs[3:])
    for flag in MASK_FLAGS:
        if not attrs[flag]:
            continue
        m = next(masks)
        want = {"value_mask": v.shape[1:2], "query_mask": q.shape[1:2]}.get(flag, (q.shape[1], v.shape[1]))
        if m.dtype != "bool" or len(m.shape) != len(want) + 1:
            raise ShapeMismatch(f"{flag}: expected bool (batch, {', '.join(map(str, want))}), got {m.dtype}")
        if any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in zip(m.shape[1:], want)):
            raise ShapeMismatch(f"{flag}: {format_shape(m.shape)} does not fit")
    if attrs["score"] != "dot" and attrs["heads"]:
        raise ShapeMismatch("only dot scores have heads")
    return q, v, k


def _attention_infer(attrs, inputs):
    q, v, _ = _shapes(attrs, inputs)
    out = [((q.shape[0], q.shape[1], v.shape[2]), q.dtype)]
    if attrs["return_scores"]:
        heads = (attrs["heads"],) if attrs["heads"] else ()
        out.append(((q.shape[0], *heads, q.shape[1], v.shape[1]), q.dtype))
    return out


def _attention_weights(attrs, inputs):
    w: dict[str, tuple] = {}
    if attrs["use_scale"]:
        w["scale"] = (inputs[0].shape[2],) if attrs["score"] == "additive" else ()
    if attrs["score"] == "concat":
        w["concat_score_weight"] = ()
    return w


register(
    OpSpec(
        "attention",
        _attention_infer,
        {
            # 0: one head, scores (batch, T, S); else the last axes are heads side by side
            "heads": Attr("int", 0, minimum=0),
            # dot: q.k * factor * scale; concat: weight * sum(tanh(scale * (q + k))); additive: sum(scale * tanh(q + k))
            "score": Attr("str", "dot", choices=("dot", "concat", "additive")),
            "factor": Attr("float", 1.0),
            "use_scale": Attr("bool", False),
            "causal": Attr("bool", False),
            # what becomes of a masked score: less 1e9; -1e9 in its place; that, and a weight of zero
            "masked": Attr("str", "subtract", choices=("subtract", "select", "zero")),
            **{flag: Attr("bool", False) for flag in MASK_FLAGS},
            # the query's mask zeroes outputs instead of masking scores
            "query_mask_zeroes": Attr("bool", False),
            "return_scores": Attr("bool", False),
        },
        _attention_weights,
        n_inputs=(3, 6),
        time=lambda a, i: ("mix", "attention looks at all steps"),
    )
)


def _einsum_infer(attrs, inputs):
    x, n = inputs[0], attrs["contracted"]
    if not n < len(x.shape) or not all(isinstance(d, int) for d in x.shape[len(x.shape) - n :]):
        raise ShapeMismatch(f"it takes a tensor whose last {n} axes have known lengths, got {format_shape(x.shape)}")
    if not attrs["new_axes"] or min(attrs["new_axes"]) < 1:
        raise ShapeMismatch(f"new axes {attrs['new_axes']}")
    if attrs["activation"].rowwise or not 0 <= attrs["bias_axes"] <= len(attrs["new_axes"]):
        raise ShapeMismatch("its activation must be elementwise, its bias of the last new axes")
    return [((*x.shape[: len(x.shape) - n], *attrs["new_axes"]), x.dtype)]


def _einsum_weights(attrs, inputs):
    x, n, new = inputs[0], attrs["contracted"], attrs["new_axes"]
    w = {"kernel": (*x.shape[len(x.shape) - n :], *new)}
    if attrs["bias_axes"]:
        w["bias"] = tuple(new[len(new) - attrs["bias_axes"] :])
    return w


def _einsum_time(attrs, inputs):
    if len(inputs[0].shape) - attrs["contracted"] < 2:
        return "mix", "it works across the time axis"
    return "step", ""


register(
    OpSpec(
        "einsum_dense",
        _einsum_infer,
        {
            "contracted": Attr("int", 1, minimum=1),
            "new_axes": Attr("ints", ()),
            "bias_axes": Attr("int", 0, minimum=0),  # the bias has the last so many of the new axes
            "activation": Attr("activation", Activation()),
        },
        _einsum_weights,
        time=_einsum_time,
    )
)
