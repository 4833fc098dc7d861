"""Files made to hurt: one per numbered refusal, then flips, cuts and edits by the thousand.

The reader may raise FormatError and nothing else, and must refuse whatever the safetensors package
refuses.
"""

from __future__ import annotations

import copy
import json
import os
import random
import re
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from format_refusals import CASES, SUMS, ids_graph, join, lstm_graph, proof_of, seal, split, weights_of

import rnnrt.format
from rnnrt.errors import FormatError
from rnnrt.format import reader, writer
from rnnrt.format.refusals import REFUSALS
from rnnrt.loading import planned

GRAPH = lstm_graph()


@pytest.fixture(scope="module")
def blob(tmp_path_factory):
    path = tmp_path_factory.mktemp("good") / "good.rnnrt"
    weights = weights_of(GRAPH)
    tables = planned(GRAPH, weights)
    writer.write(path, GRAPH, weights, proof=proof_of(GRAPH), source_sha256="0" * 64, producer="test", tables=tables)
    return path.read_bytes()


@pytest.fixture
def attempt(tmp_path):
    """Reads bytes as a file; None where it is refused, and then by FormatError only."""
    path = tmp_path / "m.rnnrt"

    def go(data):
        path.write_bytes(data)
        try:
            return reader.read(path)
        except FormatError as e:
            assert re.search(r"m\.rnnrt: .+ \[F\d\d\]$", str(e), re.S), e
            return None

    return go


def theirs(data):
    """What the safetensors package makes of it; None where it refuses."""
    try:
        return safetensors.numpy.load(data)
    except (safetensors.SafetensorError, UnicodeDecodeError):
        return None


# ---------------------------------------------------------------- one file per number


@pytest.mark.parametrize("number,index", [(n, i) for n, cases in CASES.items() for i in range(len(cases))])
def test_refused_by_its_number(blob, tmp_path, number, index):
    path = tmp_path / "m.rnnrt"
    bad = CASES[number][index](blob)
    if number == "F22" and index == 0:  # here the checksum must stay as it was
        bad = blob.replace(b'"rnnrt.producer":"test"', b'"rnnrt.producer":"tesd"')
    assert bad != blob
    path.write_bytes(bad)
    start = time.process_time()
    with pytest.raises(FormatError, match=rf"\[{number}\]$"):
        reader.read(path)
    assert time.process_time() - start < 60, "a refusal must not take long"


@pytest.mark.parametrize("kind", ["fifo", "directory", "device"])
def test_refuses_what_is_no_regular_file(tmp_path, kind):
    path = tmp_path / "m.rnnrt"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(FormatError, match=r"\[F01\]$"):
        reader.read(path)


def test_every_number_has_a_file_and_a_paragraph():
    assert {"F01", *CASES} == set(REFUSALS)
    spec = (Path(rnnrt.format.__file__).parent / "FORMAT.md").read_text()
    rows = dict(re.findall(r"^\| (F\d\d) \| ([^|]+?) \|", spec, re.M))
    assert rows == REFUSALS


def test_huge_header_of_brackets_is_refused_fast(tmp_path):
    n = 16 << 20
    for filling in (b"[]", b'"",', b'\\"', b"[[]]", b'"\\\\'):
        path = tmp_path / "m.rnnrt"
        path.write_bytes(n.to_bytes(8, "little") + (b'{"a":[' + filling * n)[:n])
        start = time.process_time()
        with pytest.raises(FormatError):
            reader.read(path)
        assert time.process_time() - start < 60


# ---------------------------------------------------------------- by the thousand


def test_any_flipped_bit_is_noticed(blob, attempt):
    rng = random.Random(1)
    places = [(i, 1 << rng.randrange(8)) for i in range(len(blob))]
    places += [(i, 1 << b) for i in range(8) for b in range(8)]
    for at, bit in places:
        bad = bytearray(blob)
        bad[at] ^= bit
        assert attempt(bytes(bad)) is None, f"bit {bit} of byte {at}"


def test_any_truncation_is_noticed(blob, attempt):
    for n in range(len(blob)):
        assert attempt(blob[:n]) is None, n


def test_without_checksums_flips_never_raise_anything_else(blob, attempt):
    top, data = split(blob)
    for k in SUMS:
        del top["__metadata__"][k]
    plain = join(top, data)
    assert attempt(plain) is not None
    rng = random.Random(2)
    end = 8 + int.from_bytes(plain[:8], "little")
    for at in range(end):
        bad = bytearray(plain)
        bad[at] ^= 1 << rng.randrange(8)
        agree(bytes(bad), attempt)


