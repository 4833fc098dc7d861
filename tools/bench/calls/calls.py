"""What a call from Python costs over the same call made from C.

    python tools/bench/calls/calls.py [model.rnnrt ...]     # after `python setup.py build_ext --inplace`; needs gcc

Without a file: small LSTMs. Files have one input and one output.


loop.c is linked with the core's own objects of that build and runs the plan that ``rnnrt.load`` would run. Python's
loop is compiled away as far as it goes: the time of an empty one is subtracted. Ways take turns; the best of each
counts, since the machine may be shared.
"""

from __future__ import annotations

import argparse
import ctypes
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import repeat
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests"))

from cases.graphs import Builder  # noqa: E402
from runtime import model_of  # noqa: E402

from rnnrt.format.reader import read  # noqa: E402
from rnnrt.ir.graph import Graph  # noqa: E402
from rnnrt.native import _native as native  # noqa: E402
from rnnrt.planner.lower import lower  # noqa: E402
from rnnrt.tables import arrays_of  # noqa: E402

TABLES = ("dims", "tensors", "ops", "refs", "reals", "weights", "data", "states", "row_bytes", "regions")
TABLES += ("inputs", "outputs")


class CPlan(ctypes.Structure):
    """rnnrt_plan."""

    _fields_ = [("struct_size", ctypes.c_uint32), ("n_symbols", ctypes.c_int32)]
    for _name in TABLES:
        if _name == "row_bytes":
            _fields_.append((_name, ctypes.c_int64))
            continue
        _fields_.append((_name, ctypes.c_void_p))
        if _name != "data":
            _fields_.append(("n_" + _name, ctypes.c_int64))
    _fields_.append(("streams", ctypes.c_int32))


def library() -> ctypes.CDLL:
    """loop.c with the core's objects."""
    out = Path(tempfile.mkdtemp()) / "loop.so"
    built = next(ROOT.glob("build/temp.*"))
    parts = sorted(str(p) for p in built.glob("librnnrt_*.a"))
    command = ["gcc", "-O2", "-shared", "-fPIC", "-fvisibility=hidden", f"-I{ROOT}/src_c", "-o", str(out)]
    group = ["-Wl,--start-group", *parts, "-Wl,--end-group", "-lm", "-lpthread", "-ldl"]
    subprocess.run([*command, str(Path(__file__).with_name("loop.c")), *group], check=True)
    lib = ctypes.CDLL(str(out))
    lib.calls_model.restype = lib.calls_session.restype = ctypes.c_void_p
    lib.calls_time.restype = ctypes.c_double
    lib.calls_model.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    lib.calls_session.argtypes = [ctypes.c_void_p]
    lib.calls_time.argtypes = [*[ctypes.c_void_p] * 4, ctypes.c_int32, ctypes.c_void_p, ctypes.c_int64]
    return lib


class FromC:
    """A graph on the core of loop.so."""

    def __init__(self, lib: ctypes.CDLL, graph: Graph, weights: dict) -> None:
        self.lib = lib
        p = lower(graph, weights, native.op_kinds())
        c = CPlan(struct_size=ctypes.sizeof(CPlan), n_symbols=len(p.symbols), row_bytes=p.row_bytes)
        c.streams = p.streams and p.bounded
        keep = [np.ascontiguousarray(getattr(p, n)) for n in TABLES if n not in ("row_bytes", "data")]
        for name, a in zip((n for n in TABLES if n not in ("row_bytes", "data")), keep):
            setattr(c, name, a.ctypes.data)
            setattr(c, "n_" + name, len(a))
        arrays = arrays_of(p.sources, weights)
        pointers = (ctypes.c_void_p * (len(arrays) + 1))(*[a.ctypes.data for a in arrays])
        c.data = ctypes.addressof(pointers)
        self.model = lib.calls_model(ctypes.addressof(c), native.default_kernels().encode())
        if not self.model:
            raise RuntimeError("the core refused the plan")
        self.session = lib.calls_session(self.model)

    def time(self, x: np.ndarray, y: np.ndarray, symbols: list[int], session: bool, n: int) -> float:
        """ns per call."""
        s = np.array(symbols, np.int64)
        dtype = {"float32": 0, "int32": 5}[str(x.dtype)]
        return self.lib.calls_time(
            self.model, self.session if session else None, s.ctypes.data, x.ctypes.data, dtype, y.ctypes.data, n
        )


