"""Builds src_c as one static library per instruction set, and the one Cython extension over them.

Environment switches: RNNRT_SANITIZE=address,undefined|thread  RNNRT_COVERAGE=1  RNNRT_DEBUG=1
"""

import os
import platform
from glob import glob

import numpy
from setuptools import Extension, setup
from setuptools.command.build_clib import build_clib
from setuptools.command.build_ext import build_ext

X86 = platform.machine() in ("x86_64", "AMD64")
HEADERS = sorted(glob("src_c/**/*.h", recursive=True) + glob("src_c/**/*.def", recursive=True))

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


class BuildExt(build_ext):
    """build_ext --inplace alone does not build the libraries; this one does."""

    def run(self):
        self.run_command("build_clib")
        super().run()


native = Extension(
    "rnnrt.native._native",
    sources=["rnnrt/native/_native.pyx"],
    depends=[*HEADERS, *glob("rnnrt/native/*.pxi"), *glob("rnnrt/native/*.pxd")],
    include_dirs=["src_c", numpy.get_include()],
    define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_22_API_VERSION"), *MACROS],
    extra_compile_args=[f for f in CFLAGS if f not in ("-Wextra",)],
    extra_link_args=LDFLAGS,
    libraries=["dl", "m", "pthread"],
)

setup(libraries=libraries, ext_modules=[native], cmdclass={"build_ext": BuildExt, "build_clib": build_clib})
