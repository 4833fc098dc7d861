"""What ``rnnrt bench`` counts and compares. Times themselves are not asserted on."""

from __future__ import annotations

import json
import re
import sys
import types

import numpy as np
import pytest
from cases import BY_NAME
from cases.golden import load
from cases.graphs import Builder
from runtime import model_of

import rnnrt
from rnnrt.benchmark import peers
from rnnrt.benchmark.compare import compare
from rnnrt.benchmark.peers import Peer
from rnnrt.benchmark.plot import check_target, plot
from rnnrt.benchmark.profile import profile
from rnnrt.benchmark.timing import in_turns, inputs, of_one_step
from rnnrt.benchmark.work import SIZES, Ceilings, Work, total, weights_nbytes, works
from rnnrt.cli import main
from rnnrt.cli.bench import _steps_of, bench_predict, bench_step
from rnnrt.convert.narrow import narrow
from rnnrt.errors import BackendError
from rnnrt.native import _native as native

ROOF = Ceilings(1e11, (4e11, 2e11, 1e11, 1e11, 5e10, 2e10))


def text_model():
    """Ids through a table, two recurrent layers and a head."""
    b = Builder()
    ids = b.input("ids", None, dtype="int32")
    (e,) = b.add("embedding", "words", ids, input_dim=50, output_dim=8)
    (h,) = b.add("lstm", "first", e, units=16, return_sequences=True)
    (g,) = b.add("gru", "second", h, units=12)
    (y,) = b.add("dense", "head", g, units=3)
    return model_of(*b.done(y))


def test_work_is_counted_by_hand():
    by_place = {w.place: w for w in works(text_model(), batch=2, steps=5)}
    assert by_place["words"] == Work("words", "embedding", 0.0, 2 * 5 * 8 * 4)
    assert by_place["first"].flops == 2 * 2 * 5 * (8 + 16) * 64
    assert by_place["first"].nbytes == 4 * (8 * 64 + 64 + 5 * 16 * 64)  # the recurrent kernel once for each step
    assert by_place["second"].flops == 2 * 2 * 5 * (16 + 12) * 36
    assert by_place["head"].flops == 2 * 2 * 12 * 3


@pytest.mark.parametrize(
    ("op", "shape", "attrs", "flops"),
    [
        ("dense", (None, 6), {"units": 4}, 2 * 3 * 7 * 6 * 4),
        (
            "conv",
            (9, 6),
            {"channels": 6, "filters": 4, "kernel_size": [3], "strides": [1], "dilation_rate": [1], "padding": "valid"},
            2 * 3 * 7 * 3 * 6 * 4,
        ),
    ],
)
def test_work_of_rows_and_windows(op, shape, attrs, flops):
    b = Builder()
    x = b.input("x", *shape)
    (y,) = b.add(op, "layer", x, **attrs)
    steps = 7 if shape[0] is None else None
    assert total(works(model_of(*b.done(y)), batch=3, steps=steps)).flops == pytest.approx(flops)


def test_the_floor_is_arithmetic_or_reading():
    assert ROOF.floor(Work("", "", 1e9, 1e3), 1e3) == 1e9 / 1e11
    assert ROOF.floor(Work("", "", 1e3, 1e6), 1e6) == 1e6 / 1e11
    assert ROOF.read_at(SIZES[0]) == 4e11 and ROOF.read_at(SIZES[0] + 1) == 2e11 and ROOF.read_at(1e12) == 2e10


@pytest.mark.parametrize("kernels", [t["name"] for t in native.kernel_tables() if t["name"] != "blas"])
def test_every_table_has_ceilings(kernels):
    flops, int8, read = native.ceilings(kernels, [SIZES[0]])
    assert flops > 1e8 and len(read) == 1 and read[0] > 1e8
    assert (int8 > 1e8) == kernels.startswith("avx")  # integers without vectors have no ceiling of their own


