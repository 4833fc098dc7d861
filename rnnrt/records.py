"""Records: classes of named fields, written and typed as dataclasses are, and made in a hundredth of the time.

A dataclass writes and compiles its methods while its module is imported, half a millisecond each: whoever loads a
model to ask it once would wait longer for thirty of them than for the answer. Records share the methods below.
``dataclasses.replace``, ``fields`` and ``asdict`` take records as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["field", "record"]


class _Made:
    """A default that is made anew for each record."""

    def __init__(self, factory: Any) -> None:
        self.factory = factory


class _DataclassFields:
    """What :mod:`dataclasses` knows a class by, made when it is first asked for."""

    def __get__(self, instance: Any, owner: Any) -> dict:
        import dataclasses

        def as_field(name: str, default: Any) -> tuple:
            if default is _REQUIRED:
                return name, Any
            made = isinstance(default, _Made)
            return (
                name,
                Any,
                dataclasses.field(**{"default_factory": default.factory} if made else {"default": default}),
            )

        twin = dataclasses.make_dataclass(owner.__name__, [as_field(*f) for f in owner.__record__.items()])
        owner.__dataclass_fields__ = twin.__dataclass_fields__  # type: ignore[attr-defined]
        return owner.__dataclass_fields__


_REQUIRED = _Made(None)


def _init(self: Any, *args: Any, **given: Any) -> None:
    values, fields = self.__dict__, self.__record__
    values.update(zip(fields, args))
    if len(args) != len(fields):
        for name, default in list(fields.items())[len(args) :]:
            if name in given:
                values[name] = given.pop(name)
            elif default is _REQUIRED:
                raise TypeError(f"{type(self).__name__}: {name!r} is missing")
            else:
                values[name] = default.factory() if type(default) is _Made else default
    if given or len(args) > len(fields):
        raise TypeError(f"{type(self).__name__}: its fields are {', '.join(fields)}; got too many, or {sorted(given)}")
    if hasattr(self, "__post_init__"):
        self.__post_init__()


def _values(self: Any) -> tuple:
    values = self.__dict__
    return tuple([values[name] for name in self.__record__])


def _repr(self: Any) -> str:
    return f"{type(self).__qualname__}({', '.join(f'{n}={v!r}' for n, v in zip(self.__record__, _values(self)))})"


def _eq(self: Any, other: Any) -> Any:
    return _values(self) == _values(other) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_values(self))


def _refuse(self: Any, name: str, *value: Any) -> None:
    raise AttributeError(f"{type(self).__name__}.{name}: a frozen record cannot be changed")


_METHODS = {"__init__": _init, "__repr__": _repr, "__eq__": _eq}
_FROZEN = {**_METHODS, "__hash__": _hash, "__setattr__": _refuse, "__delattr__": _refuse}


def _record(cls: Any = None, /, *, frozen: bool = False) -> Any:
    """Make a class a record of its annotated fields, after those of the records that it extends.

    frozen: its fields cannot be set later, and it has a hash.
    """
    if cls is None:
        return lambda cls: _record(cls, frozen=frozen)
    own = vars(cls)
    fields = dict(getattr(cls, "__record__", {}))
    fields.update({name: own.get(name, _REQUIRED) for name in own.get("__annotations__", ())})
    for name, default in fields.items():
        if type(default) is _Made and name in own:
            delattr(cls, name)
    for name, method in (_FROZEN if frozen else {**_METHODS, "__hash__": None}).items():
        if name == "__hash__" or name not in own:
            setattr(cls, name, method)
    cls.__record__ = fields
    setattr(cls, "__match_args__", tuple(fields))  # noqa: B010  (mypy has it for final)
    cls.__dataclass_fields__ = _DataclassFields()
    return cls


if TYPE_CHECKING:
    from dataclasses import dataclass as record
    from dataclasses import field
else:
    record = _record

    def field(*, default_factory):
        """The default of a field that is a list, a dict or the like."""
        return _Made(default_factory)
