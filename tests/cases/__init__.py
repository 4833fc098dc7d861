"""The one table of cases: :data:`ALL`, one file per family.

A case is plain data (see :mod:`cases.case`); a suite takes the cases it needs and knows how to run
them. A new layer or option is a new line here, then ``tools/golden/make_goldens.py``.
"""

from __future__ import annotations

from . import (
    activations,
    attention,
    conv_lstm,
    convolution,
    dense,
    drawn,
    embedding,
    functional,
    gru,
    layouts,
    lstm,
    masks,
    merging,
    normalization,
    policies,
    shape,
    sharing,
    simple_rnn,
    statistics,
    video,
    wiring,
    wrappers,
)
from .case import BOTH, KERAS2, KERAS3, Case, Input, Layer, Tolerance

_MODULES = (
    lstm,
    gru,
    simple_rnn,
    embedding,
    dense,
    activations,
    shape,
    normalization,
    functional,
    layouts,
    policies,
    masks,
    wrappers,
    convolution,
    statistics,
    attention,
    merging,
    wiring,
    conv_lstm,
    sharing,
    drawn,
    video,
)

ALL: list[Case] = [case for module in _MODULES for case in module.CASES]
BY_NAME: dict[str, Case] = {case.name: case for case in ALL}
assert len(BY_NAME) == len(ALL), "two cases have one name"

__all__ = ["ALL", "BOTH", "BY_NAME", "KERAS2", "KERAS3", "Case", "Input", "Layer", "Tolerance"]
