"""The house rules as functions of a tree: each returns the breaches that it finds, ``[]`` for none.

They take the root, so that the tests can also hold them against a small tree that breaks the rule.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

TOP_LEVEL = {
    *("setup.py", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"),
    *("rnnrt", "src_c", "tests", "models", "tools"),
}
BUILT = {"build", "dist"}  # what pip and build leave behind
MAX_LINES = 500

# A room of rnnrt -> what of rnnrt it may import. "" is the face (``import rnnrt``); a room includes its
# sub-rooms; errors, nested, records, tables and summary (of plain data) import next to nothing: everybody may use them.
LEAVES = {"errors", "nested", "records", "summary", "tables"}
FACE = {"", "__main__", "loading", "machine", "stores", "verify"}  # puts the rooms together, so it may use all of them
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "nested": set(),
    "records": set(),
    "summary": set(),
    "tables": {"ir"},
    "ir": {"errors"},
    "structure": {"errors"},
    "snapshot": {"errors"},
    "custom": {"ir", "errors"},
    "reference": {"ir", "custom", "errors"},
    "format": {"ir", "errors"},
    "native": {"errors"},
    "backends": {"native", "errors"},
    "planner": {"ir", "native", "errors"},
    "convert": {
        *("ir", "format.writer", "format.proof", "format.replay", "reference", "custom", "structure"),
        *("errors", "summary"),
    },
    **dict.fromkeys(
        ("model", "calls", "session", "placed", "growth"),  # five files of one room
        {
            *("format.reader", "ir", "planner", "backends", "native", "structure", "snapshot", "custom"),
            *("model", "calls", "session", "placed", "growth", "streams", "errors"),
        },
    ),
    "streams": {"model", "calls", "session", "snapshot", "structure", "native", "errors"},
    "cli": {"", "benchmark", "errors", "summary"},
    "benchmark": {"", "model", "calls", "native", "ir", "errors"},
    "compat": {"", "errors"},
    "serve": {"", "errors"},
    "integrations": {"", "errors"},
}


def room_of(module: str) -> str:
    """``rnnrt.convert.keras.layers`` -> ``convert``; ``rnnrt`` -> ````."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def imports_of(path: Path, root: Path) -> list[tuple[int, str]]:
    """(line, module) of each import of rnnrt in a file, relative ones made absolute, wherever it stands."""
    package = list(path.relative_to(root).with_suffix("").parts)
    if package[-1] == "__init__":
        package[-1] = ""  # a package's own names are one level deeper
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, a.name) for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level] if node.level else []
            module = ".".join(p for p in [*base, node.module or ""] if p)
            for a in node.names:
                # "from rnnrt import errors" names a module or a name of the face: ask the tree
                deeper = root.joinpath(*module.split("."), a.name)
                is_module = deeper.is_dir() or deeper.with_suffix(".py").exists()
                found.append((node.lineno, f"{module}.{a.name}" if is_module else module))
    return [(line, m) for line, m in found if m.split(".")[0] == "rnnrt"]


def import_breaches(root: Path) -> list[str]:
    """Imports from a room that the importing room may not use, and rooms that the table does not know."""
    bad = []
    for path in sorted((root / "rnnrt").rglob("*.py")):
        module = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        room = room_of(module)
        if room in FACE:
            continue
        if room not in MAY_IMPORT:
            bad.append(f"{path.relative_to(root)}: room {room!r} is not in the table of import directions")
            continue
        allowed = MAY_IMPORT[room] | LEAVES
        for line, target in imports_of(path, root):
            name = target.removeprefix("rnnrt").removeprefix(".")
            fits = any(name == a or (a and name.startswith(a + ".")) for a in allowed)
            if room_of(target) != room and not fits:
                bad.append(f"{path.relative_to(root)}:{line}: {room} may not import {target}")
    return bad


# Folder of src_c -> the folders that its files may include; "kernels" is the table: kernels.h, fpenv.h.
MAY_INCLUDE = {
    "include": {"include"},
    "kernels": {"include", "kernels"},
    "kernels/simd": {"include", "kernels", "kernels/simd"},
    "kernels/generic": {"include", "kernels", "kernels/simd", "kernels/generic"},
    "kernels/isa": {"include", "kernels", "kernels/simd", "kernels/generic", "kernels/isa"},
    "ops": {"include", "kernels", "ops"},
    "core": {"include", "kernels", "ops", "core"},
}
# The plugin shares the host's checks, sizes and placement: what it includes beside the table are the core's program and
# the ops' records, never an instruction set.
CUDA_MAY = {
    *("include", "ops"),
    *("core/program.h", "core/lock.h", "kernels/kernels.h", "kernels/half.h"),
}
C_SUFFIXES = {".c", ".h", ".def", ".cu", ".cuh", ".inc", ".cc", ".cpp", ".hpp"}

_STRIP = re.compile(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.S)


def c_files(root: Path) -> list[Path]:
    """All C sources and headers."""
    return sorted(p for p in (root / "src_c").rglob("*") if p.suffix in C_SUFFIXES)


def c_code(path: Path) -> str:
    """A C file without comments and literals, line numbers kept."""
    return _STRIP.sub(lambda m: "\n" * m.group().count("\n"), path.read_text(encoding="utf-8"))


