"""Records: classes of named fields, written and typed as dataclasses are, and made in a hundredth of the time.

A dataclass writes and compiles its methods while its module is imported, half a millisecond each: whoever loads a
model to ask it once would wait longer for thirty of them than for the answer. Records share the methods below.
``dataclasses.replace``, ``fields`` and ``asdict`` take records as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import field

    from typing_extensions import dataclass_transform
else:

    def field(*, default_factory):
        """The default of a field that is a list, a dict or the like."""
        return _Made(default_factory)

    def dataclass_transform(**_):
        return lambda cls: cls


__all__ = ["Record", "field"]


class _Made:
    """A default that is made anew for each record."""

    def __init__(self, factory: Any) -> None:
        self.factory = factory


_REQUIRED = _Made(None)


class _DataclassFields:
    """What :mod:`dataclasses` knows a class by, made when it is first asked for."""

    def __get__(self, instance: Any, owner: Any) -> Any:
        import dataclasses

        def as_field(name: str, default: Any) -> tuple:
            if default is _REQUIRED:
                return name, Any
            how = {"default_factory": default.factory} if type(default) is _Made else {"default": default}
            return name, Any, dataclasses.field(**how)

        twin: Any = dataclasses.make_dataclass(owner.__name__, [as_field(*f) for f in owner._fields.items()])
        owner.__dataclass_fields__ = twin.__dataclass_fields__
        return twin.__dataclass_fields__


def _values(record: Any) -> tuple:
    values = record.__dict__
    return tuple([values[name] for name in record._fields])


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class Record:
    """A class of its annotated fields, after those of the record that it extends.

    Its fields cannot be set later, and it has a hash; those of ``class X(Record, frozen=False)`` can, and it has none.
    """

    _fields: dict[str, Any] = {}  # name -> default
    __dataclass_fields__ = _DataclassFields()

    if TYPE_CHECKING:

        def __init_subclass__(cls, *, frozen: bool = True) -> None: ...

    else:

        def __init_subclass__(cls, *, frozen: bool = True) -> None:
            own = cls.__dict__
            fields = dict(cls._fields)
            for name in own.get("__annotations__", ()):
                fields[name] = own.get(name, _REQUIRED)
                if type(fields[name]) is _Made and name in own:
                    delattr(cls, name)
            cls._fields, cls.__match_args__, cls.__dataclass_fields__ = fields, tuple(fields), _DataclassFields()
            if not frozen:
                cls.__setattr__, cls.__delattr__, cls.__hash__ = object.__setattr__, object.__delattr__, None

        def __init__(self, *args: Any, **given: Any) -> None:
            values, fields = self.__dict__, self._fields
            values.update(zip(fields, args))
            if len(args) != len(fields):
                for name in list(fields)[len(args) :]:
                    if name in given:
                        values[name] = given.pop(name)
                        continue
                    default = fields[name]
                    if default is _REQUIRED:
                        raise TypeError(f"{type(self).__name__}: {name!r} is missing")
                    values[name] = default.factory() if type(default) is _Made else default
            if given or len(args) > len(fields):
                names = f"its fields are {', '.join(fields)}"
                raise TypeError(f"{type(self).__name__}: {names}; got {len(args)}, {sorted(given)}")
            self.__post_init__()

        def __post_init__(self) -> None:
            pass

        def __setattr__(self, name: str, value: Any) -> None:
            raise AttributeError(f"{type(self).__name__}.{name}: a frozen record cannot be changed")

        def __delattr__(self, name: str) -> None:
            raise AttributeError(f"{type(self).__name__}.{name}: a frozen record cannot be changed")

    def __repr__(self) -> str:
        return f"{type(self).__qualname__}({', '.join(f'{n}={v!r}' for n, v in zip(self._fields, _values(self)))})"

    def __eq__(self, other: object) -> bool:
        return _values(self) == _values(other) if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash(_values(self))
