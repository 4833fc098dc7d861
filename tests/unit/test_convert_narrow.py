"""``convert --weights float16`` and ``int8`` from end to end, on trained models."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

import rnnrt
from rnnrt.cli import main
from rnnrt.cli.progress import Progress
from rnnrt.convert import build
from rnnrt.convert.narrow import narrow
from rnnrt.format.reader import read
from rnnrt.reference import Interpreter

MODELS = Path(__file__).parents[2] / "models"
TRAINED = ("digits_lstm", "embedding_lstm", "sine_gru", "char_simple_rnn")
BYTES = {"float16": 2, "int8": 1}


@pytest.mark.parametrize("asked", BYTES)
@pytest.mark.parametrize("name", TRAINED)
def test_trained_models(name, asked, tmp_path):
    source, target = MODELS / name / "model.h5", tmp_path / "m.rnnrt"
    report = rnnrt.convert(source, target, weights=asked)  # its proof is replayed, whole and in pieces
    assert report.proof_error <= report.proof_tolerance <= 1e-4
    assert report.narrowed.error <= {"float16": 5e-3, "int8": 0.1}[asked]
    file, built = read(target), build(source)
    assert asked in json.loads(file.metadata["rnnrt.requires"]) and ("rnnrt.quant" in file.metadata) == (
        asked == "int8"
    )
    matrices = sum(w.nbytes for n, w in built.weights.items() if n.endswith(("kernel", "embeddings")))
    others = sum(w.nbytes for w in built.weights.values()) - matrices
    scales = sum(w.nbytes for n, w in file.weights.items() if n.endswith(".scale"))
    assert file.weights_nbytes == matrices * BYTES[asked] // 4 + others + scales
    rnnrt.load(target, verify=True)


def test_the_error_is_that_of_the_runtime(tmp_path):
    source, target = MODELS / "sine_gru" / "model.h5", tmp_path / "m.rnnrt"
    model = rnnrt.load(source)
    shape = (6, *(n or 40 for n in model.inputs[0].shape[1:]))
    x = np.random.default_rng(3).standard_normal(shape).astype("float32")
    report = rnnrt.convert(source, target, weights="int8", calibration=x)
    y, ref = rnnrt.load(target).predict(x), Interpreter(*_parts(source)).predict([x])[0]
    error = (np.abs(y - ref) / np.maximum(1, np.abs(ref))).max()
    assert 0 < error <= 1.5 * report.narrowed.error and report.narrowed.error <= 1.5 * error
    assert "calibration inputs (6, " in str(report)


def _parts(source):
    built = build(source)
    return built.graph, built.weights


def test_the_command_line(tmp_path, capsys):
    source, target = MODELS / "digits_lstm" / "model.h5", tmp_path / "m.rnnrt"
    shape = (5, *(n or 9 for n in rnnrt.load(source).inputs[0].shape[1:]))
    x = np.random.default_rng(0).random(shape, dtype=np.float32)
    np.save(tmp_path / "x.npy", x)
    command = ["convert", str(source), "-o", str(target), "--weights", "int8", "--calibration", str(tmp_path / "x.npy")]
    assert main([*command, "--json"]) == 0
    free = json.loads(capsys.readouterr().out)["narrowed"]
    assert free["weights"] == "int8" and free["max_error"] is None and free["error"] > 0
    assert [(x["path"], x["dtype"], x["reason"]) for x in free["layers"]] == [
        ("lstm", "int8", ""),
        ("digit", "int8", ""),
    ]
    worst = max(x["error"] for x in free["layers"])
    assert main([*command, "--max-error", str(worst * 0.99)]) == 0
    text = capsys.readouterr().out
    assert "float32" in text and "would exceed" in text and "float64 with the original weights" in text
    graph, weights = _parts(source)
    np.savez(tmp_path / "x.npz", **{graph.inputs[0].name: x})
    assert main([*command[:-1], str(tmp_path / "x.npz"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["narrowed"]["error"] == free["error"]
    assert narrow(graph, weights, "int8", x)[2].error == free["error"]
    np.savez(tmp_path / "unnamed.npz", x)
    assert main([*command[:-1], str(tmp_path / "unnamed.npz"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["narrowed"]["error"] == free["error"]


def _damaged(folder: Path) -> dict[str, str]:
    """Files that are no calibration of digits_lstm -> what is said of them."""
    x = np.random.default_rng(0).random((5, 8, 8), dtype=np.float32)
    np.save(folder / "cut.npy", x)
    (folder / "cut.npy").write_bytes((folder / "cut.npy").read_bytes()[:300])
    np.savez(folder / "crc.npz", rows=x)
    data = bytearray((folder / "crc.npz").read_bytes())
    data[400] ^= 255
    (folder / "crc.npz").write_bytes(data)
    (folder / "short.npz").write_bytes(data[:200])
    (folder / "bad.npy").write_bytes(b"no")
    (folder / "numbers.csv").write_text("1,2\n3,4\n")
    np.savez(folder / "names.npz", x=x)
    np.savez(folder / "two.npz", x, x)
    np.save(folder / "wide.npy", x[:, :, :7])
    np.save(folder / "words.npy", np.array([["a"]]))
    x[4, 7, 0] = np.nan
    np.save(folder / "nan.npy", x)
    return {
        "cut.npy": "not a whole .npy or .npz file",
        "crc.npz": "not a whole .npy or .npz file of numbers: Bad CRC-32",
        "short.npz": "not a whole .npy or .npz file",
        "bad.npy": "not a .npy or .npz file; numpy.save",
        "numbers.csv": "not a .npy or .npz file; numpy.save",
        "names.npz": "calibration: expected arrays named rows, got x",
        "two.npz": "calibration: the model takes 1 inputs ['rows'], got 2 arrays",
        "wide.npy": "calibration: input 'rows': expected (None, 8, 8), got (5, 8, 7)",
        "words.npy": "calibration: input 'rows': expected numbers",
        "nan.npy": "calibration: input 'rows' holds nan at [4, 7, 0]",
        "missing.npy": "No such file",
    }


def test_bad_calibration_files_are_told_and_leave_nothing(tmp_path, capsys):
    says = _damaged(tmp_path)
    before = sorted(p.name for p in tmp_path.iterdir())
    command = ["convert", str(MODELS / "digits_lstm" / "model.h5"), "-o", str(tmp_path / "m.rnnrt"), "--json"]
    for name, text in says.items():
        assert main([*command, "--weights", "int8", "--calibration", str(tmp_path / name)]) == 1, name
        got = capsys.readouterr()
        assert text in got.err and text in json.loads(got.out)["error"]["message"], name
    assert sorted(p.name for p in tmp_path.iterdir()) == before


class _Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_measurement_draws_a_bar_that_goes_away(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Progress, "PATIENCE", 0.0)
    monkeypatch.setattr(Progress, "INTERVAL", 0.0)
    terminal = _Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    command = ["convert", str(MODELS / "sine_gru" / "model.h5"), "-o", str(tmp_path / "m.rnnrt")]
    assert main(command) == 0 and terminal.getvalue() == ""
    assert main([*command, "--weights", "int8", "--max-error", "0.004"]) == 0
    drawn = terminal.getvalue().split("\r\x1b[K")
    assert "runs of layers" in drawn[1] and "100%" in drawn[-2] and drawn[-1] == ""
