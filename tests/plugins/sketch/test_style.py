"""The style file: back exactly as it was, or refused with the reason."""

import json

import pytest
import torch
from safetensors.torch import save_file

from featurekit.errors import ConfigError, OutputError
from featurekit.io import read_metadata, read_tensors, write_tensors
from featurekit_sketch.style import POLARITY, Style, digest, load_style, save_style

WEIGHTS = digest({"unet": "a1", "vae": "b2"})


def style(**changes):
    generator = torch.Generator().manual_seed(0)
    state = {
        "head.weight": torch.randn(4, 3, 3, 3, generator=generator),
        "head.bias": torch.randn(4, generator=generator).double(),
        "count": torch.tensor(7),
    }
    told = {
        "state": state,
        "backbone": "embedded",
        "weights": WEIGHTS,
        "timesteps": (1, 61, 161),
        "channels": {"unet.up1": 96, "vae.up0": 64},
        "sources": ("unet", "vae"),
        "image_size": (64, 48),
        "features": "noise",
        "steps": 100,
        "seed": 3,
        "prompt": "a house, “quoted” ✎",
    }
    return Style(**{**told, **changes})


@pytest.fixture
def path(tmp_path):
    return save_style(style(), tmp_path / "style.safetensors")


def reworded(path, **words):
    """The same tensors with other metadata; None takes a word away."""
    found = {**read_metadata(path), **words}
    kept = {name: word for name, word in found.items() if word is not None}
    return write_tensors(read_tensors(path), path, kept)


def told(path):
    return json.loads(read_metadata(path)["style"])


# laws


def test_a_style_comes_back_exactly(path):
    saved, loaded = style(), load_style(path, "embedded", WEIGHTS)
    assert set(loaded.state) == set(saved.state)
    for name, tensor in saved.state.items():
        assert loaded.state[name].dtype == tensor.dtype
        assert torch.equal(loaded.state[name], tensor)
    for name in Style.__dataclass_fields__:
        if name != "state":
            assert getattr(loaded, name) == getattr(saved, name), name
    assert loaded.polarity == POLARITY


def test_a_digest_depends_on_every_file_and_not_on_their_order():
    assert digest({"vae": "b2", "unet": "a1"}) == WEIGHTS
    assert digest({"vae": "b2", "unet": "a2"}) != WEIGHTS
    assert digest({"vae": "a1", "unet": "b2"}) != WEIGHTS
    assert digest({}) == ""


def test_a_second_style_replaces_the_first(path):
    save_style(style(seed=8), path)
    assert load_style(path, "embedded", WEIGHTS).seed == 8
    assert list(path.parent.iterdir()) == [path]


# refusals


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"must be in a whole \.safetensors file.*none\.st"):
        load_style(tmp_path / "none.st", "embedded", WEIGHTS)


@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_a_truncated_file_is_refused(path, kept):
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ConfigError, match=r"must be in a whole \.safetensors file"):
        load_style(path, "embedded", WEIGHTS)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"must be in a whole \.safetensors file"):
        load_style(tmp_path, "embedded", WEIGHTS)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"format": "featurekit.prior/1"}])
def test_other_safetensors_are_refused(tmp_path, metadata):
    save_file({"a": torch.zeros(3)}, tmp_path / "plain.safetensors", metadata=metadata)
    with pytest.raises(ConfigError, match=r"'.*plain\.safetensors' is none; give its style"):
        load_style(tmp_path / "plain.safetensors", "embedded", WEIGHTS)


def test_a_later_version_is_refused(path):
    reworded(path, format="featurekit.style/2")
    with pytest.raises(ConfigError, match=r"must have version 1, .* has '2'; learn the style"):
        load_style(path, "embedded", WEIGHTS)


def test_another_backbone_is_refused_with_the_one_to_give(path):
    with pytest.raises(ConfigError, match="is of 'embedded', got 'sd15'; give backbone=embedded"):
        load_style(path, "sd15", WEIGHTS)


def test_other_weights_are_refused(path):
    with pytest.raises(ConfigError, match="is of others of 'embedded'; learn the style again"):
        load_style(path, "embedded", digest({"unet": "a1"}))
    with pytest.raises(ConfigError, match="is of others of 'embedded'"):
        load_style(path, "embedded", "")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_network_without_finite_weights_is_refused(path, value):
    state = {**style().state, "head.bias": torch.tensor([0.0, value])}
    save_style(style(state=state), path)
    with pytest.raises(ConfigError, match=r"must have finite weights.* in 'head\.bias'"):
        load_style(path, "embedded", WEIGHTS)


@pytest.mark.parametrize("lost", ["timesteps", "sources", "image_size", "channels", "seed"])
def test_a_file_that_lacks_a_field_is_refused(path, lost):
    rest = {name: value for name, value in told(path).items() if name != lost}
    reworded(path, style=json.dumps(rest))
    with pytest.raises(ConfigError, match=rf"must tell how it draws.*{lost}"):
        load_style(path, "embedded", WEIGHTS)


@pytest.mark.parametrize("word", [None, "", "{", "[]", "3", '{"timesteps": 4}'])
def test_a_file_that_tells_nothing_useful_is_refused(path, word):
    reworded(path, style=word)
    with pytest.raises(ConfigError, match=r"must tell how it draws.*; learn the style again"):
        load_style(path, "embedded", WEIGHTS)


def test_a_field_that_is_unknown_is_refused(path):
    reworded(path, style=json.dumps({**told(path), "colour": "red"}))
    with pytest.raises(ConfigError, match=r"must tell how it draws.*colour"):
        load_style(path, "embedded", WEIGHTS)


# no trace left


def test_a_style_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    with pytest.raises(OutputError, match="must be writable"):
        save_style(style(), tmp_path / "no" / "style.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_style_that_has_no_words_leaves_the_earlier_file(path):
    before = path.read_bytes()
    with pytest.raises(TypeError):
        save_style(style(seed=object()), path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
