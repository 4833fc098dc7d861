"""The command line over a small model made here: files in and out, exit codes, messages, JSON, progress."""

import io
import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from cases.graphs import Builder
from runtime import model_of

import rnnrt
from rnnrt.cli import COMMANDS, main
from rnnrt.cli.progress import Progress
from rnnrt.errors import ShapeError, UnsupportedLayerError


class Summing:
    """Sums its input over time and features: (B, T, 2) float32 -> (B, 1); a session carries the sum."""

    def __init__(self, **changes):
        self.inputs = [SimpleNamespace(name="x", shape=(None, None, 2), dtype="float32")]
        self.outputs = [SimpleNamespace(name="sum", shape=(None, 1), dtype="float32")]
        self.batches = []
        self.__dict__.update(changes)

    def predict(self, x):
        if x.ndim != 3 or x.shape[2] != 2:
            raise ShapeError(f"input 'x': expected (batch, time, 2), got {x.shape}")
        self.batches.append(len(x))
        return np.asarray(x, np.float32).sum((1, 2))[:, None]

    def describe(self):
        return {"kernels": "avx2", "device": "cpu", "math": "fp32"}

    def session(self, batch_size=1):
        outer = self

        class Session:
            total = np.zeros((batch_size, 1), np.float32)

            def step(self, x):
                self.total = self.total + outer.predict(np.asarray(x)[:, None])
                return self.total

            def reset(self):
                self.total = np.zeros((batch_size, 1), np.float32)

        return Session()


@pytest.fixture
def model(monkeypatch):
    made = Summing()
    monkeypatch.setattr(rnnrt, "load", lambda path, **_: made)
    return made


def run(capsys, *argv):
    code = main([str(a) for a in argv])
    out = capsys.readouterr()
    return code, out.out, out.err


# ---------------------------------------------------------------- usage
@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example_and_json(capsys, command):
    code, out, _ = run(capsys, command, "--help")
    assert code == 0 and "--json" in out and "example:\n" in out and f"rnnrt {command}" in out
    assert max(map(len, out.splitlines())) <= 100


def test_top_level_help_lists_the_commands(capsys):
    code, out, _ = run(capsys, "--help")
    assert code == 0 and all(f"  {c} " in out for c in COMMANDS)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([], "usage: rnnrt COMMAND"),
        (["conver"], "did you mean 'convert'?"),
        (["frobnicate"], "choose from convert"),
        (["convert"], "SOURCE"),
        (["predict", "m.rnnrt"], "INPUT"),
        (["predict", "m.rnnrt", "x.npy", "--batch-size", "0"], "must be 1 or more"),
        (["convert", "m.h5", "--weights", "int3"], "invalid choice"),
        (["bench", "m.rnnrt", "--batch", "1,0"], "1 or more"),
    ],
)
def test_wrong_usage_is_exit_code_2(capsys, argv, says):
    code, out, err = run(capsys, *argv)
    assert (code, out) == (2, "") and says in err


def test_help_loads_no_converter_and_no_h5py():
    code = "import sys; from rnnrt.cli import main; main(['predict', '--help']); print('h5py' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.splitlines()[-1] == "False"


# ---------------------------------------------------------------- failures
def _raises(error):
    def call(*args, **kwargs):
        raise error

    return call


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (UnsupportedLayerError("enc/odd: no such layer", "enc/odd"), "rnnrt convert: enc/odd: no such layer"),
        (FileNotFoundError(2, "No such file or directory", "m.h5"), "m.h5: No such file or directory"),
        (MemoryError("too much"), "too much"),
        (
            ZeroDivisionError("oops"),
            "internal error (RNNRT_TRACEBACK=1 shows where): ZeroDivisionError: oops",
        ),
    ],
)
def test_failures_are_exit_code_1_without_traceback(capsys, monkeypatch, error, says):
    monkeypatch.delenv("RNNRT_TRACEBACK", raising=False)
    monkeypatch.setattr(rnnrt, "convert", _raises(error))
    code, out, err = run(capsys, "convert", "m.h5")
    assert (code, out) == (1, "") and says in err and "Traceback" not in err
    code, out, err = run(capsys, "convert", "m.h5", "--json")
    assert code == 1 and json.loads(out)["error"]["type"] == type(error).__name__