def python_ns(call: Callable[[], object], n: int) -> float:
    """ns per call of a loop."""
    begin = time.perf_counter_ns()
    for _ in repeat(None, n):
        call()
    return (time.perf_counter_ns() - begin) / n


def step_ns(step: Callable, x: np.ndarray, n: int) -> float:
    """ns per step into a fresh array, the loop included."""
    begin = time.perf_counter_ns()
    for _ in repeat(None, n):
        step(x)
    return (time.perf_counter_ns() - begin) / n


def step_out_ns(step: Callable, x: np.ndarray, out: np.ndarray, n: int) -> float:
    """ns per step into ``out``, the loop included."""
    begin = time.perf_counter_ns()
    for _ in repeat(None, n):
        step(x, out)
    return (time.perf_counter_ns() - begin) / n


def empty_ns(n: int) -> float:
    """ns of the loop."""
    begin = time.perf_counter_ns()
    for _ in repeat(None, n):
        pass
    return (time.perf_counter_ns() - begin) / n


def small(units: int, features: int) -> tuple[Graph, dict]:
    """An LSTM and a Dense(1)."""
    b = Builder()
    x = b.input("x", None, features)
    (h,) = b.add("lstm", "lstm", x, units=units, return_sequences=True)
    (y,) = b.add("dense", "dense", h, units=1)
    return b.done(y)


def measure(lib: ctypes.CDLL, graph: Graph, weights: dict, steps: int, rounds: int = 40) -> dict[str, float]:
    """Best ns of each way: of C, and of Python over C."""
    model, c = model_of(graph, weights), FromC(lib, graph, weights)
    random = np.random.default_rng(0)
    shape = (1, steps, *(d for d in model.inputs[0].shape[2:] if d))
    ids = model.plan.input_info[0].accepts != ("float32",)
    chunk = random.integers(0, 9, shape).astype("int32") if ids else random.standard_normal(shape).astype("float32")
    session, x = model.session(), np.ascontiguousarray(chunk[:, 0])
    out, whole = np.empty_like(session.step(x)), np.empty_like(model.predict(chunk))
    same = model.predict(chunk)
    ways: dict[str, Callable[[int], float]] = {
        "C step": lambda n: c.time(x, out, [1, 1], True, n),
        "step": lambda n: step_ns(session.step, x, n),
        "step out=": lambda n: step_out_ns(session.step, x, out, n),
        "C predict": lambda n: c.time(chunk, whole, [1, steps], False, n),
        "predict": lambda n: step_ns(model.predict, chunk, n),
        "predict out=": lambda n: step_out_ns(model.predict, chunk, whole, n),
        "loop": empty_ns,
    }
    best = dict.fromkeys(ways, np.inf)
    loops = {name: max(20, int(1e6 / way(20))) for name, way in ways.items()}
    for _ in range(rounds):
        for name, way in ways.items():
            best[name] = min(best[name], way(loops[name]))
    if not np.array_equal(whole, same):
        raise RuntimeError("the plan from C gives another result")
    for name in list(best):
        if name not in ("loop", "C step", "C predict"):
            best["+ " + name] = best[name] - best["loop"] - best["C step" if "step" in name else "C predict"]
    return best


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*")
    parser.add_argument("--steps", type=int, default=0, help="of predict; default 10")
    args = parser.parse_args()
    lib = library()
    cases = [(f, *(lambda m: (m.graph, dict(m.weights)))(read(f)), 10) for f in args.files]
    if not cases:
        cases = [(f"LSTM({u}), {d} features", *small(u, d), t) for u, d, t in ((20, 1, 1), (20, 1, 10), (64, 28, 28))]
    print("| ns | C step | step over it | with out= | steps of predict | C predict | predict over it | with out= |")
    print("|---|---|---|---|---|---|---|---|")
    for name, graph, weights, steps in cases:
        ns = measure(lib, graph, weights, args.steps or steps)
        step, whole = ([f"{ns[k]:.0f}" for k in (f"C {w}", f"+ {w}", f"+ {w} out=")] for w in ("step", "predict"))
        print(f"| {name} | {' | '.join(step)} | {args.steps or steps} | {' | '.join(whole)} |", flush=True)


if __name__ == "__main__":
    main()
