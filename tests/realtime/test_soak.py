"""The short form of tools/soak.py: right numbers, no stream lost, no growth, no allocation."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from soak import Soak, default_model  # noqa: E402


def test_a_short_soak():
    report = Soak(default_model(), streams=300, seed=3).run(60_000)
    assert report.ok, report
    assert report.steps >= 60_000 and report.forked > 50 and report.refused > 100 and report.closed > 100
    assert 0 < report.p50_us <= report.p99_us <= report.max_us
