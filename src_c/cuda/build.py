"""Builds the CUDA plugin: with nvcc for GPUs, or with g++ over the emulation in emu/ for tests without one.

    python src_c/cuda/build.py librnnrt_cuda.so [--emulated] [--strict]

Objects are kept in a folder and made again when a source, a header or the flags change. Environment: ``CUDA_HOME``,
``RNNRT_CUDA_ARCH`` (``90``, ``80;90``, ``native``: only for these), ``RNNRT_CUDA_JOBS``.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SRC = Path(__file__).resolve().parents[1]  # src_c
HEADERS = (".h", ".cuh", ".def")

# What runs on these GPUs and later ones of their generation (sm_80 on 8.6 and 8.9), and as PTX on newer ones.
RELEASE = (75, 80, 90, 100, 120)
PTX = (90,)
LEAST_NVCC = (12, 8)  # knows all of RELEASE
OLDEST_NVCC = (12, 0)  # knows clusters and C++17

GLIBC = {
    "libc.so.6",
    "libm.so.6",
    "libdl.so.2",
    "libpthread.so.0",
    "librt.so.1",
    "ld-linux-x86-64.so.2",
    "ld-linux-aarch64.so.1",
}
LARGEST = 4_000_000  # bytes

COMMON = ["-O2", "-fPIC", "-fvisibility=hidden"]
C_FLAGS = ["-std=gnu11", "-ffp-contract=off", "-fno-math-errno", "-Wall", "-Wextra", *COMMON]
EMULATED_FLAGS = [
    "-std=c++17",
    "-DRNNRT_EMU=1",
    *(["-mfma"] if platform.machine() == "x86_64" else []),
    "-Wall",
    "-Wextra",
    "-Wno-unknown-pragmas",
    *COMMON,
]
STATIC = ["-static-libstdc++", "-static-libgcc"]
LINKER = "--exclude-libs,ALL,-z,now,-s"  # no symbol of a library that is linked in is seen outside


class BuildError(RuntimeError):
    """Why there is no plugin, and what to do."""


# -- sources


def cuda_sources() -> list[Path]:
    """What nvcc compiles."""
    return sorted((SRC / "cuda").glob("*.cu"))


def host_sources() -> list[Path]:
    """The host's own C that the plugin shares (SOURCES): the checks of a plan, its sizes, its executor."""
    listed = (SRC / "cuda" / "SOURCES").read_text(encoding="utf-8").splitlines()
    patterns = [line.partition("#")[0].strip() for line in listed]
    found = {p for pattern in patterns if pattern for p in SRC.glob(pattern)}
    return sorted(p for p in found if p.suffix == ".c")


def emulation_sources() -> list[Path]:
    """Threads, barriers, clusters and memory on the CPU."""
    return sorted((SRC / "cuda" / "emu").glob("*.cc"))


def every_file() -> list[Path]:
    """All that a build reads: what an sdist must hold."""
    headers = [p for p in SRC.rglob("*") if p.suffix in HEADERS]
    own = [Path(__file__).resolve(), SRC / "cuda" / "SOURCES"]
    return sorted({*cuda_sources(), *host_sources(), *emulation_sources(), *headers, *own})


# -- compilers


def find_nvcc() -> str:
    """The path of nvcc."""
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    places = [str(Path(home) / "bin" / "nvcc")] if home else []
    for place in [*places, "nvcc", "/usr/local/cuda/bin/nvcc"]:
        found = shutil.which(place)
        if found:
            return found
    raise BuildError(
        "nvcc was not found (looked in CUDA_HOME, PATH and /usr/local/cuda/bin). Install the CUDA toolkit "
        f"{LEAST_NVCC[0]}.{LEAST_NVCC[1]} or newer, or build without RNNRT_CUDA=1: rnnrt runs on the CPU then"
    )


def find_cxx() -> str | None:
    """The C++ compiler's path, None where there is none."""
    return shutil.which(os.environ.get("CXX", "g++").split()[0])


def nvcc_version(nvcc: str) -> tuple[int, int]:
    """(13, 0)"""
    out = subprocess.run([nvcc, "--version"], capture_output=True, text=True)
    m = re.search(r"release (\d+)\.(\d+)", out.stdout)
    if out.returncode or not m:
        raise BuildError(f"{nvcc} --version does not tell its version: {(out.stdout + out.stderr).strip()[:200]!r}")
    return int(m[1]), int(m[2])


