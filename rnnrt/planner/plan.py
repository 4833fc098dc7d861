"""The plan: the tables of a program, and what they mean to users."""

from __future__ import annotations

from ..ir.dims import Dim, DimLike, evaluate
from ..records import Record, field
from ..tables import Tables

__all__ = ["DTYPES", "DimTable", "InputInfo", "OutputInfo", "Plan", "StateInfo"]

DTYPES = ["float32", "float64", "float16", "bfloat16", "int8", "int32", "int64", "bool"]
_DIM_KINDS = {"const": 0, "sym": 1, "affine": 2, "mul": 3, "add": 4}


class DimTable:
    """Interns dimensions: the same expression is one row, so that equal indices mean equal lengths."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, ...]] = []
        self.symbols: dict[str, int] = {"B": 0}
        self._known: dict[DimLike, int] = {}

    def index(self, dim: DimLike) -> int:
        """The row of a dimension, made if it is new."""
        if dim in self._known:
            return self._known[dim]
        if not isinstance(dim, Dim):
            row = (_DIM_KINDS["const"], 0, 0, int(dim), 0, 1)
        elif dim.kind == "sym":
            row = (_DIM_KINDS["sym"], self.symbols.setdefault(dim.args[0], len(self.symbols)), 0, 0, 0, 1)
        elif dim.kind == "affine":
            a, m, b, d = dim.args
            row = (_DIM_KINDS["affine"], self.index(a), 0, m, b, d)
        else:
            row = (_DIM_KINDS[dim.kind], self.index(dim.args[0]), self.index(dim.args[1]), 0, 0, 1)
        self.rows.append(row)
        self._known[dim] = len(self.rows) - 1
        return self._known[dim]


class _Shaped:
    """What inputs and outputs share: a symbolic shape."""

    shape: tuple[DimLike, ...]

    def sizes(self, lengths: dict[str, int]) -> tuple[int, ...]:
        """The shape with symbols replaced by lengths."""
        return tuple(evaluate(d, lengths) for d in self.shape)

    @property
    def free_shape(self) -> tuple[int | None, ...]:
        """The shape as Keras shows it: None where free."""
        return tuple(None if isinstance(d, Dim) else d for d in self.shape)


class InputInfo(_Shaped, Record):
    """name; dtype that foreign arrays are cast to; dtypes that are taken as they are; shape; fixed length."""

    name: str
    role: str
    dtype: str
    accepts: tuple[str, ...]
    shape: tuple[DimLike, ...]
    timed: bool
    fixed_steps: int | None  # the time length that the file wrote: binds predict, not sessions

    def symbol_of(self, axis: int) -> str | None:
        """The symbol that an axis binds, None where its length is known."""
        d = self.shape[axis]
        return d.args[0] if isinstance(d, Dim) and d.kind == "sym" else None

    @property
    def filed_shape(self) -> tuple[int | None, ...]:
        """The shape as the file declares it: the time length too where it wrote one."""
        shape = list(self.free_shape)
        if self.fixed_steps is not None:
            shape[1] = self.fixed_steps
        return tuple(shape)


class OutputInfo(_Shaped, Record):
    """name, dtype, shape, and whether a session's step drops its time axis."""

    name: str
    dtype: str
    shape: tuple[DimLike, ...]
    per_step: bool


class StateInfo(Record):
    """One visible slot of a state row: name, shape without the batch, dtype, byte offset in the row."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    offset: int
    keras: bool  # False: ours (has_output), needed to go on, unknown to Keras


class Plan(Tables, frozen=False):
    """The tables of a program, and what Model tells its users."""

    stream_message: str = ""
    input_info: list[InputInfo] = field(default_factory=list)
    output_info: list[OutputInfo] = field(default_factory=list)
    state_info: list[StateInfo] = field(default_factory=list)
    state_targets: dict[int, list[str]] = field(default_factory=dict)  # input number -> states
    host_nodes: dict[int, str] = field(default_factory=dict)  # op -> node id, of classes of the user's own
