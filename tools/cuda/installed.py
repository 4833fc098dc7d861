"""Is what `pip install 'rnnrt[cuda]'` brought whole? For an environment that has it, with a GPU or without.

    python tools/cuda/installed.py model.rnnrt

Looks at the distribution's files and metadata, the devices, and at what loading a model there does. Exit code 1 with
what is wrong.
"""

from __future__ import annotations

import importlib.metadata as metadata
import re
import sys
from pathlib import PurePosixPath

import numpy as np

import rnnrt
from rnnrt.errors import BackendError


def must(holds: object, what: str) -> None:
    """Leave with ``what`` where it does not hold."""
    if not holds:
        sys.exit(f"wrong: {what}")


def distribution() -> None:
    """One library, its package, licence and metadata; no Python ABI; found by the entry point."""
    own = metadata.distribution("rnnrt-cuda")
    files = {PurePosixPath(f) for f in own.files or [] if "__pycache__" not in str(f)}
    package = {f.name for f in files if f.parts[0] == "rnnrt_cuda"}
    must(package == {"__init__.py", "librnnrt_cuda.so"}, f"the package holds {sorted(package)}")
    others = {f.parts[0] for f in files} - {"rnnrt_cuda"}
    must(all(re.fullmatch(r"rnnrt_cuda-.*\.dist-info", name) for name in others), f"it holds {sorted(others)}, too")
    must(any(f.name == "LICENSE" for f in files), "the licence is missing")
    must(not own.requires, f"it needs {own.requires}")
    tag = re.findall(r"^Tag: (\S+)$", own.read_text("WHEEL") or "", re.M)
    must(len(tag) == 1 and re.fullmatch(r"py3-none-(manylinux|linux)_\w+", tag[0]), f"its tag is {tag}")
    wanted = [r for r in metadata.requires("rnnrt") or [] if r.startswith("rnnrt-cuda")]
    must(len(wanted) == 1 and re.search(r"extra == ['\"]cuda['\"]", wanted[0]), f"rnnrt asks for {wanted}")
    print(f"rnnrt-cuda {own.version}, {tag[0]}; rnnrt asks for {wanted[0]}")


def loading(path: str) -> None:
    """A GPU takes the model and agrees with the CPU, or the reason is said and ``auto`` falls to the CPU."""
    found = rnnrt.devices()
    print(f"devices {list(found)}", *(f"no {kind}: {why}" for kind, why in found.missing.items()), sep="\n")
    here = rnnrt.load(path)
    auto = rnnrt.load(path, device="auto")
    if "cuda:0" in found:
        must(rnnrt.load(path, device="cuda").device == auto.device == "cuda:0", f"auto took {auto.device}")
    else:
        why = found.missing.get("cuda", "")
        must(why and "not installed" not in why, f"the plugin was not found: {why!r}")
        must(isinstance(rnnrt.info()["cuda"], (str, dict)), "info() says nothing of cuda")
        try:
            rnnrt.load(path, device="cuda")
        except BackendError as e:
            must(why in str(e) and "'cuda'" in str(e), f"another reason: {e}")
            print(f"load: {e}")
        else:
            must(False, "a model was loaded on no device")
        must(auto.device == "cpu", f"auto took {auto.device}")
    x = (
        np.random.default_rng(0)
        .standard_normal((2, *(n if isinstance(n, int) else 8 for n in here.inputs[0].shape[1:])))
        .astype("float32")
    )
    must(np.allclose(auto.predict(x), here.predict(x), 0, 1e-5), "auto answers something else")
    print(f"auto: {auto.device}")


if __name__ == "__main__":
    distribution()
    loading(sys.argv[1])
