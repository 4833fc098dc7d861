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
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.numpy

import rnnrt.format
from rnnrt.errors import FormatError
from rnnrt.format import reader, writer
from rnnrt.format.refusals import REFUSALS

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))  # the models are those of the unit tests
from format_models import ids_graph, join, lstm_graph, proof_of, seal, split, weights_of  # noqa: E402

GRAPH = lstm_graph()
SUMS = ("rnnrt.crc32", "rnnrt.header_crc32")


@pytest.fixture(scope="module")
def blob(tmp_path_factory):
    path = tmp_path_factory.mktemp("good") / "good.rnnrt"
    writer.write(path, GRAPH, weights_of(GRAPH), proof=proof_of(GRAPH), source_sha256="0" * 64, producer="test")
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


def edit(fn, *, sums=True):
    """A case that changes the header; without checksums where sums is False."""

    def make(blob):
        top, data = split(blob)
        meta = top["__metadata__"]
        if not sums:
            for k in SUMS:
                del meta[k]
        out = fn(top, meta, data)
        return join(top, data if out is None else out)

    return make


def put(name, key, value):
    return edit(lambda top, meta, data: top[name].__setitem__(key, value))


def meta(key, value):
    return edit(lambda top, meta, data: meta.__setitem__(key, value))


def graph(fn):
    def change(top, meta, data):
        g = json.loads(meta["rnnrt.graph"])
        fn(g)
        meta["rnnrt.graph"] = json.dumps(g)

    return edit(change)


def proof(fn):
    def change(top, meta, data):
        p = json.loads(meta["rnnrt.proof"])
        fn(p)
        meta["rnnrt.proof"] = json.dumps(p)

    return edit(change)


def text(old, new):
    """A case that changes the header's text."""

    def make(blob):
        n = int.from_bytes(blob[:8], "little")
        raw = blob[8 : 8 + n].rstrip(b" ")
        assert old in raw
        return seal(raw.replace(old, new, 1), blob[8 + n :])

    return make


def rename(old, new):
    return edit(lambda top, meta, data: top.__setitem__(new, top.pop(old)), sums=False)


def flip_at_end(blob):
    return blob[:-1] + bytes([blob[-1] ^ 1])


def many_tensors(blob):
    top, data = split(blob)
    for i in range(65_537):
        top[f"t{i}"] = {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}
    return join(top, data)


def big_proof(top, meta, data):
    p = json.loads(meta["rnnrt.proof"])
    n = 2000
    p["cases"][0]["outputs"][0] |= {"shape": [2, n]}
    p["cases"][0]["runs"] = ["chunked"]
    meta["rnnrt.proof"] = json.dumps(p)
    last = max(v["data_offsets"][1] for k, v in top.items() if k != "__metadata__")
    t = top["rnnrt.proof/0/0"]
    a, b = t["data_offsets"]
    t |= {"shape": [n], "data_offsets": [last - (b - a), last - (b - a) + 4 * n]}
    for k, v in top.items():
        if k not in ("__metadata__", "rnnrt.proof/0/0") and v["data_offsets"][0] >= b:
            v["data_offsets"] = [o - (b - a) for o in v["data_offsets"]]
    return data[:a] + data[b:] + bytes(4 * n)


