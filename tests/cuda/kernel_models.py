"""The kernels of src_c/cuda called directly, and their float64 references; no test in here."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rnnrt.ir.activations import ACTIVATIONS, Activation
from rnnrt.reference.activations import activate

KINDS = {"simple_rnn": 0, "lstm": 1, "gru": 2}
GATES = {"simple_rnn": 1, "lstm": 4, "gru": 3}
STEPS, GRID, CLUSTER, TENSOR = 1, 2, 3, 4
FP32, TF32, FFMA = 0, 1, 2
_NAMES = list(ACTIVATIONS)


class Failed(Exception):
    """A kernel or a launch failed; the argument is CUDA's own code."""


def _pointer(a: np.ndarray | None) -> Any:
    return None if a is None else a.ctypes.data_as(ctypes.c_void_p)


def _params(a: Activation) -> list[float]:
    return [*a.params, 0.0, 0.0, 0.0][:3]


class Kernels:
    """One build of the kernels over the emulation, with planted bugs or without."""

    def __init__(self, library: Path) -> None:
        self.lib = ctypes.CDLL(str(library))
        p, n = ctypes.c_void_p, ctypes.c_int64
        self.lib.rnnrt_test_gemm.argtypes = [p, p, n, n, p, n, p, p, n, n, ctypes.c_int, p]
        self.lib.rnnrt_test_recurrent.argtypes = [p] * 10 + [n]
        self.lib.rnnrt_emu_set.argtypes = [ctypes.c_char_p, n]
        self.lib.rnnrt_emu_get.argtypes = [ctypes.c_char_p]
        self.lib.rnnrt_emu_get.restype = n
        self.lib.rnnrt_test_mutants.restype = ctypes.c_char_p
        self.mutants: list[str] = self.lib.rnnrt_test_mutants().decode().split()

    def set(self, **settings: int) -> None:
        for name, value in settings.items():
            assert self.lib.rnnrt_emu_set(name.encode(), value) == 0, name

    def get(self, name: str) -> int:
        return int(self.lib.rnnrt_emu_get(name.encode()))

    def plant(self, mutant: str | None) -> None:
        """One of ``mutants``, or none."""
        self.lib.rnnrt_test_plant(-1 if mutant is None else self.mutants.index(mutant))

    def _check(self, code: int) -> None:
        if code:
            self.set(reset=1)
            raise Failed(code)

    def gemm(self, g: Gemm, x: np.ndarray, w: np.ndarray, bias: np.ndarray | None, y: np.ndarray) -> np.ndarray:
        """``y`` after the product; the arrays are flat float32, their layout is ``g``'s."""
        y = y.copy()
        sizes = np.array(
            [
                *(g.rows, g.inner, g.n, g.k, g.batches, g.x_outer, g.x_inner, g.w_stride, g.y_outer, g.y_inner),
                *(g.x_batch, g.w_batch, g.y_batch, g.transposed, g.accumulate, g.math),
            ],
            np.int64,
        )
        params = np.array(_params(g.activation), np.float32)
        kind = _NAMES.index(g.activation.name)
        self._check(
            self.lib.rnnrt_test_gemm(
                *(_pointer(sizes), _pointer(x), g.x_at, x.size, _pointer(w), w.size, _pointer(bias)),
                *(_pointer(y), g.y_at, y.size, kind, _pointer(params)),
            )
        )
        return y

    def recurrent(self, c: Cell, r: Run) -> tuple[np.ndarray, np.ndarray]:
        """(y, state rows) after the run."""
        rows = r.rows.copy()
        y = np.full((r.batch, r.steps, c.units) if r.sequences else (r.batch, c.units), np.nan, np.float32)
        sizes = np.array(
            [
                *(KINDS[c.kind], c.reset_after, c.units, c.features, r.batch, r.steps, r.reverse_in, r.reverse_out),
                *(r.sequences, r.zero_masked, rows.shape[1], r.path, r.math),
            ],
            np.int64,
        )
        acts = np.array([_NAMES.index(c.activation.name), _NAMES.index(c.recurrent_activation.name)], np.int32)
        params = np.array([_params(c.activation), _params(c.recurrent_activation)], np.float32)
        weights = [_pointer(w) for w in (c.kernel, c.recurrent, c.bias)]
        self._check(
            self.lib.rnnrt_test_recurrent(
                *(_pointer(sizes), _pointer(acts), _pointer(params), *weights, _pointer(r.x), _pointer(r.mask)),
                *(_pointer(rows), _pointer(y), y.size),
            )
        )
        return y, rows


