"""Plans of convolutions, statistics, attention and narrow weights, for the tests that damage them."""

from __future__ import annotations

import numpy as np
from cases.graphs import Builder

from rnnrt.convert.narrow import narrow
from rnnrt.ir.activations import Activation
from rnnrt.ir.graph import Graph
from rnnrt.native import _native as native
from rnnrt.planner.lower import lower
from rnnrt.planner.plan import Plan
from rnnrt.tables import arrays_of

__all__ = ["attention", "convolutions", "double_convolutions", "float16", "int8", "lowered", "statistics"]


def lowered(graph: Graph, weights: dict[str, np.ndarray]) -> tuple[Plan, list[np.ndarray]]:
    """A plan, and its weights as a program takes them."""
    plan = lower(graph, weights, native.op_kinds())
    return plan, arrays_of(plan.sources, weights)


def _table(b: Builder, width: int, dtype: str = "float32") -> str:
    """A float sequence (batch, time, width) from ids (batch, time)."""
    (rows,) = b.add("embedding", "table", b.input("ids", None), input_dim=5, output_dim=width)
    return rows if dtype == "float32" else b.add("cast", "wide", rows, dtype=dtype)[0]


def _window(k, s=1, d=1, padding="same"):
    n = len(k)
    return {"kernel_size": k, "strides": (s,) * n, "dilation_rate": (d,) * n, "padding": padding}


def convolutions(dtype: str = "float32"):
    """Causal and other convolutions, depthwise ones, pools, a ConvLSTM, with and without a walk over time."""
    b = Builder()
    (e,) = b.add("cast", "cast", _table(b, 4), dtype=dtype)
    (c,) = b.add("conv", "causal", e, **_window((3,), d=2, padding="causal"), channels=4, filters=6, groups=2)
    (p,) = b.add("conv", "point", c, **_window((1,)), channels=6, filters=9, activation=Activation("softmax"))
    (m,) = b.add("not_equal", "mask", "ids")
    (grid,) = b.add("reshape", "grid", p, target_shape=(-1, 3, 3))
    y, h, _ = b.add(
        "conv_lstm",
        "loop",
        grid,
        mask=m,
        **_window((2,)),
        filters=2,
        state_shape=(3, 2),
        return_sequences=True,
        return_state=True,
    )
    (q,) = b.add("pool", "pool", p, pool_size=(2,), strides=(1,), padding="same", kind="average")
    (d,) = b.add("depthwise_conv", "depth", q, **_window((2,)), depth_multiplier=2)
    (g,) = b.add("global_pool", "mean", d, mask=m, kind="average", mask_mode="select")
    (image,) = b.add("reshape", "image", g, target_shape=(3, 6, 1))
    (two,) = b.add("conv", "two", image, **_window((2, 3), s=2), channels=1, filters=3)
    (most,) = b.add("global_pool", "most", two, keepdims=True)
    return lowered(*b.done(y, h, most, p))


def double_convolutions():
    """The same in double."""
    return convolutions("float64")


def statistics(dtype: str = "float32"):
    """Normalisations over runs of axes, constants, slopes, codes."""
    b = Builder()
    (e,) = b.add("gru", "gru", _table(b, 6, dtype), units=6, return_sequences=True)
    (n,) = b.add("layer_normalization", "layer", e, axes=(2,))
    (u,) = b.add("unit_normalization", "unit", n, axes=(1,))
    (grid,) = b.add("reshape", "grid", u, target_shape=(-1, 2, 3))
    (two,) = b.add("layer_normalization", "two", grid, axes=(2, 3), rule="rms", center=False)
    (inner,) = b.add("softmax", "inner", two, axes=(2,))
    (g,) = b.add("group_normalization", "group", inner, axis=3, groups=3)
    (a,) = b.add("normalization", "adapted", g, axes=(3,))
    (k,) = b.add("normalization", "given", a, axes=(2,), mean=(1.0, 2.0), variance=(4.0, 0.5), invert=True)
    (r,) = b.add("rescaling", "scaled", k, axes=(3,), scale=(0.5, 1.0, 2.0), offset=(0.0, 1.0, -1.0))
    (s,) = b.add("prelu", "slope", r, shared_axes=(1, 3))
    (flat,) = b.add("reshape", "flat", s, target_shape=(-1, 6))
    (codes,) = b.add("category_encoding", "codes", "ids", num_tokens=5, mode="count", strict=True)
    return lowered(*b.done(flat, codes))


def attention(dtype: str = "float32"):
    """Every score, with masks, and heads between dense layers of several axes."""
    b = Builder()
    e = _table(b, 4, dtype)
    (m,) = b.add("not_equal", "mask", "ids")
    (r,) = b.add("gru", "gru", e, units=4, return_sequences=True)
    y, s = b.add(
        "attention",
        "plain",
        r,
        e,
        e,
        m,
        m,
        use_scale=True,
        causal=True,
        value_mask=True,
        query_mask=True,
        query_mask_zeroes=True,
        return_scores=True,
    )
    (add,) = b.add("attention", "additive", y, e, r, score="additive", use_scale=True)
    (cat,) = b.add("attention", "concat", add, e, r, m, score="concat", value_mask=True)
    (q,) = b.add("einsum_dense", "q", cat, new_axes=(2, 3), bias_axes=1)
    (k,) = b.add("einsum_dense", "k", e, new_axes=(2, 3))
    q, k = (b.add("reshape", f"{x}_rows", x, target_shape=(-1, 6))[0] for x in (q, k))
    (pairs,) = b.add("cast", "pairs", s, dtype="bool")
    heads, scores = b.add(
        "attention", "heads", q, k, k, pairs, heads=2, attention_mask=True, masked="zero", return_scores=True
    )
    (split,) = b.add("reshape", "split", heads, target_shape=(-1, 2, 3))
    (out,) = b.add("einsum_dense", "out", split, contracted=2, new_axes=(5,), bias_axes=1)
    return lowered(*b.done(out, scores))


def _narrow(asked: str):
    b = Builder()
    e = _table(b, 5)
    (y,) = b.add("gru", "gru", e, units=4, return_sequences=True)
    (y,) = b.add("gru", "before", y, units=4, return_sequences=True, reset_after=False)
    (y,) = b.add("lstm", "lstm", y, units=17, return_sequences=True, mask=b.add("masking", "marks", y)[0])
    (y,) = b.add("simple_rnn", "rnn", y, units=3, activation=Activation("softmax"))
    (y,) = b.add("dense", "dense", y, units=4, activation=Activation("glu"))
    graph, weights, _ = narrow(*b.done(y, e), asked)
    return lowered(graph, weights)


def float16():
    """Every op that reads halves."""
    return _narrow("float16")


def int8():
    """Every op that reads int8 and scales."""
    return _narrow("int8")
