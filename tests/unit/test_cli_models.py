"""The models of models/, through the command line: converted anew and as they lie there, against Keras."""

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rnnrt
from rnnrt.cli import main

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "models"
NAMES = sorted(p.parent.name for p in MODELS.glob("*/make.py"))
STREAMING = [n for n in NAMES if n != "numbers_seq2seq"]  # a translator streams its two halves, see tools/examples
SOURCES = sorted(p.relative_to(MODELS).as_posix() for p in MODELS.glob("*/model.*") if p.suffix != ".rnnrt")
TOLERANCE = 1e-5  # times max(1, |reference|)


def run(capsys, *argv):
    code = main([str(a) for a in argv])
    out = capsys.readouterr()
    assert code == 0, out.err
    return out.out


def golden(name):
    return dict(np.load(MODELS / name / "golden.npz"))


def assert_close(got, want):
    assert got.shape == want.shape and got.dtype == want.dtype
    assert (np.abs(got - want) / np.maximum(1, np.abs(want))).max() <= TOLERANCE


def test_every_model_is_there():
    assert NAMES == ["char_simple_rnn", "digits_lstm", "embedding_lstm", "numbers_seq2seq", "sine_gru"]
    for name in NAMES:
        there = {p.name for p in (MODELS / name).iterdir()}
        assert {"make.py", "model.h5", "model.rnnrt", "README.md", "golden.npz"} <= there


@pytest.mark.parametrize("source", SOURCES)
def test_convert_verify_predict(capsys, tmp_path, source):
    name = source.split("/")[0]
    made, answer = tmp_path / "made.rnnrt", tmp_path / "y.npy"
    report = run(capsys, "convert", MODELS / source, "-o", made)
    assert "Layer (type)" in report and max(map(len, report.splitlines())) <= 80
    run(capsys, "verify", made)
    run(capsys, "predict", made, MODELS / name / "golden.npz", "-o", answer)
    assert_close(np.load(answer), golden(name)["out_0"])
    # the committed file is this conversion: the same bits out
    run(
        capsys,
        "predict",
        MODELS / name / "model.rnnrt",
        MODELS / name / "golden.npz",
        "-o",
        tmp_path / "z.npy",
    )
    assert np.load(tmp_path / "z.npy").tobytes() == np.load(answer).tobytes()


@pytest.mark.parametrize("name", STREAMING)
def test_sessions_against_stateful_keras(name):
    z = golden(name)
    model = rnnrt.load(MODELS / name / "model.rnnrt", verify=True)
    session = model.session(batch_size=len(z["stream_in"]))
    pieces, start = [], 0
    for n in z["stream_chunks"]:
        pieces.append(session.run(z["stream_in"][:, start : start + n]))
        start += n
    join = np.concatenate if pieces[0].ndim == 3 else np.stack
    assert_close(join(pieces, axis=1), z["stream_out_0"])


@pytest.mark.parametrize("name", STREAMING)
@pytest.mark.parametrize("form", ["csv", "json"])
def test_stream_is_the_session(capsys, monkeypatch, name, form):
    x = golden(name)["stream_in"][:1, :9]
    session = rnnrt.load(MODELS / name / "model.rnnrt").session(batch_size=1)
    want = np.concatenate([session.step(x[:, t]) for t in range(x.shape[1])])
    as_text = {
        "csv": lambda step: ",".join(map(str, np.atleast_1d(step).tolist())),
        "json": lambda step: json.dumps(np.atleast_1d(step).tolist()),
    }[form]
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(as_text(step) + "\n" for step in x[0])))
    lines = run(capsys, "stream", MODELS / name / "model.rnnrt", *(["--json"] if form == "json" else [])).splitlines()
    read = {"csv": lambda s: [np.float32(v) for v in s.split(",")], "json": json.loads}[form]
    assert np.array([read(s) for s in lines], np.float32).tobytes() == want.tobytes()


@pytest.mark.parametrize("name", NAMES)
def test_inspect_and_check(capsys, name):
    text = run(capsys, "inspect", MODELS / name / "model.rnnrt", "--batch", 2, "--steps", 8)
    assert "Layer (type)" in text and "sequence" in text and max(map(len, text.splitlines())) <= 80
    facts = json.loads(run(capsys, "inspect", MODELS / name / "model.rnnrt", "--json"))
    assert facts["session"] == "sequence"
    report = json.loads(run(capsys, "check", MODELS / name / "model.h5", "--json"))
    assert report["ok"] is True


def test_bench_runs(capsys):
    argv = ["bench", MODELS / "digits_lstm/model.rnnrt", "--batch", "1,4", "--seconds", 0.02, "--json"]
    result = json.loads(run(capsys, *argv))
    assert result["steps"] == 8 and 0 < result["step"]["p50"] <= result["step"]["p99"]
    assert result["isa"] in rnnrt.info()["kernel_tables"]


def test_the_letters_readme_writes_sentences(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    (code,) = re.findall(r"```python\n(.*?)```", (MODELS / "char_simple_rnn/README.md").read_text(), re.S)
    exec(compile(code, "README.md", "exec"), {})
    sentences = capsys.readouterr().out.split("\n")
    animals = "fox|owl|bear|hare|goat|raven|badger|otter"
    grammar = rf".*(the|two) (old |quiet |clever |hungry |little )?({animals})(s|es)? \w+ \w+ the .*\."
    whole = [s for s in sentences[:-2] if s]
    assert len(whole) >= 2 and all(re.fullmatch(grammar, s) for s in whole), sentences


def test_as_a_process(tmp_path):
    """``python -m rnnrt`` from elsewhere; a reader that goes away early sees no traceback."""
    argv = [sys.executable, "-m", "rnnrt", "stream", str(MODELS / "sine_gru/model.rnnrt")]
    process = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert process.stdin and process.stdout and process.stderr
    with process.stdin, process.stdout, process.stderr:
        for value in ("0.5\n", "0.25\n"):  # each line is answered before the next is given
            process.stdin.write(value)
            process.stdin.flush()
            assert np.isfinite(float(process.stdout.readline()))
        process.stdout.close()
        process.stdin.write("0.5\n" * 3)
        process.stdin.close()
        assert process.stderr.read() == ""
    assert process.wait(10) == 1
