"""Normalisation, elementwise layers with constants, softmax over axes, codes of ids."""

from .base import Encoded, encoder

_RULES = {"layer": 0, "variance": 1, "rms": 2, "keras2": 3, "keras3": 4}


def _ends(attrs) -> list[int]:
    return [attrs["axes"][0], attrs["axes"][-1]]


@encoder("layer_normalization")
def _layer(node, attrs, ins) -> Encoded:
    return ["gamma", "beta"], [*_ends(attrs), _RULES[attrs["rule"]]], [attrs["epsilon"]]


@encoder("unit_normalization")
def _unit(node, attrs, ins) -> Encoded:
    return [], [*_ends(attrs), _RULES[attrs["rule"]]], [1e-12]


@encoder("group_normalization")
def _group(node, attrs, ins) -> Encoded:
    return ["gamma", "beta"], [attrs["axis"], attrs["groups"]], [attrs["epsilon"]]


@encoder("normalization")
def _normalization(node, attrs, ins) -> Encoded:
    return ["mean", "variance"], [*_ends(attrs), int(attrs["invert"])], [*attrs["mean"], *attrs["variance"]]


@encoder("rescaling")
def _rescaling(node, attrs, ins) -> Encoded:
    return [], _ends(attrs), [*attrs["scale"], *attrs["offset"]]


@encoder("prelu")
def _prelu(node, attrs, ins) -> Encoded:
    rank, shared = len(ins[0].shape), attrs["shared_axes"]
    first = next((i for i in range(1, rank) if i not in shared and ins[0].shape[i] != 1), rank - 1)
    return ["alpha"], [first], []


@encoder("softmax")
def _softmax(node, attrs, ins) -> Encoded:
    return [], _ends(attrs), []


@encoder("category_encoding")
def _encoding(node, attrs, ins) -> Encoded:
    mode = ("one_hot", "multi_hot", "count").index(attrs["mode"])
    return [], [attrs["num_tokens"], mode, int(attrs["strict"])], []
