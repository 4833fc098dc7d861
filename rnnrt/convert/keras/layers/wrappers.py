"""TimeDistributed."""

from __future__ import annotations

from ..call import LayerCall, Value
from ..spec import ModelSpec
from .registry import REGISTRY, layer


@layer("TimeDistributed", options=("layer",), weighted=True, per_step=True, note="layers that work per step")
def time_distributed(c: LayerCall) -> list[Value]:
    """The inner layer on every step: itself, where it treats (batch, time, ...) as it treats (batch, ...)."""
    inner = c.spec.inner.get("layer")
    if inner is None:
        raise c.refuse("the inner layer is missing")
    entry = REGISTRY.get(inner.class_name)
    path = f"{c.path}/{inner.name}"
    if isinstance(inner, ModelSpec) or (entry is not None and not entry.per_step):
        raise c.refuse(f"TimeDistributed({inner.class_name}) is not supported")
    args: list = [c.inputs[0] if len(c.inputs) == 1 else c.inputs]
    if entry is not None and c.inputs[0].tensor is not None:
        rank = len(c.tensor(c.input()).shape)
        if rank - c.rank_shift < (2 if inner.class_name == "Embedding" else 3):
            raise c.refuse(f"it needs an input of rank >= 3, got rank {rank}")
    kwargs = {k: v for k, v in c.kwargs.items() if k == "training"}
    return c.builder.call_layer(inner, path, args, kwargs, c.rank_shift + 1)
