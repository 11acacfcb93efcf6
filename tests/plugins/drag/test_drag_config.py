"""Settings: every one arrives, the preset is the published method, and wrong ones are refused."""

from contextlib import nullcontext
from dataclasses import asdict, fields, replace

import pytest
from omegaconf import OmegaConf
from optimising import OPTIMISING

from featurekit.backbones import load
from featurekit.core.errors import ConfigError, NoiseLevelError, UnknownNameError
from featurekit.core.types import Job, silent
from featurekit.pipeline.config import compose
from featurekit_drag.config import RANGES, DragConfig, settings_of
from featurekit_drag.engine.settings import DragSettings, Rule, SubDrags
from featurekit_drag.tasks.setup import drag_of

BACKBONES = ["embedded", "random", "sd15", "sd21"]
PUBLISHED = {  # Shi et al. 2024, the numbers of the published code
    "updates": 80,
    "learning_rate": 0.01,
    "patch_radius": 1,
    "track_radius": 3,
    "step": 1.0,
    "stop_distance": 2.0,
    "supervision": "current",
    "tracking": "nearest",
    "variable": "latent",
    "schedule": "one_level",
    "levels": 1,
    "initialise": "none",
    "identity": ["lora", "reference"],
    "updates_per_tracking": 1,
    "patience": 0,
    "reduction": "code",
    "mask_weight": 0.1,
    "outside": "penalty",
    "snap": True,
    "tap": "up2",
    "steps": 50,
    "strength": 0.7,
    "guidance": 1.0,
    "attention": ["up_blocks.2", "up_blocks.3"],
    "residuals": False,
    "composite": False,
    "lora_steps": 80,
    "lora_rank": 16,
    "lora_alpha": 16.0,
    "lora_learning_rate": 5e-4,
    "lora_batch": 4,
}
OTHERS = {  # one value for each setting that no backbone has as its default
    "updates": 17,
    "learning_rate": 0.033,
    "patch_radius": 5,
    "track_radius": 9,
    "step": 2.5,
    "stop_distance": 1.5,
    "reduction": "paper",
    "mask_weight": 0.7,
    "outside": "penalty",
    "updates_per_tracking": 3,
    "patience": 6,
    "revert_above": 0.9,
    "expected_loss": 0.4,
    "farthest": 7.5,
    "supervision": "current",
    "tracking": "directional",
    "variable": "bottleneck",
    "initialise": "latent_warp",
    "warp": "stretch",
    "latent_fill": "neighbours",
    "identity": ["stored"],
    "tap": "up1",
    "steps": 21,
    "strength": 0.45,
    "guidance": 3.5,
    "attention": ["up_blocks.1"],
    "feather_px": 11,
    "animation_frames": 3,
}
FLAGS = ("snap", "residuals", "composite")


@pytest.fixture(scope="module")
def backbone():
    return load("random", device="cpu")


def filled(*words, backbone="random"):
    cfg = compose(["plugin=drag", f"backbone={backbone}", *words])
    return OmegaConf.to_object(cfg.plugin)


def job_with(backbone, tmp_path, *words):
    return Job(
        backbone=backbone,
        settings=filled(*words),
        task="edit",
        image=None,
        prompt="",
        seed=0,
        out=tmp_path,
        stage=lambda name: nullcontext(silent),
    )


def flat(settings):
    row = asdict(settings)
    return row.pop("rule") | row.pop("sub_drags") | row


@pytest.mark.parametrize("backbone_name", BACKBONES)
def test_the_preset_is_the_published_method_on_every_backbone(backbone_name):
    config = filled("experiment=drag_dragdiffusion", backbone=backbone_name)
    assert {name: getattr(config, name) for name in PUBLISHED} == PUBLISHED
    settings = replace(settings_of(config), animation_frames=0, feather_px=0)
    assert settings == DragSettings()


def test_the_preset_can_be_changed_from_the_command_line():
    config = filled("experiment=drag_dragdiffusion", "plugin.updates=5")
    assert settings_of(config) == replace(
        settings_of(filled("experiment=drag_dragdiffusion")),
        rule=replace(Rule(), updates=5),
    )


@pytest.mark.parametrize("backbone_name", BACKBONES)
def test_the_defaults_of_every_backbone_pass_the_checks(backbone_name):
    settings = settings_of(filled(backbone=backbone_name))
    assert settings.composite


def test_every_number_of_the_method_can_be_set():
    names = {field.name for field in (*fields(Rule), *fields(DragSettings))} - {"rule", "sub_drags"}
    pieces = {f"sub_drag_{field.name}" for field in fields(SubDrags)}
    assert names | pieces <= {field.name for field in fields(DragConfig)}
    assert names == {*OTHERS, *FLAGS, "schedule", "levels"}


def test_every_setting_arrives_in_its_own_place():
    words = [f"plugin.{name}={value}" for name, value in OTHERS.items()]
    settings = flat(settings_of(filled(*words)))
    expected = OTHERS | {name: tuple(OTHERS[name]) for name in ("attention", "identity")}
    assert {name: settings[name] for name in OTHERS} == expected


