"""Devices by name: how the plugin is found, what is said where it is not, models on the one and the other."""

from __future__ import annotations

import json
import logging
import sys

import numpy as np
import pytest
from cases.graphs import Builder
from runtime import model_of

import rnnrt
from rnnrt.backends import plugins
from rnnrt.cli import main
from rnnrt.errors import BackendError, BatchError, StateError
from rnnrt.format.writer import write


def _graph(op: str = "lstm"):
    b = Builder()
    x = b.input("x", None, 3)
    (y,) = b.add(op, "cell", x, units=2)
    (z,) = b.add("dense", "dense", y, units=2)
    return b.done(z)


@pytest.fixture
def path(tmp_path):
    """A model's file; the dummy answers 2, the number of its ops."""
    target = tmp_path / "model.rnnrt"
    write(target, *_graph())
    return target


@pytest.fixture(autouse=True)
def nowhere(monkeypatch, tmp_path):
    """No plugin but the test's own."""
    monkeypatch.delenv("RNNRT_CUDA_PLUGIN", raising=False)
    monkeypatch.setattr(plugins, "IN_TREE", tmp_path / "librnnrt_cuda.so")
    monkeypatch.setattr(plugins, "GROUP", "rnnrt.backends.test")


def _distribution(folder, monkeypatch, body: str) -> None:
    """An installed distribution with the entry point."""
    info = folder / "fake_cuda-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fake-cuda\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[rnnrt.backends.test]\ncuda = fake_cuda_plugin:library\n")
    (folder / "fake_cuda_plugin.py").write_text(body)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "fake_cuda_plugin", raising=False)


X = np.zeros((1, 4, 3), "float32")


def test_without_a_plugin_everything_says_so(path):
    assert list(rnnrt.devices()) == ["cpu"]
    assert "no cuda: the CUDA plugin is not installed: pip install 'rnnrt[cuda]'" in repr(rnnrt.devices())
    assert "not installed" in rnnrt.info()["cuda"]
    with pytest.raises(BackendError, match=r"device 'cuda:1': the CUDA plugin is not installed: pip install"):
        rnnrt.load(path, device="cuda:1")


def test_nobody_looks_for_a_plugin_before_it_is_named(path, monkeypatch):
    def look():
        raise AssertionError("looked for a plugin")

    monkeypatch.setattr(plugins, "_find", look)
    model = rnnrt.load(path)
    assert model.device == "cpu" and model.predict(X).shape == (1, 2)
    with pytest.raises(AssertionError):
        rnnrt.load(path, device="cuda")


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:-1", "cuda:x", "CUDA", "", None, 0])
def test_unknown_names(path, name):
    with pytest.raises(BackendError, match="known are 'cpu', 'cuda', 'cuda:1'"):
        rnnrt.load(path, device=name)


def test_unknown_math(path):
    with pytest.raises(BackendError, match="math='bf16': known are 'fp32', 'tf32'"):
        rnnrt.load(path, math="bf16")


def test_the_environment_goes_before_a_distribution_before_this_build(path, dummy, monkeypatch, tmp_path):
    monkeypatch.setattr(plugins, "IN_TREE", dummy("DUMMY_NONE"))
    with pytest.raises(BackendError, match=r"the dummy's driver is 1\.0, it needs 2\.0 or newer"):
        rnnrt.load(path, device="cuda")
    body = f"def library():\n    return {str(dummy('DUMMY_REFUSE'))!r}\n"
    _distribution(tmp_path / "site", monkeypatch, body)
    with pytest.raises(BackendError, match="entry point 'fake_cuda_plugin:library' .* refuses this version"):
        rnnrt.load(path, device="cuda")
    monkeypatch.setenv("RNNRT_CUDA_PLUGIN", str(dummy()))
    assert list(rnnrt.devices()) == ["cpu", "cuda:0", "cuda:1"]
    assert rnnrt.devices().missing == {}
    assert [d["name"] for d in rnnrt.info()["cuda"]["devices"]] == ["dummy zero", "dummy one"]
    model = rnnrt.load(path, device="cuda:1", math="tf32")
    assert (model.device, model.math, model.kernels) == ("cuda:1", "tf32", "dummy")
    assert model.predict(X)[0, 0] == 2
    with pytest.raises(BackendError, match="no such device; found: cuda:0, cuda:1"):
        rnnrt.load(path, device="cuda:2")


