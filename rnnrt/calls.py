"""The general path of predict, step and run: any structure, any array-like. What fits as it lies never comes here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import ShapeError
from .nested import nest
from .structure import as_input, flatten_inputs, place_of, shape_text

if TYPE_CHECKING:
    from .model import Model
    from .planner.plan import InputInfo
    from .session import Session

__all__ = ["bind_inputs", "bind_session", "make_outputs", "output_sizes", "run_call"]


def bind_inputs(
    model: Model, flat: list[Any], wanted: list[int], step: bool, session: bool, as_input: Any = as_input
) -> tuple[list, dict]:
    """Arrays in their canonical form (by as_input), and the lengths of the free axes.

    Raises ShapeError where inputs disagree with the model or with each other.
    """
    arrays: list[Any] = [None] * len(flat)
    lengths: dict[str, int] = {}
    bound: dict[str, str] = {}
    for k in wanted:
        info: InputInfo = model.plan.input_info[k]
        shape = info.free_shape if session else info.filed_shape
        drop = step and info.timed
        a = as_input(info.name, flat[k], info.dtype, info.accepts, shape, drop)
        arrays[k] = a
        for axis in range(a.ndim):
            s = info.symbol_of(axis)
            if s is None:
                continue
            if lengths.setdefault(s, a.shape[axis]) != a.shape[axis]:
                what = "batch" if s == "B" else "length"
                raise ShapeError(f"input {info.name!r}: {what} {a.shape[axis]}, but {bound[s]!r} has {lengths[s]}")
            bound.setdefault(s, info.name)
    if session:
        _advance_together([(model.plan.input_info[k], arrays[k]) for k in wanted])
    return arrays, lengths


def _advance_together(given: list[tuple[InputInfo, Any]]) -> None:
    """A session's inputs take as many steps each, also where ``predict`` takes any lengths; ShapeError if not."""
    timed = [(info.name, a.shape[1]) for info, a in given if info.timed]
    for name, n in timed[1:]:
        if n != timed[0][1]:
            raise ShapeError(f"input {name!r}: length {n}, but {timed[0][0]!r} has {timed[0][1]}")


def output_sizes(model: Model, lengths: dict[str, int]) -> list[tuple[int, ...]]:
    """The outputs' shapes; ShapeError where an input is too short for its windows and cuts."""
    shapes = [o.sizes(lengths) for o in model.plan.output_info]
    for o, sizes in zip(model.plan.output_info, shapes):
        if min(sizes) < 0:
            raise ShapeError(f"output {o.name!r}: shape {shape_text(sizes)}; its input is too short")
    return shapes


def make_outputs(model: Model, lengths: dict[str, int], step: bool, out: Any) -> tuple[list, list, Any]:
    """(arrays that C fills with their time axis, what the caller gets, a caller's array to copy to or None)."""
    filled, given = [], []
    for o, sizes in zip(model.plan.output_info, output_sizes(model, lengths)):
        y = np.empty(sizes, o.dtype)
        filled.append(y)
        given.append(y[:, 0] if step and o.per_step and y.ndim > 1 else y)
    if out is None:
        return filled, given, None
    if len(given) != 1:
        raise ShapeError("out= is for models with one output")
    if not isinstance(out, np.ndarray) or out.shape != given[0].shape or out.dtype != given[0].dtype:
        got = f"{out.dtype} {shape_text(out.shape)}" if isinstance(out, np.ndarray) else type(out).__name__
        raise ShapeError(f"out: expected {given[0].dtype} {shape_text(given[0].shape)}, got {got}")
    if not out.flags.writeable:
        raise ShapeError("out: the array is read-only")
    return filled, given, out


def run_call(model: Model, x: Any, out: Any, session: Session | None, step: bool = False, stream: Any = None) -> Any:
    """The general path of predict (session None), step and run: any structure, any array-like, on any device."""
    infos = model.plan.input_info
    wanted = [k for k, i in enumerate(infos) if session is None or i.role == "data"]
    flat = flatten_inputs(model.graph.input_structure, x, [i.name for i in infos], wanted)
    if stream is not None or any(place_of(v) for v in (*(flat[k] for k in wanted), out)):
        from .placed import run_placed  # it imports this module

        return run_placed(model, flat, wanted, out, session, step, stream)
    arrays, lengths = bind_inputs(model, flat, wanted, step, session is not None)
    bind_session(model, arrays, lengths, wanted, session)
    filled, given, target = make_outputs(model, lengths, step, out)
    values = [lengths[s] for s in model.plan.symbols]
    if session is None:
        model.run_arrays(arrays, values, filled)
    else:
        session.run_arrays(arrays, values, filled)
    if target is not None:
        target[...] = given[0]
        return target
    return nest(model.graph.output_structure, given)


def bind_session(model: Model, arrays: list, lengths: dict[str, int], wanted: list[int], session: Any) -> None:
    """The batch of a session's call, and what stands for its state inputs."""
    infos = model.plan.input_info
    if session is not None:
        if lengths.get("B", session.batch_size) != session.batch_size:
            raise ShapeError(
                f"input {infos[wanted[0]].name!r}: the session has batch size {session.batch_size}, got {lengths['B']}"
            )
        lengths["B"] = session.batch_size
        for k, info in enumerate(infos):
            if info.role == "state":  # put into the rows at reset; C does not read it in a session
                arrays[k] = np.zeros(info.sizes(lengths), info.dtype)
