"""Settings that a task passes over are refused; what it uses, and every default, is let through."""

from dataclasses import replace
from importlib.resources import files

import pytest
from omegaconf import OmegaConf

import featurekit as fk
from featurekit.core.errors import ConfigError
from featurekit_sketch.tasks.unused_settings import UNUSED, check_reading, check_used
from featurekit_sketch.training.style_file import Style

STYLE = Style(
    state={},
    backbone="embedded",
    weights="",
    timesteps=(1,),
    channels={},
    sources=("unet",),
    image_size=(64, 64),
    features="noise",
    steps=50,
    seed=0,
    prompt="",
)


def config(*words):
    """Settings as a run fills them."""
    return OmegaConf.to_object(fk.compose(["plugin=sketch", *words]).plugin)


def test_no_file_of_settings_changes_what_a_task_refuses_to_see_changed():
    refused = {name for names, _ in UNUSED.values() for name in names}
    for path in files("featurekit_sketch.conf").joinpath("backbone_defaults").iterdir():
        assert not refused & set(OmegaConf.load(path))
    for path in files("featurekit_sketch.conf").joinpath("experiment").iterdir():
        assert not refused & set(OmegaConf.load(path).plugin)


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("task", UNUSED)
def test_defaults_suit_every_task(task, own):
    check_used(config(), task=task, own=own)


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("train", ["plugin.drawing_style=inline", "plugin.scene=3", "plugin.targets=[a.png]"]),
        ("extract", ["plugin.style=a.safetensors", "plugin.tile_px=64"]),
        ("extract", ["experiment=sketch_diffsketch", "plugin.style=a.safetensors"]),
        ("evaluate", ["plugin.scene=3", "plugin.features=inversion", "plugin.tests=2"]),
    ],
)
def test_what_a_task_uses_is_let_through(task, words):
    check_used(config(*words), task=task, own=task == "extract")


def test_a_drawing_may_be_mended_of_the_users_own():
    check_used(config("plugin.drawing=a.png", "plugin.fit=true"), task="train", own=True)


def test_a_style_is_drawn_in_as_it_was_learnt_whatever_the_default_is():
    check_reading(config(), STYLE, backbone="embedded")
    check_reading(config(), replace(STYLE, features="inversion"), backbone="embedded")
    check_reading(config("plugin.steps=50"), STYLE, backbone="embedded")
    own = replace(STYLE, timesteps=(51, 301), chosen_by="own")
    for words in ((), ["plugin.timesteps=[51,301]"]):
        check_reading(config(*words), own, backbone="embedded")
    preset = config("experiment=sketch_diffsketch")
    check_reading(preset, replace(STYLE, features="inversion"), backbone="embedded")


# refusals


@pytest.mark.parametrize(
    ("task", "word", "own", "message"),
    [
        ("train", "plugin.style=a.st", False, r"style must .* got 'a\.st': task=train does not"),
        ("train", "plugin.style=a.st", True, r"style must .* task=extract draws in a style"),
        (
            "train",
            "plugin.drawing_style=inline",
            True,
            r"drawing_style must .* not a picture of your own",
        ),
        ("train", "plugin.scene=2", True, r"scene must .* got 2: .* leave out it or image"),
        (
            "train",
            "plugin.fit=true",
            False,
            r"fit must .* got True: there is no drawing",
        ),
        ("extract", "plugin.targets=[a.png]", True, r"targets must .* task=extract does not use"),
        ("extract", "plugin.drawing=a.png", True, r"drawing must .* task=train learns a style"),
        ("extract", "plugin.fit=true", True, r"fit must .* task=extract does not use it"),
        (
            "extract",
            "plugin.drawing_style=inline",
            True,
            r"drawing_style must .* task=extract does not use it",
        ),
        ("extract", "plugin.l1=3", True, r"l1 must .* got 3"),
        ("extract", "plugin.lpips=a.st", True, r"lpips must .* task=extract does not use it"),
        (
            "evaluate",
            "plugin.drawing_style=inline",
            False,
            r"drawing_style must .* task=evaluate does not use it",
        ),
        ("evaluate", "plugin.style=a.st", False, r"style must .* task=evaluate does not use it"),
        ("evaluate", "plugin.targets=[a.png]", False, r"targets must .* task=evaluate does not"),
    ],
)
def test_what_a_task_would_pass_over_is_refused(task, word, own, message):
    with pytest.raises(ConfigError, match=rf"plugin\.{message}"):
        check_used(config(word), task=task, own=own)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("plugin.features=inversion", r"with plugin\.features=noise, got inversion; leave it out"),
        ("plugin.timesteps=[51]", r"with plugin\.timesteps=published, got \[51\]; leave it out"),
        ("plugin.steps=30", r"with plugin\.steps=50, got 30; leave it out, or learn a style with"),
    ],
)
def test_another_reading_than_the_style_s_is_refused(word, message):
    with pytest.raises(ConfigError, match=message):
        check_reading(config(word), STYLE, backbone="embedded")
