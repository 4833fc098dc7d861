"""Writer and reader: round trip, determinism, the safetensors package, all or nothing on disk."""

import errno
import json
import os
import subprocess
import sys
import tempfile
import zlib

import numpy as np
import pytest
import safetensors.numpy
from format_models import ids_graph, join, lstm_graph, proof_of, rnn_graph, split, weights_of
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnrt.errors import FormatError
from rnnrt.format import codec, reader, writer
from rnnrt.format.codec import fingerprint
from rnnrt.format.reader import read
from rnnrt.format.writer import write
from rnnrt.ir.graph import WeightSpec
from rnnrt.ir.narrow import quantise
from rnnrt.native import _native as native

MODELS = {
    "lstm": (lstm_graph(), proof_of(lstm_graph())),
    "odd": (lstm_graph(features=1, units=17, classes=3, steps=8), None),
    "rnn": (rnn_graph(), proof_of(rnn_graph(), (2, 8, 2), time=True)),
    "ids": (ids_graph(), None),
    # tensors of 64 k bytes and others, values of 4 and of 8 bytes
    "mixed": (lstm_graph(features=16, units=16, classes=3), proof_of(lstm_graph(), (2, 3), dtype="float64")),
}


@pytest.fixture(params=MODELS)
def model(request, tmp_path):
    graph, proof = MODELS[request.param]
    path = tmp_path / "m.rnnrt"
    weights = weights_of(graph)
    write(path, graph, weights, proof=proof, source_sha256="ab" * 32, producer="rnnrt 0.1 ü")
    return path, graph, weights, proof


def test_round_trip(model):
    path, graph, weights, proof = model
    m = read(path)
    assert dumps(m.graph) == dumps(graph)
    assert list(m.weights) == list(graph.weights)
    for k, w in weights.items():
        np.testing.assert_array_equal(m.weights[k], w)
        assert m.weights[k].dtype == w.dtype and not m.weights[k].flags.writeable
    assert m.nbytes == path.stat().st_size and m.checked
    assert m.weights_nbytes == sum(w.nbytes for w in weights.values())
    assert (m.source_sha256, m.producer) == ("ab" * 32, "rnnrt 0.1 ü")
    assert m.fingerprint == codec.fingerprint(graph, weights)
    if proof is None:
        assert m.proof is None
    else:
        for case, want in zip(m.proof.cases, proof.cases):
            for out, ref in zip(case.outputs, want.outputs):
                np.testing.assert_array_equal(out.values, ref.values)
                assert (out.shape, out.tolerance, out.time) == (ref.shape, ref.tolerance, ref.time)
            assert (case.seed, case.batch, case.steps, case.runs, case.cuts) == (
                (want.seed, want.batch, want.steps, want.runs, want.cuts)
            )


def dumps(graph):
    return codec.dumps(codec.graph_to_json(graph))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 9), st.integers(0, 2**32))
def test_round_trip_of_any_size_and_bits(features, units, classes, seed):
    graph = lstm_graph(features, units, classes)
    rng = np.random.default_rng(seed)
    weights = {k: rng.integers(0, 2**32, w.shape, np.uint32).view("f4") for k, w in graph.weights.items()}
    with tempfile.TemporaryDirectory() as folder:
        write(f"{folder}/m.rnnrt", graph, weights)
        m = read(f"{folder}/m.rnnrt")
    for k, w in weights.items():  # NaNs and infinities too: bits, not values
        np.testing.assert_array_equal(m.weights[k].view("u4"), w.view("u4"))


def test_safetensors_reads_the_same(model):
    path, graph, weights, proof = model
    theirs = safetensors.numpy.load_file(path)
    for k, w in weights.items():
        np.testing.assert_array_equal(theirs.pop(k), w)
    assert set(theirs) == ({"rnnrt.proof/0/0"} if proof else set())


