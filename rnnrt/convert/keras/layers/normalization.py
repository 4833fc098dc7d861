"""BatchNormalization at inference."""

from __future__ import annotations

from ..call import LayerCall, Value
from ..weights import Part
from .registry import layer


@layer(
    "BatchNormalization",
    options=("axis", "epsilon", "center", "scale", "renorm", "mode"),
    weighted=True,
    per_step=True,
    random=True,
)
def batch_normalization(c: LayerCall) -> list[Value]:
    """gamma * (x - mean) / sqrt(variance + epsilon) + beta; axis is an int, in Keras 2 files a list of one."""
    if c.flag("renorm"):
        raise c.refuse("renorm=True is not supported")
    if c.get("mode", 0) != 0:
        raise c.refuse(f"Keras 1's mode {c.get('mode')} normalises by each batch's own statistics")
    scale, center = c.flag("scale", True), c.flag("center", True)
    epsilon = c.number("epsilon", 1e-3)
    axis = c.get("axis", -1)
    if isinstance(axis, (list, tuple)) and len(axis) == 1:
        axis = axis[0]
    if isinstance(axis, bool) or not isinstance(axis, int):
        raise c.refuse(f"normalisation over the axes {str(axis)[:40]} together is not supported")
    x = c.floats(c.input())
    where = c.axis(x, axis)
    n = c.tensor(x).shape[where]
    if where == 0 or not isinstance(n, int):
        raise c.refuse(f"axis {axis} has no known length")
    roles = ["gamma"] * scale + ["beta"] * center
    parts = [Part(r, (n,)) for r in roles]
    parts += [Part("moving_mean", (n,), False), Part("moving_variance", (n,), False)]
    attrs = {"axis": where, "epsilon": epsilon, "scale": scale, "center": center}
    return c.emit("batch_normalization", [x], attrs, c.weights(parts))