def test_a_distribution_that_breaks(path, monkeypatch, tmp_path):
    _distribution(tmp_path / "site", monkeypatch, "def library():\n    raise OSError('half a wheel')\n")
    with pytest.raises(BackendError, match="OSError: half a wheel; install rnnrt-cuda anew"):
        rnnrt.load(path, device="cuda")


def test_a_file_that_is_no_plugin(path, monkeypatch, tmp_path):
    monkeypatch.setenv("RNNRT_CUDA_PLUGIN", str(tmp_path / "none.so"))
    with pytest.raises(BackendError, match="RNNRT_CUDA_PLUGIN names .*none.so', which is not a file: pip install"):
        rnnrt.load(path, device="cuda")
    text = tmp_path / "text.so"
    text.write_text("no library")
    monkeypatch.setenv("RNNRT_CUDA_PLUGIN", str(text))
    with pytest.raises(BackendError, match="named by RNNRT_CUDA_PLUGIN cannot be used: .*text.so"):
        rnnrt.load(path, device="cuda")
    assert "text.so" in rnnrt.devices().missing["cuda"]


@pytest.mark.parametrize("define", ["DUMMY_ABI=0x20000u", "DUMMY_SHORT", "DUMMY_NULL", "DUMMY_NO_SYMBOL"])
def test_auto_takes_the_cpu_where_the_plugin_is_broken(path, dummy, monkeypatch, define, caplog):
    monkeypatch.setenv("RNNRT_CUDA_PLUGIN", str(dummy(define)))
    with caplog.at_level(logging.INFO, "rnnrt"):
        model = rnnrt.load(path, device="auto")
    assert model.device == "cpu"
    assert len(caplog.records) == 1 and "RNNRT_CUDA_PLUGIN" in caplog.text


