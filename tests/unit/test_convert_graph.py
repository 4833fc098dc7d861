"""The walk: nodes of both versions, sharing, nesting, structures, states, cuts."""

import numpy as np
import pytest
from keras_files import arrays, functional, input_layer, layer, node3, sequential, tensor3, write_h5, write_keras

from rnnrt.convert import build
from rnnrt.errors import ConversionError, UnsupportedLayerError
from rnnrt.reference import Interpreter

K, R, B = arrays((3, 12), (3, 12), (12,))
DK, DB = arrays((3, 3), (3,), seed=2)
LSTM = {"units": 3, "activation": "tanh", "recurrent_activation": "sigmoid"}


def lstm(name, generation, inbound=None, **config):
    return layer("LSTM", name, generation, inbound, **{**LSTM, **config})


def group(**layers):
    """Weight group of layers by name: 'lstm', 'dense' or ''."""
    kinds = {
        "lstm": [("kernel", K), ("recurrent_kernel", R), ("bias", B)],
        "dense": [("kernel", DK), ("bias", DB)],
        "": [],
    }
    return {n: [(f"{n}/{role}:0", a) for role, a in kinds[kind]] for n, kind in layers.items()}


def save(tmp_path, model, weights, generation):
    return write_h5(tmp_path / "a.h5", model, weights, f"{generation}.12.0")


def run(src, *inputs, **cut):
    b = build(src, **cut)
    return b, Interpreter(b.graph, b.weights).predict(list(inputs))


def x(*shape, seed=5):
    return arrays(shape, seed=seed)[0]


# ---- the two node formats -----------------------------------------------------------------------


def encoder_decoder(generation):
    """e -> enc (return_state); d with its states -> dec -> out."""
    if generation == 3:
        enc = [node3(tensor3("e"), mask=None, training=False)]
        dec = [node3(tensor3("d"), initial_state=[tensor3("enc", 0, 1), tensor3("enc", 0, 2)])]
        out, outputs = [node3(tensor3("dec"))], ["out", 0, 0]
    else:
        enc = [[["e", 0, 0, {}]]]
        dec = [[["d", 0, 0, {}], ["enc", 0, 1, {}], ["enc", 0, 2, {}]]]
        out, outputs = [[["dec", 0, 0, {}]]], [["out", 0, 0]]
    return functional(
        [
            input_layer("e", (None, None, 3), generation, True),
            input_layer("d", (None, None, 3), generation, True),
            lstm("enc", generation, enc, return_state=True),
            lstm("dec", generation, dec, return_sequences=True, return_state=True),
            layer("Dense", "out", generation, out, units=3),
        ],
        [["e", 0, 0], ["d", 0, 0]],
        outputs,
    )


SEQ2SEQ = group(e="", d="", enc="lstm", dec="lstm", out="dense")


@pytest.mark.parametrize("generation", [2, 3])
def test_initial_state_in_both_formats(generation, tmp_path):
    b, _ = run(save(tmp_path, encoder_decoder(generation), SEQ2SEQ, generation), x(2, 4, 3), x(2, 5, 3))
    enc, dec, out = b.graph.nodes
    assert dec.inputs == ("d",) and dec.initial_state == enc.outputs[1:]
    assert len(enc.outputs) == len(dec.outputs) == 3 and out.inputs == dec.outputs[:1]
    assert b.graph.input_structure == [0, 1] and b.graph.output_structure == 0
    assert [str(b.graph.tensors[t].shape[1]) for t in ("e", "d")] == ["e:1", "d:1"]


@pytest.mark.parametrize("generation", [2, 3])
def test_cutting_an_encoder_decoder_in_two(generation, tmp_path):
    src = save(tmp_path, encoder_decoder(generation), SEQ2SEQ, generation)
    e, d = x(2, 4, 3), x(2, 5, 3, seed=6)
    _, (whole,) = run(src, e, d)
    enc, states = run(src, e, outputs="enc")
    assert enc.graph.output_names == ["enc", "enc/h", "enc/c"] and enc.graph.output_structure == [0, 1, 2]
    assert [i.name for i in enc.graph.inputs] == ["e"] and enc.graph.input_structure == 0
    assert sorted(enc.weights) == ["enc.bias", "enc.kernel", "enc.recurrent_kernel"]
    dec, (half,) = run(src, d, *states[1:], inputs="d", outputs="out")
    assert [(i.name, i.role) for i in dec.graph.inputs] == [("d", "data"), ("dec/h", "state"), ("dec/c", "state")]
    np.testing.assert_array_equal(half, whole)
    named, (third, *_) = run(src, d, *states[1:], inputs=["d", "enc"], outputs=["out", "dec"])
    assert [(i.name, i.role) for i in named.graph.inputs] == [("d", "data"), ("enc/h", "state"), ("enc/c", "state")]
    assert named.graph.output_names == ["out", "dec", "dec/h", "dec/c"]
    np.testing.assert_array_equal(third, whole)