@dataclass
class Gemm:
    """The layout of one product, in floats."""

    rows: int
    n: int
    k: int
    inner: int = 0
    batches: int = 1
    x_outer: int = 0
    x_inner: int = 0
    w_stride: int = 0
    y_outer: int = 0
    y_inner: int = 0
    x_batch: int = 0
    w_batch: int = 0
    y_batch: int = 0
    x_at: int = 0
    y_at: int = 0
    transposed: bool = False
    accumulate: bool = False
    math: int = FP32
    activation: Activation = field(default_factory=Activation)

    def __post_init__(self) -> None:
        self.inner = self.inner or self.rows
        self.x_inner = self.x_inner or self.k
        self.y_inner = self.y_inner or self.n
        self.w_stride = self.w_stride or (self.k if self.transposed else self.n)

    def reference(self, x: np.ndarray, w: np.ndarray, bias: np.ndarray | None, y: np.ndarray) -> np.ndarray:
        """``y`` as float64, element by element of the definition."""
        out = y.astype(np.float64)
        for b in range(self.batches):
            wb = w[b * self.w_batch :]
            lines = self.n if self.transposed else self.k
            width = self.k if self.transposed else self.n
            taken = [wb[i * self.w_stride : i * self.w_stride + width] for i in range(lines)]
            matrix = np.array(taken, np.float64).reshape(lines, width)
            matrix = matrix.T if self.transposed else matrix
            for r in range(self.rows):
                o, i = divmod(r, self.inner)
                at = self.x_at + b * self.x_batch + o * self.x_outer + i * self.x_inner
                to = self.y_at + b * self.y_batch + o * self.y_outer + i * self.y_inner
                v = x[at : at + self.k].astype(np.float64) @ matrix
                v = v + (0 if bias is None else bias) + (y[to : to + self.n] if self.accumulate else 0)
                out[to : to + self.n] = activate(self.activation, v)
        return out


