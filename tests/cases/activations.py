"""Activation layers: every function of each version, and the layers that are functions with parameters."""

from .case import KERAS2, KERAS3, Input, Layer, Tolerance, functional, sequential
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
        double=1e-11 if version == KERAS3 else 1e-7,  # Keras 2 rounds constants when it makes the layers
    )


CASES = [
    *_functions(),
    *(
        functional(
            f"activations/float64_layers_{version}",
            [
                Layer("ReLU", {"negative_slope": 0.3}, ("x",), "leaky"),
                Layer("ReLU", {"negative_slope": exact, "max_value": 3 * exact}, ("x",), "leaky_max"),
                Layer("ReLU", {"negative_slope": exact, "threshold": exact}, ("x",), "leaky_threshold"),
                Layer("LeakyReLU", {slope: 0.1}, ("x",), "layer"),
                Layer("ELU", {"alpha": exact}, ("x",), "elu"),
            ],
            ["leaky", "leaky_max", "leaky_threshold", "layer", "elu"],
            Input((None, 6), dtype="float64", name="x"),
            versions=(version,),
            policy="float64",
            gives="float64",
            tolerance=Tolerance(1e-12, 1.0, "double arithmetic: constants as Keras rounds them"),
            double=1e-12,
        )
        # Keras 2 rounds these to its floatx when it makes the layer, and writes them so
        for version, slope, exact in ((KERAS3, "negative_slope", 0.3), (KERAS2, "alpha", 0.25))
    ),
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
