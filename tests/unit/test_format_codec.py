"""Graph <-> JSON: nothing lost, nothing unknown taken, strict JSON."""

import copy
import json

import numpy as np
import pytest
from format_models import ids_graph, lstm_graph, rnn_graph, weights_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rnnrt.errors import FormatError
from rnnrt.format.codec import features, fingerprint, graph_from_json, graph_to_json
from rnnrt.format.strict_json import depth, dumps, loads
from rnnrt.ir.activations import ACTIVATIONS, Activation
from rnnrt.ir.dims import BATCH, symbol
from rnnrt.ir.graph import Graph, InputSpec, Node, TensorSpec, WeightSpec
from rnnrt.ir.ops import OPS

GRAPHS = [lstm_graph(), lstm_graph(steps=12), rnn_graph(), rnn_graph(state=True), ids_graph()]


def through(graph):
    return graph_from_json(loads(dumps(graph_to_json(graph)), "graph"))


def filled(graph):
    """The graph with every attribute written out."""
    out = copy.deepcopy(graph)
    for n in out.nodes:
        for k, a in OPS[n.op].attrs.items():
            n.attrs.setdefault(k, a.default)
    return out


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda g: g.name)
def test_round_trip(graph):
    before = copy.deepcopy(graph)
    assert through(graph) == filled(graph)
    assert graph == before, "the codec must not change the graph it writes"
    assert dumps(graph_to_json(through(graph))) == dumps(graph_to_json(graph))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_round_trip_of_every_activation(name):
    for params in {(), tuple(0.1 + i for i, _ in enumerate(ACTIVATIONS[name].params))}:
        activation = Activation(name, params)
        graph = lstm_graph(classes=4)
        graph.nodes[2].attrs["activation"] = activation
        if name == "glu":
            graph.tensors["z"] = TensorSpec("z", (BATCH, 2))
        assert through(graph).nodes[2].attrs["activation"] == activation


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)  # control characters too
floats = st.floats(allow_nan=False)


@st.composite
def chains(draw):
    """Dense, activation, BatchNormalization and RepeatVector one after the other, names and values arbitrary."""
    width = draw(st.integers(1, 2**20))
    shape = (BATCH, width)
    tensors = {"in": TensorSpec("in", shape)}
    nodes, weights, at = [], {}, "in"
    for i, kind in enumerate(
        draw(st.lists(st.sampled_from(["dense", "activation", "batch_normalization"]), max_size=5))
    ):
        layer, out = draw(names), f"t{i}"
        roles = {}
        if kind == "dense":
            units = draw(st.integers(1, 2**20))
            attrs = {"units": units, "use_bias": draw(st.booleans())}
            roles = {"kernel": (shape[1], units)} | ({"bias": (units,)} if attrs["use_bias"] else {})
            shape = (BATCH, units)
        elif kind == "activation":
            params = (
                draw(st.floats(-1e30, 1e30)),
                draw(st.floats(0, 9)),
                draw(st.just(float("inf")) | st.floats(0, 1)),
            )
            attrs = {"activation": Activation("relu_general", params[::-1])}
        else:
            attrs = {"axis": 1, "epsilon": draw(floats), "scale": draw(st.booleans()), "center": False}
            roles = {r: (shape[1],) for r in ["gamma"] * attrs["scale"] + ["moving_mean", "moving_variance"]}
        stored = {r: f"{layer}.{i}.{r}" for r in roles}
        weights |= {stored[r]: WeightSpec(stored[r], roles[r]) for r in roles}
        nodes.append(Node(str(i), kind, layer, (at,), (out,), attrs, stored, layer_class=draw(names)))
        tensors[out] = TensorSpec(out, shape)
        at = out
    structure = draw(st.recursive(st.just(0), lambda s: st.builds(lambda v: [v], s), max_leaves=3))
    return Graph(
        draw(st.text(st.characters(codec="utf-8"), max_size=5)),
        [InputSpec("in", draw(names))],
        [at],
        nodes,
        tensors,
        weights,
        structure,
        {draw(names): structure},
        draw(st.sampled_from(["sequence", "calls"])),
        [draw(names)],
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])  # machines are busy
@given(chains())
def test_round_trip_of_any_chain(graph):
    assert through(graph) == filled(graph)


def test_unknown_keys_are_refused_by_name_everywhere():
    good = graph_to_json(lstm_graph())
    for place in [good, good["inputs"][0], good["nodes"][1], good["tensors"]["x"], good["weights"]["dense.bias"]]:
        place["zebra"] = 0
        with pytest.raises(FormatError, match=r"unknown key 'zebra' \[F24\]"):
            graph_from_json(good)
        del place["zebra"]
    good["nodes"][1]["attrs"]["zebra"] = 0
    with pytest.raises(FormatError, match=r"graph\.nodes\[1\] \(dense\)\.attrs: unknown attribute 'zebra'"):
        graph_from_json(good)