@dataclass
class Cell:
    """A layer with random weights."""

    kind: str
    units: int
    features: int
    seed: int = 0
    reset_after: bool = False
    use_bias: bool = True
    activation: Activation = field(default_factory=lambda: Activation("tanh"))
    recurrent_activation: Activation = field(default_factory=lambda: Activation("sigmoid"))

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        n = GATES[self.kind] * self.units
        self.kernel = (rng.standard_normal((self.features, n)) / np.sqrt(self.features)).astype(np.float32)
        self.recurrent = (rng.standard_normal((self.units, n)) / np.sqrt(self.units)).astype(np.float32)
        shape = (2, n) if self.kind == "gru" and self.reset_after else (n,)
        self.bias = (0.3 * rng.standard_normal(shape)).astype(np.float32) if self.use_bias else None

    @property
    def row(self) -> int:
        """4-byte words of a state row: h, c, has_output and one that is nobody's."""
        return (2 if self.kind == "lstm" else 1) * self.units + 2

    def step(self, x: np.ndarray, h: np.ndarray, c: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        """One step in float64."""
        act, gate = (lambda v, a=a: activate(a, v) for a in (self.activation, self.recurrent_activation))
        u, bias = self.units, 0 if self.bias is None else self.bias.astype(np.float64)
        if self.kind == "gru" and self.reset_after:
            b0, b1 = (bias[0], bias[1]) if self.bias is not None else (0.0, 0.0)
            xs = x @ self.kernel.astype(np.float64) + b0
            hs = h @ self.recurrent.astype(np.float64) + b1
            z, r = gate(xs[:, :u] + hs[:, :u]), gate(xs[:, u : 2 * u] + hs[:, u : 2 * u])
            g = act(xs[:, 2 * u :] + r * hs[:, 2 * u :])
            return z * h + (1 - z) * g, None
        xs = x @ self.kernel.astype(np.float64) + bias
        recurrent = self.recurrent.astype(np.float64)
        if self.kind == "simple_rnn":
            return act(xs + h @ recurrent), None
        if self.kind == "gru":
            z, r = gate(xs[:, :u] + h @ recurrent[:, :u]), gate(xs[:, u : 2 * u] + h @ recurrent[:, u : 2 * u])
            g = act(xs[:, 2 * u :] + (r * h) @ recurrent[:, 2 * u :])
            return z * h + (1 - z) * g, None
        s = xs + h @ recurrent
        i, f, g, o = gate(s[:, :u]), gate(s[:, u : 2 * u]), act(s[:, 2 * u : 3 * u]), gate(s[:, 3 * u :])
        assert c is not None
        c = f * c + i * g
        return o * act(c), c


@dataclass
class Run:
    """One call: inputs, states and options."""

    x: np.ndarray  # (batch, steps, features)
    rows: np.ndarray  # (batch, cell.row) float32; has_output as the bits of an int32
    mask: np.ndarray | None = None  # (batch, steps) uint8
    reverse_in: bool = False
    reverse_out: bool = False
    sequences: bool = True
    zero_masked: bool = False
    path: int = STEPS
    math: int = FP32

    @property
    def batch(self) -> int:
        return int(self.x.shape[0])

    @property
    def steps(self) -> int:
        return int(self.x.shape[1])


def make_run(
    c: Cell, batch: int, steps: int, seed: int = 0, *, masked: bool = False, states: bool = True, **options: Any
) -> Run:
    """Random inputs, states and, where masked, a mask with holes at the start, inside and at the end."""
    rng = np.random.default_rng(seed + 1)
    x = rng.standard_normal((batch, steps, c.features)).astype(np.float32)
    rows = np.zeros((batch, c.row), np.float32)
    if states:
        rows[:, : c.row - 2] = rng.standard_normal((batch, c.row - 2)).astype(np.float32) * 0.5
    rows[:, -1] = 7.0
    mask = None
    if masked:
        mask = (rng.random((batch, steps)) < 0.6).astype(np.uint8)
        mask[0, : steps // 2] = 0
        rows[:, -2] = rng.integers(0, 2, batch).astype(np.int32).view(np.float32)
    return Run(x, rows, mask, **options)


def reference(c: Cell, r: Run) -> tuple[np.ndarray, np.ndarray]:
    """(y, state rows) in float64, has_output as a number."""
    u = c.units
    rows = r.rows.astype(np.float64)
    has = r.rows[:, -2].view(np.int32).astype(bool) if r.mask is not None else np.zeros(r.batch, bool)
    h, cell = rows[:, :u].copy(), rows[:, u : 2 * u].copy() if c.kind == "lstm" else None
    y = np.zeros((r.batch, r.steps, u))
    for s in range(r.steps):
        t = r.steps - 1 - s if r.reverse_in else s
        new_h, new_c = c.step(r.x[:, t].astype(np.float64), h, cell)
        on = np.ones(r.batch, bool) if r.mask is None else r.mask[:, t].astype(bool)
        h = np.where(on[:, None], new_h, h)
        if cell is not None:
            cell = np.where(on[:, None], new_c, cell)
        has = has | on
        shown = np.where((on | (has & (not r.zero_masked)))[:, None], h, 0.0)
        y[:, r.steps - 1 - s if r.reverse_out else s] = shown
        last = shown
    rows[:, :u] = h
    if cell is not None:
        rows[:, u : 2 * u] = cell
    rows[:, -2] = has
    return (y if r.sequences else last), rows


def compare(c: Cell, r: Run, y: np.ndarray, rows: np.ndarray, limit: float) -> float:
    """The largest error against the largest value (1 at least), which must be below the limit.

    has_output and the neighbour's word must be exact.
    """
    want_y, want_rows = reference(c, r)
    n = c.row - 2
    if r.mask is not None:
        assert np.array_equal(rows[:, -2].view(np.int32), want_rows[:, -2].astype(np.int32)), "has_output"
    assert np.array_equal(rows[:, -1], r.rows[:, -1]), "a word that is nobody's"
    error = max(float(np.abs(y - want_y).max()), float(np.abs(rows[:, :n] - want_rows[:, :n]).max()))
    error /= max(1.0, float(np.abs(want_y).max()), float(np.abs(want_rows[:, :n]).max()))
    assert error <= limit, f"error {error:.3g}"
    return error
