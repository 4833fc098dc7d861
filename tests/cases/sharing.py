"""One layer at several levels of nested models: files by class and order hold its arrays once."""

from .case import BOTH, H5, KERAS3, WEIGHTS_H5, ZIP, Input, Layer, functional

_X = Input((None, 3), name="x")
_LSTM = Layer("LSTM", {"units": 3, "return_sequences": True, "name": "one_lstm"})
_DENSE = Layer("Dense", {"units": 3, "activation": "tanh", "name": "one_dense"})
_GRU = Layer("GRU", {"units": 3, "return_sequences": True})
_BOTH = Layer("Bidirectional", {"layer": _GRU, "merge_mode": "sum", "name": "one_pair"})


def _shared(layer, inputs=(), name=""):
    return Layer("Shared", {"layer": layer}, inputs, name)


def _model(name, *chain):
    layers = [_shared(v, ("inner" if k == 0 else f"l{k - 1}",), f"l{k}") for k, v in enumerate(chain)]
    return functional(f"sharing/{name}", layers, f"l{len(chain) - 1}", Input((None, 3), name="inner"))


_INNER = _model("inner", _LSTM, _DENSE)
_OTHER = _model("other", _DENSE, _BOTH, _LSTM)
_TWO = functional(
    "sharing/two",
    [
        Layer("Model", {"case": _INNER}, ("between",), "first"),
        Layer("Model", {"case": _OTHER}, ("first",), "second"),
        Layer("GRU", {"units": 2}, ("second",), "gru"),
    ],
    "gru",
    Input((None, 3), name="between"),
)
_MODELS = {
    # beside others of their classes, whose numbers are then others
    "inside_first": [
        Layer("Model", {"case": _INNER}, ("x",), "inner"),
        _shared(_LSTM, ("inner",), "again"),
        Layer("LSTM", {"units": 4}, ("again",), "own_lstm"),
        _shared(_DENSE, ("again",), "dense"),
        Layer("Dense", {"units": 2}, ("own_lstm",), "head"),
    ],
    "outside_first": [
        _shared(_DENSE, ("x",), "dense"),
        Layer("Model", {"case": _INNER}, ("dense",), "inner"),
        Layer("Model", {"case": _OTHER}, ("inner",), "other"),
        _shared(_BOTH, ("other",), "pair"),
        Layer("Dense", {"units": 2}, ("pair",), "head"),
    ],
    "deeper": [Layer("Model", {"case": _TWO}, ("x",), "two"), Layer("Dense", {"units": 2}, ("two",), "head")],
}

CASES = [
    functional(
        f"sharing/{name}_{layout}",
        layers,
        "head",
        _X,
        layout=layout,
        # what Keras 2 writes to HDF5 there is spoilt: it is refused
        versions=(KERAS3,) if (name, layout) == ("outside_first", H5) else BOTH,
    )
    for name, layers in _MODELS.items()
    for layout in (H5, ZIP, WEIGHTS_H5)
]
