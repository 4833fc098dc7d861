"""Runs service.py with the import line of a Keras: ``python run_service.py FOLDER OUT.npz`` records both Kerases."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SCRIPT = Path(__file__).with_name("service.py")
LINE = "from keras.models import load_model  # the one line\n"


def run(module: str, keras: str, folder: Path) -> dict[str, np.ndarray]:
    """What the script records with ``from <module> import load_model``."""
    text = SCRIPT.read_text()
    assert text.count(LINE) == 1
    found: dict[str, np.ndarray] = {}

    def record(name: str, value: Any) -> None:
        while name in found:
            name += "'"
        found[name] = np.asarray(value)

    given: dict[str, Callable | str] = {"record": record, "FOLDER": str(folder), "KERAS": keras, "__name__": "service"}
    exec(compile(text.replace(LINE, f"from {module} import load_model\n"), str(SCRIPT), "exec"), given)
    return found


if __name__ == "__main__":
    both = {}
    for keras, module in (("2", "tf_keras.models"), ("3", "keras.models")):
        both.update({f"{keras}/{k}": v for k, v in run(module, keras, Path(sys.argv[1])).items()})
    np.savez_compressed(sys.argv[2], **both)
