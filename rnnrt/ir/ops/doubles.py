"""Which ops have a body in double; a float64 model that needs another one is refused by its layer."""

from __future__ import annotations

__all__ = ["DOUBLE_OPS"]

#: arithmetic in double (src_c/ops/*_body.h), or ops that only move values and compare them
DOUBLE_OPS = frozenset(
    (
        "simple_rnn",
        "lstm",
        "gru",
        "dense",
        "activation",
        "batch_normalization",
        "embedding",
        "cast",
        "repeat_vector",
        "concatenate",
        "reshape",
        "flatten",
        "expand_dims",
        "squeeze",
        "fold_time",
        "unfold_time",
        "not_equal",
        "masking",
        "apply_mask",
        "ones_mask",
        "add",
        "subtract",
        "multiply",
        "divide",
        "average",
        "maximum",
        "minimum",
        "power",
        "compare",
        "where",
        "dot",
        "unary",
        "fill_like",
        "reduce",
        "transpose",
        "slice",
        "last_step",
        "pad",
        "repeat",
        "conv",
        "depthwise_conv",
        "pool",
        "global_pool",
        "conv_lstm",
    )
)
