"""What conversion writes where masks and directions meet: the graphs that each Keras version means."""

import numpy as np
import pytest
from cases import BY_NAME
from cases.golden import load
from keras_files import arrays, functional, input_layer, layer, node3, tensor3, write_keras

import rnnrt
from rnnrt.convert import build
from rnnrt.errors import StateError
from rnnrt.ir.passes.layers import layer_rows

BOTH = ("keras2", "keras3")


def _built(name, version):
    g = load(BY_NAME[name], version)
    return build(g.model, architecture=g.architecture)


def _nodes(name, version):
    graph = _built(name, version).graph
    return {n.name: n for n in graph.nodes}, graph.producers()


@pytest.mark.parametrize("version", BOTH)
def test_keras_3_gives_a_layer_with_initial_state_no_mask(version):
    """Its output carries the mask on all the same."""
    nodes, made = _nodes("masks/initial_state", version)
    assert (nodes["decoder"].mask is None) == (version == "keras3")
    assert made[nodes["after"].mask].op == "masking"
    assert nodes["encoder"].mask != nodes["after"].mask


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("sequences", [False, True])
def test_bidirectional_forces_zeros_for_sequences(version, sequences):
    built = _built("wrappers/masked_lstm" + "_sequences" * sequences, version)
    first, second = (n for n in built.graph.nodes if n.op == "lstm")
    assert first.mask == second.mask is not None
    assert first.attrs["zero_output_for_mask"] == second.attrs["zero_output_for_mask"] == sequences
    assert (first.attrs["go_backwards"], second.attrs["go_backwards"]) == (False, True)
    assert (first.attrs["reverse_output"], second.attrs["reverse_output"]) == (False, True)


@pytest.mark.parametrize("version", BOTH)
def test_masks_of_a_sum_are_joined_by_and_or_or(version):
    nodes, made = _nodes("masks/add", version)
    # Keras 3 writes its operation into the file; the maximum of bools is their or
    assert made[nodes["gru"].mask].op == {"keras2": "logical_and", "keras3": "maximum"}[version]
    nodes, made = _nodes("masks/add_one", version)
    assert (nodes["gru"].mask is None) == (version == "keras3")


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("name", ["lstm", "gru_sequences", "masked_stack", "stacked_cells_both_ways"])
def test_a_session_of_a_bidirectional_is_refused_by_name(name, version, tmp_path):
    g = load(BY_NAME[f"wrappers/{name}"], version)
    rnnrt.convert(g.model, tmp_path / "a.rnnrt", architecture=g.architecture)
    with pytest.raises(StateError, match="bidirectional.*Bidirectional reads the sequence from both ends"):
        rnnrt.load(tmp_path / "a.rnnrt").session()


@pytest.mark.parametrize("version", BOTH)
def test_a_cut_behind_a_mask_takes_the_mask_as_an_input(version, tmp_path):
    g = load(BY_NAME["masks/embedding"], version)
    name = next(n.name for n in _built("masks/embedding", version).graph.nodes if n.op == "embedding")
    models = []
    for cut in ({}, {"outputs": [name]}, {"inputs": [name]}):
        rnnrt.convert(g.model, tmp_path / "a.rnnrt", architecture=g.architecture, **cut)
        models.append(rnnrt.load(tmp_path / "a.rnnrt"))
    whole, before, behind = models
    assert [i.name for i in behind.inputs] == [name, f"{name}/mask"] and behind.inputs[1].dtype == "bool"
    (ids,) = g.case.draw_inputs()
    vectors, want = before.predict(ids), whole.predict(ids)
    np.testing.assert_array_equal(behind.predict([vectors, ids != 0]), want)
    session = behind.session(batch_size=len(ids))
    session.run([vectors[:, :4], ids[:, :4] != 0])
    np.testing.assert_array_equal(session.run([vectors[:, 4:], ids[:, 4:] != 0]), want)


@pytest.mark.parametrize("version", BOTH)
def test_time_distributed_streams_along_the_outer_axis(version, tmp_path):
    """A model over the words of each sentence, then an LSTM over sentences: sentence by sentence."""
    g = load(BY_NAME["wrappers/time_model"], version)
    rnnrt.convert(g.model, tmp_path / "a.rnnrt", architecture=g.architecture)
    model = rnnrt.load(tmp_path / "a.rnnrt")
    (words,) = g.case.draw_inputs()
    want, session = model.predict(words), model.session(batch_size=len(words))
    for t in range(words.shape[1]):
        np.testing.assert_array_equal(session.step(words[:, t]), want[:, t])


@pytest.mark.parametrize("version", BOTH)
def test_the_rows_of_a_summary_show_layers_not_their_masks(version):
    rows = {r.kind: r for r in layer_rows(_built("masks/embedding", version).graph)}
    assert rows["Embedding"].shape == "(None, None, 4)" and rows["Embedding"].params == 36
    assert rows["LSTM"].shape == "(None, 5)"


