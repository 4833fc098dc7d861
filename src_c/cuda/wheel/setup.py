"""Builds the distribution rnnrt-cuda: the plugin's library beside a package that tells where it is.

Environment: RNNRT_WERROR=1 (warnings, spills and stack frames of kernels are errors), RNNRT_CUDA_ARCH.
"""

import importlib.util
import os
import shutil
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

HERE = Path(__file__).resolve().parent
# in the tree the sources are around this folder; an sdist brings them along
BUILD = HERE / "src_c" / "cuda" / "build.py" if (HERE / "src_c").exists() else HERE.parent / "build.py"
spec = importlib.util.spec_from_file_location("cuda_build", BUILD)
cuda = importlib.util.module_from_spec(spec)
spec.loader.exec_module(cuda)


class BuildPy(build_py):
    """The package, and the library that nvcc makes."""

    def run(self):
        super().run()
        if self.editable_mode:
            raise SystemExit(
                "rnnrt-cuda has no editable mode: 'python setup.py build_cuda' of rnnrt builds in the tree"
            )
        try:
            target = Path(self.build_lib) / "rnnrt_cuda" / "librnnrt_cuda.so"
            cuda.build(target, strict=os.environ.get("RNNRT_WERROR") == "1")
        except cuda.BuildError as e:
            raise SystemExit(f"the CUDA plugin was not built: {e}") from None


class Wheel(bdist_wheel):
    """For a platform, for every Python: the library needs glibc alone, so that its version says where it runs."""

    def get_tag(self):
        platform = super().get_tag()[2]
        library = Path(self.get_finalized_command("build").build_lib) / "rnnrt_cuda" / "librnnrt_cuda.so"
        if platform.startswith("linux_") and not cuda.breaches(library):
            major, minor = cuda.least_glibc(library)
            platform = platform.replace("linux", f"manylinux_{major}_{minor}", 1)
        return "py3", "none", platform


class Sdist(sdist):
    """With the sources of the library."""

    def make_release_tree(self, base_dir, files):
        super().make_release_tree(base_dir, files)
        top = cuda.SRC.parent
        for path in cuda.every_file():
            target = Path(base_dir) / path.relative_to(top)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


class Binary(Distribution):
    """Not pure Python, though there is no extension module."""

    def has_ext_modules(self):
        return True


setup(distclass=Binary, cmdclass={"build_py": BuildPy, "bdist_wheel": Wheel, "sdist": Sdist})