@pytest.mark.parametrize("name", FLAGS)
def test_every_flag_arrives_in_its_own_place(name):
    for value in (True, False):
        words = [f"plugin.{flag}={not value}" for flag in FLAGS if flag != name]
        settings = flat(settings_of(filled(f"plugin.{name}={value}", *words)))
        assert {flag: settings[flag] for flag in FLAGS} == {
            flag: value if flag == name else not value for flag in FLAGS
        }


def test_the_schedule_its_levels_and_the_numbers_of_sub_drags_arrive():
    found = settings_of(filled(*OPTIMISING, "plugin.schedule=alternating", "plugin.levels=3"))
    assert (found.schedule, found.levels) == ("alternating", 3)
    words = ["length=3.5", "radius=4", "amplify=1.3", "keep=0.2", "last_guidance=4.5"]
    found = settings_of(filled(*(f"plugin.sub_drag_{word}" for word in words)))
    assert found.sub_drags == SubDrags(3.5, 4, 1.3, 0.2, 4.5)


def test_the_recipe_of_the_lora_arrives(backbone, tmp_path):
    words = ["steps=3", "rank=5", "alpha=7", "learning_rate=0.002", "batch=2"]
    job = job_with(backbone, tmp_path, *OPTIMISING, *(f"plugin.lora_{word}" for word in words))
    recipe = drag_of(job).lora
    found = (recipe.steps, recipe.rank, recipe.alpha, recipe.learning_rate, recipe.batch)
    assert found == (3, 5, 7, 0.002, 2)


@pytest.mark.parametrize("name", RANGES)
def test_both_ends_of_a_range_are_allowed_and_what_lies_beyond_is_refused(name):
    config, (low, high) = filled(*OPTIMISING), RANGES[name]
    if name == "levels":  # as many as are inverted
        config = replace(config, schedule="alternating", steps=1000, strength=1.0)
    for value in (low, high):
        settings_of(replace(config, **{name: value}))
    span = rf"plugin\.{name} must lie in {low:g} to {high:g}, got ".replace("+", r"\+")
    for value in (low - 1, high * 1.01 + 1, float("nan"), float("inf"), -float("inf")):
        with pytest.raises(ConfigError, match=span) as refusal:
            settings_of(replace(config, **{name: value}))
        assert "\n" not in str(refusal.value)


def test_every_number_has_a_range_or_a_check_of_its_own():
    checked_elsewhere = {"judge_timestep"}  # its range is the backbone's; see below
    numbers = {field.name for field in fields(DragConfig) if field.type in (int, float, int | None)}
    assert numbers == {*RANGES, *checked_elsewhere}


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
        (["outside=hrad"], UnknownNameError, "no plugin.outside named 'hrad'; did you mean hard"),
        (["supervision=ankored"], UnknownNameError, "did you mean anchored"),
        (["reduction=mean"], UnknownNameError, "no plugin.reduction named 'mean'"),
        (["tap=up9"], UnknownNameError, "no tap named 'up9'; did you mean"),
        (["judge_tap=up9"], UnknownNameError, "no tap named 'up9'"),
        (["attention=[up_blocks.7]"], UnknownNameError, "self-attentions named 'up_blocks.7'"),
        (["judge_timestep=1000"], ConfigError, "judge_timestep must lie in 0 to 999, got 1000"),
        (["judge_timestep=-1"], ConfigError, "plugin.judge_timestep must lie in 0 to 999, got -1"),
        (["strength=0.01", "steps=4"], NoiseLevelError, "the first of 4 steps, got 0.01; raise it"),
        (["strength=0.7", "steps=0"], ConfigError, "plugin.steps must lie in 1 to 1000, got 0"),
        (["strength=1.2"], ConfigError, "plugin.strength must lie in 0.001 to 1, got 1.2"),
        (["learning_rate=nan"], ConfigError, "plugin.learning_rate must lie in .*, got nan"),
        (["lora_alpha=0"], ConfigError, "plugin.lora_alpha must lie in 0.001 to 10000, got 0"),
        (["lora_rank=0"], ConfigError, "plugin.lora_rank must lie in 1 to 1024, got 0"),
    ],
)
def test_what_cannot_work_is_refused_before_any_work(backbone, tmp_path, words, kind, message):
    job = job_with(backbone, tmp_path, *OPTIMISING, *(f"plugin.{word}" for word in words))
    with pytest.raises(kind, match=message) as refusal:
        drag_of(job)
    assert "\n" not in str(refusal.value)


def test_the_smallest_strength_that_comes_to_a_step_is_allowed(backbone, tmp_path):
    drag = drag_of(
        job_with(backbone, tmp_path, *OPTIMISING, "plugin.steps=4", "plugin.strength=0.13")
    )
    assert drag.level == 1


def test_a_misspelt_setting_is_refused_with_the_nearest_one():
    with pytest.raises(UnknownNameError, match=r"plugin\.update.*did you mean plugin\.updates"):
        filled("plugin.update=3")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("updates=many", "plugin.updates must be a whole number, got 'many'"),
        ("learning_rate=fast", "plugin.learning_rate must be a number, got 'fast'"),
        ("snap=maybe", "plugin.snap must fit its type, but value 'maybe' is not a valid bool"),
    ],
)
def test_a_setting_of_another_type_is_refused(word, message):
    with pytest.raises(ConfigError, match=message):
        filled(f"plugin.{word}")
