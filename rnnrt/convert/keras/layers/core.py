"""Dense, Embedding, Masking."""

from __future__ import annotations

import numpy as np

from ..call import LayerCall, Value
from ..masks import mask_op
from ..weights import Part
from .registry import layer


@layer("Dense", options=("units", "activation", "use_bias"), weighted=True, per_step=True)
def dense(c: LayerCall) -> list[Value]:
    """On the last axis of any rank >= 2."""
    units, use_bias = c.integer("units"), c.flag("use_bias", True)
    activation = c.activation("activation")
    x = c.floats(c.input())
    parts = [Part("kernel", (c.features(x), units))]
    if use_bias:
        parts.append(Part("bias", (units,)))
    attrs = {"units": units, "use_bias": use_bias, "activation": activation}
    return c.emit("dense", [x], attrs, c.weights(parts))


@layer("Embedding", options=("input_dim", "output_dim", "mask_zero"), weighted=True, per_step=True, mask="own")
def embedding(c: LayerCall) -> list[Value]:
    """ids -> rows of the table. Keras 3 counts negative ids from its end, Keras 2 raises."""
    n, width = c.integer("input_dim"), c.integer("output_dim")
    ids = c.input()
    attrs = {"input_dim": n, "output_dim": width, "wrap_negative": c.spec.generation >= 3, "dtype": c.compute}
    out = c.emit("embedding", [ids], attrs, c.weights([Part("embeddings", (n, width))]))
    if not c.flag("mask_zero"):
        return out
    return [Value(out[0].tensor, mask_op(c, "not_equal", [ids.tensor or ""], value=0.0))]


@layer("Masking", options=("mask_value",), per_step=True, mask="own")
def masking(c: LayerCall) -> list[Value]:
    """Steps whose features all equal mask_value are masked, and zero. The mask that comes in is replaced.

    Keras 2 multiplies by the mask (NaN stays, -v becomes -0), Keras 3 writes zeros.
    """
    x = c.floats(c.input())
    c.features(x)
    value = c.number("mask_value", 0.0)
    if c.tensor(x).dtype == "float32" or c.spec.generation >= 3:
        value = float(np.float32(value))  # Keras 3 compares doubles too with a float
    mask = mask_op(c, "masking", [x.tensor or ""], value=value)
    attrs = {"value": 0.0, "multiply": c.spec.generation <= 2}
    return [Value(c.emit("apply_mask", [x, Value(mask)], attrs)[0].tensor, mask)]
