"""How the plugin is built: which GPUs, which compiler, what is said where it cannot be; the distribution's metadata."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import emulated
import pytest

from rnnrt.backends import plugins

ROOT = Path(__file__).resolve().parents[2]
build = emulated.builder()


def _archs(flags: list[str]) -> list[str]:
    return [f.split("code=")[1] for f in flags if "code=" in f]


def test_a_release_is_for_these():
    flags = build.arch_flags((13, 0), "")
    assert _archs(flags) == [*("sm_75", "sm_80", "sm_90", "compute_90", "sm_100", "sm_120")]
    assert build.arch_flags((12, 8), "") == flags


@pytest.mark.parametrize(
    "wish, archs",
    [
        ("90", ["sm_90", "compute_90"]),
        ("8.0;9.0", ["sm_80", "sm_90", "compute_90"]),
        ("sm_75, 86", ["sm_75", "sm_86", "compute_86"]),
        ("90a", ["sm_90a", "compute_90a"]),
        ("120", ["sm_120", "compute_120"]),
        ("12.0", ["sm_120", "compute_120"]),
    ],
)
def test_a_wish_narrows_it(monkeypatch, wish, archs):
    monkeypatch.setenv("RNNRT_CUDA_ARCH", wish)
    assert _archs(build.arch_flags((12, 2))) == archs


def test_native():
    assert build.arch_flags((12, 8), "native") == ["-arch=native"]


@pytest.mark.parametrize("wish", ["hopper", "9", "90;x", "-90"])
def test_what_is_no_gpu(wish):
    with pytest.raises(build.BuildError, match="expected numbers such as 90 or 8.6"):
        build.arch_flags((13, 0), wish)


def test_compilers_that_are_too_old():
    with pytest.raises(build.BuildError, match=r"nvcc 12\.4 does not know .*sm_120: take CUDA 12\.8 or newer, or name"):
        build.arch_flags((12, 4), "")
    with pytest.raises(build.BuildError, match=r"nvcc 11\.8 is too old: 12\.0"):
        build.arch_flags((11, 8), "80")


def _nvcc(folder: Path, says: str, code: int = 0) -> Path:
    path = folder / "bin" / "nvcc"
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\nexit {code}\n")
    path.chmod(0o755)
    return path


def test_the_compiler_of_cuda_home_goes_first(monkeypatch, tmp_path):
    path = _nvcc(tmp_path, "Cuda compilation tools, release 12.9, V12.9.41")
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    assert build.find_nvcc() == str(path)
    assert build.nvcc_version(str(path)) == (12, 9)


@pytest.mark.parametrize("says, code", [("no version", 0), ("release 12.9", 1)])
def test_a_compiler_that_does_not_tell(tmp_path, says, code):
    with pytest.raises(build.BuildError, match="does not tell its version"):
        build.nvcc_version(str(_nvcc(tmp_path, says, code)))


def test_no_compiler(monkeypatch, tmp_path):
    monkeypatch.setattr(build.shutil, "which", lambda name: None)
    with pytest.raises(build.BuildError, match=r"nvcc was not found .*CUDA toolkit 12\.8 or newer, or build without"):
        build.find_nvcc()


def test_setup_says_why_there_is_no_plugin(tmp_path):
    env = {**os.environ, "CUDA_HOME": str(tmp_path), "RNNRT_CUDA_ARCH": ""}
    _nvcc(tmp_path, "Cuda compilation tools, release 12.4, V12.4.1")
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_cuda"], cwd=ROOT, env=env, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "the CUDA plugin was not built: nvcc 12.4 does not know" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_error_of_the_compiler_is_shown_whole(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    path = _nvcc(tmp_path, "release 13.0")
    path.write_text(
        '#!/bin/sh\necho "release 13.0"\n[ "$*" = --version ] || { echo "a.cu(3): error: no such" >&2; exit 2; }\n'
    )
    with pytest.raises(build.BuildError, match=r"failed with exit code 2:(?s:.*)a\.cu\(3\): error: no such"):
        build.build(tmp_path / "plugin.so", objects=tmp_path / "objects")
    assert not (tmp_path / "plugin.so").exists()


PTXAS = """ptxas info    : Compiling entry function '_Z1av' for 'sm_90'
ptxas info    : Function properties for _Z1av
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 40 registers, used 0 barriers
ptxas info    : Compiling entry function '_Z1bv' for 'sm_90'
ptxas info    : Function properties for _Z1bv
    {} bytes stack frame, {} bytes spill stores, {} bytes spill loads
