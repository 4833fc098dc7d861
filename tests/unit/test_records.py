"""Records against the dataclasses that they stand for."""

import copy
import dataclasses
import pickle
from typing import Any

import pytest

from rnnrt.records import Record, field


class Point(Record):
    x: int
    y: tuple = ()


class Named(Point):
    name: str = "n"
    tags: dict = field(default_factory=dict)


class Open(Record, frozen=False):
    values: list = field(default_factory=list)
    size: int = 0

    def __post_init__(self) -> None:
        self.size = len(self.values)


@dataclasses.dataclass(frozen=True)
class _Point:
    x: int
    y: tuple = ()


@pytest.mark.parametrize(
    ("args", "given"),
    [
        ((1,), {}),
        ((1, (2,)), {}),
        ((), {"y": (3,), "x": 4}),
        ((), {}),
        ((1, 2, 3), {}),
        ((1,), {"x": 2}),
        ((1,), {"z": 2}),
        ((1, 2), {"y": 2}),
    ],
)
def test_a_record_takes_what_a_dataclass_takes(args, given):
    def made(cls: Any) -> Any:
        try:
            return list(vars(cls(*args, **given)).items())
        except TypeError:
            return TypeError

    assert made(Point) == made(_Point)


def test_defaults_and_extension():
    a, b = Named(1), Named(1)
    assert vars(a) == {"x": 1, "y": (), "name": "n", "tags": {}}
    assert a.tags is not b.tags
    assert repr(a) == "Named(x=1, y=(), name='n', tags={})"
    assert Open([1, 2]).size == 2


def test_equality_and_hash():
    assert Point(1, (2,)) == Point(1, y=(2,)) != Point(1)
    assert Point(1) != Named(1)
    assert Point(1) != _Point(1)
    assert len({Point(1), Point(1), Point(2)}) == 2
    assert Open([1]) == Open([1]) != Open([2])
    with pytest.raises(TypeError, match="unhashable"):
        hash(Open())


def test_frozen_ones_stay():
    p = Point(1)
    with pytest.raises(AttributeError, match=r"Point\.x"):
        p.x = 2  # type: ignore[misc]
    with pytest.raises(AttributeError, match=r"Point\.x"):
        del p.x
    assert p.x == 1


def test_the_tools_of_dataclasses_take_records():
    n = Named(1, tags={"a": 1})
    assert dataclasses.replace(n, x=5) == Named(5, tags={"a": 1})
    assert dataclasses.asdict(n) == {"x": 1, "y": (), "name": "n", "tags": {"a": 1}}
    assert [f.name for f in dataclasses.fields(Named)] == ["x", "y", "name", "tags"]
    assert [f.name for f in dataclasses.fields(Point)] == ["x", "y"]
    match n:
        case Named(x, y, name):
            assert (x, y, name) == (1, (), "n")


def test_copies_and_pickles():
    n = Named(1, (2,), tags={"a": 1})
    assert copy.deepcopy(n) == pickle.loads(pickle.dumps(n)) == n
