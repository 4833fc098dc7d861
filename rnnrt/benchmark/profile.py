"""Where a predict spends its time, by layer."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

import numpy as np

from ..calls import bind_inputs, make_outputs
from .timing import inputs
from .work import Ceilings, layers_of, weights_nbytes, works

__all__ = ["LayerTime", "profile"]


@dataclass(frozen=True)
class LayerTime:
    """A layer in one call: seconds (median), its share of all layers, flops, bytes of weights, the least seconds."""

    layer: str
    kind: str
    seconds: float
    share: float
    flops: float
    nbytes: float
    floor: float

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def profile(model: Any, batch: int, steps: int, seconds: float, ceilings: Ceilings) -> list[LayerTime]:
    """Run predict for some time with a clock around each op (some 30 ns each), and add up by layer."""
    given = inputs(model, batch, steps)
    arrays, lengths = bind_inputs(model, given, list(range(len(given))), False, False)
    filled, _, _ = make_outputs(model, lengths, False, None)
    values = [lengths[s] for s in model.plan.symbols]
    spent: list[np.ndarray] = []
    begin = perf_counter()
    while len(spent) < 5 or (perf_counter() - begin < seconds and len(spent) < 100_000):
        spent.append(model.profile_arrays(arrays, values, filled))
    by_op = np.median(np.stack(spent[1:]), axis=0) * 1e-9
    parts = works(model, batch, steps)
    set_ = weights_nbytes(model)
    whole = float(by_op.sum()) or 1.0
    out = []
    for work, ops in layers_of(parts):
        t = float(by_op[ops].sum())
        floor = sum(ceilings.floor(parts[k], set_) for k in ops)
        out.append(LayerTime(work.place or "(copies)", work.kind, t, t / whole, work.flops, work.nbytes, floor))
    return out
