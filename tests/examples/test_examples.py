"""The examples as users run them, short, and what they say is true."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "tools" / "examples"


def run(name: str, *arguments: str, code: int = 0) -> str:
    command = [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120)
    assert done.returncode == code, done.stderr
    return done.stdout


def load(name: str):
    """An example as a module."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_all_examples_are_run_here_short_and_explained():
    tested = {m for m in re.findall(r"(?:run|load)\(\"(\w+)\"", Path(__file__).read_text(encoding="utf-8"))}
    for path in EXAMPLES.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert path.stem in tested, f"{path.name} is not tested"
        assert len(text.splitlines()) < 150, path.name
        assert "python tools/examples/" in (ast.get_docstring(ast.parse(text)) or ""), path.name


def test_text_stream():
    text = run("text_stream", "--letters", "60", "--begin", "the old fox ", "--endings", "2", "--seed", "3")
    one, two = text[: 12 + 60], text[12 + 60 + 1 :].rstrip("\n")
    assert one.startswith("the old fox ") and two.startswith("the old fox ") and one != two
    assert run("text_stream", "--letters", "60", "--begin", "the old fox ", "--endings", "2", "--seed", "3") == text
    words = set(re.findall(r"[a-z]+", run("text_stream", "--letters", "400")))
    assert len(words & {"the", "two", "fox", "owl", "by", "under", "river", "oak", "hill", "mill", "sea", "on"}) >= 5
    run("text_stream", "--begin", "UPPER", code=1)


def test_live_filter():
    said = run("live_filter", "--seconds", "0.5", "--block", "50")
    removed, of = map(int, re.findall(r"clicks removed: (\d+) of (\d+)", said)[0])
    before, after = map(float, re.findall(r"error before ([\d.]+), after ([\d.]+)", said)[0])
    assert removed == of == 10 and after < before / 3


def test_live_filter_does_not_depend_on_the_blocks():
    live_filter = load("live_filter")
    model = live_filter.rnnrt.load(live_filter.MODEL)
    _, heard = live_filter.tone(1600, np.random.default_rng(4))
    got = []
    for block in (1, 7, 64, 1600):
        channel = live_filter.Declicker(model)
        got.append(np.concatenate([channel.process(heard[k : k + block]) for k in range(0, len(heard), block)]))
        assert channel.clicks == 4 and channel.seen == 1600
    assert len({g.tobytes() for g in got}) == 1


def test_translator_on_unseen_numbers():
    translator = load("translator")
    t = translator.Translator()
    golden = np.load(translator.MODEL / "golden.npz")
    right = 0
    for source, target in zip(golden["in_0"], golden["in_1"]):
        english = " ".join(t.source[k] for k in source if k)
        french = " ".join(t.target[k] for k in target if k not in (0, translator.START, translator.END))
        found = t.translate(english, beam=3)
        assert len(found) == 3 and found == sorted(found, reverse=True) and sum(p for p, _ in found) <= 1.0001
        # a beam of one is the greedy way, and never better
        assert t.translate(english, beam=1)[0][0] <= found[0][0] * 1.0001
        right += found[0][1] == french
    assert right >= len(golden["in_0"]) - 1  # 99.9 % in its README


def test_translator_as_a_command():
    said = run("translator", *"five thousand seven hundred and forty two".split())
    assert said.splitlines()[0].endswith("cinq mille sept cent quarante deux")
    run("translator", "zillion", code=1)


def test_the_translators_goldens():
    import rnnrt

    golden = np.load(ROOT / "models" / "numbers_seq2seq" / "golden.npz")
    y = rnnrt.load(ROOT / "models" / "numbers_seq2seq" / "model.h5").predict([golden["in_0"], golden["in_1"]])
    assert np.abs(y - golden["out_0"]).max() <= 1e-5


def _service(*arguments) -> tuple[int, int, float]:
    said = run("service", *arguments)
    callers, answers = map(int, re.findall(r"(\d+) callers, (\d+) answers", said)[0])
    assert "the clumsy caller heard: input 'signal': expected (1,), got (3,)" in said
    assert answers == callers * 30
    assert float(re.findall(r"([\d.]+) at worst", said)[0]) < 0.15  # forecasts are good: no stream took another's state
    return callers, int(re.findall(r"streams in memory: (\d+)", said)[0]), answers


def test_service():
    assert _service("--values", "30", "--pause", "0.002")[:2] == (1000, 1000)


def test_service_with_a_store(tmp_path):
    arguments = ["--callers", "60", "--values", "30", "--pause", "0.002", "--store", tmp_path / "s.sqlite"]
    assert _service(*arguments, "--resident", "20")[:2] == (60, 20)


@pytest.mark.parametrize("pace", ["0.0005"])
def test_restart(tmp_path, pace):
    def go(*arguments, code=0) -> tuple[int, float, float, int]:
        said = run("restart", tmp_path / "s.sqlite", "--steps", "150", "--pace", pace, *arguments, code=code)
        first = int(re.findall(r"(?:new|resumed), at step (\d+)|resumed at step (\d+)", said)[0][1] or 0)
        known, cold = map(float, re.findall(r"forecasts: ([\d.]+); by a session without a past: ([\d.]+)", said)[0])
        step, saved, lag = map(int, re.findall(r"step (\d+), saved (\d+), lag (\d+)", said)[0])
        assert step == first + 150 and lag == step - saved
        return first, known, cold, saved

    assert go()[0] == 0
    first, known, cold, _ = go()
    assert first == 150 and known < cold / 2
    first, known, cold, saved = go("--crash", code=1)
    assert first == 300 and known < cold / 2
    first, known, cold, _ = go()
    assert saved <= first <= 450 and known < cold / 2
