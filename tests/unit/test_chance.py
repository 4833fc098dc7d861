"""The generator of models by chance draws without Keras, and the same again."""

import pytest
from cases.case import BOTH
from cases.chance import FAMILIES, draw


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_seed_is_a_model(family, version):
    cases = [draw(seed, family, version) for seed in range(20)]
    assert cases == [draw(seed, family, version) for seed in range(20)]
    made = [c for c in cases if c is not None]
    assert len(made) > 15
    assert all(c.versions == (version,) and c.layers and c.inputs for c in made)
