"""Who may import and include whom; and that the checkers see a breach when there is one."""

from pathlib import Path

import house_rules as house
import pytest


def test_python_rooms_import_in_one_direction():
    assert house.import_breaches(house.ROOT) == []


def test_c_folders_include_in_one_direction():
    assert house.include_breaches(house.ROOT) == []


def test_no_printing_no_ending_one_allocation_hook():
    assert house.call_breaches(house.ROOT) == []


def test_files_stay_readable():
    assert house.long_files(house.ROOT) == []


def test_top_level_holds_only_what_belongs_there():
    assert house.strange_top_level(house.ROOT) == []


def _write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("file", "text", "finds"),
    [
        ("rnnrt/ir/graph.py", "from ..convert import x\n", "ir may not import rnnrt.convert"),
        ("rnnrt/ir/graph.py", "import rnnrt.format.reader\n", "ir may not import rnnrt.format.reader"),
        ("rnnrt/ir/ops/spec.py", "from ...convert import x\n", "ir may not import rnnrt.convert"),
        ("rnnrt/ir/ops/spec.py", "from ..graph import x\n", None),
        ("rnnrt/ir/graph.py", "def f():\n    from rnnrt import convert\n", "ir may not import rnnrt.convert"),
        ("rnnrt/ir/__init__.py", "from .graph import x\nfrom ..errors import y\n", None),
        ("rnnrt/convert/x.py", "from ..format.writer import write\n", None),
        ("rnnrt/convert/x.py", "from ..format.reader import read\n", "convert may not import rnnrt.format"),
        ("rnnrt/cli/x.py", "import rnnrt\nfrom rnnrt.errors import E\nfrom . import common\n", None),
        ("rnnrt/cli/x.py", "from rnnrt.model import Model\n", "cli may not import rnnrt.model"),
        ("rnnrt/novel/x.py", "", "room 'novel' is not in the table"),
    ],
)
def test_the_import_checker_sees(tmp_path, file, text, finds):
    for room in ("convert", "format", "ir"):
        _write(tmp_path, f"rnnrt/{room}/__init__.py", "")
    _write(tmp_path, "rnnrt/model.py", "")
    _write(tmp_path, file, text)
    found = house.import_breaches(tmp_path)
    assert found == [] if finds is None else len(found) == 1 and finds in found[0]


@pytest.mark.parametrize(
    ("file", "text", "finds"),
    [
        ("kernels/isa/avx2.c", '#include "../generic/lstm.h"\n', None),
        (
            "kernels/generic/lstm.h",
            '#include "../isa/avx2.c"\n',
            "kernels/generic may not include kernels/isa",
        ),
        ("kernels/kernels.h", '#include "../core/program.h"\n', "kernels may not include core/program.h"),
        ("ops/dense.c", '#include "../core/program.h"\n', "ops may not include core/program.h"),
        ("ops/dense.c", '#include "kernels/kernels.h"\n', None),
        ("core/program.h", '#include "nowhere.h"\n', "nowhere.h is not below src_c"),
        ("core/program.h", "#include <Python.h>\n", "no Python in src_c"),
        ("cuda/emu/shim.cpp", '#include "../lstm.cuh"\n', None),
        ("cuda/lstm.cuh", '#include "kernels/generic/lstm.h"\n', "cuda may not include kernels/generic/lstm.h"),
        ("ops/dense.c", '#include "cuda/lstm.cuh"\n', "ops may not include cuda/lstm.cuh"),
    ],
)
def test_the_include_checker_sees(tmp_path, file, text, finds):
    _write(tmp_path / "src_c", "cuda/lstm.cuh", "")
    for name in ("core/program.h", "kernels/kernels.h", "kernels/generic/lstm.h", "kernels/isa/avx2.c"):
        _write(tmp_path / "src_c", name, "")
    _write(tmp_path / "src_c", file, text)
    found = house.include_breaches(tmp_path)
    assert found == [] if finds is None else len(found) == 1 and finds in found[0]


@pytest.mark.parametrize(
    ("file", "text", "n"),
    [
        ("ops/dense.c", 'void f(void) { printf("%d", 1); }\n', 1),
        ("ops/dense.c", "void f(hook *h) { h->free(h); } /* malloc() */ // abort()\n", 0),
        ("ops/dense.c", 'const char *s = "abort()";\n', 0),
        ("core/program.c", "void *(*get)(size_t) = malloc;\n", 1),
        ("core/program.c", "#include <assert.h>\nvoid f(void) { assert(0); }\n", 1),
        ("core/alloc.c", "void *f(void) { return malloc(1); }\n", 0),
        ("core/alloc.c", "void f(void) { abort(); }\n", 1),
        ("cuda/emu/shim.cpp", "void *f(void) { return malloc(1); }\n", 0),
        ("cuda/plugin.cu", "void *f(void) { return malloc(1); }\n", 1),
    ],
)
def test_the_call_checker_sees(tmp_path, file, text, n):
    _write(tmp_path / "src_c", file, text)
    assert len(house.call_breaches(tmp_path)) == n


def test_the_other_checkers_see(tmp_path):
    _write(tmp_path, "rnnrt/long.py", "x = 1\n" * 501)
    _write(tmp_path, "rnnrt/just.py", "x = 1\n" * 500)
    _write(tmp_path, "notes.txt", "")
    assert house.long_files(tmp_path) == ["rnnrt/long.py: 501 lines, at most 500"]
    assert house.strange_top_level(tmp_path) == ["notes.txt"]
