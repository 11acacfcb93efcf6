"""The whole edit on a small real stack: sizes, identities, seeds, order, reference, mask."""

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch

from featurekit.backbones import load
from featurekit.backbones.lora import LoraRecipe
from featurekit.core.errors import MaskError, PointsError, ShapeError
from featurekit.core.types import Stop, silent
from featurekit.diffusion.invert import invert
from featurekit.diffusion.sample import sample
from featurekit.images.coordinates import crop
from featurekit.taps.attention_sharing import (
    record_attention,
    replay_attention,
    self_attention_paths,
)
from featurekit_drag.engine.drag import Drag
from featurekit_drag.engine.points import read_points
from featurekit_drag.engine.request import Request
from featurekit_drag.engine.settings import DragSettings, Rule

RULE = Rule(updates=2)
SETTINGS = DragSettings(rule=RULE, steps=6)
FULL = LoraRecipe(rank=2, alpha=2, learning_rate=1e-2, steps=2, batch=1)
RECIPE = replace(FULL, targets=("to_k",))
NO_LORA = replace(FULL, steps=0)
STAGES = ["LoRA on the image", "inversion", "motion supervision", "denoising"]


@pytest.fixture(scope="module")
def backbone():
    return load("random", device="cpu")


@pytest.fixture(scope="module")
def exact():
    """The same networks in float64, where an identity is one to the last digits."""
    return load("random", device="cpu", dtype=torch.float64)


def request_for(height, width, *rows, mask=None, seed=0, prompt=""):
    rows = rows or ([width * 0.4, height * 0.4, width * 0.6, height * 0.6],)
    points = read_points(rows, height=height, width=width)
    picture = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    return Request(picture * 1.8 - 0.9, points, mask, prompt, seed)


