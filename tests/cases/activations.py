"""Activation layers: every function of each version, and the layers that are functions with parameters."""

from .case import KERAS2, KERAS3, ROUNDED_CONSTANT, Input, Layer, functional, sequential
from .recurrent import ACTIVATIONS, double


def _functions():
    for group, (names, versions) in ACTIVATIONS.items():
        for version in versions:
            for rank, shape in (("", (7,)), ("_rank_3", (None, 6))):
                yield functional(
                    f"activations/{group}{rank}_{version}",
                    [Layer("Activation", {"activation": n}, ("x",), n) for n in names],
                    list(names),
                    Input(shape, name="x"),
                    versions=(version,),
                    batch=7,
                    double=double(group),
                )


def _layers(version, slope):
    layers = {
        "relu": Layer("ReLU"),
        "relu_6": Layer("ReLU", {"max_value": 6.0}),
        "relu_leaky": Layer("ReLU", {"negative_slope": 0.2}),
        "relu_all": Layer("ReLU", {"max_value": 1.5, "negative_slope": 0.1, "threshold": 0.25}),
        "relu_threshold": Layer("ReLU", {"threshold": 0.5}),
        "leaky_default": Layer("LeakyReLU"),
        "leaky": Layer("LeakyReLU", {slope: 0.05}),
        "elu": Layer("ELU"),
        "elu_alpha": Layer("ELU", {"alpha": 0.4}),
        "softmax": Layer("Softmax"),
    }
    if version == KERAS2:
        layers["thresholded"] = Layer("ThresholdedReLU", {"theta": 0.4})
    return functional(
        f"activations/layers_{version}",
        [Layer(v.class_name, v.config, ("x",), k) for k, v in layers.items()],
        list(layers),
        Input((None, 6), name="x"),
        versions=(version,),
        double=ROUNDED_CONSTANT,
    )


CASES = [
    *_functions(),
    _layers(KERAS3, "negative_slope"),
    _layers(KERAS2, "alpha"),
    functional(
        "activations/glu",
        [
            Layer("Dense", {"units": 6, "activation": "glu"}, ("x",), "dense"),
            Layer("Activation", {"activation": "glu"}, ("x",), "act"),
        ],
        ["dense", "act"],
        Input((None, 4), name="x"),
        versions=(KERAS3,),
    ),
    sequential(
        "activations/dropout_and_its_kin",
        [
            Layer("LSTM", {"units": 6, "return_sequences": True}),
            Layer("Dropout", {"rate": 0.5}),
            Layer("SpatialDropout1D", {"rate": 0.2}),
            Layer("GaussianNoise", {"stddev": 0.1}),
            Layer("GaussianDropout", {"rate": 0.3}),
            Layer("ActivityRegularization", {"l2": 0.01}),
            Layer("AlphaDropout", {"rate": 0.1}),
        ],
        Input((None, 3)),
    ),
]