def test_data_begin_at_a_multiple_of_64(model):
    path, graph, weights, _ = model
    blob = path.read_bytes()
    top, data = split(blob)
    assert (len(blob) - len(data)) % 64 == 0
    for k, v in top.items():
        if k != "__metadata__":
            assert v["data_offsets"][0] % {"F32": 4, "F64": 8}[v["dtype"]] == 0
    m = read(path)
    base = min(w.ctypes.data for w in m.weights.values())
    for k, w in m.weights.items():
        a, b = top[k]["data_offsets"]
        assert a % w.itemsize == 0 and w.ctypes.data % w.itemsize == 0
        if (b - a) % 64 == 0:
            assert a % 64 == 0 and w.ctypes.data % 64 == 0
    assert base % 64 == 0


def test_same_arguments_same_bytes(tmp_path, model):
    path, graph, weights, proof = model
    again = tmp_path / "again.rnnrt"
    write(
        again,
        graph,
        {k: np.asfortranarray(w) for k, w in reversed(weights.items())},
        proof=proof,
        source_sha256="ab" * 32,
        producer="rnnrt 0.1 ü",
    )
    assert again.read_bytes() == path.read_bytes()
    m = read(path)
    write(again, m.graph, m.weights, proof=m.proof, source_sha256=m.source_sha256, producer=m.producer)
    assert again.read_bytes() == path.read_bytes(), "what was read is written again byte by byte"


def test_same_bytes_in_another_process(tmp_path, model):
    path, *_ = model
    code = (
        "import sys; from rnnrt.format.reader import read; from rnnrt.format.writer import write;"
        "m = read(sys.argv[1]);"
        "write(sys.argv[2], m.graph, m.weights, proof=m.proof, source_sha256=m.source_sha256, producer=m.producer)"
    )
    again = tmp_path / "again.rnnrt"
    for seed in ("1", "2"):
        env = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        subprocess.run([sys.executable, "-c", code, path, again], check=True, env=env)
        assert again.read_bytes() == path.read_bytes()


def test_reads_what_the_safetensors_package_writes(tmp_path, model):
    path, graph, weights, _ = model
    top, _ = split(path.read_bytes())
    metadata = {k: v for k, v in top["__metadata__"].items() if "crc32" not in k}
    other = tmp_path / "other.rnnrt"
    safetensors.numpy.save_file(safetensors.numpy.load_file(path), other, metadata=metadata)
    m = read(other)
    assert not m.checked and m.fingerprint == read(path).fingerprint
    for k, w in weights.items():
        np.testing.assert_array_equal(m.weights[k], w)
    safetensors.numpy.save_file(safetensors.numpy.load_file(path), other, metadata=top["__metadata__"])
    with pytest.raises(FormatError, match="must leave out rnnrt.crc32"):
        read(other)


@pytest.mark.parametrize("key", ['"rnnrt.header_crc32" :\n "', '"rnnrt.header_crc32":"'])
def test_reads_a_header_that_another_tool_wrote(model, key):
    """White space around the header's checksum, and behind the header."""
    path, graph, weights = model[:3]
    top, data = split(path.read_bytes())
    text = json.dumps(top, separators=(",", ":"), ensure_ascii=False).replace('"rnnrt.header_crc32":"', key)
    raw = text.encode() + b" " * 5
    stored = top["__metadata__"]["rnnrt.header_crc32"].encode()
    digits = b"%08x" % zlib.crc32(raw.replace(stored, b"00000000"))
    raw = raw.replace(stored, digits)
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + data)
    assert read(path).checked
    path.write_bytes(len(raw).to_bytes(8, "little") + raw.replace(digits, b"0123abcd") + data)
    with pytest.raises(FormatError, match=r"\[F22\]"):
        read(path)


def test_reads_unaligned_data(tmp_path):
    """A header of odd length, and a byte tensor before the weights."""
    graph, proof = MODELS["lstm"]
    path = tmp_path / "m.rnnrt"
    weights = weights_of(graph)
    write(path, graph, weights, proof=proof)
    top, data = split(path.read_bytes())
    for k in ("rnnrt.crc32", "rnnrt.header_crc32"):
        del top["__metadata__"][k]
    end = top["rnnrt.proof/0/0"]["data_offsets"][0]
    for k, v in top.items():
        if k != "__metadata__":
            v["data_offsets"] = [o + 1 for o in v["data_offsets"]]
    # the proof shrinks to one bool, which stands first and shifts all the rest by a byte
    assert end + 32 == len(data)
    top["rnnrt.proof/0/0"] = {"dtype": "BOOL", "shape": [1], "data_offsets": [0, 1]}
    blob = join(top, b"\1" + data[:end])
    n = int.from_bytes(blob[:8], "little")
    blob = (n + 1).to_bytes(8, "little") + blob[8 : 8 + n] + b" " + blob[8 + n :]
    path.write_bytes(blob)
    m = read(path)
    for k, w in weights.items():
        np.testing.assert_array_equal(m.weights[k], w)
        assert m.weights[k].flags.aligned
    assert m.proof.cases[0].outputs[0].values.dtype == np.bool_