def test_cutting_in_the_middle_of_a_sequential(tmp_path):
    model = sequential(
        input_layer("x", (None, 5, 3)), layer("Dense", "a", units=3), lstm("b", 2), layer("Dense", "c", units=3)
    )
    src = save(tmp_path, model, group(a="dense", b="lstm", c="dense"), 2)
    v = x(2, 5, 3)
    _, (whole,) = run(src, v)
    _, (front,) = run(src, v, outputs=["a"])
    b, (back,) = run(src, front, inputs=["a"])
    assert [i.name for i in b.graph.inputs] == ["a"] and sorted(b.weights)[0] == "b.bias"
    np.testing.assert_array_equal(back, whole)


def test_cuts_that_cannot_be(tmp_path):
    src = save(tmp_path, encoder_decoder(2), SEQ2SEQ, 2)
    for kw, text in (
        ({"inputs": "e", "outputs": "out"}, "also need the input 'd'"),
        ({"outputs": "absent"}, "no layer is named 'absent'"),
        ({"inputs": ["e", "e"]}, "given twice"),
        ({"outputs": []}, "one or more layer names"),
        ({"outputs": "enc:4"}, "there is no call 4"),
        ({"inputs": "enc", "outputs": "e"}, "also need the input 'e'"),
    ):
        with pytest.raises(ConversionError, match=text):
            build(src, **kw)


# ---- sharing and nesting ------------------------------------------------------------------------


def shared(generation):
    """A nested model called twice, its layers by node indices as each version counts them."""
    inner = layer("Sequential", "inner", generation)
    inner["config"]["layers"] = [
        input_layer("i", (None, None, 3), generation),
        layer("Dense", "p", generation, units=3),
    ]
    first = 1 if generation == 2 else 0  # Keras 3 counts from 1 for nested functional models only
    if generation == 3:
        inner["inbound_nodes"] = [node3(tensor3("a"), mask=None), node3(tensor3("b"), mask=None)]
        rec = [node3(tensor3("inner", 0)), node3(tensor3("inner", 1))]
    else:
        inner["inbound_nodes"] = [[["a", 0, 0, {}]], [["b", 0, 0, {}]]]
        rec = [[["inner", first, 0, {}]], [["inner", first + 1, 0, {}]]]
    layers = [input_layer(n, (None, 4, 3), generation, True) for n in "ab"] + [inner, lstm("rec", generation, rec)]
    return functional(layers, [["a", 0, 0], ["b", 0, 0]], [["rec", 1, 0], ["rec", 0, 0]])


@pytest.mark.parametrize("generation", [2, 3])
def test_shared_and_nested(generation, tmp_path):
    weights = group(a="", b="", inner="", rec="lstm")
    weights["inner"] = [("p/kernel:0", DK), ("p/bias:0", DB)]
    v = x(2, 4, 3)
    b, (of_b, of_a) = run(save(tmp_path, shared(generation), weights, generation), v, v * 2)
    assert [n.name for n in b.graph.nodes].count("inner/p") == 2 == [n.name for n in b.graph.nodes].count("rec")
    assert len({n.id for n in b.graph.nodes}) == 4 and len(b.weights) == 5
    assert b.graph.output_structure == [0, 1] and b.graph.output_names == ["rec", "rec_1"]
    _, (again,) = run(save(tmp_path, shared(generation), weights, generation), v, outputs="rec:0")
    np.testing.assert_array_equal(again, of_a)
    assert not np.allclose(of_a, of_b)


def test_a_shared_layer_is_cut_at_one_call(tmp_path):
    weights = group(a="", b="", inner="", rec="lstm")
    weights["inner"] = [("p/kernel:0", DK), ("p/bias:0", DB)]
    src = save(tmp_path, shared(2), weights, 2)
    with pytest.raises(ConversionError, match="called 2 times; name a call as 'rec:0' to 'rec:1'"):
        build(src, outputs="rec")


def test_nested_functional_of_keras3_counts_from_one(tmp_path):
    inner = functional(
        [input_layer("i", (None, 4, 3), 3, True), lstm("r", 3, [node3(tensor3("i"))])],
        [["i", 0, 0]],
        [["r", 0, 0]],
        "enc",
    )
    inner |= {"name": "enc", "inbound_nodes": [node3(tensor3("x"), mask=None)]}
    model = functional(
        [input_layer("x", (None, 4, 3), 3, True), inner, layer("Dense", "out", 3, [node3(tensor3("enc", 1))], units=3)],
        [["x", 0, 0]],
        ["out", 0, 0],
    )
    tree = {"layers/functional/layers/lstm/cell": [K, R, B], "layers/dense": [DK, DB]}
    b = build(write_keras(tmp_path / "a.keras", model, tree))
    assert [n.name for n in b.graph.nodes] == ["enc/r", "out"]
    np.testing.assert_array_equal(b.weights["enc/r.kernel"], K)


