"""Who fills the hole of a drag: the model where it knows the picture, patches where it does not."""

from dataclasses import replace

import pytest
import torch

import featurekit as fk
from featurekit.core.errors import UnknownNameError
from featurekit.scenes import move
from featurekit_drag.config import DragConfig, settings_of
from featurekit_drag.engine.points import read_points
from featurekit_drag.engine.request import Region, Request
from featurekit_drag.engine.settings import PlanSettings, RedrawSettings, WarpSettings
from featurekit_drag.inputs import from_move
from featurekit_drag.redraw.likeness import Likeness, ring_around
from featurekit_drag.redraw.warp_drag import WarpDrag

SETTINGS = WarpSettings(PlanSettings(), RedrawSettings(steps=4, candidates=2), 2, side_px=64)


@pytest.fixture(scope="module")
def drag():
    return WarpDrag(fk.load_backbone("embedded", device="cpu"), SETTINGS)


@pytest.fixture(scope="module")
def photograph():
    """A blue disc with a pattern before rough ground, 200 px, like no scene of the model."""
    side = 200
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    generator = torch.Generator().manual_seed(2)
    rough = torch.randn(side, side, generator=generator) * 0.25
    ground = torch.stack([rough + 0.2, rough, rough - 0.3])
    disc = torch.stack([rough - 0.7, 0.2 * torch.sin(x / 3), rough * 0.2 + 0.8])
    inside = (x - 80) ** 2 + (y - 100) ** 2 < 24**2
    image = torch.where(inside, disc, ground)[None].clamp(-1, 1)
    mask = torch.zeros(1, 1, side, side)
    mask[..., 60:140, 40:176] = 1
    return Request(image, read_points([[80, 100, 128, 100]], height=side, width=side), mask)


def by(drag, fill):
    redraw = replace(drag.settings.redraw, fill=fill)
    return WarpDrag(drag.backbone, replace(drag.settings, redraw=redraw))


def test_the_model_redraws_a_scene_that_it_knows(drag):
    done = drag(from_move(move(7029, "animal"), size=64, seed=0).request)
    assert done.facts["layer_by"] == "features"
    assert done.facts["hole"]["filled_by"] == "model"
    assert len(done.candidates) == 2


def test_patches_fill_what_the_model_does_not_know(drag, photograph):
    done = drag(photograph)
    told = done.facts["hole"]
    assert done.facts["layer_by"] == "colours"
    assert told["filled_by"] == "patches"
    assert told["sharpness"]["model"] < told["sharpness"]["patches"] < 0.5
    assert any("plugin.fill=model redraws it" in line for line in done.remarks)
    assert not done.candidates


def test_the_disc_moves_whole_and_the_rest_keeps_every_pixel(drag, photograph):
    done = by(drag, "patches")(photograph)
    image, found = photograph.image, done.image
    shift = found[..., 90:110, 118:138] - image[..., 90:110, 70:90]
    assert shift.abs().mean() < 0.02
    outside = torch.ones_like(image, dtype=torch.bool)
    outside[..., 50:150, 30:186] = False  # the mask and its seam
    assert torch.equal(found[outside], image[outside])
    ground = image[..., 110:140, 0:36]
    left = found[..., 90:110, 62:88]
    assert left[:, 2].mean() < 0  # no blue stays behind
    assert 0.7 < float(left[:, 0].std() / ground[:, 0].std()) < 1.3


def test_asked_for_one_the_other_is_not_used(drag, photograph):
    assert by(drag, "patches")(photograph).facts["hole"] == {"filled_by": "patches"}
    by_model = by(drag, "model")(photograph)
    assert by_model.facts["hole"] == {"filled_by": "model"}
    assert len(by_model.candidates) == 2


def grey_of(request):
    return replace(request, image=request.image.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1))


def test_patches_fill_a_grey_picture_whatever_noise_the_model_finds_in_it(drag):
    seen = from_move(move(7029, "animal"), size=64, seed=0).request
    done = drag(grey_of(seen))
    assert done.facts["hole"] == {"filled_by": "patches"}
    assert any("without colour" in line for line in done.remarks)
    assert drag(seen).facts["hole"]["filled_by"] == "model"


@pytest.mark.parametrize("fill", ["model", "patches"])
def test_a_grey_picture_stays_grey(drag, photograph, fill):
    done = by(drag, fill)(grey_of(photograph))
    assert done.facts["hole"]["filled_by"] == fill
    for picture in (done.image, *done.candidates, *(frame.image for frame in done.frames)):
        red, green, blue = ((picture[0].clamp(-1, 1) + 1) * 127.5).round()
        assert torch.equal(red, green)
        assert torch.equal(red, blue)


def test_an_unknown_fill_is_refused():
    given = dict.fromkeys(("lora_steps", "lora_rank", "lora_batch"), 1)
    rates = {"lora_alpha": 1.0, "lora_learning_rate": 1e-4}
    with pytest.raises(UnknownNameError, match=r"plugin\.fill.*biharmonic"):
        settings_of(DragConfig(fill="biharmonic", **given, **rates))


def test_a_region_whose_hole_is_nearly_the_picture_is_filled(drag, photograph):
    brushed = torch.ones(1, 1, 200, 200)
    brushed[..., :6, :] = 0
    region = Region(brushed, torch.tensor([30.0, 0.0]))
    points = read_points([region.row], height=200, width=200)
    request = replace(photograph, mask=None, points=points, regions=(region,))
    found = by(drag, "patches")(request).image
    assert bool(found.isfinite().all())
    assert found.abs().max() <= 1


def test_likeness_sees_blur_and_colour():
    generator = torch.Generator().manual_seed(0)
    picture = torch.randn(1, 3, 60, 60, generator=generator).mul(0.2)
    hole = torch.zeros(1, 1, 60, 60)
    hole[..., 20:40, 20:40] = 1
    ring = ring_around(hole, hole, 1.0)
    assert ring.any()
    assert not bool((ring & (hole > 0)).any())
    alike = Likeness.of(picture, hole > 0, ring)
    blurred = torch.where(hole > 0, torch.nn.functional.avg_pool2d(picture, 5, 1, 2), picture)
    lighter = torch.where(hole > 0, picture + 0.3, picture)
    assert abs(alike.sharpness) < 0.3
    assert Likeness.of(blurred, hole > 0, ring).sharpness < -2
    assert Likeness.of(lighter, hole > 0, ring).colours == pytest.approx(0.3, abs=0.05)
