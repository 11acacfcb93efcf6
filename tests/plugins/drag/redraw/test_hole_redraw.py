"""The redraw of a hole: what stays, candidates, the source's keys, and what is left behind."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from featurekit.backbones import load
from featurekit.core.errors import NoiseLevelError
from featurekit.diffusion.noise_schedule import Schedule
from featurekit.diffusion.steps import ddim_step, noised
from featurekit.taps.attention_sharing import self_attention_paths
from featurekit_drag.redraw.hole import Redrawing, most_typical, touched_cells

PARTS = ("up_blocks.2", "up_blocks.3")


@pytest.fixture(scope="module")
def backbone():
    return load("random", device="cpu")


def picture(seed, height=48, width=40):
    return (
        torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed)) * 1.8 - 0.9
    )


def hole_of(left, top, right, bottom, height=48, width=40):
    hole = torch.zeros(1, 1, height, width)
    hole[..., top:bottom, left:right] = 1
    return hole


HOLE = hole_of(9, 12, 21, 30)


@pytest.fixture(scope="module")
def redrawing(backbone):
    with torch.no_grad():
        source = backbone.encode(picture(0))
    predict = backbone.predictor(backbone.embed("a disc"))
    return Redrawing(backbone, predict, source, Schedule.ddim(backbone.noise, steps=6), PARTS)


def drawn(redrawing, **changed):
    asked = {"strength": 0.5, "candidates": 1, "seed": 3, **changed}
    return redrawing(picture(1), HOLE, **asked)


def fresh(backbone):
    return touched_cells(HOLE, backbone) > 0


@pytest.mark.parametrize("strength", [0.2, 0.5, 1.0])
def test_cells_beside_the_hole_are_those_of_the_laid_picture(backbone, redrawing, strength):
    latents = drawn(redrawing, strength=strength, candidates=2)
    assert latents.shape == (2, backbone.latent_channels, 16, 16)
    kept, where = backbone.encode(picture(1)), ~fresh(backbone)
    for one in latents.split(1):
        torch.testing.assert_close(
            one[where.expand_as(one)], kept[where.expand_as(kept)], rtol=0, atol=0
        )
        assert (one - kept)[~where.expand_as(one)].abs().max() > 1e-3


def test_candidates_of_one_batch_are_those_of_single_noises(redrawing):
    batch = drawn(redrawing, candidates=3)
    # without the reference, whose row has the first noise, rows know nothing of each other
    alone = replace(redrawing, source=None)
    together = drawn(alone, candidates=3)
    assert (together - batch)[:, :, 4:6, 3:5].abs().max() > 1e-6
    schedule, generator = redrawing.schedule, torch.Generator().manual_seed(3)
    kept = redrawing.backbone.encode(picture(1))
    noises = torch.randn((3, *kept.shape[1:]), generator=generator)
    mask, top = fresh(redrawing.backbone).float(), 3
    for number, noise in enumerate(noises.split(1)):
        z = noised(kept, noise, alpha_bar=schedule.alpha_bars[top])
        with torch.no_grad():
            for level in range(top, 0, -1):
                here, there = schedule.alpha_bars[level], schedule.alpha_bars[level - 1]
                eps = alone.predict(z, schedule.timestep(level))
                z = ddim_step(z, eps, alpha_bar_from=here, alpha_bar_to=there)
                back = kept if level == 1 else noised(kept, noise, alpha_bar=there)
                z = mask * z + (1 - mask) * back
        torch.testing.assert_close(together[number : number + 1], z, rtol=1e-4, atol=1e-5)
    assert (together[0] - together[1]).abs().max() > 1e-3


def test_the_first_candidate_does_not_depend_on_how_many_there_are(redrawing):
    torch.testing.assert_close(
        drawn(redrawing, candidates=4)[:1], drawn(redrawing), rtol=1e-4, atol=1e-5
    )


def test_seeds_tell_apart_and_the_global_random_state_stays(redrawing):
    before = torch.get_rng_state()
    assert torch.equal(drawn(redrawing), drawn(redrawing))
    assert not torch.equal(drawn(redrawing), drawn(redrawing, seed=4))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("strength", [0.0, -0.1, 1.01, 0.01])
def test_a_strength_of_no_step_is_refused(redrawing, strength):
    with pytest.raises(NoiseLevelError, match="strength must"):
        drawn(redrawing, strength=strength)


def test_it_tells_each_step(redrawing):
    told = []
    drawn(redrawing, progress=lambda done, of: told.append((done, of)))
    assert told[-3:] == [(1, 3), (2, 3), (3, 3)]
    assert set(told[:-3]) == {(0, 3)}


def test_the_source_is_read_only_where_it_should_be(redrawing):
    plain = drawn(replace(redrawing, source=None))
    other = replace(redrawing, source=redrawing.source + 1)
    shared, elsewhere = drawn(redrawing), drawn(other)
    where = fresh(redrawing.backbone).expand_as(plain)
    for one in (shared, elsewhere):
        assert not torch.equal(one[where], plain[where])
        assert torch.equal(one[~where], plain[~where])
    assert not torch.equal(shared[where], elsewhere[where])


def test_the_network_is_as_it_was_after_a_redraw_and_after_one_that_fails(redrawing):
    unet = redrawing.backbone.unet
    paths = self_attention_paths(unet, PARTS)
    before = {path: unet.get_submodule(path).processor for path in paths}

    def stopped(done, of):
        raise KeyboardInterrupt

    def broken(z, t):
        assert any(unet.get_submodule(path).processor is not before[path] for path in paths)
        raise RuntimeError("out of memory")

    drawn(redrawing)
    with pytest.raises(KeyboardInterrupt):
        drawn(redrawing, progress=stopped)
    with pytest.raises(RuntimeError, match="out of memory"):
        drawn(replace(redrawing, predict=broken))
    assert {path: unet.get_submodule(path).processor for path in paths} == before
    hooked = [m for m in unet.modules() if m._forward_hooks or m._forward_pre_hooks]
    assert not hooked


def test_cells_that_a_pixel_touches_and_none_in_the_padding(backbone):
    hole = torch.zeros(1, 1, 48, 40)
    hole[..., 47, 39] = hole[..., 0, 3] = hole[..., 8, 8] = 1
    cells = touched_cells(hole, backbone)
    assert cells.shape == (1, 1, 16, 16)
    assert cells[0, 0].nonzero().tolist() == [[0, 0], [2, 2], [11, 9]]
    full = touched_cells(torch.ones(1, 1, 33, 30), backbone)
    assert full[0, 0, :9, :8].all()
    assert full.sum() == 72
    assert hole.sum() == 3  # untouched itself


@pytest.mark.parametrize("size", [(32, 32), (16, 16), (17, 45)])
def test_no_hole_touches_no_cell(size):
    stub = SimpleNamespace(multiple=32, stride=4)
    assert not touched_cells(torch.zeros(1, 1, *size), stub).any()


def test_most_typical_is_nearest_to_the_mean():
    latents = torch.zeros(4, 2, 3, 3)
    latents[0] += 4
    latents[1] += 1
    latents[2] -= 1
    latents[3] -= 1.5  # the mean is .625
    assert most_typical(latents) == 1
    assert most_typical(latents[:1]) == 0
    assert most_typical(latents.flip(0)) == 2
