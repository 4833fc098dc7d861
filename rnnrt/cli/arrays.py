"""Reading model inputs from npy, npz and csv files, and writing outputs to them."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .common import Failure

__all__ = ["check_target", "csv_lines", "parse_numbers", "read_inputs", "write_outputs"]


def parse_numbers(line: str, place: str) -> list[float]:
    """``"1, 2.5"`` -> ``[1.0, 2.5]``; commas, semicolons, tabs or blanks separate."""
    for separator in ",;\t":
        if separator in line:
            parts = line.split(separator)
            break
    else:
        parts = line.split()
    try:
        return [float(p) for p in parts]
    except ValueError as e:
        raise Failure(f"{place}: not numbers: {line.strip()[:60]!r} ({e})") from None


def _read_csv(path: Path, rank: int, ids: bool) -> np.ndarray:
    """A csv file as an array of that rank.

    Rank 2: a line is a row (batch, features). Rank 3: a line is a step, a blank line begins the next
    sequence: (batch, steps, features). A first line of words is taken as a header.
    """
    blocks: list[list[list[float]]] = [[]]
    # utf-8-sig: spreadsheets write a byte order mark in front
    for n, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        if not line.strip():
            if blocks[-1]:
                blocks.append([])
            continue
        try:
            blocks[-1].append(parse_numbers(line, f"{path}:{n}"))
        except Failure:
            if n > 1:
                raise
            continue
    if not blocks[-1]:
        blocks.pop()
    lengths = {len(row) for block in blocks for row in block}
    if not lengths:
        raise Failure(f"{path}: holds no numbers")
    if len(lengths) > 1:
        raise Failure(f"{path}: lines of {min(lengths)} and of {max(lengths)} numbers; all must have as many")
    if rank == 3:
        steps = {len(b) for b in blocks}
        if len(steps) > 1:
            raise Failure(
                f"{path}: sequences of {min(steps)} and of {max(steps)} steps; run them one file each, "
                "or 'rnnrt stream'"
            )
        array = np.array(blocks)
    elif rank == 2:
        array = np.array([row for block in blocks for row in block])
    else:
        raise Failure(f"{path}: the model takes an array of rank {rank}; csv holds rank 2 or 3, use npy")
    if ids:
        whole = array.astype(np.int64)
        if not np.array_equal(whole, array):
            raise Failure(f"{path}: ids must be whole numbers")
        return whole
    return array


def _from_npz(path: Path, wanted: Sequence[str]) -> dict[str, np.ndarray]:
    """The arrays of an npz by input name; or ``in_0 in_1 ...``, as goldens have; or the only one."""
    with np.load(path, allow_pickle=False) as z:
        for keys in (list(wanted), [f"in_{k}" for k in range(len(wanted))]):
            if all(k in z.files for k in keys):
                return {name: z[key] for name, key in zip(wanted, keys)}
        if len(wanted) == 1 and len(z.files) == 1:
            return {wanted[0]: z[z.files[0]]}
        raise Failure(
            f"{path}: holds {', '.join(z.files) or 'no array'}; expected {', '.join(wanted)} "
            f"(the model's inputs) or in_0 .. in_{len(wanted) - 1}"
        )


def _read(path: Path, spec: Any) -> np.ndarray:
    suffix = path.suffix.lower()
    try:
        if suffix == ".npy":
            # mapped: a file larger than memory is read batch by batch
            return np.load(path, mmap_mode="r", allow_pickle=False)
        if suffix in (".csv", ".tsv", ".txt"):
            return _read_csv(path, len(spec.shape), np.dtype(spec.dtype).kind in "iub")
    except (ValueError, EOFError, UnicodeDecodeError) as e:
        raise Failure(f"{path}: {e}") from None
    raise Failure(f"{path}: unknown kind of file {suffix!r}; use .npy, .npz or .csv")


def read_inputs(arguments: Sequence[str], specs: Sequence[Any]) -> list[np.ndarray]:
    """The model's inputs in order, from ``FILE`` or ``NAME=FILE`` arguments.

    specs are the model's inputs (``name``, ``shape``, ``dtype``). One npz may hold several inputs; files
    without a name are taken in the order of the inputs. Raises Failure where one is missing or unknown.
    """
    wanted = [s.name for s in specs]
    found: dict[str, np.ndarray] = {}

    def put(name: str, array: np.ndarray) -> None:
        if name in found:
            raise Failure(f"input {name!r} is given twice")
        found[name] = array

    for argument in arguments:
        name, eq, rest = argument.partition("=")
        named = bool(eq) and name in wanted
        if eq and not named and not Path(argument).exists():
            raise Failure(f"{argument}: the model has no input {name!r}; it has {', '.join(wanted)}")
        path = Path(rest if named else argument)
        free = [w for w in wanted if w not in found]
        if path.suffix.lower() == ".npz":
            try:
                arrays = _from_npz(path, [name] if named else free)
            except (ValueError, EOFError) as e:
                raise Failure(f"{path}: {e}") from None
            for key, array in arrays.items():
                put(key, array)
            continue
        if not named and not free:
            raise Failure(f"{argument}: one file too many; the model has {len(wanted)} input(s)")
        target = name if named else free[0]
        put(target, _read(path, specs[wanted.index(target)]))
    missing = [w for w in wanted if w not in found]
    if missing:
        raise Failure(f"no data for input {', '.join(missing)}; give {missing[0]}=FILE")
    return [found[w] for w in wanted]


def csv_lines(array: np.ndarray) -> Iterator[str]:
    """A line per row of the last axis; a blank line before each next sequence; shortest exact numbers."""
    if array.ndim <= 2:
        for row in array.reshape(len(array), -1):
            yield ",".join(map(str, row.tolist() if array.dtype.kind in "iub" else row))
        return
    for k, sequence in enumerate(array):
        if k:
            yield ""
        yield from csv_lines(sequence.reshape(-1, sequence.shape[-1]))


def _write_text(path: Path, lines: Iterable[str]) -> None:
    with open(path, "w", encoding="ascii", newline="\n") as f:
        for line in lines:
            f.write(line + "\n")


def write_outputs(target: str | None, named: dict[str, np.ndarray]) -> None:
    """Write outputs to a .npy, .npz or .csv file, or as csv to stdout where target is None."""
    if target is None:
        for k, (name, array) in enumerate(named.items()):
            if len(named) > 1:
                print(f"{'' if k == 0 else chr(10)}# {name}")
            for line in csv_lines(array):
                sys.stdout.write(line + "\n")
        return
    path = Path(target)
    suffix = path.suffix.lower()
    if suffix == ".npz":
        # not np.savez: an output called "file" would collide with its own argument
        with zipfile.ZipFile(path, "w") as z:
            for name, array in named.items():
                with z.open(f"{name}.npy", "w", force_zip64=True) as f:
                    np.lib.format.write_array(f, np.ascontiguousarray(array), allow_pickle=False)
        return
    if len(named) > 1:
        raise Failure(f"{target}: the model has {len(named)} outputs; write them to one .npz")
    (array,) = named.values()
    if suffix == ".npy":
        np.save(path, array)
    else:
        _write_text(path, csv_lines(array))


def check_target(target: str | None, n_outputs: int) -> None:
    """Raise Failure for an output file that could not be written, before anything runs."""
    if target is None:
        return
    path = Path(target)
    if path.suffix.lower() not in (".npy", ".npz", ".csv"):
        raise Failure(f"{target}: write to .npy, .npz or .csv")
    if n_outputs > 1 and path.suffix.lower() != ".npz":
        raise Failure(f"{target}: the model has {n_outputs} outputs; write them to one .npz")
    if not path.absolute().parent.is_dir():
        raise Failure(f"{target}: there is no folder {path.absolute().parent}")