def arch_flags(version: tuple[int, int], wish: str | None = None) -> list[str]:
    """nvcc's -gencode flags: of a release, or of what RNNRT_CUDA_ARCH names."""
    have = ".".join(map(str, version))
    if version < OLDEST_NVCC:
        raise BuildError(f"nvcc {have} is too old: {OLDEST_NVCC[0]}.{OLDEST_NVCC[1]} is the oldest that will do")
    wish = os.environ.get("RNNRT_CUDA_ARCH", "") if wish is None else wish
    names = [w for w in re.split(r"[;,\s]+", wish.strip()) if w]
    if names == ["native"]:
        return ["-arch=native"]
    if not names:
        if version < LEAST_NVCC:
            raise BuildError(
                f"nvcc {have} does not know all of sm_{', sm_'.join(map(str, RELEASE))}: take CUDA "
                f"{LEAST_NVCC[0]}.{LEAST_NVCC[1]} or newer, or name the GPUs that you have: RNNRT_CUDA_ARCH=90"
            )
        names = [str(a) for a in RELEASE]
        ptx = {str(a) for a in PTX}
    else:
        ptx = {names[-1]}
    flags = []
    for name in names:
        m = re.fullmatch(r"(?:sm_|compute_)?(\d+)\.?(\d)(a?)", name)
        if not m:
            raise BuildError(f"RNNRT_CUDA_ARCH={wish!r}: expected numbers such as 90 or 8.6, or native")
        arch = m[1] + m[2] + m[3]
        flags += ["-gencode", f"arch=compute_{arch},code=sm_{arch}"]
        if name in ptx:
            flags += ["-gencode", f"arch=compute_{arch},code=compute_{arch}"]
    return flags


def nvcc_flags(version: tuple[int, int], strict: bool) -> list[str]:
    """How nvcc compiles a file."""
    flags = ["-std=c++17", "-O3", *arch_flags(version), "-Xcompiler", "-fPIC,-fvisibility=hidden,-Wall"]
    if version >= LEAST_NVCC:
        flags.append("-compress-mode=size")
    if strict:
        flags += ["-Werror", "all-warnings", "-Xcompiler", "-Werror", "-Xptxas", "-v"]
    return flags


# -- building


def _run(command: Sequence[str]) -> str:
    """What a command printed; BuildError with all of it where it fails."""
    done = subprocess.run(command, capture_output=True, text=True)
    said = done.stdout + done.stderr
    if done.returncode:
        raise BuildError(f"{' '.join(command)}\nfailed with exit code {done.returncode}:\n{said}")
    return said


def _stale(made: Path, source: Path, newest_header: float) -> bool:
    return not made.exists() or made.stat().st_mtime <= max(source.stat().st_mtime, newest_header)


def _compile(jobs: list[tuple[Path, list[str]]], folder: Path, version: str) -> tuple[list[Path], str]:
    """(objects, what the compilers said); jobs: (source, command without source and target)."""
    newest = max(p.stat().st_mtime for p in every_file() if p.suffix in HEADERS)

    def one(job: tuple[Path, list[str]]) -> tuple[Path, str]:
        source, command = job
        key = hashlib.sha256("\0".join([version, *command]).encode()).hexdigest()[:12]
        made = folder / f"{source.parent.name}-{source.stem}-{key}.o"
        log = made.with_suffix(".log")
        if _stale(made, source, newest) or not log.exists():
            part = made.with_suffix(f".{os.getpid()}.part.o")
            log.write_text(_run([*command, "-c", str(source), "-o", str(part)]))
            os.replace(part, made)
        return made, log.read_text()

    folder.mkdir(parents=True, exist_ok=True)
    workers = int(os.environ.get("RNNRT_CUDA_JOBS", "0")) or os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        started = [pool.submit(one, job) for job in jobs]
        try:
            done = [s.result() for s in started]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return [d[0] for d in done], "".join(d[1] for d in done)


def build(target: Path, *, emulated: bool = False, strict: bool = False, objects: Path | None = None) -> str:
    """Make the library; what the compilers said.

    strict: warnings are errors, and so are kernels that spill. objects: where objects are kept.
    """
    objects = objects or SRC.parent / "build" / ("cuda-emulated" if emulated else "cuda")
    if not cuda_sources() or not (SRC / "cuda" / "SOURCES").exists():
        raise BuildError(f"there are no CUDA sources in {SRC / 'cuda'}: this is not a whole source tree")
    cc, cxx = os.environ.get("CC", "gcc").split(), os.environ.get("CXX", "g++").split()
    include = ["-I", str(SRC), "-I", str(SRC / "include")]
    werror = ["-Werror"] if strict else []
    jobs = [(p, [*cc, *C_FLAGS, *werror, *include]) for p in host_sources()]
    if emulated:
        jobs += _emulated_jobs(cuda_sources(), werror)
        version = _run([*cxx, "--version"]).splitlines()[0]
        link = [*cxx, "-shared", "-pthread"]
    else:
        nvcc = find_nvcc()
        number = nvcc_version(nvcc)
        version = f"nvcc {number}"
        jobs = [*((p, [nvcc, *nvcc_flags(number, strict), *include]) for p in cuda_sources()), *jobs]
        link = [nvcc, "-shared", "-cudart", "static", *arch_flags(number), "-Xcompiler", ",".join(STATIC)]
        link += ["-Xlinker", LINKER]
    made, said = _compile(jobs, objects, version)
    spills = kernels_that_spill(said) if strict else []
    if spills:
        raise BuildError("kernels that keep registers in memory:\n" + "\n".join(spills))
    return said + _link(target, [*link, *map(str, made)], made)