def test_interrupt(capsys, monkeypatch):
    monkeypatch.setattr(rnnrt, "convert", _raises(KeyboardInterrupt()))
    assert run(capsys, "convert", "m.h5") == (130, "", "")


# ---------------------------------------------------------------- convert, check, verify
class Report:
    def __init__(self, ok):
        self.ok = ok

    def __str__(self):
        return "the report"

    def to_dict(self):
        return {"ok": self.ok, "worst": np.float32(0.1), "nan": float("nan")}


def test_convert_passes_what_was_given(capsys, monkeypatch):
    calls = []
    monkeypatch.setattr(rnnrt, "convert", lambda *a, **k: calls.append((a, k)) or Report(True))
    assert run(capsys, "convert", "m.h5") == (0, "the report\n", "")
    run(
        capsys,
        *"convert m.h5 -o o.rnnrt --inputs a,b --outputs c --architecture m.json --weights float32".split(),
    )
    given = {"architecture": "m.json", "inputs": ["a", "b"], "outputs": ["c"], "weights": "float32"}
    assert calls == [(("m.h5", None), {}), (("m.h5", "o.rnnrt"), given)]


@pytest.mark.parametrize("ok", [True, False])
def test_check_and_verify_tell_by_exit_code(capsys, monkeypatch, ok):
    monkeypatch.setattr(rnnrt, "check", lambda src, **_: Report(ok))
    monkeypatch.setattr(rnnrt, "verify", lambda path, keras=None: Report(ok))
    for argv in (["check", "m.h5"], ["verify", "m.rnnrt", "--keras", "m.h5"]):
        assert run(capsys, *argv)[:2] == (1 - ok, "the report\n")
        code, out, _ = run(capsys, *argv, "--json")
        assert code == 1 - ok and json.loads(out) == {"ok": ok, "worst": 0.1, "nan": "NaN"}


# ---------------------------------------------------------------- predict
X = np.arange(20, dtype=np.float32).reshape(2, 5, 2)
SUMS = [[45.0], [145.0]]


def _files(folder):
    np.save(folder / "x.npy", X)
    np.savez(folder / "byname.npz", x=X, other=X)
    np.savez(folder / "golden.npz", in_0=X, out_0=X)
    np.savez(folder / "single.npz", whatever=X)
    text = "\n\n".join("\n".join(",".join(map(str, step)) for step in seq) for seq in X)
    (folder / "x.csv").write_text("\ufeffa,b\n" + text + "\n", encoding="utf-8")
    return ["x.npy", "byname.npz", "golden.npz", "single.npz", "x.csv"]


def test_predict_reads_every_kind_of_file(capsys, tmp_path, model):
    for name in _files(tmp_path):
        code, out, err = run(capsys, "predict", "m.rnnrt", tmp_path / name)
        assert (code, err) == (0, ""), name
        assert [[float(v) for v in line.split(",")] for line in out.splitlines()] == SUMS
        assert run(capsys, "predict", "m.rnnrt", f"x={tmp_path / name}")[1] == out


def test_predict_writes_every_kind_of_file(capsys, tmp_path, model):
    np.save(tmp_path / "x.npy", X)
    for name in ("y.npy", "y.npz", "y.csv"):
        target = tmp_path / name
        code, out, _ = run(capsys, "predict", "m.rnnrt", tmp_path / "x.npy", "-o", target)
        assert code == 0 and "sum (2, 1)" in out
        read = {
            "y.npy": np.load,
            "y.npz": lambda p: np.load(p)["sum"],
            "y.csv": lambda p: np.loadtxt(p, ndmin=2),
        }
        assert read[name](target).tolist() == SUMS
    code, out, _ = run(capsys, "predict", "m.rnnrt", tmp_path / "x.npy", "--json")
    assert code == 0 and json.loads(out)["outputs"] == {"sum": SUMS}


def test_csv_output_is_exact(capsys, tmp_path, monkeypatch):
    values = np.random.default_rng(0).standard_normal((3, 4, 5)).astype(np.float32)
    outputs = [SimpleNamespace(name="y", shape=(None, None, 5), dtype="float32")]
    fake = Summing(outputs=outputs, predict=lambda x: values)
    monkeypatch.setattr(rnnrt, "load", lambda path, **_: fake)
    np.save(tmp_path / "x.npy", X)
    _, out, _ = run(capsys, "predict", "m.rnnrt", tmp_path / "x.npy")
    blocks = [[[np.float32(v) for v in r.split(",")] for r in b.splitlines()] for b in out.split("\n\n")]
    assert np.array_equal(np.array(blocks), values)