def test_int8_has_a_ceiling_of_its_own():
    """Its arithmetic is not measured by what floats can; where a table has no vectors for it, it is."""
    roof = Ceilings(1e11, ROOF.read, 4e11)
    assert roof.arithmetic(Work("", "", 3e11, 0, 2e11)) == 1.0 + 0.5
    assert ROOF.arithmetic(Work("", "", 3e11, 0, 2e11)) == 3.0
    b = Builder()
    (h,) = b.add("lstm", "first", b.input("x", None, 8), units=16)
    graph, weights = b.done(*b.add("dense", "head", h, units=3))
    small = model_of(*narrow(graph, weights, "int8")[:2])
    assert (
        all(w.int8 == w.flops > 0 for w in works(small, 2, 5))
        and total(works(model_of(graph, weights), 2, 5)).int8 == 0
    )
    assert weights_nbytes(small) < 0.5 * weights_nbytes(model_of(graph, weights)) == 2 * (24 * 64 + 64 + 16 * 3 + 3)


def test_the_working_set_is_all_weights_but_one_row_of_a_table():
    lstm, gru, head = 24 * 64 + 64, 28 * 36 + 72, 12 * 3 + 3
    assert weights_nbytes(text_model()) == 4 * (8 + lstm + gru + head)


@pytest.mark.parametrize(("kernels", "sizes"), [("nonsense", [SIZES[0]]), ("portable", [100]), ("portable", [0])])
def test_ceilings_that_cannot_be_measured(kernels, sizes):
    with pytest.raises(BackendError, match="no ceilings"):
        native.ceilings(kernels, sizes)


def test_the_profile_names_the_layers():
    model = text_model()
    found = profile(model, 4, 20, 0.01, ROOF)
    assert [t.layer for t in found] == ["words", "first", "second", "head"]
    assert [t.kind for t in found] == ["embedding", "lstm", "gru", "dense"]
    assert sum(t.share for t in found) == pytest.approx(1) and all(t.seconds > 0 and t.floor > 0 for t in found)


def test_a_profiled_run_gives_the_same_numbers():
    model = text_model()
    (x,) = inputs(model, 3, 9)
    want = model.predict(x)
    out = np.empty_like(want)
    spent = model.profile_arrays([x], [{"B": 3}.get(s, 9) for s in model.plan.symbols], [out])
    assert np.array_equal(out, want) and len(spent) == len(model.plan.ops) and spent.min() >= 0


def test_ids_are_drawn_from_their_table():
    (x,) = inputs(text_model(), 8, 200)
    assert x.dtype == np.int32 and x.shape == (8, 200) and 1 <= x.min() and 40 < x.max() < 50


@pytest.mark.parametrize("name", ["wrappers/time_model", "statistics/count_several", "merging/dot_of_rank_4_cosine"])
def test_inputs_are_what_real_models_take(name, tmp_path):
    """Ids that are looked up in another shape, or counted; inputs of different lengths that the file gives."""
    golden = load(BY_NAME[name], "keras2")
    rnnrt.convert(golden.model, tmp_path / "m.rnnrt", architecture=golden.architecture)
    model = rnnrt.load(tmp_path / "m.rnnrt")
    assert bench_predict(model, 2, _steps_of(model), 0.0)["p50"] > 0


def test_features_are_no_steps():
    b = Builder()
    x, still = b.input("x", None, 4), b.input("still", 6)
    (h,) = b.add("lstm", "first", x, units=5)
    (y,) = b.add("concatenate", "joined", h, still, axis=1)
    assert [a.shape for a in inputs(model_of(*b.done(y)), 2, 9)] == [(2, 9, 4), (2, 6)]
    b = Builder()
    flat = model_of(*b.done(*b.add("dense", "dense", b.input("x", 5), units=3)))
    assert [a.shape for a in inputs(flat, 2, 9)] == [(2, 5)]
    assert (_steps_of(flat), _steps_of(text_model())) == (1, 100)


