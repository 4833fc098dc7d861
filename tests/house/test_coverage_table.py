"""README's coverage table is what the tables of conversion say."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("coverage_table", ROOT / "tools" / "docs" / "coverage.py")
assert spec is not None and spec.loader is not None
coverage = importlib.util.module_from_spec(spec)
spec.loader.exec_module(coverage)


def test_it_is_up_to_date():
    text = coverage.README.read_text(encoding="utf-8")
    assert coverage.updated(text) == text, "run: python tools/docs/coverage.py"


def test_it_names_every_layer_once():
    from rnnrt.convert.keras.layers import REFUSED, REGISTRY

    made = coverage.table()
    for name in (*REGISTRY, *REFUSED):
        assert f"`{name}`" in made
    assert not set(REGISTRY) & set(REFUSED)


def test_a_change_is_seen():
    text = coverage.README.read_text(encoding="utf-8")
    assert coverage.updated(text.replace("| `SimpleRNN`", "| `SimpleRnn`")) == coverage.updated(text)
    with pytest.raises(SystemExit, match="markers"):
        coverage.updated("no markers")
