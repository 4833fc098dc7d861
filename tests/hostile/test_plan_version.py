"""Files keep plans: whoever changes what the planner writes must give the tables another version."""

from __future__ import annotations

import hashlib

import pytest
from test_hostile_plan import PLANS

from rnnrt.format.plan_codec import plan_tensors, plan_text
from rnnrt.tables import VERSION

WRITTEN: tuple[int, dict[str, str]] = (
    1,
    {
        "plain": "f410c16f714ce86a",
        "masked": "2a31b69a8a913445",
        "several": "6d9315ddbc337c1e",
        "hosts": "043a6415bb04d0dc",
        "convolutions": "d6b52377dc9b8aa4",
        "double_convolutions": "1ab03f404ace4953",
        "statistics": "09f6cfc3a20124d9",
        "attention": "3bf85e5809e3ec1f",
        "statistics_float64": "3cd8d70dd8b5cac4",
        "attention_float64": "9f18426edf3573c8",
        "float16": "53c36547f1d8a74d",
        "int8": "e6cfcc46faba58a1",
    },
)


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_changes_with_its_version_only(name):
    plan, _ = PLANS[name]()
    digest = hashlib.sha256(plan_text(plan, "").encode())
    for array in plan_tensors(plan).values():
        digest.update(array.tobytes())
    version, digests = WRITTEN
    assert (VERSION, digest.hexdigest()[:16]) == (version, digests.get(name)), (
        "the planner writes other tables than it did: raise VERSION in rnnrt/tables.py, then write both here"
    )
