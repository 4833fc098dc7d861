"""The tables: they fit the terminal, whatever the names are, and read like Keras's."""

import pytest

from rnnrt.summary import SummaryRow, ascii_only, shorten, shorten_path, size_text, summary_table, table

GUIDE = [
    SummaryRow("embedding", "Embedding", "(None, None, 64)", 64000),
    SummaryRow("lstm", "LSTM", "(None, 128)", 98816, "h 128, c 128", ("embedding",)),
    SummaryRow("dense", "Dense", "(None, 10)", 1290, "", ("lstm",)),
]


def test_the_guides_model():
    text = summary_table(GUIDE, "sequential", [("Total params", "164,106 (641.04 KB)")])
    assert text == (
        'Model: "sequential"\n'
        "┏━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━┳━━━━━━━━━┳━━━━━━━━━━━━━━┓\n"
        "┃ Layer (type)          ┃ Output Shape     ┃ Param # ┃ State        ┃\n"
        "┡━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━╇━━━━━━━━━╇━━━━━━━━━━━━━━┩\n"
        "│ embedding (Embedding) │ (None, None, 64) │  64,000 │              │\n"
        "├───────────────────────┼──────────────────┼─────────┼──────────────┤\n"
        "│ lstm (LSTM)           │ (None, 128)      │  98,816 │ h 128, c 128 │\n"
        "├───────────────────────┼──────────────────┼─────────┼──────────────┤\n"
        "│ dense (Dense)         │ (None, 10)       │   1,290 │              │\n"
        "└───────────────────────┴──────────────────┴─────────┴──────────────┘\n"
        " Total params: 164,106 (641.04 KB)"
    )


def test_state_and_connections_appear_where_there_are_any():
    plain = [SummaryRow("a", "Dense", "(None, 1)", 2), SummaryRow("b", "Dense", "(None, 1)", 2, "", ("a",))]
    assert "State" not in summary_table(plain, "m") and "Connected to" not in summary_table(plain, "m")
    fork = [*plain, SummaryRow("c", "Dense", "(None, 1)", 2, "", ("a",))]
    assert "Connected to" in summary_table(fork, "m")


@pytest.mark.parametrize("width", [60, 80, 100])
def test_long_names_fit(width):
    deep = "encoder/" + "/".join(f"block_{k}" for k in range(9)) + "/bidirectional_lstm_forward"
    rows = [
        SummaryRow(deep, "TimeDistributed", "(None, None, 640000), (None, 128), (None, 128)", 64_000_000_000),
        SummaryRow("x" * 200, "Custom" * 9, "(None, 1)", 1, "has_output 1, h 128, c 128", (deep, "y" * 90)),
    ]
    text = summary_table(rows, "name" * 50, [("Total params", "word " * 60)], width)
    assert max(map(len, text.splitlines())) <= width
    assert "64,000,000,000" in text  # numbers are never cut
    inside = [line for line in text.splitlines() if line[0] in "┃│"]
    assert len({len(line) for line in inside}) == 1


def test_ascii_keeps_the_shape():
    text = summary_table(GUIDE, "größe …")
    plain = ascii_only(text)
    assert plain.isascii()
    assert [len(a) for a in plain.splitlines()[1:]] == [len(a) for a in text.splitlines()[1:]]


def test_table_wraps_text_and_aligns_numbers():
    text = table(("what", "n"), [("a text that is too long for it", "1"), ("b", "1,000")], "lr", 24)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 24
    assert lines[-2].endswith("│ 1,000 │") and "│ b " in lines[-2]
    words = " ".join(line.split("│")[1].strip() for line in lines[3:-2])
    assert words == "a text that is too long for it"


@pytest.mark.parametrize(
    ("path", "width", "short"),
    [
        ("lstm", 10, "lstm"),
        ("encoder/block/lstm_2", 20, "encoder/block/lstm_2"),
        ("encoder/block/lstm_2", 19, "encoder/…/lstm_2"),
        ("encoder/block/lstm_2", 12, "…/lstm_2"),
        ("encoder/bidirectional", 9, "bidi…onal"),
        ("/a/b/c/model.rnnrt", 15, "/…/model.rnnrt"),
    ],
)
def test_shorten_path(path, width, short):
    assert shorten_path(path, width) == short


def test_shorten_and_sizes():
    assert shorten("abcdefgh", 5) == "ab…gh" and shorten("abc", 3) == "abc"
    assert [size_text(n) for n in (0, 1023, 656424, 5 << 30)] == [
        "0.00 B",
        "1023.00 B",
        "641.04 KB",
        "5.00 GB",
    ]