def test_predict_runs_in_batches(capsys, tmp_path, model):
    x = np.random.default_rng(1).standard_normal((10, 3, 2)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    assert run(capsys, "predict", "m.rnnrt", tmp_path / "x.npy", "--batch-size", 4, "-o", tmp_path / "y.npy")[0] == 0
    assert model.batches == [4, 4, 2]
    assert np.array_equal(np.load(tmp_path / "y.npy"), Summing().predict(x))


def test_predict_with_several_inputs_and_outputs(capsys, tmp_path, monkeypatch):
    spec = [SimpleNamespace(name=n, shape=(None, 1), dtype="float32") for n in ("a", "b")]
    fake = SimpleNamespace(inputs=spec, outputs=spec, predict=lambda x: {"a": x[1], "b": x[0]})
    monkeypatch.setattr(rnnrt, "load", lambda path, **_: fake)
    np.save(tmp_path / "one.npy", [[1.0]])
    np.save(tmp_path / "two.npy", [[2.0]])
    code, out, _ = run(capsys, "predict", "m.rnnrt", f"b={tmp_path}/two.npy", tmp_path / "one.npy")
    assert (code, out) == (0, "# a\n2.0\n\n# b\n1.0\n")
    code, _, err = run(capsys, "predict", "m.rnnrt", tmp_path / "one.npy")
    assert code == 1 and "no data for input b" in err
    code, _, err = run(capsys, "predict", "m.rnnrt", *[tmp_path / "one.npy"] * 3)
    assert code == 1 and "one file too many" in err
    code, _, err = run(capsys, "predict", "m.rnnrt", tmp_path / "one.npy", tmp_path / "two.npy", "-o", "y.npy")
    assert code == 1 and "write them to one .npz" in err


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("x.csv", "1,2\n3\n", "lines of 1 and of 2 numbers"),
        ("x.csv", "1,2\n3,4\n\n5,6\n", "sequences of 1 and of 2 steps"),
        ("x.csv", "1,2\n3,oops\n", "x.csv:2: not numbers"),
        ("x.csv", "a,b\n", "holds no numbers"),
        ("x.csv", "1,2,3\n", "expected (batch, time, 2)"),
        ("x.npy", "not an array", "x.npy: "),
        ("x.npz", "not a zip", "x.npz: "),
        ("x.parquet", "", "unknown kind of file"),
    ],
)
def test_predict_names_what_is_wrong_with_a_file(capsys, tmp_path, model, name, text, says):
    (tmp_path / name).write_text(text)
    code, out, err = run(capsys, "predict", "m.rnnrt", tmp_path / name)
    assert (code, out) == (1, "") and says in err and "Traceback" not in err


def test_predict_refuses_before_it_runs(capsys, tmp_path, model):
    np.save(tmp_path / "x.npy", X)
    for target, says in (("y.txt", "write to .npy"), (tmp_path / "none" / "y.npy", "there is no folder")):
        code, _, err = run(capsys, "predict", "m.rnnrt", tmp_path / "x.npy", "-o", target)
        assert code == 1 and says in err
    code, _, err = run(capsys, "predict", "m.rnnrt", tmp_path / "absent.npy")
    assert code == 1 and "No such file" in err
    code, _, err = run(capsys, "predict", "m.rnnrt", f"z={tmp_path}/x.npy")
    assert code == 1 and "the model has no input 'z'; it has x" in err
    assert model.batches == []


def test_pickles_are_never_opened(capsys, tmp_path, model):
    np.save(tmp_path / "x.npy", np.array([object()]), allow_pickle=True)
    code, _, err = run(capsys, "predict", "m.rnnrt", tmp_path / "x.npy")
    assert code == 1 and "pickle" in err


# ---------------------------------------------------------------- stream
def stream(capsys, monkeypatch, text, *argv):
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    return run(capsys, "stream", "m.rnnrt", *argv)


