"""What real Kerases answered, on every device: the CPU, the CUDA plugin over its emulation, a GPU.

The short form takes a few goldens of each family; ``RNNRT_CUDA_CASES=all`` takes all of them (about a thousand).
"""

from __future__ import annotations

import os

import numpy as np
import pytest
from test_goldens import PAIRS, STATEFUL, _compare, _converted, _feed, _flat, _golden

import rnnrt
from rnnrt.errors import BackendError

ALL = os.environ.get("RNNRT_CUDA_CASES", "") == "all"
OF_EACH = 4
FAMILIES = sorted({name.split("/")[0] for name, _ in PAIRS})

#: all that a GPU may refuse, by what it says
REFUSED = ("attention layers", "ConvLSTM", "float64", "int8", "class of your own")


def _chosen(pairs: list[tuple[str, str]], family: str) -> list[tuple[str, str]]:
    """Goldens of a family, spread over its cases; the long ones only where all are asked for."""
    own = [(n, v) for n, v in pairs if n.split("/")[0] == family]
    short = [p for p in own if "drift" not in p[0]]
    return own if ALL else short[:: max(1, len(short) // OF_EACH)][: OF_EACH + 1]


def _load(name: str, version: str, device: str):
    """The model there, or None where the device refuses it: by a layer's name, for a reason that it may have."""
    try:
        return rnnrt.load(_converted(name, version), device=device)
    except BackendError as e:
        assert device != "cpu" and "not supported on cuda" in str(e), str(e)
        assert any(reason in str(e) for reason in REFUSED), str(e)
        assert not str(e).startswith(":"), f"no layer is named: {e}"
        return None


@pytest.mark.parametrize("family", FAMILIES)
def test_predict_is_keras(device, family):
    """Thrice: plainly, while a graph is recorded, and from the graph; the same bits each time."""
    refused = []
    for name, version in _chosen(PAIRS, family):
        model = _load(name, version, device)
        if model is None:
            refused.append(name)
            continue
        g = _golden(name, version)
        x = _feed(g.case, g.case.pieces()[0])
        first = _flat(model.predict(x))
        _compare(g, 0, first)
        for _ in range(2):
            for y, want in zip(_flat(model.predict(x)), first):
                np.testing.assert_array_equal(y, want)
    if refused and family not in (
        "activations",
        "attention",
        "chance",
        "conv_lstm",
        "policies",
        "functional",
        "video",
        "wiring",
    ):
        raise AssertionError(f"refused: {refused}")


STATEFUL_FAMILIES = sorted({name.split("/")[0] for name, _ in STATEFUL})


@pytest.mark.parametrize("family", STATEFUL_FAMILIES)
def test_calls_of_a_stateful_model_are_keras(device, family):
    """Between two calls the state moves, as bytes, to the CPU and back; the calls alternate between the two."""
    for name, version in _chosen(STATEFUL, family):
        model = _load(name, version, device)
        if model is None:
            continue
        g, host = _golden(name, version), rnnrt.load(_converted(name, version))
        session = model.session(batch_size=g.case.batch)
        for piece, arrays in enumerate(g.case.pieces()):
            if piece % 3 == 2:
                there = host.session(state=session.to_bytes())
                _compare(g, piece, _flat(there.run(_feed(g.case, arrays))))
                session = model.session(state=there.to_bytes())
            else:
                _compare(g, piece, _flat(session.run(_feed(g.case, arrays))))
        session.reset()
        _compare(g, 0, _flat(session.run(_feed(g.case, g.case.pieces()[0]))))
