"""A service as people write them for Keras: run by test_service.py with its import line changed, and nothing else.

FOLDER (the unpacked tutorials), KERAS ("2" or "3") and record(name, value) are given by whoever runs it.
"""

from keras.models import load_model  # the one line

SUFFIX = ".keras" if KERAS == "3" else ".h5"  # noqa: F821


def open_model(name, **options):
    return load_model(f"{FOLDER}/{name}-{KERAS}/model{SUFFIX}", **options)  # noqa: F821


import numpy as np  # noqa: E402

x = np.random.default_rng(0).uniform(-1, 1, (70, 5, 10)).astype("float32")

# a classifier behind an endpoint
model = open_model("bidirectional", compile=False)
record("predict", model.predict(x, verbose=0))  # noqa: F821
record("predict in batches", model.predict(x, batch_size=16, verbose=0))  # noqa: F821
record("predict float64", model.predict(x[:3].astype("float64"), verbose=0))  # noqa: F821
record("predict on batch", model.predict_on_batch(x[:4]))  # noqa: F821
record("call", model(x[:4], training=False).numpy())  # noqa: F821
record("steps", model.predict(x, batch_size=8, steps=2, verbose=0))  # noqa: F821
record("generator", model.predict(((x[k : k + 7],) for k in range(0, 70, 7)), verbose=0, steps=5))  # noqa: F821
record("shapes", [str(model.input_shape), str(model.output_shape)])  # noqa: F821
record("params", [model.count_params()])  # noqa: F821
record("layers", [layer.name for layer in model.layers])  # noqa: F821
record("classes", [layer.__class__.__name__ for layer in model.layers])  # noqa: F821
for layer in model.layers:
    for k, w in enumerate(layer.get_weights()):
        record(f"{layer.name} weight {k}", w)  # noqa: F821
last = model.get_layer(index=-1)
record("last", [last.name, str(last.count_params())])  # noqa: F821
record("dense", model.get_layer(last.name).get_weights()[0])  # noqa: F821
lines = []
model.summary(print_fn=lambda text, **_: lines.append(text))
record("total in the summary", ["80266" in "\n".join(lines).replace(",", "")])  # noqa: F821
try:
    model.get_layer("no such layer")
except ValueError as e:
    record("no such layer", [str(e)[:27]])  # noqa: F821

# a layer with moving statistics
model = open_model("mnist_lstm", compile=False)
for layer in model.layers:
    for k, w in enumerate(layer.get_weights()):
        record(f"mnist {k} {w.shape}", w)  # noqa: F821
record("all weights", [len(model.get_weights()), sum(w.size for w in model.get_weights())])  # noqa: F821

# several outputs, integer ids, lists of inputs
model = open_model("text_generation", compile=False)
ids = np.random.default_rng(1).integers(0, 66, (3, 11))
logits, state = model.predict(ids, verbose=0)
record("logits", logits)  # noqa: F821
record("state", state)  # noqa: F821
model = open_model("encoder_decoder", compile=False)
record("two inputs", model.predict([ids, ids[::-1] * 2], batch_size=2, verbose=0))  # noqa: F821
record("input shapes", [str(s) for s in model.input_shape])  # noqa: F821

# a stateful model: the state lives on over predict
model = open_model("sub_sequences", compile=False)
long = np.random.default_rng(2).uniform(-1, 1, (2, 30, 5)).astype("float32")
record("first", model.predict(long[:, :10], batch_size=2, verbose=0))  # noqa: F821
record("second", model.predict(long[:, 10:20], batch_size=2, verbose=0))  # noqa: F821
record("on batch", model.predict_on_batch(long[:, 20:25]))  # noqa: F821
record("called", model(long[:, 25:]).numpy())  # noqa: F821
for layer in model.layers:
    if getattr(layer, "stateful", False):
        (layer.reset_state if hasattr(layer, "reset_state") else layer.reset_states)()
record("again", model.predict(long[:, :10], batch_size=2, verbose=0))  # noqa: F821
four = np.concatenate([long[:, :5], long[:, 5:10]])
record("two batches", model.predict(four, batch_size=2, verbose=0))  # noqa: F821
record("stateful shape", [str(model.input_shape)])  # noqa: F821