def test_a_step_has_inputs_that_move_and_inputs_that_do_not():
    """A stateful model has sessions beside inputs without a time axis."""
    b = Builder("calls")
    still, x = b.input("still", 6), b.input("x", None, 5)
    (h,) = b.add("lstm", "lstm", x, units=4, stateful=True)
    model = model_of(*b.done(*b.add("concatenate", "joined", still, h, axis=1)))
    assert [a.shape for a in of_one_step(model, inputs(model, 1, 1))] == [(1, 6), (1, 5)]
    assert bench_step(model, 0.0)["p50"] > 0


def test_contenders_take_turns():
    order = []
    times = in_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 0.0)
    assert len(times["a"]) == len(times["b"]) >= 5
    turns = "".join(order).replace("a" * 3, "a")
    assert turns.count("ab") >= 5


@pytest.fixture
def fakes(monkeypatch):
    """Peers of our own making: one right, one wrong, one that fails in its call, one in its opening."""

    def answering(change):
        def open(model, source):
            def predict(arrays):
                return [change(model.predict(arrays[0]))]

            return Peer("", "1.0", predict)

        return open

    def failing(model, source):
        raise ValueError("no such model\nand more")

    def missing(model, source):
        raise ImportError("no", name="fast_runtime")

    def breaks(y):
        raise RuntimeError("out of order")

    ways = {"right": answering(lambda y: y), "wrong": answering(lambda y: y + 1), "breaks": answering(breaks)}
    for name, open in {**ways, "failing": failing, "missing": missing}.items():
        module = types.ModuleType(f"{peers.__name__}.{name}")

        def named(model, source, open=open, name=name):
            peer = open(model, source)
            peer.name = name
            return peer

        module.open = named
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(peers.PEERS, name, name)
    return ["right", "wrong", "breaks", "failing", "missing", "unknown"]


def test_only_peers_that_agree_are_timed(fakes):
    rows = {r["peer"]: r for r in compare(text_model(), None, fakes, [2], 5, 0.0)}
    (call,) = rows["right"]["calls"]
    assert (
        call["error"] == 0 and call["ratio"] > 0 and (call["call"], call["batch"], call["steps"]) == ("predict", 2, 5)
    )
    assert "differs" in rows["wrong"]["calls"][0]["refused"]
    assert rows["breaks"]["calls"][0]["refused"] == "RuntimeError: out of order"
    assert rows["failing"]["refused"] == "ValueError: no such model"
    assert rows["missing"]["refused"] == "fast_runtime is not installed here"
    assert "known: onnxruntime" in rows["unknown"]["refused"]


def test_the_command_compares_and_draws(fakes, tmp_path, capsys):
    picture = tmp_path / "a.svg"
    model = "models/sine_gru/model.rnnrt"
    argv = ["bench", model, "--batch", "1,2", "--steps", "6", "--seconds", "0.01", "--compare", "right,wrong"]
    assert main([*argv, "--plot", str(picture)]) == 0
    said = capsys.readouterr().out
    assert "right 1.0" in said and "wrong, predict 1 x 6: not timed" in said and max(map(len, said.splitlines())) <= 80
    drawn = picture.read_text()
    assert "<svg" in drawn and drawn.count("<path") > 10
    assert main([*argv, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [r["batch"] for r in result["predict"]] == [1, 2] and len(result["ceilings"]["read"]) == len(SIZES)
    assert [t["layer"] for t in result["layers"][0]["layers"]] == ["gru", "next"]
    assert 0 < result["predict"][0]["of_fma"] and 0 < result["step"]["of_read"]


def test_a_picture_that_cannot_be_written(tmp_path):
    result = {
        **{
            "model": "m",
            "isa": "avx2",
            "device": "cpu",
            "threads": 1,
            "cpu": "c",
            "steps": 3,
            "step": {"refused": "no"},
        },
        "ceilings": {"flops": 1e11, "read": [1e11] * len(SIZES)},
        "predict": [{"batch": 1, "p50": 1e-5, "p99": 2e-5, "steps_per_second": 1e5, "flops": 1e3, "bytes": 1e3}],
    }
    for path in (tmp_path / "a.nonsense", tmp_path / "none" / "a.svg"):
        with pytest.raises(BackendError, match=path.name):
            plot(result, str(path))
        with pytest.raises(BackendError, match=path.name):
            check_target(str(path))
    check_target(str(tmp_path / "a.svg"))


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (["--steps", "0"], "--steps: expected 1 or more, got '0'"),
        (["--steps", "-3"], "--steps"),
        (["--batch", "1,x"], "--batch: expected 1 or more, got 'x'"),
        (["--batch", ""], "--batch: expected 1 or more, got ''"),
        (["--batch", "0"], "--batch: expected 1 or more, got '0'"),
        (["--seconds", "nan"], "--seconds must be above 0"),
        (["--plot", "a.nonsense"], "a.nonsense: a picture has one of the suffixes"),
        (["--plot", "no/such/a.svg"], "no/such/a.svg: there is no such folder"),
    ],
)
def test_options_are_checked_before_anything_is_measured(option, said, capsys, monkeypatch):
    monkeypatch.setattr("rnnrt.cli.bench.load_model", lambda args: pytest.fail("it goes on"))
    assert main(["bench", "models/sine_gru/model.rnnrt", *option]) in (1, 2)
    assert said in capsys.readouterr().err