K = "dense.kernel"
CASES = {
    "F02": [lambda b: b"", lambda b: b[:7], lambda b: b[:500], lambda b: b"\xff\x0f" + bytes(6) + b"{}"],
    "F03": [
        lambda b: (1 + (16 << 20)).to_bytes(8, "little") + b[8:],
        lambda b: bytes(8) + b[8:],
        lambda b: b"\xff" * 8 + b[8:],
        lambda b: b"\x89HDF\r\n\x1a\n" + bytes(2000),
    ],
    "F04": [
        lambda b: seal(b" " + b[8:].split(b"}}", 1)[0], b""),
        lambda b: seal(b"\xef\xbb\xbf{}", b""),
        lambda b: seal(b'{"\xff":1}', b""),
    ],
    "F05": [
        lambda b: seal(b'{"a":' + b"[" * 64 + b"]" * 64 + b"}", b""),
        lambda b: seal(b'{"a":' * 8_000_00 + b"1" + b"}" * 8_000_00, b""),
        meta("rnnrt.graph", "[" * 65 + "]" * 65),
        meta("rnnrt.proof", '{"a":"\\\\",' + '"b":[' * 65),
    ],
    "F06": [
        lambda b: seal(b'{"a":NaN}', b""),
        lambda b: seal(b'{"a":-Infinity}', b""),
        lambda b: seal(b'{"a":1e999}', b""),
        lambda b: seal(b'{"\\ud800":1}', b""),
        lambda b: seal(b'{"a":1,}', b""),
        lambda b: seal(b'{"a":01}', b""),
        lambda b: seal(b'{"a":"\x01"}', b""),
        lambda b: seal(b"{}{}", b""),
        lambda b: seal(b'{"' + b'\\"' * 200_000, b""),
        lambda b: seal(b'{"a":' + b'"\\', b""),
        meta("rnnrt.graph", "{'a':1}"),
        meta("rnnrt.requires", ""),
        meta("rnnrt.crc32", "\0"),
    ],
    "F07": [
        text(b'"dense.bias":{', b'"dense.bias":{},"dense.bias":{'),
        text(b'"dtype":"F32"', b'"dtype":"U8","dtype":"F32"'),
        text(b'"format":"rnnrt"', b'"format":"pt","format":"rnnrt"'),
        meta("rnnrt.graph", '{"a":1,"a":2}'),
        text(b'{"__metadata__"', b'{"__metadata__":{},"__metadata__"'),
    ],
    "F08": [
        put(K, "shape", [2**48]),
        put(K, "shape", [-(2**63)]),
        lambda b: seal(b'{"a":' + b"9" * 100_000 + b"}", b""),
        lambda b: seal(b'{"a":-0}', b""),
        graph(lambda g: g["nodes"][0]["attrs"].__setitem__("units", 2**48)),
    ],
    "F09": [
        put(K, "extra", 1),
        edit(lambda t, m, d: t[K].pop("shape") and None),
        put(K, "shape", [-1]),
        put(K, "shape", [5.0, 4]),
        put(K, "shape", [True, 4]),
        put(K, "shape", "5,4"),
        put(K, "shape", None),
        put(K, "data_offsets", [0]),
        put(K, "data_offsets", [0, 1, 2]),
        put(K, "data_offsets", [0, "80"]),
        edit(lambda t, m, d: t.__setitem__(K, [1])),
        edit(lambda t, m, d: t.__setitem__(K, None)),
    ],
    "F10": [put(K, "dtype", "F8_E4M3"), put(K, "dtype", "f32"), put(K, "dtype", 4), put(K, "dtype", ["F32"])],
    "F11": [put(K, "shape", [5, 4] + [1] * 7)],
    "F12": [many_tensors],
    "F13": [put(K, "shape", [2**24, 2**24]), put(K, "shape", [0, 2**40, 2**40]), put(K, "shape", [2**47, 0])],
    "F14": [
        put(K, "shape", [5, 5]),
        put(K, "dtype", "F64"),
        put(K, "shape", [0]),
        edit(lambda t, m, d: t[K]["data_offsets"].reverse()),
    ],
    "F15": [
        edit(lambda t, m, d: t[K].__setitem__("data_offsets", [o + 4 for o in t[K]["data_offsets"]])),
        edit(lambda t, m, d: t.pop(min((v["data_offsets"][0], k) for k, v in t.items() if k[0] != "_")[1]) and None),
        edit(lambda t, m, d: t.__setitem__("again", dict(t[K]))),
    ],
    "F16": [lambda b: b + b"\0", lambda b: b + b[-64:], lambda b: b[:-1], lambda b: b[: -len(split(b)[1])]],
    "F17": [
        edit(lambda t, m, d: t.pop("__metadata__") and None),
        edit(lambda t, m, d: t.__setitem__("__metadata__", None)),
        edit(lambda t, m, d: t.__setitem__("__metadata__", [])),
        meta("x", 1),
        meta("x", None),
    ],
    "F18": [meta("format", "pt"), edit(lambda t, m, d: m.pop("format") and None)],
    "F19": [meta("rnnrt.format_version", "2"), meta("rnnrt.format_version", "")],
    "F20": [
        meta("rnnrt.requires", '["complex_lstm"]'),
        meta("rnnrt.requires", '["float64"]'),
        graph(lambda g: g["weights"]["dense.bias"].__setitem__("dtype", "float16")),
    ],
    "F21": [
        meta("rnnrt.zebra", ""),
        meta("rnnrt.quant", "{}"),
        edit(lambda t, m, d: m.pop("rnnrt.graph") and None),
        edit(lambda t, m, d: m.pop("rnnrt.format_version") and None),
        edit(lambda t, m, d: m.pop("rnnrt.crc32") and None),
        edit(lambda t, m, d: m.pop("rnnrt.header_crc32") and None),
        meta("rnnrt.session", "calls"),
        meta("rnnrt.source_sha256", "0" * 63),
        meta("rnnrt.source_sha256", "G" * 64),
        meta("rnnrt.requires", '"float64"'),
        meta("rnnrt.requires", "[1]"),
    ],
    "F22": [
        text(b'"rnnrt.producer":"test"', b'"rnnrt.producer":"tesd"'),
        meta("rnnrt.header_crc32", "0000000"),
        meta("rnnrt.header_crc32", "ABCDEF01"),
    ],
    "F23": [
        flip_at_end,
        meta("rnnrt.crc32", "{}"),
        meta("rnnrt.crc32", "[]"),
        edit(lambda t, m, d: m.__setitem__("rnnrt.crc32", m["rnnrt.crc32"].replace('":"', '":"0'))),
        edit(lambda t, m, d: m.__setitem__("rnnrt.crc32", m["rnnrt.crc32"].replace("}", ',"x":"00000000"}'))),
        edit(lambda t, m, d: m.__setitem__("rnnrt.crc32", re.sub(r'":"[^"]*"', '":1', m["rnnrt.crc32"]))),
    ],
    "F24": [
        meta("rnnrt.graph", "[]"),
        meta("rnnrt.graph", "null"),
        graph(lambda g: g.__setitem__("code", "import os")),
        graph(lambda g: g.pop("session")),
        graph(lambda g: g.__setitem__("nodes", {})),
        graph(lambda g: g["nodes"][0].__setitem__("op", "exec")),
        graph(lambda g: g["nodes"][0]["attrs"].__setitem__("untis", 5)),
        graph(lambda g: g["nodes"][0]["attrs"].__setitem__("units", 5.0)),
        graph(lambda g: g["nodes"][0]["attrs"].__setitem__("units", True)),
        graph(lambda g: g["nodes"][0]["attrs"].__setitem__("use_bias", 1)),
        graph(lambda g: g["nodes"][0]["attrs"].__setitem__("activation", "hard_sigmoid")),
        graph(lambda g: g["nodes"][0]["attrs"].__setitem__("activation", ["tanh"])),
        graph(lambda g: g["nodes"][2]["attrs"].__setitem__("activation", ["relu_general", "nan", 0.0, 0.0])),
        graph(lambda g: g["tensors"]["x"].__setitem__("shape", ["B", ["affine", "x:1", 1, 0, 1], 3])),
        graph(lambda g: g["tensors"]["x"].__setitem__("shape", ["B", ["affine", 3, -1, 0, 1], 3])),
        graph(lambda g: g["tensors"]["x"].__setitem__("shape", ["B"] * 9)),
        graph(lambda g: g["tensors"]["x"].__setitem__("dtype", "string")),
        graph(lambda g: g["weights"]["dense.bias"].__setitem__("shape", ["B"])),
        graph(lambda g: g["inputs"][0].__setitem__("role", "code")),
        graph(lambda g: g.__setitem__("input_structure", True)),
        graph(lambda g: g["nodes"][0].__setitem__("id", "")),
    ],
    "F25": [
        graph(lambda g: g["nodes"][0]["attrs"].__setitem__("units", 6)),
        graph(lambda g: g["nodes"][0]["attrs"].__setitem__("units", 0)),
        graph(lambda g: g["nodes"][0]["attrs"].pop("units")),
        graph(lambda g: g["nodes"].reverse()),
        graph(lambda g: g["nodes"].append(g["nodes"][0])),
        graph(lambda g: g["nodes"][1].__setitem__("inputs", ["nowhere"])),
        graph(lambda g: g["nodes"][1].__setitem__("inputs", [])),
        graph(lambda g: g["nodes"][1].__setitem__("mask", "x")),
        graph(lambda g: g["nodes"][0].__setitem__("initial_state", ["x"])),
        graph(lambda g: g["nodes"][1]["weights"].pop("bias")),
        graph(lambda g: g.__setitem__("outputs", [])),
        graph(lambda g: g.__setitem__("input_structure", [0, 0])),
        graph(lambda g: g.__setitem__("session", "forever")),
        graph(lambda g: g["tensors"].__setitem__("q", {"shape": [], "dtype": "bool"})),
        graph(lambda g: g["weights"]["dense.bias"].__setitem__("shape", [5])),
        graph(lambda g: g["tensors"]["x"].__setitem__("shape", ["B", ["mul", "x:1", "x:1"], 3])),
    ],
    "F26": [
        rename(K, "dense.kernal"),
        graph(lambda g: g["weights"].__setitem__("more", {"shape": [1], "dtype": "float32"})),
        edit(
            lambda t, m, d: t.__setitem__("more", {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}),
            sums=False,
        ),
    ],
    "F27": [put(K, "shape", [4, 5]), put(K, "shape", [20]), put(K, "dtype", "I32")],
    "F28": [
        edit(lambda t, m, d: m.pop("rnnrt.proof") and None),
        meta("rnnrt.proof", "{}"),
        proof(lambda p: p.__setitem__("generator", 2)),
        proof(lambda p: p.__setitem__("generator", True)),
        proof(lambda p: p.__setitem__("cases", [])),
        proof(lambda p: p["cases"][0].__setitem__("seed", -1)),
        proof(lambda p: p["cases"][0].__setitem__("batch", 3)),
        proof(lambda p: p["cases"][0].__setitem__("batch", 1)),
        proof(lambda p: p["cases"][0].__setitem__("steps", 9)),
        proof(lambda p: p["cases"][0].__setitem__("cuts", [4, 5])),
        proof(lambda p: p["cases"][0].__setitem__("cuts", [-1, 9])),
        proof(lambda p: p["cases"][0].__setitem__("cuts", [])),
        proof(lambda p: p["cases"][0].__setitem__("runs", ["whole", "backwards"])),
        proof(lambda p: p["cases"][0].__setitem__("runs", [[]])),
        proof(lambda p: p["cases"][0].__setitem__("runs", [])),
        proof(lambda p: p["cases"][0].__setitem__("runs", ["whole"])),
        proof(lambda p: p["cases"][0].__setitem__("outputs", [])),
        proof(lambda p: p["cases"][0]["outputs"][0].__setitem__("shape", [4, 2])),
        proof(lambda p: p["cases"][0]["outputs"][0].__setitem__("shape", [2, "4"])),
        proof(lambda p: p["cases"][0]["outputs"][0].__setitem__("tolerance", -1.0)),
        proof(lambda p: p["cases"][0]["outputs"][0].__setitem__("tolerance", "0")),
        proof(lambda p: p["cases"][0]["outputs"][0].__setitem__("time", 0)),
        proof(lambda p: p["cases"][0]["outputs"].append(p["cases"][0]["outputs"][0])),
        proof(lambda p: p["cases"].extend(p["cases"] * 20)),
        rename("rnnrt.proof/0/0", "rnnrt.proof/0/1"),
    ],
    "F29": [edit(big_proof, sums=False)],
}


@pytest.mark.parametrize("number,index", [(n, i) for n, cases in CASES.items() for i in range(len(cases))])
def test_refused_by_its_number(blob, tmp_path, number, index):
    path = tmp_path / "m.rnnrt"
    bad = CASES[number][index](blob)
    if number == "F22" and index == 0:  # here the checksum must stay as it was
        bad = blob.replace(b'"rnnrt.producer":"test"', b'"rnnrt.producer":"tesd"')
    assert bad != blob
    path.write_bytes(bad)
    start = time.perf_counter()
    with pytest.raises(FormatError, match=rf"\[{number}\]$"):
        reader.read(path)
    assert time.perf_counter() - start < 5, "a refusal must not take long"


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
        start = time.perf_counter()
        with pytest.raises(FormatError):
            reader.read(path)
        assert time.perf_counter() - start < 10


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
    from rnnrt.format.proof import draw_inputs

    g = lstm_graph(features=3, steps=2**40)
    with pytest.raises(FormatError, match="cannot be drawn"):
        draw_inputs(g, 0, 8)
    assert draw_inputs(ids_graph(), 0, 0)[0].shape == (1, 0)
