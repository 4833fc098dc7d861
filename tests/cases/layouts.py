"""One model of each kind in every file layout of both Kerases; CuDNN weights; a weights file by itself."""

from .case import BOTH, H5, KERAS2, KERAS3, WEIGHTS, WEIGHTS_H5, ZIP, Input, Layer, functional, sequential

_LAYERS = [
    Layer("Embedding", {"input_dim": 12, "output_dim": 5}),
    Layer("LSTM", {"units": 6, "return_sequences": True}),
    Layer("BatchNormalization", {"scale": False}),
    Layer("GRU", {"units": 5, "return_sequences": True}),
    Layer("GRU", {"units": 5, "reset_after": False, "return_sequences": True}),
    Layer("RNN", {"cell": Layer("SimpleRNNCell", {"units": 4}), "return_sequences": True}),
    Layer("TimeDistributed", {"layer": Layer("Dense", {"units": 3})}),
    Layer("SimpleRNN", {"units": 4, "use_bias": False}),
    Layer("Dense", {"units": 2}),
]


def _chain(layers):
    """The same layers as a functional chain, with names that sort in another order than they run."""
    names = ["x", *(f"{'zyxwvutsr'[k]}_{v.class_name.lower()}" for k, v in enumerate(layers))]
    return [Layer(v.class_name, v.config, (names[k],), names[k + 1]) for k, v in enumerate(layers)]


_MANY = [Layer("Dense", {"units": 3, "activation": "tanh"}) for _ in range(12)]

CASES = [
    *(
        sequential(f"layouts/sequential_{layout}", _LAYERS, Input((None,), ids=12), layout=layout)
        for layout in (H5, ZIP, WEIGHTS_H5)
    ),
    *(
        functional(
            f"layouts/functional_{layout}",
            _chain(_LAYERS),
            _chain(_LAYERS)[-1].name,
            Input((None,), ids=12, name="x"),
            layout=layout,
        )
        for layout in (H5, ZIP, WEIGHTS_H5)
    ),
    sequential(
        f"layouts/sequential_{WEIGHTS}",
        _LAYERS,
        Input((None,), ids=12),
        layout=WEIGHTS,
        versions=(KERAS2,),
    ),
    functional(
        f"layouts/functional_{WEIGHTS}",
        _chain(_LAYERS),
        _chain(_LAYERS)[-1].name,
        Input((None,), ids=12, name="x"),
        layout=WEIGHTS,
        versions=(KERAS2,),
    ),
    # dense_10 sorts before dense_2
    *(
        sequential(
            f"layouts/twelve_dense_{layout}",
            _MANY,
            Input((3,)),
            layout=layout,
            versions=(KERAS2,) if layout == WEIGHTS else BOTH,
        )
        for layout in (H5, ZIP, WEIGHTS_H5, WEIGHTS)
    ),
    # Without a length; the first layer's own shape; no shape at all until the model is built.
    *(
        sequential(
            f"layouts/{start}_{layout}",
            [
                Layer("GRU", {"units": 4, **({"input_shape": (None, 3)} if start == "first_layer" else {})}),
                Layer("Dropout", {"rate": 0.5}),
                Layer("Dense", {"units": 2}),
            ],
            Input((None, 3)),
            layout=layout,
            start=start,
        )
        for start in ("first_layer", "deferred")
        for layout in (H5, ZIP)
    ),
    sequential(
        "layouts/embedding_input_length",
        [Layer("Embedding", {"input_dim": 9, "output_dim": 4, "input_length": 6}), Layer("LSTM", {"units": 3})],
        Input((6,), ids=9),
        start="first_layer",
        versions=(KERAS2,),
    ),
    # Before 2.1.4 no GRU had the key, and all were what reset_after=False is; the bias tells.
    *(
        sequential(
            f"layouts/reset_after_{reset_after}_unwritten",
            [Layer("GRU", {"units": 4, "reset_after": reset_after, "return_sequences": True})],
            Input((None, 3)),
            versions=(KERAS2,),
            layout=layout,
            absent=("reset_after", "time_major", "unroll", "implementation"),
        )
        for reset_after, layout in ((False, H5), (True, WEIGHTS))
    ),
    # LoRA: what is saved is merged already, the config only tells that it was there
    *(
        sequential(
            f"layouts/lora_{layout}",
            [
                Layer("Embedding", {"input_dim": 9, "output_dim": 4, "lora_rank": 2}),
                Layer("LSTM", {"units": 4}),
                Layer("Dense", {"units": 3, "lora_rank": 1}),
            ],
            Input((None,), ids=9),
            versions=(KERAS3,),
            layout=layout,
            double=1e-7,  # Keras merges them in float32
        )
        for layout in (ZIP, WEIGHTS_H5)
    ),
    # A GPU-only layer of Keras 2: the file is its own, the numbers are those of the layer that Keras
    # itself turns its weights into.
    *(
        sequential(
            f"layouts/{name}_{layout}",
            [Layer(name, {"units": 4, "return_sequences": True}), Layer("Dense", {"units": 2})],
            Input((None, 3)),
            versions=(KERAS2,),
            layout=layout,
        )
        for name in ("CuDNNLSTM", "CuDNNGRU")
        for layout in (H5, WEIGHTS)
    ),
]