def test_stream_answers_each_line_and_resets_at_a_blank_one(capsys, monkeypatch, model):
    code, out, err = stream(capsys, monkeypatch, '1,2\n3 4\n\n[5, 6]\n{"x": [7, 8]}\n')
    assert (code, err) == (0, "") and out.splitlines() == ["3.0", "10.0", "", "11.0", "26.0"]
    code, out, _ = stream(capsys, monkeypatch, "1,2\n", "--json")
    assert json.loads(out) == [3.0]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("1,2,3", "line 2: input 'x': expected 2 number(s) a step, got 3"),
        ("a,b", "line 2: csv: not numbers"),
        ("[1, 2", "line 2: not JSON"),
        ('{"y": [1, 2]}', "line 2: expected the inputs x, got y"),
        ('["a", "b"]', "line 2: input 'x': not an array of numbers"),
    ],
)
def test_stream_names_the_line(capsys, monkeypatch, model, line, says):
    code, out, err = stream(capsys, monkeypatch, f"1,2\n{line}\n")
    assert (code, out) == (1, "3.0\n") and says in err


def test_stream_of_ids(capsys, monkeypatch):
    class Ids(Summing):
        def session(self, batch_size=1):
            return SimpleNamespace(step=lambda x: np.array([[int(x[0])]]) if x.shape == (1,) else None)

    fake = Ids(inputs=[SimpleNamespace(name="ids", shape=(None, None), dtype="int32")])
    monkeypatch.setattr(rnnrt, "load", lambda path, **_: fake)
    assert stream(capsys, monkeypatch, "4\n5\n")[1] == "4\n5\n"
    code, _, err = stream(capsys, monkeypatch, "4.5\n")
    assert code == 1 and "ids must be whole numbers, got 4.5" in err


# ---------------------------------------------------------------- bench, info, progress
def test_bench_prints_tables_and_json(capsys, monkeypatch):
    b = Builder()
    (y,) = b.add("gru", "cell", b.input("x", None, 3), units=4, return_sequences=True)
    monkeypatch.setattr(rnnrt, "load", lambda path, **_: model_of(*b.done(y), "portable"))
    argv = ["bench", "m.rnnrt", "--steps", 4, "--batch", "1,3", "--seconds", 0.01]
    code, out, _ = run(capsys, *argv)
    assert code == 0 and "step" in out and "portable" in out and max(map(len, out.splitlines())) <= 80
    assert "layers of predict, batch 3" in out and "cell" in out
    _, out, _ = run(capsys, *argv, "--json")
    result = json.loads(out)
    assert [p["batch"] for p in result["predict"]] == [1, 3] and result["isa"] == "portable"
    for line in (result["step"], *result["predict"]):
        assert 0 < line["best"] <= line["p50"] <= line["p99"] < 1


def test_bench_tells_why_a_model_does_not_stream(capsys, monkeypatch):
    b = Builder()
    (y,) = b.add("gru", "bi", b.input("x", None, 3), units=4, return_sequences=True, go_backwards=True)
    monkeypatch.setattr(rnnrt, "load", lambda path, **_: model_of(*b.done(y)))
    code, out, _ = run(capsys, "bench", "m.rnnrt", "--steps", 2, "--batch", 1, "--seconds", 0.01)
    assert code == 0 and "no step: this model cannot" in out and "bi: go_backwards" in out and "predict" in out


def test_info(capsys, monkeypatch):
    facts = {
        "version": "1",
        "isa": "avx2",
        "kernel_tables": ["avx2", "portable"],
        "blas": None,
        "plugins": {},
    }
    monkeypatch.setattr(rnnrt, "info", lambda: facts)
    assert json.loads(run(capsys, "info", "--json")[1]) == facts
    assert "avx2, portable" in run(capsys, "info")[1]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_draws_on_terminals_only_and_wipes_itself(monkeypatch):
    monkeypatch.setattr(Progress, "PATIENCE", 0.0)
    monkeypatch.setattr(Progress, "INTERVAL", 0.0)
    terminal, file = Terminal(), io.StringIO()
    for stream_ in (terminal, file):
        with Progress(10, "sequences", stream_) as bar:
            for _ in range(5):
                bar.advance(2)
    assert file.getvalue() == ""
    drawn = terminal.getvalue().split("\r\x1b[K")
    assert "20%" in drawn[1] and "100%" in drawn[-2] and drawn[-1] == ""
    assert all(len(d) < 80 for d in drawn)


def test_progress_is_patient():
    terminal = Terminal()
    with Progress(10, "sequences", terminal) as bar:
        bar.advance(5)
    assert terminal.getvalue() == ""
