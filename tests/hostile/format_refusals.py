"""The files of test_hostile_format: for each numbered refusal, edits of a good file that earn it.

Each case is a function: bytes of a good file -> bytes of a bad one.
"""

import json
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))  # the models are those of the unit tests
from format_models import ids_graph, join, lstm_graph, proof_of, seal, split, weights_of  # noqa: E402, F401

SUMS = ("rnnrt.crc32", "rnnrt.header_crc32")


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


def inside(key):
    """Cases that change the JSON below a key of the metadata."""

    def case(fn):
        def change(top, meta, data):
            value = json.loads(meta[key])
            fn(value)
            meta[key] = json.dumps(value)

        return edit(change)

    return case


graph, proof = inside("rnnrt.graph"), inside("rnnrt.proof")
plan = inside("rnnrt.plan")  # under a seal that stays right


def int8_kernel(quant):
    """A case whose graph has an int8 kernel; quant: its rnnrt.quant, None: none."""

    def change(top, meta, data):
        g = json.loads(meta["rnnrt.graph"])
        g["weights"]["dense.kernel"]["dtype"] = "int8"
        meta.update({"rnnrt.graph": json.dumps(g), "rnnrt.requires": '["int8"]'})
        if quant is not None:
            meta["rnnrt.quant"] = quant

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
        meta("rnnrt.requires", '["int4"]'),
        edit(
            lambda t, m, d: m.update({"rnnrt.requires": '["int4"]', "rnnrt.new_key": "", "rnnrt.graph": "new"}) and None
        ),
        graph(lambda g: g["weights"]["dense.kernel"].__setitem__("dtype", "int8")),
    ],
    "F21": [
        int8_kernel(None),
        int8_kernel('{"scheme":2,"scales":{"dense.kernel":"dense.kernel.scale"}}'),
        int8_kernel('{"scheme":1,"scales":{}}'),
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
        graph(lambda g: g["weights"]["dense.bias"].__setitem__("dtype", "int8")),
        graph(lambda g: g["weights"]["encoder/lstm.kernel"].__setitem__("dtype", "int8")),
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
    "F27": [
        put(K, "shape", [4, 5]),
        put(K, "shape", [20]),
        put(K, "dtype", "I32"),
        int8_kernel('{"scheme":1,"scales":{"dense.kernel":"dense.kernel.scale"}}'),
    ],
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
    "F30": [
        meta("rnnrt.plan", "[]"),
        plan(lambda p: p.pop("rows")),
        plan(lambda p: p.__setitem__("more", 0)),
        plan(lambda p: p["rows"].append(1)),
        plan(lambda p: p["rows"].__setitem__(0, p["rows"][0] + 1)),
        plan(lambda p: p["rows"].__setitem__(0, -1)),
        plan(lambda p: p.__setitem__("row_bytes", True)),
        plan(lambda p: p.__setitem__("row_bytes", -64)),
        plan(lambda p: p.__setitem__("streams", 1)),
        plan(lambda p: p["sources"].__setitem__(0, ["nowhere", False])),
        plan(lambda p: p["sources"].__setitem__(0, ["dense.kernel"])),
        plan(lambda p: p["sources"].__setitem__(0, ["rnnrt.proof/0/0", False])),
        plan(lambda p: p["sources"].__setitem__(0, [["dense.kernel"], False])),
        plan(lambda p: p.__setitem__("fixed", [-1])),
        plan(lambda p: p.__setitem__("starts", [0])),
        plan(lambda p: p.__setitem__("steps", [None])),
        plan(lambda p: p.__setitem__("places", [7])),
        plan(lambda p: p.__setitem__("symbols", "B")),
    ],
}