# ---- structures ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "generation, inputs, outputs, wanted_in, wanted_out",
    [
        (2, [["a", 0, 0]], [["r", 0, 0]], 0, 0),
        (3, [["a", 0, 0]], [["r", 0, 0]], [0], 0),  # Keras gives the only output of a list by itself
        (3, ["a", 0, 0], ["r", 0, 0], 0, 0),
        (3, {"k": ["a", 0, 0]}, {"z": ["r", 0, 1], "y": ["r", 0, 0]}, {"k": 0}, {"z": 0, "y": 1}),
        (2, {"k": ["a", 0, 0]}, {"z": ["r", 0, 1], "y": ["r", 0, 0]}, {"k": 0}, {"z": 0, "y": 1}),
        (3, ["a", 0, 0], [["r", 0, 0], [["r", 0, 1], ["r", 0, 2]]], 0, [0, [1, 2]]),
    ],
)
def test_structures_mirror_the_users(generation, inputs, outputs, wanted_in, wanted_out, tmp_path):
    node = [node3(tensor3("a"))] if generation == 3 else [[["a", 0, 0, {}]]]
    model = functional(
        [input_layer("a", (None, 4, 3), generation, True), lstm("r", generation, node, return_state=True)],
        inputs,
        outputs,
    )
    g = build(save(tmp_path, model, group(a="", r="lstm"), generation)).graph
    assert g.input_structure == wanted_in and g.output_structure == wanted_out
    if isinstance(outputs, dict):
        assert g.outputs == ["r:1", "r"] and g.output_names == ["r/h", "r"]


def test_inputs_keep_their_dtype_and_lengths(tmp_path):
    (table,) = arrays((7, 2))
    model = sequential(
        input_layer("ids", (32, None), dtype="int32"), layer("Embedding", "emb", input_dim=7, output_dim=2)
    )
    g = build(write_h5(tmp_path / "a.h5", model, {"emb": [("emb/embeddings:0", table)]})).graph
    t = g.tensors["ids"]
    assert t.dtype == "int32" and [str(d) for d in t.shape] == ["B", "ids:1"]  # the batch size binds nobody
    assert g.nodes[0].attrs["wrap_negative"] is False


def test_layers_cast_their_inputs(tmp_path):
    model = sequential(input_layer("x", (None, 5, 3), dtype="float64"), lstm("r", 2))
    g = build(save(tmp_path, model, group(r="lstm"), 2)).graph
    assert [n.op for n in g.nodes] == ["cast", "lstm"] and g.tensors["x"].dtype == "float64"


# ---- what disappears, what is refused -----------------------------------------------------------


def test_identity_layers_leave_no_op(tmp_path):
    kin = ["Dropout", "SpatialDropout1D", "GaussianNoise", "GaussianDropout", "AlphaDropout", "ActivityRegularization"]
    model = sequential(
        input_layer("x", (None, 5, 3)),
        *(layer(c, c.lower(), rate=0.3, stddev=0.1, l1=0.1) for c in kin),
        layer("Activation", "lin", activation="linear"),
        lstm("r", 2),
    )
    g = build(save(tmp_path, model, group(r="lstm"), 2)).graph
    assert [n.op for n in g.nodes] == ["lstm"] and g.nodes[0].inputs == ("x",)


def test_time_distributed_is_the_layer_per_step(tmp_path):
    td = lambda name, inner: layer("TimeDistributed", name, layer=inner)  # noqa: E731
    model = sequential(
        input_layer("x", (None, 5, 3)),
        td("t1", layer("Dense", "d", units=3, activation="relu")),
        td("t2", layer("BatchNormalization", "n", axis=[1])),
        td("t3", layer("Softmax", "s", axis=-1)),
        td("t4", layer("Dropout", "o", rate=0.5)),
    )
    stats = arrays((3,), (3,), (3,), (3,))
    roles = ("gamma", "beta", "moving_mean", "moving_variance")
    weights = {
        "t1": [("t1/kernel:0", DK), ("t1/bias:0", DB)],
        "t2": [(f"t2/{r}:0", a) for r, a in zip(roles, stats)],
        "t3": [],
        "t4": [],
    }
    b = build(write_h5(tmp_path / "a.h5", model, weights))
    assert [(n.op, n.name) for n in b.graph.nodes] == [
        ("dense", "t1/d"),
        ("batch_normalization", "t2/n"),
        ("activation", "t3/s"),
    ]
    assert b.graph.nodes[1].attrs["axis"] == 2
    np.testing.assert_array_equal(b.weights["t1/d.kernel"], DK)


