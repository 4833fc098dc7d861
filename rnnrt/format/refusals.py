"""Every reason for which a file is refused, by the number that FORMAT.md gives it."""

from __future__ import annotations

from ..errors import FormatError

__all__ = ["REFUSALS", "refusal"]

REFUSALS: dict[str, str] = {
    "F01": "not a regular file",
    "F02": "truncated before the end of the header",
    "F03": "header length out of range",
    "F04": "header does not start with '{' or is not UTF-8",
    "F05": "JSON nested too deeply",
    "F06": "not strict JSON",
    "F07": "duplicate key",
    "F08": "integer out of range",
    "F09": "malformed tensor entry",
    "F10": "unknown dtype",
    "F11": "too many axes",
    "F12": "too many tensors",
    "F13": "tensor too large",
    "F14": "offsets do not match dtype and shape",
    "F15": "hole or overlap between tensors",
    "F16": "data shorter or longer than the tensors",
    "F17": "metadata missing or not strings",
    "F18": "not an rnnrt file",
    "F19": "unknown format version",
    "F20": "required feature unknown or undeclared",
    "F21": "metadata key unknown, missing or malformed",
    "F22": "header checksum",
    "F23": "tensor checksum",
    "F24": "graph does not follow its schema",
    "F25": "graph does not make sense",
    "F26": "weights and graph name different things",
    "F27": "weight has another shape or dtype than the graph says",
    "F28": "malformed proof",
    "F29": "proof too large",
    "F30": "malformed plan",
}


def refusal(number: str, place: str, text: str) -> FormatError:
    """The error to raise: ``place: text [F07]``."""
    assert number in REFUSALS, number
    return FormatError(f"{place}: {text} [{number}]")
