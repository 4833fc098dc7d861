"""One line to switch: the same script with Keras's import line and with ours gives the same."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from run_service import run

RECORDED = Path(__file__).resolve().parents[1] / "data" / "service.npz"
MODULES = {"2": "tf_keras", "3": "keras"}


def compare(ours: dict, theirs: dict) -> None:
    assert list(ours) == list(theirs)
    for name, want in theirs.items():
        got = ours[name]
        assert got.shape == want.shape and got.dtype.kind == want.dtype.kind, name
        if want.dtype.kind == "f":
            assert got.dtype == want.dtype, name
            assert (np.abs(got - want) <= 1e-5 * np.maximum(1, np.abs(want))).all(), name
        else:
            assert got.tolist() == want.tolist(), name


@pytest.mark.parametrize("keras", ("2", "3"))
def test_the_script_gives_what_keras_gave(unpacked, keras):
    with np.load(RECORDED) as file:
        recorded = {k[2:]: file[k] for k in file if k.startswith(f"{keras}/")}
    assert len(recorded) > 40
    compare(run("rnnrt.compat", keras, unpacked), recorded)


@pytest.mark.parametrize("keras", ("2", "3"))
def test_the_script_gives_what_keras_gives_here(unpacked, keras):
    if importlib.util.find_spec(MODULES[keras]) is None:
        pytest.skip(f"{MODULES[keras]} is not installed; what it gave is recorded in {RECORDED.name}")
    compare(run("rnnrt.compat", keras, unpacked), run(f"{MODULES[keras]}.models", keras, unpacked))
