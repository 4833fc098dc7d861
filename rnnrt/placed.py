"""Calls on arrays that lie on a GPU: they stay there, and so do the results.

Work is queued on one stream, that of the caller: ``stream=`` where it is given, else the current one of the library
that the first array is of (torch, cupy, ours), else the one that ``__cuda_array_interface__`` tells, else the legacy
default one. In the last case, and with ``stream=``, the array's owner may not know that stream: the array is then held
until the work is done.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from .calls import bind_inputs, bind_session, make_outputs, output_sizes
from .errors import BackendError, ShapeError
from .native import _native as native
from .nested import nest
from .structure import CUDA, as_input, fit, place_of, shape_text

if TYPE_CHECKING:
    from .model import Model
    from .session import Session

__all__ = ["run_placed"]

LEGACY = 1  # the number of the legacy default stream, which is 0 where a library has it as a pointer
OF_THE_THREAD = 2  # another stream in each thread; the legacy one waits for all of them, and they for it


def stream_number(stream: Any) -> int:
    """A stream's number: an int as DLPack has it (0 counts as 1), or an object of torch, cupy or cuda.core."""
    if hasattr(stream, "__cuda_stream__"):
        stream = stream.__cuda_stream__()[1]
    elif hasattr(stream, "cuda_stream"):
        stream = stream.cuda_stream
    elif hasattr(stream, "ptr"):
        stream = stream.ptr
    if isinstance(stream, bool) or not isinstance(stream, (int, np.integer)) or not 0 <= stream < 1 << 64:
        raise BackendError(f"stream={stream!r}: expected its number (a cudaStream_t), or a stream of torch or cupy")
    return int(stream) or LEGACY


def _known_stream(x: Any) -> tuple[int, Any] | None:
    """The stream that the array's own library is queueing on, with the object that keeps it; None: it does not tell."""
    library = sys.modules.get(type(x).__module__.partition(".")[0])
    if isinstance(x, native.DeviceArray):
        return (x.stream, x.stream_owner) if x.stream else None
    if library is not None and library.__name__ in ("torch", "cupy"):
        torch = library.__name__ == "torch"
        current = library.cuda.current_stream(x.device) if torch else library.cuda.get_current_stream()
        return stream_number(current), current
    told = _told_stream(x)
    return (told, None) if told else None


def _told_stream(x: Any) -> int | None:
    """The one of ``__cuda_array_interface__``."""
    told = getattr(x, "__cuda_array_interface__", None)
    return stream_number(told["stream"]) if told and told.get("stream") else None


def _choose_stream(placed: list[Any], given: Any) -> tuple[int, Any, bool]:
    """(number, what keeps the stream or None, whether the arrays' owners queue on it too)."""
    known = [_known_stream(x) for x in placed]
    if given is not None:
        number, keeper = stream_number(given), None if isinstance(given, (int, np.integer)) else given
    else:
        number, keeper = next((k for k in known if k is not None), (LEGACY, None))
    return number, keeper, all(k is not None and k[0] == number for k in known)


def _lend(what: str, x: Any, model: Model, stream: int) -> native.Lent:
    """An array of another library, checked to lie where the model can use it."""
    where = place_of(x)
    assert where is not None
    on_device = model.place == CUDA
    if where[0] != CUDA or not on_device or where[1] not in (-1, model.device_index):
        on = f"cuda:{where[1]}" if where[0] == CUDA else f"a device (DLPack's kind {where[0]})"
        raise ShapeError(
            f"{what} lies on {on}, the model on {model.device}: model.to({on!r}) makes one there, or copy the array"
        )
    try:
        lent = native.lend(x, stream)
        if not hasattr(x, "__dlpack__") and (before := _told_stream(x) or stream) != stream:
            model.follow(stream, before)  # its owner leaves the waiting to us
    except Exception as e:  # whatever the other library raises
        raise ShapeError(f"{what}: its owner does not lend it ({type(e).__name__}: {e})") from e
    if not lent.dense:
        raise ShapeError(f"{what}: its elements do not lie one after the other; make it contiguous first")
    return lent


def run_placed(
    model: Model, flat: list[Any], wanted: list[int], out: Any, session: Session | None, step: bool, stream: Any
) -> Any:
    """One call where some array lies on the model's device; arguments as in ``run_call``, leaves in flat."""
    placed = [v for v in (*(flat[k] for k in wanted), out) if place_of(v)]
    if not placed:
        raise BackendError("stream= is for arrays that lie on a GPU; these lie on the host")
    number, keeper, sure = _choose_stream(placed, stream)
    lent: list[native.Lent] = []

    def take(name: str, x: Any, dtype: str, accepts: Any, shape: Any, drop_time: bool = False) -> Any:
        if place_of(x) is None:
            return as_input(name, x, dtype, accepts, shape, drop_time)
        a = _lend(f"input {name!r}", x, model, number)
        if a.dtype not in accepts:
            raise ShapeError(f"input {name!r}: expected {' or '.join(accepts)}, got {a.dtype}; cast it on the GPU")
        lent.append(a.shaped(fit(name, a.shape, shape, drop_time)))
        return a

    arrays, lengths = bind_inputs(model, flat, wanted, step, session is not None, take)
    bind_session(model, arrays, lengths, wanted, session)
    values = [lengths[s] for s in model.plan.symbols]
    filled, given = _outputs(model, lengths, step, out, number, keeper, lent)
    (model if session is None else session).run_arrays(arrays, values, filled, number)
    if not sure:
        _keep(model, given, lent, number)
    if out is None:
        return nest(model.graph.output_structure, given)
    if isinstance(out, np.ndarray):
        out[...] = given[0]
    return out


def _outputs(
    model: Model, lengths: dict[str, int], step: bool, out: Any, stream: int, keeper: Any, lent: list[native.Lent]
) -> tuple[list, list]:
    """(what the call fills, what its caller gets); an array of the caller's joins the lent ones."""
    where = LEGACY if stream == OF_THE_THREAD else stream  # whichever thread holds the result
    if isinstance(out, np.ndarray):
        filled, given, _ = make_outputs(model, lengths, step, out)
        return filled, given
    shapes = []
    for o, sizes in zip(model.plan.output_info, output_sizes(model, lengths)):
        shapes.append((sizes[0], *sizes[2:]) if step and o.per_step and len(sizes) > 1 else sizes)
    infos = model.plan.output_info
    if out is None:
        made = [model.new_array(s, o.dtype, model.device, where, keeper) for s, o in zip(shapes, infos)]
        return made, made
    if len(shapes) != 1:
        raise ShapeError("out= is for models with one output")
    a = _lend("out", out, model, stream)
    if a.shape != shapes[0] or a.dtype != infos[0].dtype:
        expected = f"{infos[0].dtype} {shape_text(shapes[0])}"
        raise ShapeError(f"out: expected {expected}, got {a.dtype} {shape_text(a.shape)}")
    if not a.writeable:
        raise ShapeError("out: the array is read-only")
    begin, end = a.span
    if any(b.span[0] < end and begin < b.span[1] for b in lent):
        raise ShapeError("out: it overlaps an input")
    lent.append(a)
    return [a], [out]


def _keep(model: Model, results: list, lent: list[native.Lent], stream: int) -> None:
    """Hold what the queued work reads: with the results, or by waiting where these are the caller's own."""
    made = [y for y in results if isinstance(y, native.DeviceArray)]
    if len(made) != len(results) or not made:
        model.wait(stream)
    for y in made:
        native.hold(y, lent)