def test_auto_takes_a_device_that_runs_all_layers(path, dummy, monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("RNNRT_CUDA_PLUGIN", str(dummy()))
    with caplog.at_level(logging.INFO, "rnnrt"):
        assert rnnrt.load(path, device="auto").device == "cuda:0"
        assert not caplog.records
        other = tmp_path / "simple.rnnrt"
        write(other, *_graph("simple_rnn"))
        assert rnnrt.load(other, device="auto").device == "cpu"
    assert len(caplog.records) == 1 and "cell: not supported on dummy" in caplog.text
    with pytest.raises(BackendError, match="such a model runs with device='cpu'"):
        rnnrt.load(other, device="cuda")


def test_a_model_goes_to_another_device_and_back(dummy, monkeypatch):
    monkeypatch.setenv("RNNRT_CUDA_PLUGIN", str(dummy()))
    model = model_of(*_graph())
    there = model.to("cuda:1", math="tf32")
    assert (model.device, there.device, there.math) == ("cpu", "cuda:1", "tf32")
    assert there.file is model.file and there.predict(X)[0, 0] == 2
    back = there.to("cpu")
    assert back.device == "cpu" and np.array_equal(back.predict(X + 1), model.predict(X + 1))
    assert there.to("auto").device == "cuda:0"
    with pytest.raises(BackendError):
        model.to("cuda:7")


def test_threads_are_those_of_the_cpu(path, dummy, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("RNNRT_CUDA_PLUGIN", str(dummy()))
    with pytest.raises(BackendError, match="threads=2 on cuda:0: only calls on the CPU take threads; leave them out"):
        rnnrt.load(path, device="cuda", threads=2)
    model = rnnrt.load(path, threads=2)
    assert model.to("cpu").threads == 2 and model.to("cpu", threads=3).threads == 3
    there = model.to("cuda")
    assert there.threads == 1 and there.to("cpu").threads == 1 and there.to("cpu", threads=2).threads == 2
    with pytest.raises(BackendError, match="only calls on the CPU"):
        model.to("cuda", threads=2)
    auto = rnnrt.load(path, device="auto", threads=2)
    assert (auto.device, auto.threads) == ("cuda:0", 1)
    with pytest.raises(BackendError, match="expected an integer from 1 to 64, got 0"):
        rnnrt.load(path, device="auto", threads=0)
    other = tmp_path / "simple.rnnrt"
    write(other, *_graph("simple_rnn"))
    auto = rnnrt.load(other, device="auto", threads=2)  # a layer that the device does not run
    assert (auto.device, auto.threads) == ("cpu", 2)
    assert main(["bench", str(path), "--device", "cuda", "--threads", "2"]) == 1
    assert "only calls on the CPU take threads" in capsys.readouterr().err


def test_states_go_from_one_device_to_another(dummy, monkeypatch):
    monkeypatch.setenv("RNNRT_CUDA_PLUGIN", str(dummy()))
    model = model_of(*_graph())
    there = model.to("cuda")
    session = model.session(batch_size=2)
    session.step(np.ones((2, 3), "float32"))
    snapshot = session.to_bytes()
    other = there.session(state=snapshot)
    assert other.to_bytes() == snapshot and other.batch_size == 2
    again = model.session(state=other.to_bytes())
    np.testing.assert_array_equal(again.step(np.ones((2, 3), "float32")), session.step(np.ones((2, 3), "float32")))
    fresh = there.session(batch_size=2)
    fresh.set_state(session.get_state())
    np.testing.assert_array_equal(fresh.get_state()["cell/h"], session.get_state()["cell/h"])
    with pytest.raises(StateError):
        there.session(batch_size=1).restore(snapshot)


def test_a_pool_on_a_device(dummy, monkeypatch):
    monkeypatch.setenv("RNNRT_CUDA_PLUGIN", str(dummy()))
    model = model_of(*_graph()).to("cuda")
    pool = model.pool(max_batch=4)
    pool.step({i: np.zeros(3, "float32") for i in range(6)})
    assert len(pool) == 6
    snapshot = pool.to_bytes(5)
    assert model.to("cpu").session(state=snapshot).to_bytes() == snapshot


def test_an_error_in_a_run_keeps_its_words(path, dummy, monkeypatch):
    monkeypatch.setenv("RNNRT_CUDA_PLUGIN", str(dummy("DUMMY_FAIL_RUN")))
    model = rnnrt.load(path, device="cuda")
    with pytest.raises(BackendError, match="the dummy broke in the middle of a run"):
        model.session().step(X[:, 0])
    with pytest.raises(BatchError, match="the dummy broke"):
        model.pool().step({1: X[0, 0]})


def test_the_command_line_takes_a_device(path, dummy, monkeypatch, capsys, tmp_path):
    x = tmp_path / "x.npy"
    np.save(x, X)
    assert main(["predict", str(path), str(x), "--device", "cuda"]) == 1
    assert "the CUDA plugin is not installed" in capsys.readouterr().err
    assert main(["info", "--device", "cuda"]) == 1
    assert "no device 'cuda': the CUDA plugin is not installed" in capsys.readouterr().err
    assert main(["predict", str(path), str(x), "--device", "auto", "--json"]) == 0
    capsys.readouterr()
    monkeypatch.setenv("RNNRT_CUDA_PLUGIN", str(dummy()))
    assert main(["predict", str(path), str(x), "--device", "cuda:1", "--json"]) == 0
    assert next(iter(json.loads(capsys.readouterr().out)["outputs"].values()))[0][0] == 2
    assert main(["info", "--device", "cuda:1", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["devices"] == ["cpu", "cuda:0", "cuda:1"]
    assert main(["info", "--device", "cuda:2"]) == 1
    assert "found: cpu, cuda:0, cuda:1" in capsys.readouterr().err
    assert main(["bench", str(path), "--device", "cuda", "--batch", "1", "--seconds", "0.01", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["device"] == "cuda:0"
