"""Golden outputs of a real Keras, in the one layout that every ``golden.npz`` here has.

``in_0``, ``out_0``: what ``predict`` takes and gives. ``stream_in`` (B, T, ...), ``stream_chunks`` (k,) and
``stream_out_0``: the same weights in a ``stateful=True`` model, fed chunk by chunk; outputs with a time axis
lie end to end (B, T, ...), those without one are stacked after each chunk (B, k, ...).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

CHUNKS = (1, 3, 1, 8, 11)


def write_goldens(folder: Path, model, stateful, inputs: np.ndarray, stream_in: np.ndarray, chunks=CHUNKS):
    """Write ``folder/golden.npz``.

    model: the trained Keras model. stateful: the same architecture built with ``stateful=True`` and
    the batch of stream_in; it gets the weights of model. Float64 inputs are stored as float32.
    """
    stateful.set_weights(model.get_weights())
    pieces, start = [], 0
    for n in chunks:
        pieces.append(np.asarray(stateful.predict_on_batch(stream_in[:, start : start + n])))
        start += n
    assert start == stream_in.shape[1], (start, stream_in.shape)
    per_step = pieces[0].ndim == 3
    np.savez_compressed(
        folder / "golden.npz",
        in_0=inputs,
        out_0=np.asarray(model.predict(inputs, verbose=0)),
        stream_in=stream_in,
        stream_chunks=np.array(chunks, np.int64),
        stream_out_0=np.concatenate(pieces, 1) if per_step else np.stack(pieces, 1),
    )