def agree(data, attempt):
    """Ours refuses whatever theirs refuses; what both read is equal."""
    ours, other = attempt(data), theirs(data)
    if other is None:
        assert ours is None, "safetensors refuses this file, we read it"
    if ours is not None:
        for name, w in ours.weights.items():
            np.testing.assert_array_equal(w, other[name])
    return ours


WEIRD = [
    *(0, 1, -1, 2, 3, 7, 8, 64, 2**31, 2**48 - 1, 2**48, 2**63, 2**64, 10**30, 0.5, -0.0, 1e308),
    *(
        True,
        False,
        None,
        "",
        "x",
        "B",
        "x:1",
        "F32",
        "I64",
        "h",
        "inf",
        "nan",
        "\0",
        "\ud7ff",
        "lstm",
        "cast",
    ),
    *([], {}, [[]], [0], [0, 0], ["B"], ["mul", "B", 2], ["affine", "B", 1, 1, 0], ["leaky_relu", "inf"]),
    *({"a": 0}, [1, 2, 3, 4, 5, 6, 7, 8, 9], ["affine", "B", -1, 0, 2], ["glu"], "glu", "softmax"),
]


def mutate(value, rng):
    """The JSON value with one place in it replaced, removed, doubled or swapped."""
    places = []

    def walk(v):
        items = v.items() if isinstance(v, dict) else enumerate(v) if isinstance(v, list) else ()
        for k, child in items:
            places.append((v, k))
            walk(child)

    walk(value)
    holder, key = rng.choice(places)
    what = rng.randrange(5)
    if what == 0:
        del holder[key]
    elif what == 1 and isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[key]))
    elif what == 2 and isinstance(holder, dict):
        holder[rng.choice(["x", "units", "mask", "dtype", "kernel", "__metadata__"])] = holder.pop(key)
    elif what == 3:
        other, k = rng.choice(places)
        if key in holder if isinstance(holder, dict) else key < len(holder):
            holder[key] = copy.deepcopy(other[k])
    else:
        holder[key] = copy.deepcopy(rng.choice(WEIRD))


@pytest.mark.parametrize("part", ["header", "rnnrt.graph", "rnnrt.proof"])
@pytest.mark.parametrize("seed", range(4))
def test_edits_of_the_json(blob, attempt, part, seed):
    rng = random.Random(f"{part}{seed}")
    top, data = split(blob)
    for k in SUMS:
        del top["__metadata__"][k]
    read = 0
    for _ in range(400):
        t = copy.deepcopy(top)
        inner = t if part == "header" else json.loads(t["__metadata__"][part])
        for _ in range(rng.randrange(1, 3)):
            mutate(inner, rng)
        if part != "header":
            t["__metadata__"][part] = json.dumps(inner)
        read += agree(join(t, data), attempt) is not None
    assert read < 200  # most edits break a rule; a reader that takes everything fails here


@pytest.mark.parametrize("seed", range(3))
def test_edits_of_the_text(blob, attempt, seed):
    rng = random.Random(seed)
    n = int.from_bytes(blob[:8], "little")
    raw, data = blob[8 : 8 + n].rstrip(), blob[8 + n :]
    for _ in range(300):
        bad = bytearray(raw)
        for _ in range(rng.randrange(1, 4)):
            a, b = sorted((rng.randrange(len(bad)), rng.randrange(len(bad))))
            b = min(b, a + rng.randrange(1, 40))
            piece = bytes(bad[a:b])
            at = rng.randrange(len(bad))
            if rng.random() < 0.4:
                del bad[a:b]
            elif rng.random() < 0.5:
                bad[at:at] = piece
            else:
                bad[at:at] = rng.choice([b'"', b"\\", b"{", b"]", b",", b"\\u0000", b"\\ud800", b"1e5", b"\xc3", b"\t"])
        if b'"rnnrt.header_crc32":"' not in bad or not re.search(rb'32":"[0-9a-f]{8}"', bad):
            continue
        try:
            whole = seal(bytes(bad), data)
        except (AssertionError, FormatError):
            continue
        agree(whole, attempt)


def test_an_input_too_large_to_draw_is_refused():
    from rnnrt.format.replay import draw_inputs

    g = lstm_graph(features=3, steps=2**40)
    with pytest.raises(FormatError, match="cannot be drawn"):
        draw_inputs(g, 0, 8)
    assert draw_inputs(ids_graph(), 0, 0)[0].shape == (1, 0)