def test_time_distributed_over_other_layers_works_on_folded_rows(tmp_path):
    entry = layer("Flatten", "inner")
    model = sequential(input_layer("x", (None, 5, 4, 3)), layer("TimeDistributed", "td", layer=entry))
    g = build(write_h5(tmp_path / "a.h5", model, {"td": []})).graph
    assert [n.op for n in g.nodes] == ["fold_time", "flatten", "unfold_time"]
    assert [str(d) for d in g.tensors[g.outputs[0]].shape] == ["B", "5", "12"]


@pytest.mark.parametrize(
    "entry, why",
    [
        (layer("Lambda", "inner"), "bytecode"),
        (layer("Mine", "inner"), "does not know"),
        (layer("LSTM", "inner", **LSTM, stateful=True), "a stateful layer inside TimeDistributed"),
    ],
)
def test_time_distributed_over_what_cannot_be_is_refused(entry, why, tmp_path):
    model = sequential(input_layer("x", (None, 5, 4, 3)), layer("TimeDistributed", "td", layer=entry))
    with pytest.raises(UnsupportedLayerError, match=f"td.*{why}"):
        build(write_h5(tmp_path / "a.h5", model, {"td": []}))


def test_stateful_makes_sessions_of_calls(tmp_path):
    model = sequential(input_layer("x", (2, 5, 3)), lstm("r", 2, stateful=True))
    g = build(save(tmp_path, model, group(r="lstm"), 2)).graph
    assert g.session == "calls" and g.nodes[0].attrs["stateful"] is True
    model = sequential(input_layer("x", (2, 5, 3)), lstm("r", 2))
    assert build(save(tmp_path, model, group(r="lstm"), 2)).graph.session == "sequence"


def test_a_loop_in_the_graph(tmp_path):
    model = functional(
        [
            input_layer("x", (None, 3), 2, True),
            layer("Dense", "a", 2, [[["b", 0, 0, {}]]], units=3),
            layer("Dense", "b", 2, [[["a", 0, 0, {}]]], units=3),
        ],
        [["x", 0, 0]],
        [["b", 0, 0]],
    )
    with pytest.raises(ConversionError, match="depends on itself"):
        build(save(tmp_path, model, group(x="", a="dense", b="dense"), 2))


@pytest.mark.parametrize(
    "node, text",
    [
        ([[["nowhere", 0, 0, {}]]], "'nowhere', which is not there"),
        ([[["x", 3, 0, {}]]], "call 3 of 'x'"),
        ([[["x", 0, 2, {}]]], "output 2 of 'x', which has 1"),
        ([[["x", -1, 0, {}]]], "not a node or tensor index"),
        ([[["x", True, 0, {}]]], "does not write"),
        ("x", "must be a list"),
        ([3], "does not write"),
        ([], "never called"),
    ],
)
def test_nodes_that_lead_nowhere(node, text, tmp_path):
    model = functional(
        [input_layer("x", (None, 3), 2, True), layer("Dense", "d", 2, node, units=3)], [["x", 0, 0]], [["d", 0, 0]]
    )
    with pytest.raises(ConversionError, match=text):
        build(save(tmp_path, model, group(x="", d="dense"), 2))


def test_two_layers_of_one_name(tmp_path):
    model = functional(
        [input_layer("x", (None, 3), 2, True), input_layer("x", (None, 3), 2, True)], [["x", 0, 0]], [["x", 0, 0]]
    )
    with pytest.raises(ConversionError, match="two layers are named 'x'"):
        build(save(tmp_path, model, {}, 2))


def test_a_sequential_without_a_shape(tmp_path):
    model = sequential(lstm("r", 2))
    with pytest.raises(ConversionError, match="does not say the input's shape"):
        build(save(tmp_path, model, group(r="lstm"), 2))


def test_return_state_inside_a_sequential(tmp_path):
    model = sequential(input_layer("x", (None, 5, 3)), lstm("r", 2, return_state=True), layer("Dense", "d", units=3))
    with pytest.raises(ConversionError, match="r: a layer of a Sequential must have one output"):
        build(save(tmp_path, model, group(r="lstm", d="dense"), 2))


def test_states_of_the_last_layer_of_a_sequential(tmp_path):
    """Keras 3 gives them all; Keras 2 does not make such a model."""
    for generation in (2, 3):
        model = sequential(input_layer("x", (None, 5, 3), generation), lstm("r", generation, return_state=True))
        src = save(tmp_path, model, group(r="lstm"), generation)
        if generation == 3:
            g = build(src).graph
            assert g.output_structure == [0, 1, 2] and g.output_names == ["r", "r/h", "r/c"]
        else:
            with pytest.raises(ConversionError, match="must have one output"):
                build(src)
