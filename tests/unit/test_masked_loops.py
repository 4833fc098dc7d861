"""The runtime's loop over time under masks, states and directions, against both Kerases and against itself in pieces.

``loop.npz`` holds what the layers of both Kerases give (they agree) for left, right, middle, alternating, empty and
full masks; see ``tools/golden/make_loop.py``.
"""

import itertools

import numpy as np
import pytest
from cases.golden import FOLDER
from cases.graphs import Builder
from runtime import model_of

CELLS = {
    "lstm": ("lstm", {}, "hc"),
    "gru": ("gru", {}, "h"),
    "gru_reset_before": ("gru", {"reset_after": False}, "h"),
    "simple_rnn": ("simple_rnn", {}, "h"),
}
TOLERANCE = 2e-6
CUTTINGS = [(1,) * 7, (3, 4), (2, 1, 4), (6, 1)]


@pytest.fixture(scope="module")
def loop():
    with np.load(FOLDER / "loop.npz") as file:
        return dict(file)


def _model(loop, cell, *, masked=True, given=False, session="sequence", **attrs):
    """A model of one recurrent op with its mask and its initial states as inputs."""
    op, more, names = CELLS[cell]
    units = loop["states"].shape[2]
    b = Builder(session)
    x = b.input("x", None, loop["x"].shape[2], time="t")
    mask = b.input("mask", None, dtype="bool", time="t") if masked else None
    initial = tuple(b.input(f"initial_{n}", units, role="state") for n in names) if given else ()
    outputs = b.add(op, "rnn", x, mask=mask, initial_state=initial, units=units, **more, **attrs)
    graph, weights = b.done(*outputs)
    for k, role in enumerate(("kernel", "recurrent_kernel", "bias")):
        weights[f"rnn.{role}"] = loop[f"{cell}|weight_{k}"].astype("float32")
    return model_of(graph, weights)


def _flat(y):
    return [np.asarray(v) for v in (y if isinstance(y, (list, tuple)) else [y])]


def _inputs(loop, cell, masked, given):
    states = [s.astype("float32") for s in loop["states"][: len(CELLS[cell][2])]]
    return [loop["x"].astype("float32"), *[loop["mask"]] * masked, *states * given]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("switches", ["".join(s) for s in itertools.product("01", repeat=5)])
def test_a_loop_does_as_keras_does(loop, cell, switches):
    sequences, backwards, zeros, masked, given = (s == "1" for s in switches)
    options = {"return_sequences": sequences, "go_backwards": backwards, "zero_output_for_mask": zeros}
    model = _model(loop, cell, masked=masked, given=given, return_state=True, **options)
    inputs = _inputs(loop, cell, masked, given)
    for k, y in enumerate(_flat(model.predict(inputs if len(inputs) > 1 else inputs[0]))):
        np.testing.assert_allclose(y, loop[f"{cell}|{switches}|{k}"], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("cell", CELLS)
def test_calls_of_a_stateful_layer(loop, cell):
    """Masked steps that begin a call output zeros, though the state is carried."""
    model = _model(loop, cell, session="calls", stateful=True, return_sequences=True)
    session = model.session(batch_size=len(loop["x"]))
    ends = np.cumsum(loop["calls"])
    for k, (end, n) in enumerate(zip(ends, loop["calls"])):
        piece = [loop["x"][:, end - n : end].astype("float32"), loop["mask"][:, end - n : end]]
        np.testing.assert_allclose(session.run(piece), loop[f"{cell}|stateful|{k}"], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("cuts", CUTTINGS)
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("zeros", [False, True])
def test_a_masked_sequence_in_pieces_has_the_same_bits(loop, cell, cuts, given, zeros):
    """Held outputs go over the cuts; a row that has had no step yet still gives zeros."""
    model = _model(loop, cell, given=given, return_sequences=True, zero_output_for_mask=zeros)
    inputs = _inputs(loop, cell, True, given)
    whole = model.predict(inputs)
    session = model.session(batch_size=len(loop["x"]), initial_state=inputs[2:] or None)
    ends = np.cumsum(cuts)
    parts = [session.run([x[:, e - n : e] for x in inputs[:2]]) for e, n in zip(ends, cuts)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


@pytest.mark.parametrize("cell", CELLS)
def test_a_mask_of_ones_is_no_mask(loop, cell):
    plain, masked = (_model(loop, cell, masked=m, return_sequences=True) for m in (False, True))
    x = loop["x"].astype("float32")
    np.testing.assert_array_equal(masked.predict([x, np.ones(x.shape[:2], bool)]), plain.predict(x))


@pytest.mark.parametrize("cell", CELLS)
def test_what_lies_under_a_mask_is_never_read(loop, cell):
    model = _model(loop, cell, return_sequences=True)
    x, mask = _inputs(loop, cell, True, False)
    other = np.where(mask[..., None], x, np.float32(np.nan))
    np.testing.assert_array_equal(model.predict([other, mask]), model.predict([x, mask]))
