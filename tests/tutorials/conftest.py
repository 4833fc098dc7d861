import sys
import tarfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import tutorials as t  # noqa: E402


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tutorials")
    with tarfile.open(t.ARCHIVE) as archive:
        for m in archive.getmembers():
            target = folder / m.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.extractfile(m).read())
    return folder


@pytest.fixture
def tutorial(unpacked):
    return lambda name: t.open_tutorial(unpacked, name)
