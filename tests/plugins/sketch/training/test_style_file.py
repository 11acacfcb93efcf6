"""The style file: what is written is read, and what cannot draw is refused in one sentence."""

import json
from dataclasses import fields, replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from featurekit.core.errors import ConfigError, OutputError
from featurekit_sketch.training.style_file import Style, digest, load_style, save_style

FILES = {"unet/model.safetensors": "aa", "vae/model.safetensors": "bb"}
WEIGHTS = digest(FILES)


def style(**changes):
    made = Style(
        state={
            "level.weight": torch.arange(6.0).reshape(2, 3),
            "out.bias": torch.tensor([0.5]).double(),
        },
        backbone="embedded",
        weights=WEIGHTS,
        timesteps=(1, 61, 161),
        channels={"u0.0": 160, "v0.0": 64},
        sources=("unet", "vae"),
        image_size=(48, 64),
        features="noise",
        steps=50,
        seed=7,
        prompt='a face, "smiling", größer',
        network="two_scales",
        side_px=128,
        offset=-0.25,
    )
    return replace(made, **changes)


def words_of(path):
    with safe_open(path, framework="pt") as stored:
        return stored.metadata()


def rewritten(tmp_path, **changes):
    """A style file whose record is another; None takes a word out."""
    words = words_of(save_style(style(), tmp_path / "a.safetensors")) | changes
    path = tmp_path / "b.safetensors"
    kept = {name: word for name, word in words.items() if word is not None}
    save_file(style().state, path, metadata=kept)
    return path


def test_what_is_written_is_read(tmp_path):
    path = save_style(style(), tmp_path / "a.safetensors")
    found = load_style(path, "embedded", WEIGHTS)
    for field in fields(Style):
        value, wanted = getattr(found, field.name), getattr(style(), field.name)
        if field.name == "state":
            assert value.keys() == wanted.keys()
            assert all(torch.equal(value[name], wanted[name]) for name in wanted)
            assert all(value[name].dtype == wanted[name].dtype for name in wanted)
        else:
            assert value == wanted
            assert type(value) is type(wanted)


def test_the_record_is_words_that_another_program_can_read(tmp_path):
    words = words_of(save_style(style(), tmp_path / "a.safetensors"))
    assert words["format"] == "featurekit.style/2"
    assert words["backbone"] == "embedded"
    assert words["weights"] == WEIGHTS
    assert json.loads(words["timesteps"]) == [1, 61, 161]
    assert json.loads(words["channels"]) == {"u0.0": 160, "v0.0": 64}
    assert json.loads(words["image_size"]) == [48, 64]
    assert words["polarity"] == "dark lines on white paper"


def test_a_digest_is_of_names_and_hashes_and_not_of_their_order():
    assert digest(dict(reversed(FILES.items()))) == WEIGHTS
    assert len(WEIGHTS) == 64
    others = [{}, {**FILES, "x": "cc"}, {**FILES, "vae/model.safetensors": "bc"}]
    swapped = dict(zip(FILES, reversed(FILES.values()), strict=True))
    assert len({WEIGHTS, digest(swapped), *map(digest, others)}) == 5


def test_the_same_weights_are_the_same_model_wherever_their_folder_lies(tmp_path):
    path = save_style(style(), tmp_path / "a.safetensors")
    assert load_style(path, "/models/copy", WEIGHTS).backbone == "embedded"


def test_a_model_without_files_goes_by_its_name(tmp_path):
    path = save_style(style(backbone="random", weights=digest({})), tmp_path / "a.safetensors")
    assert load_style(path, "random", digest({})).backbone == "random"
    with pytest.raises(ConfigError, match=r"of the backbone that draws, 'other', got .*'random'"):
        load_style(path, "other", digest({}))


# refusals


def test_another_backbone_is_refused_with_what_to_set(tmp_path):
    path = save_style(style(), tmp_path / "a.safetensors")
    with pytest.raises(ConfigError, match=r"'sd15', got one of 'embedded'; set backbone=embedded"):
        load_style(path, "sd15", digest({"unet": "cc"}))


def test_other_weights_of_the_same_backbone_are_refused(tmp_path):
    path = save_style(style(), tmp_path / "a.safetensors")
    with pytest.raises(ConfigError, match=f"other weights of 'embedded' .{WEIGHTS[:12]}, not "):
        load_style(path, "embedded", digest({"unet": "cc"}))