def _emulated_jobs(sources: Sequence[Path], flags: Sequence[str]) -> list[tuple[Path, list[str]]]:
    """These .cu with these flags, and the emulation without: its objects serve every build."""
    cxx = os.environ.get("CXX", "g++").split()
    base = [*cxx, *EMULATED_FLAGS, "-I", str(SRC / "cuda" / "emu"), "-I", str(SRC)]
    return [*((p, [*base, *flags, "-x", "c++"]) for p in sources), *((p, base) for p in emulation_sources())]


def emulate(target: Path, sources: Sequence[Path], flags: Sequence[str] = (), *, objects: Path) -> None:
    """Make a library of some .cu over the emulation: for tests that call kernels directly."""
    cxx = os.environ.get("CXX", "g++").split()
    version = _run([*cxx, "--version"]).splitlines()[0]
    made, _ = _compile(_emulated_jobs(sources, flags), objects, version)
    _link(target, [*cxx, "-shared", "-pthread", *map(str, made)], made)


def _link(target: Path, command: list[str], made: list[Path]) -> str:
    """Link, unless the library is of these objects already."""
    target.parent.mkdir(parents=True, exist_ok=True)
    note = made[0].parent / f"{target.name}.link"
    text = "\n".join(command)
    fresh = target.exists() and target.stat().st_mtime > max(m.stat().st_mtime for m in made)
    if fresh and note.exists() and note.read_text() == text:
        return ""
    part = target.with_suffix(f".{os.getpid()}.part")
    said = _run([*command, "-o", str(part)])
    os.replace(part, target)
    note.write_text(text)
    return said


# sin and cos bring large arguments into range by a table in local memory: a stack frame, and nothing spills
MAY_HAVE_STACK = ("unary_one",)


def kernels_that_spill(said: str) -> list[str]:
    """Of what ptxas -v says: kernels with registers in memory, or with a stack frame that is not expected."""
    bad, kernel = [], "?"
    for line in said.splitlines():
        m = re.search(r"(?:Compiling entry function|Function properties for) '?([\w$.]+)'?", line)
        if m:
            kernel = m[1]
        m = re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line)
        if m:
            stack, stores, loads = map(int, m.groups())
            if stores or loads or (stack and not any(name in kernel for name in MAY_HAVE_STACK)):
                bad.append(f"{kernel}: {m[0]}")
    return bad


def breaches(library: Path) -> list[str]:
    """What a released library must not be: other symbols than one, other needs than glibc, larger than LARGEST."""
    bad = []
    symbols = {
        line.split()[-1] for line in _run(["nm", "-D", "--defined-only", str(library)]).splitlines() if line.split()
    }
    if symbols != {"rnnrt_backend_get_api"}:
        bad.append(f"exports {', '.join(sorted(symbols)) or 'nothing'}; expected rnnrt_backend_get_api alone")
    needed = set(re.findall(r"NEEDED\s+(\S+)", _run(["objdump", "-p", str(library)])))
    if needed - GLIBC:
        bad.append(f"needs {', '.join(sorted(needed - GLIBC))}; expected glibc's libraries alone")
    size = library.stat().st_size
    if size >= LARGEST:
        bad.append(f"is {size} bytes; expected less than {LARGEST}")
    return bad


def least_glibc(library: Path) -> tuple[int, int]:
    """The oldest glibc that a library runs on: (2, 34)"""
    versions = re.findall(r"GLIBC_(\d+)\.(\d+)", _run(["objdump", "-p", str(library)]))
    return max((int(major), int(minor)) for major, minor in versions)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; exit code 1 with the reason where nothing could be built."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", type=Path, help="the library to make")
    parser.add_argument("--emulated", action="store_true", help="with g++, over the emulation of CUDA")
    parser.add_argument("--strict", action="store_true", help="fail on warnings, spills and stack frames")
    parser.add_argument("--check", action="store_true", help="build nothing: is that library fit for a release?")
    args = parser.parse_args(argv)
    if args.check:
        bad = breaches(args.target)
        print("\n".join(bad) or f"{args.target}: {args.target.stat().st_size} bytes, one symbol, glibc only")
        return 1 if bad else 0
    try:
        build(args.target, emulated=args.emulated, strict=args.strict)
    except BuildError as e:
        print(f"the CUDA plugin was not built: {e}", file=sys.stderr)
        return 1
    print(f"{args.target}: {args.target.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
