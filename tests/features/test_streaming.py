"""streaming: reduced as each tap fires, at the memory of no more than the largest activation."""

import weakref

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from featurekit.backbones import random
from featurekit.core import fields
from featurekit.core.errors import CaptureError, ConfigError, ShapeError
from featurekit.features.streaming import pooled, principal, projected
from featurekit.taps.capture import capture


@pytest.fixture(scope="module")
def backbone():
    return random.load("cpu")


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all storages that operations made and that are still alive."""

    def __init__(self):
        super().__init__()
        self.now = self.peak = 0
        self.known = weakref.WeakSet()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for one in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(one, torch.Tensor):
                self.count(one.untyped_storage())
        return result

    def count(self, storage):
        if storage not in self.known:
            self.known.add(storage)
            size = storage.nbytes()
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self.forget, size)

    def forget(self, size):
        self.now -= size


def peak(backbone, z, *, taps, reduce=None):
    """Largest number of bytes alive during a forward, and of what was captured in the end."""
    predict = backbone.predictor(backbone.embed(""))
    with (
        torch.no_grad(),
        LiveBytes() as counted,
        capture(backbone.unet, taps, reduce=reduce) as kept,
    ):
        predict(z, 681)
    return counted.peak, sum(one.untyped_storage().nbytes() for one in kept.values())


def test_all_block_outputs_cost_no_more_than_the_largest_when_they_are_reduced(backbone):
    z = normal(2, backbone.latent_channels, 16, 16)
    taps = {name: tap.path for name, tap in backbone.taps.items()}
    with torch.no_grad(), capture(backbone.unet, taps) as kept:
        backbone.predictor(backbone.embed(""))(z, 681)
    sizes = [one.untyped_storage().nbytes() for one in kept.values()]
    bare, _ = peak(backbone, z, taps={})
    for reduce in (principal(3), projected(8)):
        most, _ = peak(backbone, z, taps=taps, reduce=reduce)
        assert most - bare <= 1.2 * max(sizes)
    # a quarter of all cells is by itself more than one activation: it is what was asked for
    most, asked_for = peak(backbone, z, taps=taps, reduce=pooled(2))
    assert most - bare - asked_for <= 0.2 * max(sizes)
    # the count sees what is held: without a reduction it is several times that
    whole, _ = peak(backbone, z, taps=taps)
    assert whole - bare > 4 * max(sizes)


def test_the_forward_is_bit_identical_with_a_reduction(backbone):
    z, states = normal(1, backbone.latent_channels, 8, 8), backbone.embed("").states
    plain = backbone.unet(z, 681, encoder_hidden_states=states)[0]
    with capture(backbone.unet, {"up1": "up_blocks.1"}, reduce=pooled(2)) as kept:
        seen = backbone.unet(z, 681, encoder_hidden_states=states)[0]
    assert torch.equal(plain, seen)
    with capture(backbone.unet, {"up1": "up_blocks.1"}) as whole:
        backbone.unet(z, 681, encoder_hidden_states=states)
    assert torch.equal(kept["up1"], torch.nn.functional.avg_pool2d(whole["up1"], 2))


def test_principal_directions_are_those_of_the_fields():
    field = normal(2, 6, 40, 40) * torch.tensor([5.0, 1, 3, 0.2, 0.1, 2])[:, None, None]
    torch.testing.assert_close(principal(3)("x", field), fields.pca(field, 3), rtol=1e-4, atol=1e-4)


def test_projections_keep_lengths_and_are_the_seeds():
    field = normal(1, 320, 8, 8)
    kept = projected(128, seed=1)("x", field)
    assert kept.shape == (1, 128, 8, 8)
    ratio = kept.norm(dim=1) / field.norm(dim=1)
    assert 0.7 < ratio.min() < ratio.max() < 1.3
    assert torch.equal(projected(128, seed=1)("y", field), kept)
    assert not torch.equal(projected(128, seed=2)("x", field), kept)


@pytest.mark.parametrize(
    ("reduce", "message"),
    [
        (lambda name, one: one[:, :3], "got a view of the activation, which would hold all of it"),
        (lambda name, one: one, "got a view of the activation"),
        (lambda name, one: None, "reduce must give a tensor for 'a', got NoneType"),
    ],
)
def test_what_would_hold_the_activation_is_refused(reduce, message):
    net = torch.nn.Sequential(torch.nn.Identity())
    with pytest.raises(CaptureError, match=message), capture(net, {"a": "0"}, reduce=reduce):
        net(torch.zeros(1, 4))
    assert not net[0]._forward_hooks


@pytest.mark.parametrize("make", [pooled, principal, projected])
def test_a_number_below_one_is_refused(make):
    with pytest.raises(ConfigError, match="must be at least 1, got 0"):
        make(0)


def test_activations_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match="the grid of x must be divisible by 3, got 4 x 6"):
        pooled(3)("x", torch.zeros(1, 2, 4, 6))
    with pytest.raises(ShapeError, match="x must have 3 channels or more, got 2"):
        principal(3)("x", torch.zeros(1, 2, 4, 6))