def test_batches_are_sorted_and_told_once(capsys):
    argv = ["bench", "models/sine_gru/model.rnnrt", "--steps", "3", "--seconds", "0.001", "--json"]
    assert main([*argv, "--batch", "8,1,8,2"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [r["batch"] for r in result["predict"]] == [1, 2, 8] and [p["batch"] for p in result["layers"]] == [1, 8]


def test_a_narrow_range_has_numbers_at_its_axis(tmp_path):
    rows = [{"batch": n, "p50": n * 1.1e-5, "p99": n * 1.2e-5, "steps_per_second": 1e5 + 2e4 * n} for n in (1, 2)]
    rows = [{**r, "flops": 3e3, "int8_flops": 3e3, "bytes": 1e3} for r in rows]
    result = {
        "model": "m",
        "isa": "i",
        "device": "cpu",
        "threads": 1,
        "cpu": "c",
        "steps": 3,
        "step": {"refused": "no"},
    }
    result |= {"ceilings": {"flops": 1e11, "int8": 4e11, "read": [1e11] * len(SIZES)}, "predict": rows}
    pytest.importorskip("matplotlib", reason="it draws")
    import matplotlib

    with matplotlib.rc_context({"svg.fonttype": "none"}):
        plot(result, str(tmp_path / "a.svg"))
    drawn = (tmp_path / "a.svg").read_text()
    assert (
        len(set(re.findall(r">(1[1-5]\dk)</text>", drawn))) >= 3
        and len(set(re.findall(r">(1\d|2\d)</text>", drawn))) >= 3
        and ">float<" in drawn
    )


def test_the_onnx_graph_means_the_same():
    """Every kind that is exported, in ONNX's own reference evaluator."""
    pytest.importorskip("onnx", reason="onnx is not installed: its export is tested where peers are")
    from onnx import load_from_string
    from onnx.reference import ReferenceEvaluator

    from rnnrt.benchmark.peers.onnx_graph import onnx_bytes

    b = Builder()
    x = b.input("x", None, 5)
    (h,) = b.add("lstm", "lstm", x, units=6, return_sequences=True)
    (g,) = b.add("gru", "gru", h, units=4, return_sequences=True)
    (s,) = b.add("simple_rnn", "rnn", g, units=4, return_sequences=True)
    (t,) = b.add("add", "sum", g, s)
    (y,) = b.add("dense", "head", t, units=3)
    model = model_of(*b.done(y))
    (a,) = inputs(model, 2, 7)
    (got,) = ReferenceEvaluator(load_from_string(onnx_bytes(model)[0])).run(None, {"x": a})
    assert np.abs(got - model.predict(a)).max() < 1e-5