"""


@pytest.mark.parametrize("numbers, bad", [((0, 0, 0), 0), ((8, 0, 0), 1), ((0, 4, 0), 1), ((0, 0, 4), 1)])
def test_kernels_that_spill_are_seen(numbers, bad):
    found = build.kernels_that_spill(PTXAS.format(*numbers))
    assert len(found) == bad and all("_Z1bv" in f for f in found)
    known = build.kernels_that_spill(PTXAS.format(*numbers).replace("_Z1bv", "_Z9unary_one"))
    assert len(known) == (bad if any(numbers[1:]) else 0)


def test_what_a_release_may_not_be(dummy, tmp_path):
    good = dummy()
    found = build.breaches(good)
    assert [b for b in found if "dummy_log" not in b] == [], (
        "the dummy shows the tests its log, and nothing else is wrong"
    )
    assert any("exports" in b for b in build.breaches(dummy("DUMMY_NO_SYMBOL")))
    fat = tmp_path / "fat.so"
    fat.write_bytes(good.read_bytes() + bytes(build.LARGEST))
    assert any("bytes; expected less" in b for b in build.breaches(fat))
    linked = tmp_path / "linked.so"
    source = tmp_path / "a.c"
    source.write_text("int rnnrt_backend_get_api(void) { return 0; }\n")
    subprocess.run(
        ["gcc", "-shared", "-fPIC", str(source), "-Wl,--no-as-needed", "-lgcc_s", "-o", str(linked)], check=True
    )
    assert build.breaches(linked) == ["needs libgcc_s.so.1; expected glibc's libraries alone"]


def test_the_distribution_names_the_entry_point_that_is_looked_for():
    theirs = (ROOT / "src_c" / "cuda" / "wheel" / "pyproject.toml").read_text()
    ours = (ROOT / "pyproject.toml").read_text()
    assert f'[project.entry-points."{plugins.GROUP}"]\ncuda = "rnnrt_cuda:library"\n' in theirs
    version = next(line for line in ours.splitlines() if line.startswith("version = "))
    assert version in theirs.splitlines() and 'name = "rnnrt-cuda"' in theirs.splitlines()
    assert f'cuda = ["rnnrt-cuda~={version.split(chr(34))[1]}"]' in ours.splitlines()


def test_the_distribution_has_the_licence():
    assert (ROOT / "src_c" / "cuda" / "wheel" / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_the_least_glibc_of_a_library(dummy):
    major, minor = build.least_glibc(dummy())
    assert major == 2 and 2 <= minor < 100


def test_the_distribution_gives_the_librarys_path(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "src_c" / "cuda" / "wheel"))
    import rnnrt_cuda

    assert Path(rnnrt_cuda.library()) == ROOT / "src_c" / "cuda" / "wheel" / "rnnrt_cuda" / plugins.IN_TREE.name


def test_what_a_build_reads_travels_in_the_sdist():
    files = build.every_file()
    assert all(p.is_file() and p.is_relative_to(ROOT) for p in files)
    missing = [p for p in (ROOT / "src_c" / "cuda").rglob("*.cu*") if p not in files]
    assert not missing
    assert {ROOT / "src_c" / "cuda" / "build.py", ROOT / "src_c" / "cuda" / "SOURCES"} <= set(files)