def _included(path: Path, name: str, src_c: Path) -> str | None:
    """The path below src_c that ``#include "name"`` means, or None for a file that is not there."""
    for base in (path.parent, src_c, src_c / "include"):
        target = (base / name).resolve()
        if target.is_file() and target.is_relative_to(src_c.resolve()):
            return target.relative_to(src_c.resolve()).as_posix()
    return None


def _cuda_fits(target: str) -> bool:
    return bool({target, target.split("/")[0]} & (CUDA_MAY | {"cuda"}))


def include_breaches(root: Path) -> list[str]:
    """Includes against core -> ops -> kernels, isa -> generic -> simd; Python.h anywhere in src_c."""
    bad, src_c = [], root / "src_c"
    for path in c_files(root):
        here = path.relative_to(src_c)
        room = here.parent.as_posix()
        cuda = room.split("/")[0] == "cuda"
        if room not in MAY_INCLUDE and not cuda:
            bad.append(f"src_c/{here}: folder {room!r} is not in the table of include directions")
            continue
        for n, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            m = re.match(r'\s*#\s*include\s*(["<])([^">]+)[">]', line)
            if not m:
                continue
            if m[2].split("/")[-1] == "Python.h" or m[2].startswith("numpy/"):
                bad.append(f"src_c/{here}:{n}: no Python in src_c: {m[2]}")
            if m[1] == "<":
                continue
            target = _included(path, m[2], src_c)
            if target is None:
                bad.append(f"src_c/{here}:{n}: {m[2]} is not below src_c")
            elif not (_cuda_fits(target) if cuda else Path(target).parent.as_posix() in MAY_INCLUDE[room]):
                bad.append(f"src_c/{here}:{n}: {room} may not include {target}")
    return bad


PRINTS = (
    "printf",
    "fprintf",
    "vprintf",
    "vfprintf",
    "puts",
    "fputs",
    "putchar",
    "putc",
    "fputc",
    "perror",
    "fwrite",
)
ENDS = ("abort", "exit", "_exit", "_Exit", "quick_exit", "assert", "__builtin_trap", "raise", "longjmp")
STREAMS = ("stdout", "stderr")
ALLOCATES = (
    *("malloc", "calloc", "realloc", "free", "aligned_alloc", "posix_memalign", "memalign", "valloc"),
    *("strdup", "alloca", "mmap", "munmap", "sbrk", "__builtin_alloca"),
)
ALLOCATION_HOOK = "core/alloc.c"
CUDA_EMULATOR = "cuda/emu/"  # it stands for the CUDA runtime in the tests: it allocates, and may end a broken test


def call_breaches(root: Path) -> list[str]:
    """Printing or ending the process anywhere in src_c; allocation anywhere but in the one hook."""
    bad, src_c = [], root / "src_c"
    for path in c_files(root):
        here = path.relative_to(src_c).as_posix()
        if here.startswith(CUDA_EMULATOR):
            continue
        names = [*PRINTS, *ENDS, *STREAMS]
        if here != ALLOCATION_HOOK:
            names += ALLOCATES
        # not behind a dot or an arrow: a field of that name is nobody's libc
        pattern = re.compile(r"(?<![\w.>])(" + "|".join(map(re.escape, names)) + r")\b")
        for n, line in enumerate(c_code(path).splitlines(), 1):
            if line.lstrip().startswith("#include"):
                continue
            bad += [f"src_c/{here}:{n}: {m[1]}" for m in pattern.finditer(line)]
    return bad


def long_files(root: Path, limit: int = MAX_LINES) -> list[str]:
    """Sources longer than the limit."""
    suffixes = {".py", ".pyx", ".pxd", ".pxi", ".pyi", ".sh", *C_SUFFIXES}
    bad = []
    for top in sorted(TOP_LEVEL):
        paths = [root / top] if (root / top).is_file() else sorted((root / top).rglob("*"))
        for path in paths:
            if path.suffix in suffixes and path.is_file() and not _generated(path):
                lines = len(path.read_text(encoding="utf-8").splitlines())
                if lines > limit:
                    bad.append(f"{path.relative_to(root)}: {lines} lines, at most {limit}")
    return bad


def _generated(path: Path) -> bool:
    return path.suffix == ".c" and path.with_suffix(".pyx").exists()  # Cython's output


def strange_top_level(root: Path) -> list[str]:
    """Names at the top that are neither in the list, nor dot-files, nor left by a build."""
    names = {p.name for p in root.iterdir()}
    known = TOP_LEVEL | BUILT
    sdist = {"PKG-INFO", "setup.cfg"}  # an unpacked sdist has them too
    return sorted(
        n for n in names - known - sdist if not n.startswith(".") and not n.endswith((".egg-info", "__pycache__"))
    )


def def_entries(path: Path, macro: str) -> list[tuple[str, str]]:
    """(ID, "name") of each ``MACRO(ID, "name"...)`` in a .def file, in order."""
    text = re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.S)
    return re.findall(rf'^\s*{macro}\(\s*(\w+)\s*,\s*"([^"]+)"', text, flags=re.M)
