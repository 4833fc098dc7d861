"""Trains numbers_seq2seq: an encoder-decoder that translates numbers, English words to French ones.

Trained teacher-forced, as one model of two inputs: the decoder's LSTM begins with the encoder's last states.
``rnnrt.convert(inputs=, outputs=)`` cuts that file into its encoder and its decoder.

Needs tf_keras (Keras 2), whose HDF5 layout this model shows:

    python models/numbers_seq2seq/make.py
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import tf_keras as keras
from tf_keras import layers

HERE = Path(__file__).parent
ENGLISH = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
ENGLISH_TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety".split()
FRENCH = "zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize".split()
FRENCH_TENS = "- dix vingt trente quarante cinquante soixante".split()
UNITS, UPDATES, BATCH = 64, 5000, 64


def english(n: int) -> list[str]:
    """5742 -> five thousand seven hundred and forty two."""
    if n < 20:
        return [ENGLISH[n]]
    if n < 100:
        return [ENGLISH_TENS[n // 10]] + ([ENGLISH[n % 10]] if n % 10 else [])
    if n < 1000:
        return [ENGLISH[n // 100], "hundred"] + (["and", *english(n % 100)] if n % 100 else [])
    rest = n % 1000
    return [*english(n // 1000), "thousand"] + ((["and"] if rest < 100 else []) + english(rest) if rest else [])


def french(n: int) -> list[str]:
    """5742 -> cinq mille sept cent quarante deux; the words of the spelling of 1990, which joins them by hyphens."""
    if n < 17:
        return [FRENCH[n]]
    if n < 70:
        joined = ["et"] if n % 10 == 1 and n > 20 else []
        return [FRENCH_TENS[n // 10]] + (joined + [FRENCH[n % 10]] if n % 10 else [])
    if n < 80:
        return ["soixante"] + (["et"] if n == 71 else []) + french(n - 60)
    if n < 100:
        return ["quatre", "vingts"] if n == 80 else ["quatre", "vingt", *french(n - 80)]
    if n < 1000:
        hundreds, rest = divmod(n, 100)
        if hundreds == 1:
            return ["cent"] + (french(rest) if rest else [])
        return [FRENCH[hundreds]] + (["cent", *french(rest)] if rest else ["cents"])
    thousands, rest = divmod(n, 1000)
    return ([] if thousands == 1 else french(thousands)) + ["mille"] + (french(rest) if rest else [])


def padded(rows: list[list[int]]) -> np.ndarray:
    """(n, longest) int32; id 0 is nothing."""
    out = np.zeros((len(rows), max(map(len, rows))), np.int32)
    for k, row in enumerate(rows):
        out[k, : len(row)] = row
    return out


def build(n_source: int, n_target: int) -> keras.Model:
    """The teacher-forced model."""
    source = keras.Input((None,), dtype="int32", name="source")
    target = keras.Input((None,), dtype="int32", name="target")
    x = layers.Embedding(n_source, 16, mask_zero=True, name="source_words")(source)
    _, h, c = layers.LSTM(UNITS, return_state=True, name="encoder")(x)
    y = layers.Embedding(n_target, 16, name="target_words")(target)
    y = layers.LSTM(UNITS, return_sequences=True, name="decoder")(y, initial_state=[h, c])
    return keras.Model([source, target], layers.Dense(n_target, activation="softmax", name="next_word")(y))


def main() -> None:
    keras.utils.set_random_seed(7)
    rng = np.random.default_rng(7)
    numbers = np.arange(10000)
    pairs = [(english(n), french(n)) for n in numbers]
    source_words = ["", *sorted({w for e, _ in pairs for w in e})]
    target_words = ["", "<start>", "<end>", *sorted({w for _, f in pairs for w in f})]
    source = padded([[source_words.index(w) for w in e] for e, _ in pairs])
    target = padded([[1, *(target_words.index(w) for w in f), 2] for _, f in pairs])
    seen = rng.random(len(numbers)) < 0.8
    seen[:100] = True  # the words themselves are learnt
    train, test = numbers[seen], numbers[~seen]

    model = build(len(source_words), len(target_words))
    rate = keras.optimizers.schedules.CosineDecay(6e-3, UPDATES)
    model.compile(keras.optimizers.Adam(rate, clipnorm=1.0), "sparse_categorical_crossentropy")
    for _ in range(UPDATES):
        k = rng.choice(train, BATCH)
        answer = target[k, 1:]
        model.train_on_batch([source[k], target[k, :-1]], answer, sample_weight=(answer != 0).astype("float32"))

    said = model.predict([source[test], target[test, :-1]], batch_size=512, verbose=0).argmax(-1)
    right = ((said == target[test, 1:]) | (target[test, 1:] == 0)).all(1).mean()
    print(f"numbers_seq2seq: {right:.2%} of {len(test)} unseen numbers word for word, keras {keras.__version__}")
    model.save(HERE / "model.h5", include_optimizer=False)
    words = {"source": source_words, "target": target_words}
    (HERE / "words.json").write_text(json.dumps(words, ensure_ascii=False) + "\n", encoding="utf-8")
    k = test[:: len(test) // 24][:24]
    inputs = [source[k], target[k, :-1]]
    np.savez_compressed(
        HERE / "golden.npz", in_0=inputs[0], in_1=inputs[1], out_0=model.predict(inputs, verbose=0), numbers=k
    )


if __name__ == "__main__":
    main()
