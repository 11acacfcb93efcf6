"""The autoencoder's training: what its loss weighs, and that folding changes nothing but scale."""

from dataclasses import replace

import pytest
import torch

from featurekit.training.data.rendered_scenes import Album
from featurekit.training.loop.loop import Fit
from featurekit.training.loop.workers import Worker
from featurekit.training.networks import models
from featurekit.training.networks.vae import (
    DecoderTask,
    VaeTask,
    _error,
    _jittered,
    fold,
    latent_statistics,
)
from featurekit.training.recipe import SMALL, Run

TINY = replace(SMALL, size=16, latent_channels=3, vae_channels=(8, 8, 8))


@pytest.fixture
def pictures():
    draw = torch.Generator().manual_seed(0)
    small = torch.rand(6, 4, 4, 4, generator=draw)
    large = torch.nn.functional.interpolate(small, size=16, mode="bilinear")
    return (large * 255).to(torch.uint8)


class Shelf(Album):
    """An album whose pictures lie in memory."""

    def __init__(self, pictures):
        self._all = pictures
        self.captions = [["a thing"]] * len(pictures)

    def pictures(self, indices):
        return self._all[indices]


def test_folding_makes_latents_unit_and_leaves_reconstructions_alone(pictures):
    network = models.autoencoder(TINY).double().eval()
    image = pictures[:, :3].double() / 127.5 - 1
    with torch.no_grad():
        before = network.decode(network.encode(image).latent_dist.mean).sample
        spread = network.encode(image).latent_dist.std
    mean = network.encode(image).latent_dist.mean.mean((0, 2, 3)).detach()
    std = network.encode(image).latent_dist.mean.std((0, 2, 3)).detach()
    fold(network, mean, std)
    with torch.no_grad():
        posterior = network.encode(image).latent_dist
        after = network.decode(posterior.mean).sample
    torch.testing.assert_close(after, before)
    torch.testing.assert_close(posterior.mean.mean((0, 2, 3)), torch.zeros(3).double())
    torch.testing.assert_close(posterior.mean.std((0, 2, 3)), torch.ones(3).double())
    torch.testing.assert_close(posterior.std, spread / std.view(1, 3, 1, 1))


def test_statistics_are_those_of_the_pictures(pictures):
    network = models.autoencoder(TINY).eval()
    image = pictures[:4, :3].float() / 127.5 - 1
    with torch.no_grad():
        latents = network.encode(image).latent_dist.mean
    mean, std = latent_statistics(network, Shelf(pictures), count=4)
    torch.testing.assert_close(mean, latents.mean((0, 2, 3)))
    torch.testing.assert_close(std, latents.std((0, 2, 3)))


def test_an_error_in_the_foreground_counts_more_than_one_in_the_backdrop():
    image = torch.zeros(1, 3, 16, 16)
    weight = torch.ones(1, 1, 16, 16)
    weight[..., 4:8, 4:8] = 3.0
    front, back = image.clone(), image.clone()
    front[..., 5:7, 5:7] = 0.5
    back[..., 11:13, 11:13] = 0.5
    assert _error(image, image, weight) == 0
    assert _error(front, image, weight) > 1.5 * _error(back, image, weight)


def test_a_thin_line_that_is_lost_costs_more_than_the_same_error_spread_out():
    line, even = torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 16)
    line[..., 8, :] = 0.8
    even += 0.8 / 16
    weight = torch.ones(1, 1, 16, 16)
    nothing = torch.zeros_like(line)
    assert _error(nothing, line, weight) > 2 * _error(nothing, even, weight)


def test_jitter_mirrors_pictures_with_their_foregrounds_and_keeps_the_range():
    image = torch.linspace(-1, 1, 16).expand(64, 3, 16, 16).clone()
    foreground = (image[:, :1] > 0).float()
    changed, front = _jittered(image.clone(), foreground.clone(), torch.Generator().manual_seed(0))
    assert changed.abs().max() <= 1
    rising = changed[:, 0, 0, -1] > changed[:, 0, 0, 0]
    assert 16 < int(rising.sum()) < 48
    assert torch.equal(front[rising], foreground[rising])
    assert torch.equal(front[~rising], foreground[~rising].flip(3))
    assert len(torch.unique(changed.mean((1, 2, 3)).round(decimals=4))) > 40


def test_the_task_learns_and_reports_decibels(pictures):
    task = VaeTask(models.autoencoder(TINY), Shelf(pictures), pictures)
    before = task.figures()
    optimiser = torch.optim.Adam(task.network.parameters(), lr=3e-3)
    for step in range(30):
        optimiser.zero_grad()
        task.loss(6, torch.Generator().manual_seed(step)).backward()
        optimiser.step()
    after = task.figures()
    assert set(after) == {"psnr", "psnr_foreground"}
    assert after["psnr"] > before["psnr"] + 2


def test_first_weights_come_from_the_recipe_and_not_from_the_global_state():
    torch.manual_seed(1)
    one = models.autoencoder(TINY).state_dict()
    torch.manual_seed(2)
    two = models.autoencoder(TINY).state_dict()
    other = models.autoencoder(replace(TINY, seed=5)).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["encoder.conv_in.weight"], other["encoder.conv_in.weight"])


def test_the_decoder_alone_learns_and_latents_stay_bit_for_bit(pictures, tmp_path):
    network = models.autoencoder(TINY)
    image = pictures[:, :3].float() / 127.5 - 1
    task = DecoderTask(network, Shelf(pictures), pictures)
    with torch.no_grad():
        latents = network.encode(image).latent_dist.parameters
    before = task.figures()
    run = Run(samples=480, batch=8, rate=3e-3, average=0.9, warm_up=2)
    Fit(task, run, TINY, Worker(0, 1, torch.device("cpu")), tmp_path)()
    with torch.no_grad():
        assert torch.equal(network.encode(image).latent_dist.parameters, latents)
    assert task.figures()["psnr"] > before["psnr"] + 1
