"""Layers that merge several tensors: broadcasting, ranks, masks, axes."""

from .case import Case, Input, Layer, functional

_SAME = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")
_X, _Y = Input((None, 3), name="x"), Input((None, 3), name="y")
_VECTOR = Input((3,), name="v")


def _merge(name: str, layer: Layer, *inputs: Input, before: tuple[Layer, ...] = (), **options) -> Case:
    return functional(f"merging/{name}", [*before, layer], "out", *inputs, **options)


def _masked(inputs: tuple[str, ...], layer: Layer) -> list[Layer]:
    """Streams of ids, each with its own mask, merged and read by a layer that uses the mask."""
    streams = [
        Layer("Embedding", {"input_dim": 3, "output_dim": 4, "mask_zero": True}, (n,), f"emb_{n}") for n in inputs
    ]
    return [*streams, layer, Layer("LSTM", {"units": 3, "return_sequences": True}, ("out",), "lstm")]


_IDS = (Input((None,), ids=3, dtype="int32", name="a"), Input((None,), ids=3, dtype="int32", name="b"))
_TWO = ("emb_a", "emb_b")

CASES = [
    *(_merge(f"{c.lower()}", Layer(c, {}, ("x", "y"), "out"), _X, _Y, batch=3) for c in _SAME),
    *(_merge(f"{c.lower()}_of_three", Layer(c, {}, ("x", "y", "x"), "out"), _X, _Y) for c in _SAME if c != "Subtract"),
    *(
        _merge(f"{c.lower()}_of_a_vector", Layer(c, {}, ("v", "x"), "out"), _VECTOR, _X, batch=3)
        for c in ("Add", "Subtract", "Maximum")
    ),
    _merge("multiply_by_one_feature", Layer("Multiply", {}, ("x", "w"), "out"), _X, Input((None, 1), name="w")),
    _merge("add_of_one_step", Layer("Add", {}, ("x", "y"), "out"), _X, Input((1, 3), name="y")),
    _merge(
        "average_of_rank_4",
        Layer("Average", {}, ("x", "y"), "out"),
        Input((2, 3, 4), name="x"),
        Input((3, 4), name="y"),
    ),
    _merge("concatenate", Layer("Concatenate", {}, ("x", "y", "x"), "out"), _X, Input((None, 2), name="y"), batch=3),
    _merge("concatenate_in_time", Layer("Concatenate", {"axis": 1}, ("x", "y"), "out"), _X, _Y),
    _merge("concatenate_vectors", Layer("Concatenate", {}, ("v", "w"), "out"), _VECTOR, Input((2,), name="w")),
    _merge(
        "concatenate_middle",
        Layer("Concatenate", {"axis": 2}, ("x", "y"), "out"),
        Input((2, 3, 4), name="x"),
        Input((2, 1, 4), name="y"),
    ),
    _merge("dot_vectors", Layer("Dot", {"axes": 1}, ("v", "w"), "out"), _VECTOR, Input((3,), name="w"), batch=3),
    _merge(
        "dot_cosine", Layer("Dot", {"axes": -1, "normalize": True}, ("v", "w"), "out"), _VECTOR, Input((3,), name="w")
    ),
    _merge("dot_scores", Layer("Dot", {"axes": [2, 2]}, ("x", "y"), "out"), _X, Input((4, 3), name="y"), batch=3),
    _merge(
        "dot_over_time",
        Layer("Dot", {"axes": [1, 1]}, ("x", "y"), "out"),
        Input((5, 3), name="x"),
        Input((5, 2), name="y"),
    ),
    _merge("dot_vector_and_sequence", Layer("Dot", {"axes": [1, 2]}, ("v", "x"), "out"), _VECTOR, _X),
    _merge(
        "dot_of_rank_4_cosine",
        Layer("Dot", {"axes": [2, 1], "normalize": True}, ("x", "y"), "out"),
        Input((2, 3, 4), name="x"),
        Input((3, 5), name="y"),
    ),
    *(
        functional(
            f"merging/{c.lower()}_of_masks",
            _masked(("a", "b"), Layer(c, {}, _TWO, "out")),
            ["out", "lstm"],
            *_IDS,
            batch=4,
        )
        for c in (*_SAME, "Concatenate")
    ),
    *(
        functional(
            f"merging/{c.lower()}_of_one_mask",
            [*_masked(("a",), Layer(c, {}, ("emb_a", "x"), "out"))],
            ["out", "lstm"],
            _IDS[0],
            Input((None, 4), name="x"),
            batch=4,
        )
        for c in ("Add", "Multiply", "Maximum", "Concatenate")
    ),
    functional(
        "merging/streams",
        [
            Layer("LSTM", {"units": 4, "return_sequences": True}, ("x",), "first"),
            Layer("GRU", {"units": 4, "return_sequences": True}, ("x",), "second"),
            Layer("Add", {}, ("first", "second"), "sum"),
            Layer("Concatenate", {}, ("sum", "x", "first"), "all"),
            Layer("LSTM", {"units": 3}, ("all",), "last"),
            Layer("Multiply", {}, ("last", "last"), "square"),
        ],
        ["all", "square"],
        _X,
        batch=3,
    ),
]
