"""What settings leave to a model, and what is refused of one with a transformer before any work."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from small_text_encoders import with_text
from small_transformers import SMALL

import featurekit as fk
from featurekit.backbones import load
from featurekit.backbones.dit.blocks import block_taps, inner_taps
from featurekit.backbones.dit.flux import Flux
from featurekit.core.errors import BackboneError, ConfigError, UnknownNameError
from featurekit_drag import Session
from featurekit_drag.engine.drag import Drag
from featurekit_drag.engine.points import read_points
from featurekit_drag.engine.request import Request, untimed
from featurekit_drag.engine.settings import DragSettings, WarpSettings
from featurekit_drag.of_model import completed, maps_of, middle_of
from featurekit_drag.presets import own_settings
from featurekit_drag.redraw.warp_drag import WarpDrag
from featurekit_drag.session.asking import Asking
from featurekit_drag.tasks.setup import drag_of

OPTIMISING = "experiment=drag_gooddrag"
FLUX_DEV = {  # sizes of the published model
    "num_layers": 19, "num_single_layers": 38, "num_attention_heads": 24,
    "attention_head_dim": 128,
}  # fmt: skip


@pytest.fixture(scope="module")
def small():
    return with_text("flux_schnell", SMALL["flux_schnell"]())


@pytest.fixture(scope="module")
def flux(small):
    return small.wrapped()


@pytest.fixture(scope="module")
def folder(small, tmp_path_factory):
    """A folder whose weights are no weights: whoever reads them fails."""
    path = tmp_path_factory.mktemp("models") / "flux"
    small.pipeline.save_pretrained(path)
    for weights in path.rglob("*.safetensors"):
        weights.write_bytes(b"")
    return path


@pytest.fixture
def picture(tmp_path):
    ground = torch.full((3, 64, 64), 90, dtype=torch.uint8)
    Image.fromarray(ground.permute(1, 2, 0).numpy()).save(tmp_path / "me.png")
    return tmp_path / "me.png"


def job_of(backbone, *words):
    cfg = fk.compose(["plugin=drag", *words])
    return SimpleNamespace(settings=OmegaConf.to_object(cfg.plugin), backbone=backbone)


def test_the_middle_of_flux_is_what_the_block_reads_that_was_found_best():
    stacks = Flux.stacks(FLUX_DEV)
    activations = (*block_taps(stacks, 16), *inner_taps(stacks, 16))
    assert middle_of(activations) == "single9.norm"  # the 29th of 57 blocks
    tap = maps_of(activations)["single9.norm"]
    assert (tap.role, tap.channels, tap.stride) == ("adaln", 3072, 16)


def test_words_and_attention_maps_are_no_maps_to_plan_by(flux):
    found = maps_of(flux.activations.values())
    assert "double0.norm" in found
    assert not {"double0.words", "double0.attn.map"} & set(found)
    assert not any(name.startswith("vae") for name in found)


@pytest.mark.parametrize("name", ["flux_schnell", "pixart_sigma", "sana"])
def test_a_transformer_completes_its_settings_by_its_own_description(name):
    backbone = SMALL[name]().wrapped()
    assert backbone.settings_of == "transformer"
    found = completed(own_settings("transformer"), backbone)
    assert found.plan_taps == [found.judge_tap]
    assert backbone.activations[found.judge_tap].role == "adaln"
    assert found.side_px == backbone.sample_size[0] * backbone.stride
    second_half = ["transformer_blocks.1.attn1"]
    assert found.attention == (second_half if name == "pixart_sigma" else [])


def test_what_is_named_stays_and_a_unet_takes_what_it_always_took(flux):
    named = replace(
        own_settings("transformer"), plan_taps=["double1"], judge_tap="double0", side_px=128
    )
    found = completed(named, flux)
    assert (found.plan_taps, found.judge_tap, found.side_px) == (["double1"], "double0", 128)
    own = own_settings("embedded")
    assert completed(own, load("embedded", device="cpu")) == own


def test_a_method_that_drags_latents_is_refused_before_weights_are_read(folder, picture, tmp_path):
    words = [f"backbone={folder}", f"image={picture}", "plugin.points=[[20,20,40,20]]"]
    words += [f"out='{tmp_path / 'run'}'", "plugin=drag"]
    with pytest.raises(BackboneError, match=r"must have a model with a unet.*moves the region"):
        fk.run(fk.compose([*words, OPTIMISING]))
    with pytest.raises(BackboneError, match=r"weight|safetensors|damaged"):
        fk.run(fk.compose(words))  # the default goes on, and finds them damaged
    presets = ["task=evaluate", "plugin.presets=[drag_balanced,drag_gooddrag]"]
    words = [f"backbone={folder}", f"out='{tmp_path / 'run'}'", "plugin=drag", *presets]
    with pytest.raises(BackboneError, match="must have a model with a unet"):
        fk.run(fk.compose(words))


def test_and_on_a_loaded_pipeline_by_every_door(flux, tmp_path):
    words = ["plugin=drag", "backbone=transformer", OPTIMISING, f"out='{tmp_path / 'run'}'"]
    with pytest.raises(BackboneError, match=r"must have a model with a unet.*points alone"):
        fk.run(fk.compose(words), backbone=flux)
    with pytest.raises(BackboneError, match="must have a model with a unet"):
        Drag(flux)
    with pytest.raises(BackboneError, match="must have a model with a unet"):
        Session.open(flux, torch.zeros(1, 3, 64, 64), settings=DragSettings())


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
        (["plugin.plan_taps=[up2]"], UnknownNameError, "'up2'.*backbone=transformer has"),
        (["plugin.plan_taps=[doubl1]"], UnknownNameError, "did you mean double1"),
        (["plugin.judge_tap=double0.words"], UnknownNameError, "'double0.words'"),
        (["plugin.attention=[transformer_blocks]"], UnknownNameError, "self-attentions named"),
        (["plugin.plan_timestep=1001"], ConfigError, "plan_timestep must lie in 0 to 999"),
        (["plugin.judge_timestep=1001"], ConfigError, "judge_timestep must lie in 0 to 1000"),
        (["plugin.redraw_strength=0.01"], fk.errors.NoiseLevelError, "must reach the first of"),
    ],
)
def test_what_a_transformer_has_not_is_one_sentence(flux, words, kind, message):
    with pytest.raises(kind, match=message) as refusal:
        drag_of(job_of(flux, "backbone=transformer", *words))
    assert "\n" not in str(refusal.value)


def test_settings_of_a_unet_are_refused_with_those_that_fit(flux):
    with pytest.raises(UnknownNameError, match="backbone=transformer has the settings of models"):
        drag_of(job_of(flux, "backbone=embedded"))
    with pytest.raises(UnknownNameError, match="backbone=transformer has"):
        Session.open(flux, torch.zeros(1, 3, 64, 64), settings=WarpSettings())


def test_a_timestep_of_a_flow_is_its_share_of_noise(flux):
    drag = drag_of(job_of(flux, "backbone=transformer", "plugin.plan_timestep=90"))
    assert drag.settings.plan.timestep == 90
    assert drag.schedule.told.startswith("flow, 10 steps")
    small, large = (drag.schedule_at(torch.zeros(1, 3, side, side)) for side in (64, 512))
    assert small.timesteps[1] < large.timesteps[1]  # its shift follows the size


def test_points_alone_move_the_region_around_the_handle(flux, picture, tmp_path):
    words = ["plugin=drag", "backbone=transformer", f"image={picture}", "prompt='a face'"]
    words += ["plugin.points=[[20,20,40,20]]", "plugin.redraw_steps=2", "plugin.candidates=1"]
    cfg = fk.compose([*words, "plugin.animation_frames=0", f"out='{tmp_path / 'run'}'"])
    record = fk.run(cfg, backbone=flux)
    assert record["metrics"]["plan"]["kind"] == "around"
    assert "what lies around it moves; brush the thing itself with" in record["summary"]


def test_what_is_turned_is_settled_by_a_flow(flux):
    own = Asking.settings_of(flux)
    redraw = replace(own.redraw, steps=2, candidates=1, fill="model", settle=0.5)
    plan = replace(own.plan, mode="move", shifts=1)
    settings = replace(own, redraw=redraw, plan=plan, feather_px=0)
    image = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0)) * 2 - 1
    mask = torch.zeros(1, 1, 64, 96)
    mask[..., 8:56, 8:88] = 1
    points = read_points([[30, 30, 40, 24], [60, 30, 64, 44]], height=64, width=96)
    stages = []

    def stage(name):
        stages.append(name)
        return untimed(name)

    edit = WarpDrag(flux, settings)(Request(image, points, mask), stage=stage)
    assert edit.facts["kind"] == "similarity"
    assert stages[-1] == "settling"
    outside = (mask == 0).expand_as(image)
    assert torch.equal(edit.image[outside], image[outside])
    assert (edit.image - edit.stages["warp"])[~outside].abs().max() > 0.003
