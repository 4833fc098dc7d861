"""Writes the coverage table of README.md from the tables that conversion works with.

python tools/docs/coverage.py          # rewrites the part between the two markers
python tools/docs/coverage.py --check  # exit code 1 where it is not up to date
"""

from __future__ import annotations

import sys
from pathlib import Path

from rnnrt.convert.keras.layers import REFUSED, REGISTRY
from rnnrt.convert.keras.operations.tables import KERAS3, TENSORFLOW
from rnnrt.ir.activations import ACTIVATIONS

README = Path(__file__).resolve().parents[2] / "README.md"
BEGIN = "<!-- coverage: made by tools/docs/coverage.py -->"
END = "<!-- /coverage -->"

# a family is a file of rnnrt/convert/keras/layers; one that is not named here is shown by its file's name
FAMILIES = {
    "recurrent": "Recurrent",
    "conv_lstm": "Convolutional recurrent",
    "bidirectional": "Both directions",
    "wrappers": "Wrappers",
    "core": "Core",
    "identity": "Nothing at inference",
    "activation": "Activations",
    "merging": "Several tensors",
    "attention": "Attention",
    "normalization": "Normalisation",
    "conv": "Convolution",
    "pooling": "Pooling",
    "reshaping": "Shapes",
}


def _cell(names: list[str], notes: dict[str, str]) -> str:
    """Names in order; a note that several share stands once, behind the last of them."""
    out = []
    for k, name in enumerate(names):
        note = notes.get(name, "")
        last = k + 1 == len(names) or notes.get(names[k + 1], "") != note
        out.append(f"`{name}` ({note})" if note and last else f"`{name}`")
    return ", ".join(out)


def table() -> str:
    """The text between the markers."""
    families: dict[str, list[str]] = {}
    notes = {e.class_name: e.note for e in REGISTRY.values()}
    for entry in REGISTRY.values():
        families.setdefault(entry.family, []).append(entry.class_name)
    rest = sorted(set(families) - set(FAMILIES))
    lines = ["| layers | |", "|---|---|"]
    for family in (*FAMILIES, *rest):
        if family in families:
            lines.append(f"| {FAMILIES.get(family, family)} | {_cell(families[family], notes)} |")
    lines += [
        "| Your own | any cell of `RNN` and any layer, in NumPy: `rnnrt.register_cell`, `rnnrt.register_layer` |",
        f"| Operations on tensors | {len(KERAS3)} of Keras 3 (`keras.ops`, masks), {len(TENSORFLOW)} of TensorFlow's "
        "(`TFOpLambda`, `SlicingOpLambda`, `TensorFlowOpLayer`) |",
        "| Activation functions | " + ", ".join(f"`{n}`" for n in ACTIVATIONS) + " |",
    ]
    reasons: dict[str, list[str]] = {}
    for name, (why, _) in REFUSED.items():
        reasons.setdefault(why, []).append(name)
    lines += [
        "",
        "Known and refused, by the layer's path and with what to do instead:",
        "",
        "| why | layers |",
        "|---|---|",
    ]
    lines += [f"| {why} | {_cell(names, {})} |" for why, names in reasons.items()]
    return "\n".join(lines)


def updated(text: str) -> str:
    """The README's text with the part between the markers made anew."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise SystemExit(f"README.md needs the markers {BEGIN} and {END}, once each")
    head, rest = text.split(BEGIN)
    return f"{head}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}"


def main() -> int:
    text = README.read_text(encoding="utf-8")
    new = updated(text)
    if "--check" in sys.argv[1:]:
        return int(text != new)
    README.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
