"""The kernels of src_c/cuda over the emulation, with bugs that can be planted."""

from __future__ import annotations

from collections.abc import Iterator

import emulated
import pytest
from kernel_models import Kernels


@pytest.fixture(scope="session")
def built() -> Kernels:
    """One library of the product, the recurrent layers and tests/cuda/kernel_hooks.cu."""
    build = emulated.builder()
    if build.find_cxx() is None:
        pytest.skip("the emulation of CUDA needs g++ to be built")
    names = ("gemm", "recurrent", "steps", "lstm", "gru", "simple_rnn", "tensor")
    sources = [emulated.ROOT / "src_c" / "cuda" / f"{n}.cu" for n in names]
    sources += sorted((emulated.ROOT / "tests" / "cuda").glob("*.cu"))
    folder = emulated.folder()
    target = folder / "kernels.so"
    build.emulate(target, sources, ["-DRNNRT_PLANT"], objects=folder)
    return Kernels(target)


@pytest.fixture
def kernels(built: Kernels) -> Iterator[Kernels]:
    """The library as it begins: a whole device, no bug planted."""
    built.set(seed=0, sms=8, arch=90, fail_after=-1, reset=1)
    built.plant(None)
    before = built.get("live")
    yield built
    built.plant(None)
    assert built.get("live") == before, "device memory was not given back"
    assert built.get("torn") == 0, "something wrote past an allocation"