def test_nothing_stays_open_or_mapped(model):
    path, graph, weights, _ = model
    before = set(os.listdir("/proc/self/fd"))
    m = read(path)
    assert set(os.listdir("/proc/self/fd")) == before
    os.truncate(path, 0)
    for k, w in weights.items():
        np.testing.assert_array_equal(m.weights[k], w)
    with pytest.raises(FormatError):
        read(path)
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.rnnrt")


@pytest.mark.parametrize("damage", ["shorter", "longer"])
def test_a_file_that_changes_while_it_is_read_is_refused(model, monkeypatch, damage):
    path, *_ = model
    parse = reader.header.parse

    def parse_and_change(raw):
        out = parse(raw)
        if damage == "shorter":
            os.truncate(path, path.stat().st_size - 1)
        else:
            with open(path, "ab") as f:
                f.write(b"x")
        return out

    monkeypatch.setattr(reader.header, "parse", parse_and_change)
    with pytest.raises(FormatError, match=r"changed while it was read \[F16\]"):
        read(path)


# ---------------------------------------------------------------- the writer


@pytest.mark.parametrize(
    "change,message",
    [
        (lambda w: w.pop("dense.bias"), r"dense\.bias: the weight is missing \[F26\]"),
        (lambda w: w.__setitem__("more", np.zeros(1, "f4")), r"more: the graph names no such weight \[F26\]"),
        (
            lambda w: w.__setitem__("dense.kernel", w["dense.kernel"].T),
            r"dense\.kernel: expected float32 \(5, 4\), got float32 \(4, 5\) \[F27\]",
        ),
        (lambda w: w.__setitem__("dense.bias", w["dense.bias"].astype("f8")), r"got float64 \(4,\) \[F27\]"),
        (lambda w: w.__setitem__("dense.bias", w["dense.bias"].astype(">f4")), r"\[F27\]"),
    ],
)
def test_weights_are_checked(tmp_path, change, message):
    graph = lstm_graph()
    weights = weights_of(graph)
    change(weights)
    with pytest.raises(FormatError, match=message):
        write(tmp_path / "m.rnnrt", graph, weights)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("name", ["rnnrt.proof/0/0", "__metadata__"])
def test_reserved_weight_names(tmp_path, name):
    graph = lstm_graph()
    graph.weights[name] = WeightSpec(name, (4,))
    del graph.weights["dense.bias"]
    graph.nodes[1].weights["bias"] = name
    with pytest.raises(FormatError, match="reserved"):
        write(tmp_path / "m.rnnrt", graph, weights_of(graph))


@pytest.mark.parametrize("options", [{"source_sha256": "A" * 64}, {"source_sha256": "0"}, {"producer": "\ud800"}])
def test_metadata_is_checked(tmp_path, options):
    graph = lstm_graph()
    with pytest.raises(FormatError):
        write(tmp_path / "m.rnnrt", graph, weights_of(graph), **options)
    assert not os.listdir(tmp_path)


def int8_model():
    graph = lstm_graph()
    weights = weights_of(graph)
    graph.weights["dense.kernel"] = WeightSpec("dense.kernel", graph.weights["dense.kernel"].shape, "int8")
    weights["dense.kernel"], weights["dense.kernel.scale"] = quantise(weights["dense.kernel"], "kernel")
    return graph, weights