@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_a_truncated_file_is_refused(tmp_path, kept):
    path = save_style(style(), tmp_path / "a.safetensors")
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ConfigError, match=r"whole \.safetensors file, .*a\.safetensors.* damaged"):
        load_style(path, "embedded", WEIGHTS)


def test_a_picture_is_no_style(tmp_path):
    path = tmp_path / "style.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(200))
    with pytest.raises(ConfigError, match=r"whole \.safetensors file, but .*style\.png"):
        load_style(path, "embedded", WEIGHTS)


def test_no_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.safetensors' is no such file; give .*, "
                       r"or name one that is shipped \(brush, hatching, inline\)"):  # fmt: skip
        load_style(tmp_path / "none.safetensors", "embedded", WEIGHTS)
    with pytest.raises(ConfigError, match="is a folder"):
        load_style(tmp_path, "embedded", WEIGHTS)


def test_a_style_of_the_first_version_is_one_of_the_published_network(tmp_path):
    path = rewritten(tmp_path, format="featurekit.style/1")
    with safe_open(path, framework="pt") as stored:
        state = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        words = stored.metadata()
    later = ("network", "side_px", "made_of", "ink_channels", "offset")
    save_file(state, path, {name: word for name, word in words.items() if name not in later})
    found = load_style(path, "embedded", WEIGHTS)
    assert (found.network, found.side_px) == ("published", 0)
    assert (found.made_of, found.ink_channels) == ("lines", 1)


def test_another_version_is_refused(tmp_path):
    path = rewritten(tmp_path, format="featurekit.style/3")
    with pytest.raises(ConfigError, match=r"must be of version 1 or 2, but .* is of version 3"):
        load_style(path, "embedded", WEIGHTS)


def test_another_polarity_is_refused(tmp_path):
    path = rewritten(tmp_path, polarity="light lines on black")
    told = r"must draw dark lines on white paper, but .*b\.safetensors' draws 'light lines on bl"
    with pytest.raises(ConfigError, match=told):
        load_style(path, "embedded", WEIGHTS)


@pytest.mark.parametrize("said", [None, "pt"])
def test_other_tensors_are_refused(tmp_path, said):
    with pytest.raises(ConfigError, match=f"must say format=.* says format={said};"):
        load_style(rewritten(tmp_path, format=said), "embedded", WEIGHTS)


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("timesteps", None),
        ("timesteps", "[1, 61"),
        ("timesteps", '["late"]'),
        ("timesteps", "[1.5, 61]"),
        ("timesteps", "5"),
        ("channels", "[]"),
        ("channels", '{"u0.0": "160"}'),
        ("sources", '"unet"'),
        ("sources", "[1]"),
        ("image_size", "[64]"),
        ("image_size", "[true, 64]"),
        ("steps", "many"),
        ("steps", "50.0"),
        ("seed", "null"),
        ("features", "invertion"),
        ("backbone", None),
        ("colour", "red"),
    ],
)
def test_a_damaged_record_is_refused_by_the_field(tmp_path, name, word):
    path = rewritten(tmp_path, **{name: word})
    told = rf"the record in .*b\.safetensors' is damaged \([^(]*\b{name}\b.*\); copy it"
    with pytest.raises(ConfigError, match=told) as error:
        load_style(path, "embedded", WEIGHTS)
    assert "tensors must" not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused_by_their_place(tmp_path, bad):
    state = {**style().state, "out.bias": torch.tensor([bad])}
    path = save_style(style(state=state), tmp_path / "a.safetensors")
    with pytest.raises(ConfigError, match=r"finite numbers, but 'out\.bias'"):
        load_style(path, "embedded", WEIGHTS)


# no trace left


def test_a_style_that_has_no_words_leaves_the_earlier_one(tmp_path):
    path = save_style(style(), tmp_path / "a.safetensors")
    before = path.read_bytes()
    with pytest.raises(TypeError, match="not JSON serializable"):
        save_style(style(seed=object()), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_style_that_cannot_be_written_leaves_the_earlier_one(tmp_path, monkeypatch):
    path = save_style(style(), tmp_path / "a.safetensors")

    def full(tensors, target, metadata=None):
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("featurekit.images.io.save_file", full)
    with pytest.raises(OutputError, match="No space left"):
        save_style(style(seed=8), path)
    assert load_style(path, "embedded", WEIGHTS).seed == 7
    assert list(tmp_path.iterdir()) == [path]
