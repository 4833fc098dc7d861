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
        "plain": "3e3062e37fe6d83c",
        "masked": "977e93e75673df48",
        "several": "ae12c4aac357709f",
        "hosts": "a3413187754be8a9",
        "convolutions": "3ae48d68bb93ba72",
        "double_convolutions": "f1733a7458fced8b",
        "statistics": "0bbbb82ca1b2f7da",
        "attention": "c287be6758deb569",
        "statistics_float64": "a09b2b52a9af18b5",
        "attention_float64": "7826407be42466d4",
        "float16": "4e3afabc519ec2ac",
        "int8": "dd6d440648f80076",
    },
)


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_changes_with_its_version_only(name):
    plan = PLANS[name]()
    digest = hashlib.sha256(plan_text(plan, "").encode())
    for array in plan_tensors(plan).values():
        digest.update(array.tobytes())
    version, digests = WRITTEN
    assert (VERSION, digest.hexdigest()[:16]) == (version, digests.get(name)), (
        "the planner writes other tables than it did: raise VERSION in rnnrt/tables.py, then write both here"
    )
