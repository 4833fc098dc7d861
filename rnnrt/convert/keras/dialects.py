"""Three generations of configs made one: Keras 1's and 2's words become Keras 3's.

What one word means differently by version is not decided here; the layers do that with
``LayerSpec.generation``.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["CLASS_ALIASES", "generation_of", "normalise_class", "normalise_config", "version_tuple"]

# one class, several names over the years
CLASS_ALIASES = {
    "Model": "Functional",
    "Container": "Functional",
    "Network": "Functional",
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "SyncBatchNormalization": "BatchNormalization",
    "DenseV2": "Dense",
    "LSTMV1": "LSTM",
    "GRUV1": "GRU",
    "UnifiedLSTM": "LSTM",
    "UnifiedGRU": "GRU",
    "LSTMV2": "LSTM",
    "GRUV2": "GRU",
    "SpatialDropout1DV2": "SpatialDropout1D",
}
_KERAS1_CLASSES = {
    "Convolution1D": "Conv1D",
    "AtrousConvolution1D": "Conv1D",
    "Convolution2D": "Conv2D",
    "AtrousConvolution2D": "Conv2D",
    "SeparableConvolution2D": "SeparableConv2D",
    "TimeDistributedDense": "Dense",  # acts on the last axis, as Dense does since
}
_RECURRENT = {"SimpleRNN", "LSTM", "GRU"}
_KERAS1_ALL = {"bias": "use_bias", "p": "rate", "sigma": "stddev"}
_KERAS1_RECURRENT = {"output_dim": "units", "inner_activation": "recurrent_activation"}
_KERAS1_WINDOWS = {
    "nb_filter": "filters",
    "filter_length": "kernel_size",
    "subsample_length": "strides",
    "subsample": "strides",
    "atrous_rate": "dilation_rate",
    "border_mode": "padding",
    "pool_length": "pool_size",
    "stride": "strides",
}
# what only training, regularisation or initialisation reads
_KERAS1_DROP = {
    "init",
    "inner_init",
    "forget_bias_init",
    "consume_less",
    "W_regularizer",
    "U_regularizer",
    "b_regularizer",
    "gamma_regularizer",
    "beta_regularizer",
    "W_constraint",
    "U_constraint",
    "b_constraint",
    "dropout_W",
    "dropout_U",
    "gamma_init",
    "beta_init",
}


def version_tuple(version: str) -> tuple[int, ...]:
    """``"2.3.1"`` -> (2, 3, 1), ``"2.2.4-tf"`` -> (2, 2, 4, 1); () where there is no number."""
    m = re.match(r"(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?", version)
    numbers = tuple(int(g) for g in m.groups() if g is not None) if m else ()
    return (*numbers, 1) if len(numbers) == 3 and version.endswith("-tf") else numbers


def generation_of(version: str, architecture: dict) -> int:
    """1, 2 or 3: the Keras whose semantics the file has.

    A version in the file decides. Without one (a bare ``to_json()`` of Keras 3, hand-made JSON) the words
    do: ``batch_shape`` and ``DTypePolicy`` are Keras 3's, ``inner_activation`` and ``init`` Keras 1's.
    """
    numbers = version_tuple(version)
    if numbers and numbers[0] in (0, 1, 2, 3):
        return max(1, numbers[0])
    if numbers:
        return numbers[0]  # refused by the caller
    keys: set[str] = set()
    words: set[str] = set()
    _collect(architecture, keys, words)
    if keys & {"batch_input_shape", "time_major"}:
        return 1 if keys & {"inner_activation", "W_regularizer", "inner_init"} else 2
    if keys & {"inner_activation", "W_regularizer", "inner_init"}:
        return 1
    if keys & {"batch_shape", "quantization_config", "keras_history"} or "DTypePolicy" in words:
        return 3
    return 2


def _collect(value: Any, keys: set[str], words: set[str]) -> None:
    stack = [value]
    while stack:
        v = stack.pop()
        if isinstance(v, dict):
            keys.update(v)
            name = v.get("class_name")
            if isinstance(name, str):
                words.add(name)
            stack.extend(v.values())
        elif isinstance(v, list):
            stack.extend(v)


def normalise_class(class_name: str, generation: int) -> str:
    """The class's name in Keras 3's words; unknown ones stay as they are."""
    name = class_name.rsplit(">", 1)[-1] if class_name.startswith("Keras>") else class_name
    if generation == 1:
        name = _KERAS1_CLASSES.get(name, name)
    return CLASS_ALIASES.get(name, name)


def normalise_config(class_name: str, config: dict[str, Any], generation: int) -> dict[str, Any]:
    """A layer's config with Keras 3's words. class_name is the normalised one."""
    out = dict(config)
    if generation == 1:
        for old in _KERAS1_DROP:
            out.pop(old, None)
        rename = dict(_KERAS1_ALL)
        if class_name in _RECURRENT:
            rename.update(_KERAS1_RECURRENT)
            out.setdefault("return_state", False)
        elif class_name == "Dense":
            rename["output_dim"] = "units"
        elif class_name == "Embedding":
            out.pop("dropout", None)
        elif class_name == "InputLayer":
            rename["input_dtype"] = "dtype"
        elif "Conv" in class_name or "Pooling" in class_name:
            rename.update(_KERAS1_WINDOWS)
            if "nb_row" in out and "nb_col" in out:
                out["kernel_size"] = [out.pop("nb_row"), out.pop("nb_col")]
            if "dim_ordering" in out:
                order = out.pop("dim_ordering")
                out["data_format"] = {"tf": "channels_last", "th": "channels_first"}.get(order, order)
        for old, new in rename.items():
            if old in out and new not in out:
                out[new] = out.pop(old)
    if generation <= 2:
        if class_name == "LeakyReLU" and "alpha" in out:
            out["negative_slope"] = out.pop("alpha")
    if "batch_input_shape" in out:
        out.setdefault("batch_shape", out.pop("batch_input_shape"))
    return out