def test_every_key_is_needed():
    good = graph_to_json(lstm_graph())
    for get in [
        lambda g: g,
        lambda g: g["inputs"][0],
        lambda g: g["nodes"][0],
        lambda g: g["tensors"]["x"],
        lambda g: g["weights"]["dense.bias"],
    ]:
        for key in get(good):
            bad = copy.deepcopy(good)
            del get(bad)[key]
            with pytest.raises(FormatError, match=rf"key '{key}' is missing \[F24\]"):
                graph_from_json(bad)


def test_absent_attributes_get_their_defaults():
    sparse = graph_to_json(lstm_graph(), sparse=True)
    assert set(sparse["nodes"][0]["attrs"]) == {"units", "activation"}
    assert graph_from_json(sparse) == filled(lstm_graph())


@pytest.mark.parametrize(
    "change,message",
    [
        (lambda g: g.nodes[0].attrs.__setitem__("units", np.int64(5)), "units"),
        (lambda g: g.nodes[0].attrs.__setitem__("units", 2**48), "units"),
        (lambda g: g.nodes[0].attrs.__setitem__("activation", "tanh"), "activation"),
        (lambda g: g.nodes[0].attrs.__setitem__("zebra", 1), "zebra"),
        (lambda g: g.tensors.__setitem__("q", TensorSpec("p", (BATCH,))), "tensors.q"),
        (lambda g: g.weights.__setitem__("dense.bias", WeightSpec("dense.bias", (np.int64(4),))), "dense.bias"),
        (lambda g: g.weights.__setitem__("dense.bias", WeightSpec("dense.bias", (4,), "complex64")), "complex64"),
        (lambda g: setattr(g, "input_structure", {0: 0}), "input_structure"),
        (lambda g: setattr(g, "name", None), "graph.name"),
        (lambda g: setattr(g, "output_names", [1]), "output_names"),
        (lambda g: g.tensors.__setitem__("x", TensorSpec("x", (BATCH,) * 9)), "at most 8"),
    ],
)
def test_ill_typed_graphs_are_not_written(change, message):
    graph = lstm_graph()
    change(graph)
    with pytest.raises(FormatError, match=message):
        graph_to_json(graph)


def test_a_length_that_no_input_binds_is_refused():
    graph = lstm_graph()
    graph.inputs.append(InputSpec("s", "s"))
    graph.tensors["s"] = TensorSpec("s", (BATCH, symbol("s:1")))
    graph.input_structure = [0, 1]
    assert through(graph)
    graph.tensors["s"] = TensorSpec("s", (BATCH, symbol("q:1")))
    assert through(graph)  # any name will do, where it is an axis of an input
    obj = graph_to_json(graph)
    obj["tensors"]["s"]["shape"][1] = ["mul", "q:1", "q:1"]
    with pytest.raises(FormatError, match=r"no input binds the length 'q:1' \[F25\]"):
        graph_from_json(obj)


def test_features():
    graph = lstm_graph()
    assert features(graph) == []
    graph.weights["dense.bias"] = WeightSpec("dense.bias", (4,), "int8")
    graph.tensors["x"] = TensorSpec("x", graph.tensors["x"].shape, "float64")
    assert features(graph) == ["float64", "int8"]


def test_fingerprint_follows_graph_and_weights_only():
    graph = lstm_graph()
    weights = weights_of(graph)
    first = fingerprint(graph, weights)
    assert first == fingerprint(through(graph), dict(reversed(weights.items())))
    assert first == fingerprint(graph, {k: np.asfortranarray(w) for k, w in weights.items()})
    other = lstm_graph()
    other.nodes[1].attrs["activation"] = Activation("sigmoid")
    assert first != fingerprint(other, weights)
    changed = dict(weights) | {"dense.bias": -weights["dense.bias"]}
    assert first != fingerprint(graph, changed)


# ---------------------------------------------------------------- strict JSON


@given(
    st.recursive(
        st.none() | st.text('a"\\[{}]é', max_size=6), lambda s: st.lists(s) | st.dictionaries(st.text('"\\['), s)
    )
)
def test_depth_of_any_json(value):
    def deep(v):
        items = v.values() if isinstance(v, dict) else v if isinstance(v, list) else None
        return 0 if items is None else 1 + max(map(deep, items), default=0)

    for ascii_ in (True, False):
        assert depth(json.dumps(value, ensure_ascii=ascii_).encode()) == deep(value)
    assert deep(value) > 64 or loads(json.dumps(value), "x") == value


def test_depth_limit():
    assert loads("[" * 64 + "]" * 64, "x")
    with pytest.raises(FormatError, match="F05"):
        loads("[" * 65 + "]" * 65, "x")


@pytest.mark.parametrize("text", ["281474976710655", "-281474976710655", "0", "1.5e-300", '"\\ud83d\\ude00"'])
def test_numbers_and_strings_at_the_limit(text):
    assert loads(text, "x") == json.loads(text)
