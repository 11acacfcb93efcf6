"""Narrow models in one file, and the families' configs as narrow as they are."""

import pytest
from ldm_layout import (
    built,
    single_file_weights,
    whole_word_configs,
    with_leftovers,
    write_single_file,
)

from featurekit.backbones.single_file import kinds


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    """Let every family be as narrow as the models of these tests."""
    monkeypatch.setattr(kinds, "bundled_configs", whole_word_configs)


@pytest.fixture(scope="session")
def models():
    """A narrow model of each family."""
    return {family: built(family) for family in ("sd15", "sd21", "sdxl")}


@pytest.fixture(scope="session")
def weights(models):
    """Its weights under the names of one file, with what published files hold besides."""
    return {
        family: with_leftovers(single_file_weights(model, family), family)
        for family, model in models.items()
    }


@pytest.fixture(scope="session")
def written(weights, tmp_path_factory):
    """Each of them as one file."""
    folder = tmp_path_factory.mktemp("files")
    return {
        family: write_single_file(folder / f"{family}.safetensors", one)
        for family, one in weights.items()
    }
