"""Builds src_c as one static library per instruction set, and the one Cython extension over them.

Environment switches: RNNRT_SANITIZE=address,undefined|thread  RNNRT_COVERAGE=1  RNNRT_DEBUG=1
RNNRT_CUDA=1 builds the CUDA plugin too, with nvcc (src_c/cuda/build.py); ``python setup.py build_cuda`` that alone.
"""

import compileall
import importlib.util
import os
import platform
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from glob import glob
from pathlib import Path

import numpy
from setuptools import Command, Extension, setup
from setuptools.command.build_clib import build_clib
from setuptools.command.build_ext import build_ext

X86 = platform.machine() in ("x86_64", "AMD64")
CUDA_WHEEL = ("setup.py", "pyproject.toml", "README.md", "LICENSE", "rnnrt_cuda/__init__.py")
CUDA_WHEEL = [f"src_c/cuda/wheel/{name}" for name in CUDA_WHEEL]
HEADERS = sorted(glob("src_c/**/*.h", recursive=True) + glob("src_c/**/*.def", recursive=True))
HEADERS = [h for h in HEADERS if not h.startswith("src_c/cuda/")]  # the plugin's are none of the core's

CFLAGS = [
    "-std=gnu11",
    "-O3",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fvisibility=hidden",
    "-fPIC",
    "-Wall",
    "-Wextra",
]
LDFLAGS: list[str] = []
MACROS: list[tuple] = []
if os.environ.get("RNNRT_DEBUG"):
    CFLAGS += ["-g", "-O1", "-UNDEBUG"]
    MACROS.append(("RNNRT_DEBUG", "1"))
if os.environ.get("RNNRT_COVERAGE"):
    CFLAGS += ["--coverage"]
    LDFLAGS += ["--coverage"]
if os.environ.get("RNNRT_SANITIZE"):
    CFLAGS += ["-g", "-fno-omit-frame-pointer", "-fsanitize=" + os.environ["RNNRT_SANITIZE"]]
    LDFLAGS += ["-fsanitize=" + os.environ["RNNRT_SANITIZE"]]
if os.environ.get("RNNRT_WERROR"):
    CFLAGS += ["-Werror"]

# GCC clears a struct of more than 128 bytes with `rep stos`, which takes some 15 ns to start: as long as a small step.
UNROLLED = "-mmemset-strategy=vector_loop:512:noalign,libcall:-1:noalign"

# One thin unit per instruction set; each is a library of its own because build_clib has flags per library.
ISA_FLAGS = {
    "avx2": ["-mavx2", "-mfma"],
    "avx2_half": ["-mavx2", "-mfma", "-mf16c"],
    "avx512": ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma", "-mprefer-vector-width=512"],
}
ISA_FLAGS["avx2_int8"] = ISA_FLAGS["avx2"]
ISA_FLAGS["avx512_half"] = ISA_FLAGS["avx512_int8"] = ISA_FLAGS["avx512"]
ISA_FLAGS["avx512_vnni_int8"] = [*ISA_FLAGS["avx512"], "-mavx512vnni"]
ISA_UNITS = {os.path.basename(p)[:-2]: p for p in sorted(glob("src_c/kernels/isa/*.c"))}


def library(name, sources, extra=()):
    """A build_clib entry: recompiled whenever a header changes."""
    return (
        name,
        {
            "sources": sources,
            "cflags": [*CFLAGS, *extra],
            "obj_deps": {"": HEADERS},
            "include_dirs": ["src_c"],
            "macros": MACROS,
        },
    )


libraries = [library("rnnrt_core", sorted(glob("src_c/core/*.c") + glob("src_c/ops/*.c")))]
for unit, path in ISA_UNITS.items():
    if unit in ISA_FLAGS and not X86:
        continue
    libraries.append(library(f"rnnrt_{unit}", [path], ISA_FLAGS.get(unit, ())))


spec = importlib.util.spec_from_file_location("cuda_build", Path("src_c/cuda/build.py"))
cuda = importlib.util.module_from_spec(spec)
spec.loader.exec_module(cuda)


def build_plugin(package):
    """The CUDA plugin into rnnrt/backends, where a load looks for it last."""
    try:
        cuda.build(Path(package) / "backends" / "librnnrt_cuda.so", strict=bool(os.environ.get("RNNRT_WERROR")))
    except cuda.BuildError as e:
        raise SystemExit(f"the CUDA plugin was not built: {e}") from None


class BuildClib(build_clib):
    """The libraries side by side: each unit holds every kernel of an instruction set, and takes its time."""

    def build_libraries(self, libraries):
        if self._takes(UNROLLED):
            for _, build in libraries:
                build["cflags"].append(UNROLLED)
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
            for done in [pool.submit(super(BuildClib, self).build_libraries, [one]) for one in libraries]:
                done.result()

    def _takes(self, flag):
        """Whether the compiler knows a flag."""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "empty.c")
            source.write_text("int empty;\n")
            try:
                command = [*self.compiler.compiler_so, "-Werror", flag, "-c", str(source), "-o", f"{source}.o"]
                return subprocess.run(command, capture_output=True, check=False).returncode == 0
            except (OSError, AttributeError):
                return False


class BuildExt(build_ext):
    """build_ext --inplace alone does not build the libraries; this one does, and the plugin where it is asked for."""

    def run(self):
        self.run_command("build_clib")
        super().run()
        if self.inplace:  # what an installer does: a process that may not write bytecode still starts with it
            compileall.compile_dir("rnnrt", quiet=2)
        if os.environ.get("RNNRT_CUDA", "0") not in ("", "0"):
            build_plugin("rnnrt" if self.inplace else Path(self.build_lib) / "rnnrt")


class BuildCuda(Command):
    """python setup.py build_cuda"""

    description = "build the CUDA plugin in the tree (needs nvcc)"
    user_options: list[tuple] = []

    def initialize_options(self):
        pass

    def finalize_options(self):
        pass

    def run(self):
        build_plugin("rnnrt")


native = Extension(
    "rnnrt.native._native",
    sources=["rnnrt/native/_native.pyx"],
    # what is named here travels in the sdist
    depends=[
        *HEADERS,
        *sorted(glob("src_c/core/*.c") + glob("src_c/ops/*.c") + glob("src_c/kernels/isa/*.c")),
        *(str(p.relative_to(Path.cwd())) for p in cuda.every_file()),
        *CUDA_WHEEL,
        *glob("rnnrt/native/*.pxi"),
        *glob("rnnrt/native/*.pxd"),
    ],
    include_dirs=["src_c", numpy.get_include()],
    define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_22_API_VERSION"), *MACROS],
    extra_compile_args=[f for f in CFLAGS if f not in ("-Wextra",)],
    extra_link_args=LDFLAGS,
    libraries=["dl", "m", "pthread"],
)

setup(
    libraries=libraries,
    ext_modules=[native],
    cmdclass={"build_ext": BuildExt, "build_clib": BuildClib, "build_cuda": BuildCuda},
)