def box(height, width):
    mask = torch.zeros(1, 1, height, width)
    mask[..., height // 4 : height // 2, width // 4 : width // 2] = 1
    return mask


def stages_into(names):
    """A stage that keeps its names."""

    def stage(name):
        names.append(name)
        return nullcontext(silent)

    return stage


@pytest.mark.parametrize("size", [(64, 64), (50, 71), (96, 40), (33, 31)])
def test_the_result_has_the_size_of_the_input(backbone, size):
    edit = Drag(backbone, SETTINGS, FULL)(request_for(*size))
    assert edit.image.shape == (1, 3, *size)
    assert edit.image.dtype == torch.float32
    assert edit.image.isfinite().all()
    assert edit.image.abs().max() <= 1
    assert edit.dragged.stop is Stop.MAX_UPDATES
    assert len(edit.lora_losses) == 2


def vae_round_trip(backbone, image):
    with torch.no_grad():
        whole = backbone.decode(backbone.encode(image))
    return crop(whole, *image.shape[-2:]).clamp(-1, 1)


def in_float64(request):
    return replace(request, image=request.image.double())


@pytest.mark.parametrize(
    ("size", "guidance", "recipe"),
    [
        ((64, 64), 1.0, NO_LORA),
        ((50, 71), 1.0, NO_LORA),
        ((96, 40), 1.0, NO_LORA),
        ((20, 31), 2.0, NO_LORA),
        ((20, 31), 1.0, RECIPE),
    ],
)
def test_with_residuals_and_no_updates_the_round_trip_of_the_vae_comes_back(
    exact, size, guidance, recipe
):
    still = replace(RULE, updates=0)
    settings = replace(SETTINGS, rule=still, residuals=True, guidance=guidance)
    request = in_float64(request_for(*size))
    edit = Drag(exact, settings, recipe)(request)
    assert (edit.image - vae_round_trip(exact, request.image)).abs().max() <= 1e-10


def test_an_update_changes_the_picture(exact):
    request = in_float64(request_for(32, 32))
    edit = Drag(exact, replace(SETTINGS, residuals=True), NO_LORA)(request)
    assert (edit.image - vae_round_trip(exact, request.image)).abs().max() > 1e-4


def test_a_point_within_the_stop_distance_beside_a_longer_one_is_allowed(exact):
    request = in_float64(request_for(32, 32, [20, 20, 21, 20], [10, 12, 10, 18]))
    assert Drag(exact, SETTINGS, NO_LORA)(request).dragged.trace


def test_drags_that_have_arrived_before_they_begin_are_refused(exact):
    request = in_float64(request_for(32, 32, [20, 20, 21, 20], [10, 12, 10, 13]))
    with pytest.raises(PointsError, match=r"at least 2 px long.*the longest is 1\.0 px"):
        Drag(exact, SETTINGS, NO_LORA)(request)


def test_an_update_out_of_the_numbers_ends_as_diverged_with_the_last_good_latent(backbone):
    settings = replace(SETTINGS, rule=Rule(updates=5, learning_rate=1e30))
    edit = Drag(backbone, settings, NO_LORA)(request_for(32, 32))
    assert edit.dragged.stop is Stop.DIVERGED
    assert edit.image.isfinite().all()


def test_the_last_station_is_the_edit_itself(backbone):
    edit = Drag(backbone, replace(SETTINGS, animation_frames=3), NO_LORA)(request_for(32, 32))
    assert edit.dragged.stop is Stop.MAX_UPDATES
    assert torch.equal(edit.frames[-1].image, edit.image)
    assert not torch.equal(edit.frames[0].image, edit.image)


def test_equal_seeds_give_equal_images_and_others_do_not(backbone):
    drag = Drag(backbone, SETTINGS, RECIPE)
    first, again, other = (drag(request_for(32, 32, seed=seed)) for seed in (3, 3, 4))
    assert torch.equal(first.image, again.image)
    assert first.lora_losses == again.lora_losses
    assert not torch.equal(first.image, other.image)


def test_the_prompt_reaches_the_network(backbone):
    images = [
        Drag(backbone, SETTINGS, NO_LORA)(request_for(32, 32, prompt=prompt)).image
        for prompt in ("", "a disc")
    ]
    assert not torch.equal(*images)


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_the_edit_is_denoised_reading_the_unmoved_latent(exact, guidance):
    settings = replace(SETTINGS, rule=replace(RULE, learning_rate=0.1), guidance=guidance)
    request = in_float64(request_for(32, 32))
    drag = Drag(exact, settings, NO_LORA)
    edit = drag(request)
    paths = self_attention_paths(exact.unet, ("up_blocks.2", "up_blocks.3"))
    predict = exact.predictor(exact.embed(""), guidance=guidance)
    with torch.no_grad():
        path = invert(predict, exact.encode(request.image), drag.schedule, until=drag.level)
        with record_attention(exact.unet, paths) as record:
            sample(predict, path.at(drag.level), drag.schedule, start=drag.level)
        alone = sample(predict, edit.dragged.latent, drag.schedule, start=drag.level)
        with replay_attention(exact.unet, paths, record):
            z0 = sample(predict, edit.dragged.latent, drag.schedule, start=drag.level)
        expected, free = (exact.decode(z).clamp(-1, 1) for z in (z0, alone))
    assert (edit.image - expected).abs().max() <= 1e-10
    assert (edit.image - free).abs().max() > 1e-6


@pytest.mark.parametrize(("recipe", "names"), [(RECIPE, STAGES), (NO_LORA, STAGES[1:])])
def test_the_stages_run_in_the_order_of_the_paper(backbone, recipe, names):
    called = []
    Drag(backbone, SETTINGS, recipe)(request_for(32, 32), stage=stages_into(called))
    assert called == names


@pytest.mark.parametrize("masked", [False, True])
def test_guidance_of_two_runs_through_every_stage(backbone, masked):
    mask = torch.ones(1, 1, 20, 31) if masked else None
    settings = replace(SETTINGS, guidance=2.0)
    request = request_for(20, 31, mask=mask, prompt="a disc")
    guided = Drag(backbone, settings, NO_LORA)(request)
    plain = Drag(backbone, SETTINGS, NO_LORA)(request)
    assert guided.image.isfinite().all()
    assert guided.dragged.trace[0] > 0
    assert not torch.equal(guided.image, plain.image)


@pytest.mark.parametrize("size", [(64, 64), (50, 71), (43, 64)])
@pytest.mark.parametrize(("outside", "feather"), [("penalty", 0), ("hard", 3)])
def test_outside_mask_and_seam_the_composite_is_the_input_bit_for_bit(
    backbone, size, outside, feather
):
    mask = box(*size)
    settings = replace(SETTINGS, composite=True, outside=outside, feather_px=feather)
    request = request_for(*size, [size[1] * 0.3, size[0] * 0.3, 60, 40], mask=mask)
    edit = Drag(backbone, settings, NO_LORA)(request)
    reach = torch.nn.functional.max_pool2d(mask, 2 * feather + 1, stride=1, padding=feather)
    away = reach[0, 0] == 0
    assert torch.equal(edit.image[..., away], request.image[..., away])
    inside = mask[0, 0] == 1
    assert not torch.equal(edit.image[..., inside], request.image[..., inside])
    seam = ~away & ~inside
    assert torch.equal(edit.image[..., seam], request.image[..., seam]) is (feather == 0)


def test_a_frozen_latent_is_bit_equal_outside_the_mask_at_every_look(backbone):
    settings = replace(SETTINGS, outside="hard", animation_frames=1)
    request = request_for(64, 64, [20, 20, 40, 40], mask=box(64, 64))
    dragged = Drag(backbone, settings, NO_LORA)(request).dragged
    cells = box(64, 64)[..., ::4, ::4]
    first = dragged.latents[0]
    looks = (*dragged.latents, dragged.latent)
    changed = [(latent != first).any(dim=1, keepdim=True) for latent in looks]
    assert not any((change & (cells == 0)).any() for change in changed)
    assert changed[-1].any()


def test_a_handle_outside_the_mask_is_refused_before_anything_runs(backbone):
    called = []
    request = request_for(32, 32, [30, 30, 10, 10], mask=box(32, 32))
    with pytest.raises(MaskError, match=r"the one at \(30, 30\) does not"):
        Drag(backbone, SETTINGS, RECIPE)(request, stage=stages_into(called))
    assert called == []


def test_a_mask_of_another_size_or_two_images_are_refused(backbone):
    request, drag = request_for(32, 32), Drag(backbone, SETTINGS, NO_LORA)
    with pytest.raises(ShapeError, match=r"mask must be \(1 1 h=32 w=32\), got \(1, 1, 32, 30\)"):
        drag(replace(request, mask=torch.ones(1, 1, 32, 30)))
    with pytest.raises(ShapeError, match=r"image must be \(1 3 h w\), got \(2, 3, 32, 32\)"):
        drag(replace(request, image=torch.zeros(2, 3, 32, 32)))


@pytest.mark.parametrize("snap", [True, False])
def test_handles_on_every_border_and_corner_run(backbone, snap):
    corners = [[x, y, 35, 25] for x in (0, 35.5, 71) for y in (0, 25.5, 50)]
    settings = replace(SETTINGS, snap=snap, rule=replace(RULE, patch_radius=4, step=4.0))
    edit = Drag(backbone, settings, NO_LORA)(request_for(50, 71, *corners))
    assert edit.image.shape == (1, 3, 50, 71)
    assert len(edit.dragged.handle_path) == 2


def test_a_prompt_longer_than_the_encoder_reads_warns_and_runs(backbone):
    request = request_for(32, 32, prompt="a red disc on a blue field " * 40)
    with pytest.warns(UserWarning, match="tokens"):
        edit = Drag(backbone, SETTINGS, NO_LORA)(request)
    assert edit.image.isfinite().all()


def test_stations_show_the_way_from_the_unmoved_picture_to_the_end(exact):
    rule = replace(RULE, updates=5)
    settings = replace(SETTINGS, rule=rule, animation_frames=3, residuals=True, snap=False)
    request = in_float64(request_for(20, 31))
    edit = Drag(exact, settings, NO_LORA)(request)
    assert len(edit.frames) == 3
    assert all(frame.image.shape == (1, 3, 20, 31) for frame in edit.frames)
    first = edit.frames[0]
    torch.testing.assert_close(first.handles, request.points.handles)
    assert (first.image - vae_round_trip(exact, request.image)).abs().max() <= 1e-10
