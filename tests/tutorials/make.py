"""Makes tests/data/tutorials.tar.xz: the tutorials' models as real Keras saves them, and what it answers.

    TF_CPP_MIN_LOG_LEVEL=3 python tests/tutorials/make.py FOLDER [NAME ...]

Needs keras and tf_keras; run on a CPU. Weights repeat a short random tile, so that files compress to a few KB while
the parameter counts are the tutorials' own. FOLDER gets ``<name>-<2|3>/model.{h5,keras}`` and ``golden.npz`` (x0, x1,
... the inputs; y0, y1, ... the outputs, or y<call>_<k> of several calls); ``pack`` in place of names packs the folder.
"""

from __future__ import annotations

import importlib
import json
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np

DATA = Path(__file__).resolve().parents[1] / "data" / "tutorials.tar.xz"
TILE = 1021  # prime: no row of a matrix repeats


def weight(index: int, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A weight array that compresses well."""
    tile = np.random.default_rng(index).standard_normal(TILE).astype(np.float32)
    scale = 0.3 if len(shape) < 2 or "embedding" in name else min(1.0, 1.2 / np.sqrt(shape[0]))
    out = np.resize(tile, shape) * np.float32(scale)
    return np.abs(out) + np.float32(0.5) if "variance" in name else out


def fill(model: Any) -> Any:
    """Set all weights."""
    model.set_weights([weight(k, w.name, tuple(w.shape)) for k, w in enumerate(model.weights)])
    return model


def floats(seed: int, *shape: int) -> np.ndarray:
    """Input values."""
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def ids(seed: int, high: int, *shape: int) -> np.ndarray:
    """Input ids, with zeros at the ends as padding leaves them."""
    out = np.random.default_rng(seed).integers(1, high, shape)
    for r in range(1, shape[0]):
        out[r, shape[1] - r :] = 0
    return out.astype(np.float32)


# ---- the guide "Working with RNNs" --------------------------------------------------------------


def simple_rnn_dense(k: Any) -> tuple:
    """17,921 parameters."""
    m = k.Sequential([k.Input((None, 10)), k.layers.SimpleRNN(128), k.layers.Dense(1)])
    return m, [floats(1, 2, 7, 10)]


def embedding_lstm(k: Any) -> tuple:
    """164,106 parameters."""
    m = k.Sequential(
        [k.Input((None,)), k.layers.Embedding(1000, 64), k.layers.LSTM(128), k.layers.Dense(10)],
    )
    return m, [ids(2, 1000, 2, 9)]


def embedding_gru_simple_rnn(k: Any) -> tuple:
    """361,866 parameters."""
    la = k.layers
    gru = la.GRU(256, return_sequences=True)
    m = k.Sequential([k.Input((None,)), la.Embedding(1000, 64), gru, la.SimpleRNN(128), la.Dense(10)])
    return m, [ids(3, 1000, 2, 6)]


def encoder_decoder(k: Any) -> tuple:
    """258,698 parameters; the encoder's states are the decoder's initial state."""
    la = k.layers
    encoder_input, decoder_input = k.Input((None,)), k.Input((None,))
    embedded = la.Embedding(1000, 64)(encoder_input)
    _, h, c = la.LSTM(64, return_state=True, name="encoder")(embedded)
    decoded = la.LSTM(64, name="decoder")(la.Embedding(2000, 64)(decoder_input), initial_state=[h, c])
    return k.Model([encoder_input, decoder_input], la.Dense(10)(decoded)), [ids(4, 1000, 2, 5), ids(5, 2000, 2, 8)]


def bidirectional(k: Any) -> tuple:
    """80,266 parameters; Bidirectional concatenates by default."""
    la = k.layers
    layers = [la.Bidirectional(la.LSTM(64, return_sequences=True)), la.Bidirectional(la.LSTM(32)), la.Dense(10)]
    return k.Sequential([k.Input((5, 10)), *layers]), [floats(6, 3, 5, 10)]


def mnist_lstm(k: Any) -> tuple:
    """The fast layer."""
    la = k.layers
    return k.Sequential([k.Input((None, 28)), la.LSTM(64), la.BatchNormalization(), la.Dense(10)]), [
        floats(7, 2, 28, 28)
    ]


def mnist_rnn_cell(k: Any) -> tuple:
    """The loop over a cell: the same weights, the same model."""
    la = k.layers
    m = k.Sequential([k.Input((None, 28)), la.RNN(la.LSTMCell(64)), la.BatchNormalization(), la.Dense(10)])
    return m, [floats(7, 2, 28, 28)]


def lstm_10(k: Any) -> tuple:
    """LSTM(10)."""
    return k.Sequential([k.Input((None, 4)), k.layers.LSTM(10, return_sequences=True)]), [floats(8, 2, 6, 4)]


def rnn_lstm_cell_10(k: Any) -> tuple:
    """RNN(LSTMCell(10)), equal to LSTM(10)."""
    cell = k.layers.LSTMCell(10)
    return k.Sequential([k.Input((None, 4)), k.layers.RNN(cell, return_sequences=True)]), [floats(8, 2, 6, 4)]


def stacked_cells(k: Any) -> tuple:
    """RNN over a list of cells."""
    cells = [k.layers.LSTMCell(12), k.layers.GRUCell(9), k.layers.SimpleRNNCell(5)]
    return k.Sequential([k.Input((None, 4)), k.layers.RNN(cells, return_sequences=True)]), [floats(9, 2, 6, 4)]


def deep_stack(k: Any) -> tuple:
    """Layers one above the other."""
    la = k.layers
    deep = [la.LSTM(24, return_sequences=True), la.LSTM(20, return_sequences=True), la.LSTM(16, return_sequences=True)]
    return k.Sequential([k.Input((None, 6)), *deep, la.LSTM(12), la.Dense(3)]), [floats(10, 2, 9, 6)]


def state_reuse(k: Any) -> tuple:
    """The states of one layer start another one, which reads another sequence."""
    la = k.layers
    first, second = k.Input((None, 5)), k.Input((None, 5))
    _, h, c = la.LSTM(8, return_state=True)(first)
    return k.Model([first, second], la.LSTM(8, return_sequences=True)(second, initial_state=[h, c])), [
        floats(11, 2, 4, 5),
        floats(12, 2, 6, 5),
    ]


def sub_sequences(k: Any) -> tuple:
    """Cross-batch statefulness: s1 ... s16 of one long sequence, then reset_states and s1 again."""
    m = k.Sequential([k.Input(batch_shape=(2, None, 5)), k.layers.LSTM(16, stateful=True), k.layers.Dense(3)])
    long = floats(13, 2, 80, 5)
    return m, [*np.split(long, 16, axis=1), "reset", long[:, :5]]


# ---- masks and merges ---------------------------------------------------------------------------


def masked_embedding(k: Any) -> tuple:
    """Embedding(mask_zero=True) before an LSTM: padding holds."""
    la = k.layers
    lstm = la.LSTM(8, return_sequences=True)
    return k.Sequential([k.Input((None,)), la.Embedding(50, 6, mask_zero=True), lstm]), [ids(14, 50, 4, 7)]


def masking(k: Any) -> tuple:
    """Masking before an LSTM."""
    x = floats(15, 4, 7, 5)
    for r in range(1, 4):
        x[r, 7 - r :] = 0
    la = k.layers
    return k.Sequential([k.Input((None, 5)), la.Masking(), la.LSTM(8), la.Dense(2)]), [x]


def _merges(k: Any, masked: bool) -> tuple:
    la = k.layers
    a, b = k.Input((7,)), k.Input((7,))
    left = la.Embedding(40, 6, mask_zero=masked)(a)
    right = la.Embedding(30, 6, mask_zero=masked)(b)
    names = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate")
    if masked and k.__version__[0] == "2":
        names = tuple(n for n in names if n != "Subtract")
    outputs = [la.LSTM(5, return_sequences=True)(getattr(la, n)()([left, right])) for n in names]
    outputs.append(la.Dot(axes=(2, 2))([left, right]))
    return k.Model([a, b], outputs), [ids(16, 40, 4, 7), ids(17, 30, 4, 7)[::-1].copy()]


def merges(k: Any) -> tuple:
    """Every merge layer between two sequences."""
    return _merges(k, False)


def merges_masked(k: Any) -> tuple:
    """The same under masks, which each Keras joins in its own way."""
    return _merges(k, True)


# ---- other tutorials ----------------------------------------------------------------------------


def addition_rnn(k: Any) -> tuple:
    """Sequence to sequence learning for adding numbers."""
    la = k.layers
    rest = [la.RepeatVector(4), la.LSTM(24, return_sequences=True), la.Dense(12, activation="softmax")]
    return k.Sequential([k.Input((7, 12)), la.LSTM(24), *rest]), [floats(18, 2, 7, 12)]


def imdb_bidirectional(k: Any) -> tuple:
    """Two Bidirectional LSTMs over an Embedding."""
    la = k.layers
    x = inputs = k.Input((None,), dtype="int32")
    x = la.Bidirectional(la.LSTM(16, return_sequences=True))(la.Embedding(200, 12)(x))
    x = la.Bidirectional(la.LSTM(16))(x)
    return k.Model(inputs, la.Dense(1, activation="sigmoid")(x)), [ids(19, 200, 3, 8).astype(np.int32)]


def char_seq2seq(k: Any) -> tuple:
    """Character-level translation: the teacher-forced training model."""
    la = k.layers
    encoder_inputs, decoder_inputs = k.Input((None, 11)), k.Input((None, 13))
    _, h, c = la.LSTM(20, return_state=True)(encoder_inputs)
    out, _, _ = la.LSTM(20, return_sequences=True, return_state=True)(decoder_inputs, initial_state=[h, c])
    m = k.Model([encoder_inputs, decoder_inputs], la.Dense(13, activation="softmax")(out))
    return m, [floats(20, 2, 6, 11), floats(21, 2, 5, 13)]


def text_generation(k: Any) -> tuple:
    """The next letter at each step, and the GRU's state."""
    la = k.layers
    inputs = k.Input((None,))
    x, state = la.GRU(32, return_sequences=True, return_state=True)(la.Embedding(66, 16)(inputs))
    return k.Model(inputs, [la.Dense(66)(x), state]), [ids(22, 66, 2, 9)]


def weather_forecast(k: Any) -> tuple:
    """Timeseries forecasting: LSTM(32) and Dense(1)."""
    inputs = k.Input((30, 7))
    return k.Model(inputs, k.layers.Dense(1)(k.layers.LSTM(32)(inputs))), [floats(23, 2, 30, 7)]


def lstm_autoencoder(k: Any) -> tuple:
    """Reconstruction of a sequence."""
    la = k.layers
    back = [la.RepeatVector(9), la.LSTM(12, return_sequences=True), la.TimeDistributed(la.Dense(3))]
    return k.Sequential([k.Input((9, 3)), la.LSTM(12), *back]), [floats(24, 2, 9, 3)]


BOTH = [
    *(simple_rnn_dense, embedding_lstm, embedding_gru_simple_rnn, encoder_decoder, bidirectional, mnist_lstm),
    *(mnist_rnn_cell, lstm_10, rnn_lstm_cell_10, stacked_cells, deep_stack, state_reuse, sub_sequences),
    *(masked_embedding, masking, merges, merges_masked, addition_rnn, imdb_bidirectional, char_seq2seq),
    *(text_generation, weather_forecast, lstm_autoencoder),
]


def _leaves(value: Any) -> list:
    if isinstance(value, dict):
        return [x for v in value.values() for x in _leaves(v)]
    if isinstance(value, (list, tuple)):
        return [x for v in value for x in _leaves(v)]
    return [value]


def answer(model: Any, given: Any) -> dict[str, np.ndarray]:
    """The golden arrays: one call on all inputs, or a call for each piece of a stateful model."""
    if isinstance(given, dict):
        y = model(given, training=False)
        out = {f"x_{n}": x for n, x in given.items()}
        return out | {f"y{i}": np.asarray(v) for i, v in enumerate(_leaves(y))}
    out = {f"x{i}": x for i, x in enumerate(x for x in given if not isinstance(x, str))}
    if not any(getattr(v, "stateful", False) for v in model.layers):
        y = model(given if len(given) > 1 else given[0], training=False)
        return out | {f"y{i}": np.asarray(v) for i, v in enumerate(_leaves(y))}
    call = 0
    for x in given:
        if isinstance(x, str):
            for v in model.layers:
                (getattr(v, "reset_state", None) or getattr(v, "reset_states", lambda: None))()
            continue
        y = model.predict(x, batch_size=len(x), verbose=0)
        out |= {f"y{call}_{i}": np.asarray(v) for i, v in enumerate(_leaves(y))}
        call += 1
    return out


def save(folder: Path, version: str, model: Any, given: Any, runnable: Any = None) -> None:
    """Write one tutorial's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save(str(folder / ("model.h5" if version == "2" else "model.keras")))
    lines: list[str] = []
    (runnable or model).summary(print_fn=lines.append)
    facts = {"params": (runnable or model).count_params(), "summary": "\n".join(map(str, lines))}
    (folder / "facts.json").write_text(json.dumps(facts))
    np.savez_compressed(folder / "golden.npz", **answer(runnable or model, given))


def cudnn(folder: Path, k: Any) -> None:
    """Models of the CuDNN layers (TensorFlow 1 on a GPU) as files; the answers are those of the plain layers."""
    for name, plain in (("LSTM", k.layers.LSTM(12)), ("GRU", k.layers.GRU(12, reset_after=True))):
        source = importlib.import_module(f"tf_keras.src.layers.rnn.cudnn_{name.lower()}")
        layer = getattr(source, f"CuDNN{name}")(12, name=f"cu_dnn{name.lower()}")
        model = fill(k.Sequential([k.Input((None, 6)), layer, k.layers.Dense(3, name="out")]))
        path = folder / f"cudnn_{name.lower()}-2"
        path.mkdir(parents=True, exist_ok=True)
        model.save(str(path / "model.h5"))
        twin = k.Sequential([k.Input((None, 6)), plain, k.layers.Dense(3, name="out")])
        twin.load_weights(str(path / "model.h5"))
        save(path, "2", model, [floats(25, 2, 7, 6)], twin)


def pack(folder: Path) -> None:
    """Everything into one archive, the same bytes for the same files."""

    def plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
        info.mtime, info.uid, info.gid, info.uname, info.gname, info.mode = 0, 0, 0, "", "", 0o644
        return info

    with tarfile.open(DATA, "w:xz", preset=9) as out:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            out.add(path, str(path.relative_to(folder)), filter=plain)
    print(DATA.stat().st_size, "bytes")


def main() -> None:
    folder, names = Path(sys.argv[1]), sys.argv[2:]
    if names == ["pack"]:
        return pack(folder)
    for version, module in (("2", "tf_keras"), ("3", "keras")):
        k = importlib.import_module(module)
        for build in BOTH:
            if names and build.__name__ not in names:
                continue
            (k.backend.clear_session if version == "2" else k.utils.clear_session)()
            model, given = build(k)
            save(folder / f"{build.__name__}-{version}", version, fill(model), given)
            print(build.__name__, version, model.count_params(), flush=True)
        if version == "2" and (not names or "cudnn" in names):
            cudnn(folder, k)
        if version == "2" and (not names or "custom" in names):
            import custom_keras  # beside this file

            for name, model, given in custom_keras.models(k):
                save(folder / f"{name}-2", "2", fill(model), given)
                print(name, model.count_params(), flush=True)


if __name__ == "__main__":
    main()
