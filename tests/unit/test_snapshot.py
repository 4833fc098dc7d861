"""Snapshots: portable, complete, and refused whole where anything about them is wrong."""

from __future__ import annotations

import dataclasses
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from cases.graphs import Builder
from runtime import BITWISE, model_of, same_bits

import rnnrt
from rnnrt.snapshot import SnapshotCodec

MODELS = Path(__file__).resolve().parents[2] / "models"


def _graph(units: int = 4, name: str = "lstm"):
    b = Builder()
    x = b.input("x", None, 3)
    (m,) = b.add("masking", "mask", x)
    options = {"kernel_size": [3], "strides": [1], "dilation_rate": [2], "padding": "causal"}
    (a,) = b.add("conv", "conv", x, channels=3, filters=3, **options)
    (y,) = b.add("lstm", name, a, units=units, return_sequences=True, mask=m)
    (z,) = b.add("gru", "gru", y, units=5, return_sequences=True)
    return b.done(z)


def _x(*shape: int, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal(shape).astype("float32")
    x[0, :2] = 0  # leading masked steps
    return x


@pytest.mark.parametrize("table", BITWISE)
def test_a_snapshot_goes_on_with_the_same_bits_on_every_table(table):
    graph, weights = _graph()
    here, there = model_of(graph, weights), model_of(graph, weights, table)
    x = _x(3, 12, 3)
    whole, s = here.predict(x), here.session(batch_size=3)
    for cut in (0, 1, 3, 8):
        s.reset()
        if cut:
            s.run(x[:, :cut])
        data = s.to_bytes()
        assert isinstance(data, bytes) and data == s.to_bytes()
        t = there.session(state=data)
        assert t.batch_size == 3 and t.to_bytes() == data
        assert same_bits(t.run(x[:, cut:]), whole[:, cut:])
        u = here.session(batch_size=3)
        u.run(_x(3, 2, 3, seed=5))
        u.restore(memoryview(data))
        assert same_bits(u.run(x[:, cut:]), whole[:, cut:])


def test_some_rows_from_a_snapshot():
    model = model_of(*_graph())
    x = _x(2, 6, 3)
    s, t = model.session(batch_size=2), model.session(batch_size=4)
    s.run(x)
    t.restore(s.to_bytes(), rows=[3, 1])
    state = t.get_state()["gru/h"]
    assert same_bits(state[[3, 1]], s.get_state()["gru/h"]) and not state[[0, 2]].any()
    with pytest.raises(rnnrt.StateError, match="holds 2 streams, expected 4"):
        t.restore(s.to_bytes())
    with pytest.raises(rnnrt.StateError, match="batch_size: 3, but the snapshot holds 2 streams"):
        model.session(batch_size=3, state=s.to_bytes())
    with pytest.raises(rnnrt.StateError, match="either state= or initial_state="):
        model.session(state=s.to_bytes(), initial_state=[1])


def test_states_that_are_not_keras_are_whole():
    model = model_of(*_graph())
    s, t, x = model.session(), model.session(), _x(1, 9, 3)
    s.run(x[:, :5])
    state = s.get_state()
    assert state["conv/context"].dtype == np.float32 and state["conv/context"].shape == (1, 4, 3)
    assert state["lstm/has_output"].dtype == bool and state["lstm/has_output"].all()
    t.set_state(state)
    assert t.to_bytes() == s.to_bytes()
    assert same_bits(t.run(x[:, 5:]), s.run(x[:, 5:]))


def test_in_another_process(tmp_path):
    """A file model, whose fingerprint is the same wherever it is loaded."""
    path = MODELS / "sine_gru" / "model.rnnrt"
    model = rnnrt.load(path)
    shape = [d or 9 for d in model.inputs[0].shape[1:]]
    x = np.random.default_rng(1).standard_normal((2, *shape)).astype("float32")
    s = model.session(batch_size=2)
    s.run(x)
    (tmp_path / "state").write_bytes(s.to_bytes())
    np.save(tmp_path / "x.npy", x)
    code = """if True:
        import sys, rnnrt, numpy as np
        model = rnnrt.load(sys.argv[1])
        s = model.session(state=open(sys.argv[2] + "/state", "rb").read())
        np.save(sys.argv[2] + "/y.npy", s.run(np.load(sys.argv[2] + "/x.npy")))"""
    subprocess.run([sys.executable, "-c", code, str(path), str(tmp_path)], check=True)
    assert same_bits(np.load(tmp_path / "y.npy"), s.run(x))


def test_the_layout_is_that_of_the_document():
    model = model_of(*_graph())
    s = model.session(batch_size=2)
    s.run(_x(2, 4, 3))
    data = s.to_bytes()
    magic, version, flags, length, fingerprint, row, n, zero = struct.unpack_from("<8sHHI32sQII", data)
    assert (magic, version, flags, zero) == (b"\x89rnnrtS\n", 1, 0, 0) and length % 64 == 0 and row % 64 == 0
    assert fingerprint.hex() == model.file.fingerprint
    assert struct.unpack_from("<Q", data, length - 8) == (2,) and len(data) == length + 2 * row + 4
    assert zlib.crc32(data[:-4]) == int.from_bytes(data[-4:], "little")
    at, found = 64, {}
    for _ in range(n):
        size, dtype, _, offset, nbytes = struct.unpack_from("<HBBII", data, at)
        name = data[at + 12 : at + 12 + size].decode()
        at += 12 + size
        rows = np.frombuffer(data, np.uint8, 2 * row, length).reshape(2, row)[:, offset : offset + nbytes]
        found[name] = np.ascontiguousarray(rows).view(["<f4", "<f8", "<i4"][dtype])
    assert not any(data[at : length - 8])
    state = s.get_state()
    assert set(found) == set(state)
    for name, a in state.items():
        assert np.array_equal(found[name].reshape(a.shape).astype(a.dtype), a)


def _sealed(data: bytes) -> bytes:
    """With a checksum that fits: what a forger sends."""
    return data[:-4] + zlib.crc32(data[:-4]).to_bytes(4, "little")


def _patched(data: bytes, at: int, value: bytes) -> bytes:
    return _sealed(data[:at] + value + data[at + len(value) :])


BAD = {
    "empty": (lambda d: b"", "0 bytes"),
    "magic": (lambda d: _patched(d, 0, b"\x00"), "do not begin"),
    "version": (lambda d: _patched(d, 8, b"\x02\x00"), "version 2"),
    "flags": (lambda d: _patched(d, 10, b"\x01\x00"), "version 1.1"),
    "header length": (lambda d: _patched(d, 12, b"\xff\xff\xff\x7f"), "truncated"),
    "odd header": (lambda d: _patched(d, 12, b"\x41\x00\x00\x00"), "truncated"),
    "model": (lambda d: _patched(d, 16, b"\x00" * 32), "of another model"),
    "row bytes": (lambda d: _patched(d, 48, b"\x00" * 8), "truncated"),
    "huge row": (lambda d: _patched(d, 48, b"\xff" * 8), "truncated"),
    "no slots": (lambda d: _patched(d, 56, b"\x00" * 4), "is missing"),
    "many slots": (lambda d: _patched(d, 56, b"\xff" * 4), "makes no sense|longer than|not UTF-8|outside|unknown"),
    "slot dtype": (lambda d: _patched(d, 66, b"\x09"), "makes no sense"),
    "slot offset": (lambda d: _patched(d, 68, b"\x04\x00\x00\x00"), "makes no sense"),
    "slot outside": (lambda d: _patched(d, 68, b"\x00\x00\x00\x10"), "outside"),
    "slot size": (lambda d: _patched(d, 72, b"\x04\x00\x00\x00"), "unknown|another size"),
    "slot name": (lambda d: _patched(d, 76, b"\xff"), "not UTF-8"),
    "slot unknown": (lambda d: _patched(d, 76, b"x"), "unknown"),
    "cut": (lambda d: d[:-1], "truncated"),
    "longer": (lambda d: d + b"\0", "truncated"),
    "no rows": (lambda d: _sealed(d[: int.from_bytes(d[12:16], "little") - 8] + b"\0" * 12), "truncated"),
    "one bit": (lambda d: d[:-70] + bytes([d[-70] ^ 1]) + d[-69:], "checksum"),
    "checksum": (lambda d: d[:-1] + bytes([d[-1] ^ 1]), "checksum"),
    "text": (lambda d: "x", "bytes, got str"),
    "list": (lambda d: [1, 2], "bytes, got list"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_refused_and_changes_nothing(case):
    model = model_of(*_graph())
    s = model.session(batch_size=2)
    s.run(_x(2, 5, 3))
    before = s.to_bytes()
    spoil, text = BAD[case]
    with pytest.raises(rnnrt.StateError, match=text):
        s.restore(spoil(before))
    with pytest.raises(rnnrt.StateError, match=text):
        model.session(state=spoil(before))
    assert s.to_bytes() == before


def test_any_damage_is_refused():
    model = model_of(*_graph())
    s = model.session()
    s.run(_x(1, 5, 3))
    data = s.to_bytes()
    for at in range(0, len(data), 3):
        with pytest.raises(rnnrt.StateError):
            model.snapshots.unpack(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        with pytest.raises(rnnrt.StateError):
            model.snapshots.unpack(data[:at])


def test_any_forgery_is_refused_or_harmless():
    """Headers changed at random under a right checksum: rows of the right size, or StateError."""
    model = model_of(*_graph())
    s = model.session()
    s.run(_x(1, 5, 3))
    data, rng = s.to_bytes(), np.random.default_rng(0)
    head = int.from_bytes(data[12:16], "little")
    for _ in range(3000):
        forged = bytearray(data)
        for at in rng.integers(0, head, rng.integers(1, 4)):
            forged[at] = rng.integers(0, 256)
        try:
            rows = model.snapshots.unpack(_sealed(bytes(forged)))
        except rnnrt.StateError:
            continue
        assert rows.shape == (1, model.plan.row_bytes)


@pytest.mark.parametrize("units, name", [(4, "other"), (6, "lstm")])
def test_another_model_is_refused_by_its_fingerprint(units, name):
    data = model_of(*_graph()).session().to_bytes()
    with pytest.raises(rnnrt.StateError, match="of another model"):
        model_of(*_graph(units, name)).session(state=data)


def test_rows_that_another_version_laid_out_differently():
    model = model_of(*_graph())
    s = model.session(batch_size=2)
    s.run(_x(2, 5, 3))
    rows = s.get_rows(0, 2)
    width, slots = model.plan.row_bytes, model.plan.state_info
    # the same slots in the opposite order, a gap before each
    moved, at = [], 64
    other = np.full((2, 2 * width), 0, np.uint8)
    for slot in reversed(slots):
        n = int(np.prod(slot.shape, dtype=int)) * 4
        other[:, at : at + n] = rows[:, slot.offset : slot.offset + n]
        moved.append(dataclasses.replace(slot, offset=at))
        at += -(-n // 64) * 64 + 64
    data = SnapshotCodec(model.file.fingerprint, moved, 2 * width).pack(other)
    assert model.session(state=data).to_bytes() == s.to_bytes()
