"""InputLayer, Dense, Embedding."""

from __future__ import annotations

from ..call import LayerCall, Value
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
    if c.flag("mask_zero"):
        raise c.refuse("mask_zero=True makes a mask, and masks are not supported yet")
    attrs = {"input_dim": n, "output_dim": width, "wrap_negative": c.spec.generation >= 3}
    return c.emit("embedding", [c.input()], attrs, c.weights([Part("embeddings", (n, width))]))
