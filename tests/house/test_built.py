"""What the built package does to a process: the symbols that it exports, the modules that it loads."""

import json
import subprocess
import sys
from importlib.util import find_spec

from cases.graphs import Builder

from rnnrt.format.writer import write
from rnnrt.ir.ops.table import FAMILIES


def test_the_extension_exports_its_init_function_only():
    spec = find_spec("rnnrt.native._native")
    assert spec is not None and spec.origin, "the extension is not built: pip install -e ."
    out = subprocess.run(["nm", "-D", "--defined-only", spec.origin], capture_output=True, text=True, check=True)
    names = {line.split()[-1] for line in out.stdout.splitlines() if line.strip()}
    # the linker and gcov add names of their own
    assert {n for n in names if not n.startswith(("_init", "_fini", "__gcov", "mangle_path"))} == {"PyInit__native"}


def _loaded_by(statement: str) -> set[str]:
    """Top-level modules beyond the standard library in a fresh interpreter after the statement."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted({{m.split('.')[0] for m in sys.modules}})))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(out.stdout)) - set(sys.stdlib_module_names)


def test_import_loads_numpy_and_our_extension_only():
    more = _loaded_by("import rnnrt; rnnrt.load") - _loaded_by("import numpy")
    # an editable install finds the package through a module of its own; Cython has a shared runtime
    assert {m for m in more if not m.startswith(("__editable__", "_cython_", "cython_runtime"))} == {"rnnrt"}


def test_the_extension_alone_does_not_load_scipy():
    assert not {"scipy", "h5py"} & _loaded_by("import rnnrt.native._native")


def test_the_list_of_loaded_modules_sees():
    assert "h5py" in _loaded_by("import h5py")
    assert "rnnrt" in _loaded_by("import rnnrt")


_ANSWER = """
import sys
import numpy as np
before = set(sys.modules)
import rnnrt
rnnrt.load(sys.argv[1]).predict(np.zeros((1, 5), "int32"))
print(*sorted(set(sys.modules) - before))
"""


def test_a_first_answer_brings_little(tmp_path):
    """What load and predict of a file without a plan import beyond NumPy: json, and the families of the model's ops."""
    b = Builder()
    (x,) = b.add("embedding", "e", b.input("x", None, dtype="int32"), input_dim=7, output_dim=4)
    (h,) = b.add("lstm", "l", x, units=3)
    write(tmp_path / "m.rnnrt", *b.done(*b.add("dense", "d", h, units=2)))
    run = [sys.executable, "-c", _ANSWER, str(tmp_path / "m.rnnrt")]
    more = subprocess.run(run, capture_output=True, text=True, check=True).stdout.split()
    ours = {m for m in more if m.split(".")[0] == "rnnrt"}
    strange = {m for m in more if m.split(".")[0] in sys.stdlib_module_names} - {"__future__", "_json"}
    assert {m.split(".")[0] for m in strange} <= {
        "json",
        "importlib",
    }  # the latter: NumPy of Python 3.10 does not bring it
    families = {m.rpartition(".")[2] for m in ours} & set(FAMILIES)
    assert families == {"matrix", "recurrent"}
    late = ("session", "summary", "verify", "format.replay", "format.writer", "convert", "streams", "benchmark")
    assert not [m for m in ours if m.startswith(tuple(f"rnnrt.{name}" for name in late))]
