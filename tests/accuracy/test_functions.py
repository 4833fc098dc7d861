"""Functions of single elements and long recurrences against float64, on every kernel table."""

from __future__ import annotations

import numpy as np
import pytest
from cases.graphs import Builder
from functions import ELEMENTWISE, errors, numbers
from runtime import RUNNABLE, model_of

from rnnrt.ir.activations import Activation
from rnnrt.reference import Interpreter

# Units in the last place of the result. tanh: the rational fit of vmath.h (Keras's own in TensorFlow: 3 to 5).
# The others: one exponential (0.93) and a division or an addition or two, rounded to half a unit each.
ULPS = {
    **{"tanh": 5.0, "sigmoid": 2.5, "exponential": 1.2, "softplus": 2.5, "log_sigmoid": 2.5, "silu": 3.0},
    **{"elu": 1.2, "celu": 1.2, "selu": 2.0, "softsign": 2.0, "hard_sigmoid_k3": 1.5, "hard_silu": 2.5},
    **{"linear": 0.0, "leaky_relu": 1.0, "relu": 0.0, "relu_general": 0.0, "hard_tanh": 0.0, "hard_shrink": 0.0},
    **{"threshold": 0.0, "thresholded_relu": 0.0, "soft_shrink": 0.5},
}
# All of them, relative to max(1, |result|); the rest of the table cancels somewhere (x - tanh x, or 0.2 x + 0.5 near
# -2.5), where Keras's float32 loses the same digits and only this bound means something.
RELATIVE = 3e-7


@pytest.mark.parametrize("table", RUNNABLE)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_units_in_the_last_place(name, table):
    ulp, relative = errors(name, table, numbers())
    assert ulp <= ULPS.get(name, np.inf) and relative <= RELATIVE, f"{ulp:.3g} ulp, relative {relative:.2g}"


@pytest.mark.parametrize("table", RUNNABLE)
def test_a_small_probability_keeps_its_logarithm(table):
    """Dense(sigmoid) and the layer alike: log of an answer far below one float32 unit of 1 is right to six digits."""
    b = Builder()
    x = b.input("x", 3)
    (p,) = b.add("dense", "p", x, units=40, activation=Activation("sigmoid"))
    (q,) = b.add("dense", "q", x, units=40)
    graph, weights = b.done(p, q)
    weights["q.kernel"] = weights["p.kernel"]
    weights["q.bias"] = weights["p.bias"]
    p, q = model_of(graph, weights, table).predict(np.full((5, 3), -30, "f4"))
    assert q.min() < -40 and p.min() > 0
    low = (q < -20) & (q > -80)
    np.testing.assert_allclose(np.log(p[low]), q[low], rtol=1e-6)


@pytest.mark.parametrize("table", RUNNABLE)
@pytest.mark.parametrize(
    ("cell", "options"), [("lstm", {}), ("gru", {}), ("gru", {"reset_after": False}), ("simple_rnn", {})]
)
@pytest.mark.parametrize("gain", [1.0, 2.0])
def test_a_thousand_steps_do_not_drift(table, cell, options, gain):
    """At most four times the error of the same loop in NumPy's float32, or 2e-6 where that is lucky.

    gain: factor on the recurrent weights; 2 makes the loop amplify what was rounded before.
    """
    b = Builder()
    (y,) = b.add(cell, "cell", b.input("x", None, 12), units=24, return_sequences=True, **options)
    graph, weights = b.done(y)
    weights["cell.recurrent_kernel"] = weights["cell.recurrent_kernel"] * np.float32(gain * 0.6)
    x = np.random.default_rng(0).standard_normal((2, 1000, 12)).astype("f4")
    exact = Interpreter(graph, weights).predict([x])[0]
    single = np.abs(Interpreter(graph, weights, np.float32).predict([x])[0] - exact).max()
    error = np.abs(model_of(graph, weights, table).predict(x) - exact).max()
    assert error <= max(4 * single, 2e-6), f"{error:.2g}, NumPy in float32 {single:.2g}"