def test_int8_weights_come_back_with_their_scales(tmp_path):
    graph, weights = int8_model()
    write(tmp_path / "m.rnnrt", graph, weights)
    file = read(tmp_path / "m.rnnrt")
    assert set(file.weights) == set(weights)
    assert all(np.array_equal(file.weights[k], w) and file.weights[k].dtype == w.dtype for k, w in weights.items())
    quant = json.loads(file.metadata["rnnrt.quant"])
    assert quant == {"scheme": 1, "scales": {"dense.kernel": "dense.kernel.scale"}}
    other = {**weights, "dense.kernel.scale": weights["dense.kernel.scale"] * 2}
    assert fingerprint(graph, other) != file.fingerprint == fingerprint(graph, weights)
    del weights["dense.kernel.scale"]
    with pytest.raises(FormatError, match=r"dense\.kernel\.scale: the weight is missing \[F26\]"):
        write(tmp_path / "n.rnnrt", graph, weights)


def test_a_dtype_that_the_runtime_lacks_is_declared_and_refused(tmp_path, monkeypatch):
    write(tmp_path / "m.rnnrt", *int8_model())
    monkeypatch.setattr("rnnrt.format.reader.SUPPORTED_FEATURES", frozenset())
    with pytest.raises(FormatError, match=r"rnnrt\.requires: this version of rnnrt cannot do 'int8' \[F20\]"):
        read(tmp_path / "m.rnnrt")


FAILING = {
    "open": OSError(errno.EACCES, "no"),
    "write": OSError(errno.ENOSPC, "disk full"),
    "fsync": OSError(errno.EIO, "disk broken"),
    "replace": OSError(errno.EXDEV, "no"),
    "interrupt": KeyboardInterrupt(),
}


@pytest.mark.parametrize("old", [b"old bytes", None])
@pytest.mark.parametrize("where", FAILING)
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, where, old):
    path = tmp_path / "m.rnnrt"
    if old is not None:
        path.write_bytes(old)
    calls = []

    def fail(*args, **kwargs):
        calls.append(args)
        raise FAILING[where]

    write_ = os.write

    def half(fd, data):
        """A disk that takes some bytes, then is full."""
        if calls:
            fail()
        calls.append(data)
        return write_(fd, data[:100])

    graph = lstm_graph()
    name = {"interrupt": "fsync"}.get(where, where)
    with monkeypatch.context() as patch:
        patch.setattr(writer.os, name, half if where == "write" else fail)
        with pytest.raises(type(FAILING[where])):
            write(path, graph, weights_of(graph))
    assert calls
    assert os.listdir(tmp_path) == ([] if old is None else ["m.rnnrt"])
    assert old is None or path.read_bytes() == old


def test_short_writes_go_on(tmp_path, monkeypatch):
    graph = lstm_graph()
    write(tmp_path / "a.rnnrt", graph, weights_of(graph))
    write_ = os.write
    with monkeypatch.context() as patch:
        patch.setattr(writer.os, "write", lambda fd, data: write_(fd, data[:33]))
        write(tmp_path / "b.rnnrt", graph, weights_of(graph))
    assert (tmp_path / "a.rnnrt").read_bytes() == (tmp_path / "b.rnnrt").read_bytes()


def test_the_file_and_its_directory_are_synced_in_order(tmp_path, monkeypatch):
    graph = lstm_graph()
    events = []
    fsync, replace = os.fsync, os.replace

    def log_fsync(fd):
        events.append("directory" if os.path.isdir(f"/proc/self/fd/{fd}") else "file")
        fsync(fd)

    def log_replace(a, b):
        events.append("replace")
        replace(a, b)

    with monkeypatch.context() as patch:
        patch.setattr(writer.os, "fsync", log_fsync)
        patch.setattr(writer.os, "replace", log_replace)
        write(tmp_path / "m.rnnrt", graph, weights_of(graph))
    assert events == ["file", "replace", "directory"]


def test_writing_over_a_directory_fails_and_leaves_nothing(tmp_path):
    (tmp_path / "d").mkdir()
    graph = lstm_graph()
    with pytest.raises(OSError):
        write(tmp_path / "d", graph, weights_of(graph))
    assert os.listdir(tmp_path) == ["d"]


def test_the_cores_checksum_is_zlibs():
    random = np.random.default_rng(0)
    for n in (*range(200), 4096, 100_003):
        data = random.bytes(n)
        assert native.crc32(data) == zlib.crc32(data), n
        assert native.crc32(data, 12345) == zlib.crc32(data, 12345), n