def _attention_beside(tmp_path, *others):
    """A Keras 3 model of a masked embedding, a MultiHeadAttention over it, and layers on both."""
    shape = [None, 5, 4]
    ids, table = (
        input_layer("ids", (None, 5), 3, True, dtype="int32"),
        {"input_dim": 9, "output_dim": 4, "mask_zero": True},
    )
    embedded = tensor3("embedding", shape=shape)
    attention = {"num_heads": 1, "key_dim": 2, "use_bias": True}
    layers = [
        ids,
        layer("Embedding", "embedding", 3, [node3(tensor3("ids", shape=[None, 5]))], **table),
        layer("MultiHeadAttention", "attention", 3, [node3(embedded, embedded)], **attention),
        *(layer(name, name.lower(), 3, [node3([embedded, tensor3("attention", shape=shape)])]) for name in others),
    ]
    outputs = [["attention", 0, 0], *([name.lower(), 0, 0] for name in others)]
    weights = dict(zip(("query", "key", "value"), [arrays((4, 1, 2), (1, 2))] * 3)) | {
        "output": arrays((1, 2, 4), (4,))
    }
    tree = {"layers/embedding": arrays((9, 4))}
    tree |= {f"layers/multi_head_attention/{name}_dense": a for name, a in weights.items()}
    return write_keras(tmp_path / "m.keras", functional(layers, [["ids", 0, 0]], outputs), tree)


@pytest.mark.parametrize("name", ["Add", "Minimum", "Multiply", "Concatenate"])
def test_what_runs_behind_the_layer_that_deletes_a_mask_converts(tmp_path, name):
    """Minimum and Multiply depend on it, and so find the mask of its output alone; Add and Concatenate read none."""
    built = build(_attention_beside(tmp_path, name))
    chosen = [n for n in built.graph.nodes if n.op in ("where", "apply_mask") and n.name == name.lower()]
    assert len(chosen) == {"Minimum": 1, "Multiply": 1}.get(name, 0)


def _gate(tmp_path, *dense):
    """[x -> MultiHeadAttention, x -> these Dense layers] -> Multiply, x masked."""
    shape = [None, 5, 4]
    ids = input_layer("ids", (None, 5), 3, True, dtype="int32")
    table = {"input_dim": 9, "output_dim": 4, "mask_zero": True}
    layers = [ids, layer("Embedding", "embedding", 3, [node3(tensor3("ids", shape=[None, 5]))], **table)]
    last, tree = "embedding", {"layers/embedding": arrays((9, 4))}
    for k, name in enumerate(dense):
        layers.append(layer("Dense", name, 3, [node3(tensor3(last, shape=shape))], units=4))
        tree["layers/dense" + f"_{k}" * (k > 0)] = arrays((4, 4), (4,))
        last = name
    x = tensor3("embedding", shape=shape)
    layers.append(layer("MultiHeadAttention", "attention", 3, [node3(x, x)], num_heads=1, key_dim=2, use_bias=True))
    weights = dict(zip(("query", "key", "value"), [arrays((4, 1, 2), (1, 2))] * 3)) | {
        "output": arrays((1, 2, 4), (4,))
    }
    tree |= {f"layers/multi_head_attention/{name}_dense": a for name, a in weights.items()}
    both = [tensor3(last, shape=shape), tensor3("attention", shape=shape)]
    layers.append(layer("Multiply", "gate", 3, [node3(both)]))
    return write_keras(tmp_path / "m.keras", functional(layers, [["ids", 0, 0]], [["gate", 0, 0]]), tree)


@pytest.mark.parametrize("dense", [("one",), ("one", "two", "three")])
def test_a_mask_that_keras3_may_delete_under_a_reader_is_refused(tmp_path, dense):
    """Which of Dense and MultiHeadAttention runs first is Keras's order, and tells whether there is still a mask."""
    (refused,) = rnnrt.check(_gate(tmp_path, *dense)).refused
    assert refused.path == "gate" and "attention and it use the mask of one tensor" in refused.reason
    assert rnnrt.check(_gate(tmp_path)).ok


def test_a_mask_that_was_read_and_may_be_gone_by_then_is_refused(tmp_path):
    """As above, with the reader before its MultiHeadAttention in the file."""
    shape = [None, 5, 4]
    ids = input_layer("ids", (None, 5), 3, True, dtype="int32")
    table = {"input_dim": 9, "output_dim": 4, "mask_zero": True}
    x, d = tensor3("embedding", shape=shape), tensor3("dense", shape=shape)
    layers = [
        ids,
        layer("Embedding", "embedding", 3, [node3(tensor3("ids", shape=[None, 5]))], **table),
        layer("Dense", "dense", 3, [node3(x)], units=4),
        layer("Maximum", "most", 3, [node3([d, d])]),
        layer("MultiHeadAttention", "attention", 3, [node3(x, x)], num_heads=1, key_dim=2, use_bias=True),
    ]
    outputs = [["most", 0, 0], ["attention", 0, 0]]
    weights = dict(zip(("query", "key", "value"), [arrays((4, 1, 2), (1, 2))] * 3)) | {
        "output": arrays((1, 2, 4), (4,))
    }
    tree = {"layers/embedding": arrays((9, 4)), "layers/dense": arrays((4, 4), (4,))}
    tree |= {f"layers/multi_head_attention/{name}_dense": a for name, a in weights.items()}
    path = write_keras(tmp_path / "m.keras", functional(layers, [["ids", 0, 0]], outputs), tree)
    (refused,) = rnnrt.check(path).refused
    assert refused.path == "attention" and "most and it use the mask of one tensor" in refused.reason
