"""What is kept is what the module returned: nothing written later shows, and nobody is misled."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import nn

from featurekit.backbones import random
from featurekit.core.errors import CaptureError
from featurekit.features.extract import extract_latents
from featurekit.taps.attention_sharing import record_attention, self_attention_paths
from featurekit.taps.capture import capture
from featurekit.taps.inject import inject
from featurekit.taps.kept import is_rewritten

FREEU = {"s1": 0.9, "s2": 0.2, "b1": 1.5, "b2": 1.6}
WRITTEN = "must stay as it was when it was read, but it was written to in place later"


@pytest.fixture(scope="module")
def plain():
    return random.load("cpu", seed=3)


@pytest.fixture
def model(plain):
    """With FreeU, which scales in place what the mid block returned."""
    found = replace(plain, unet=deepcopy(plain.unet))
    found.unet.enable_freeu(**FREEU)
    return found


@pytest.fixture(scope="module")
def z(plain):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1, plain.latent_channels, 8, 8, generator=generator)


def run(model, z):
    return model.predictor(model.embed(""))(z, 261)


@torch.no_grad()
def test_a_map_does_not_depend_on_what_was_asked_beside_it(model, plain, z):
    alone = extract_latents(model, {261: z}, taps="mid")["mid", 261].tensor
    beside = extract_latents(model, {261: z}, taps=["mid", "up1"])["mid", 261].tensor
    without = extract_latents(plain, {261: z}, taps="mid")["mid", 261].tensor
    assert torch.equal(alone, beside)
    assert torch.equal(alone, without)  # nothing is scaled before the way up


def test_a_loss_on_a_copy_reaches_the_latent_as_without_the_switch(model, plain, z):
    gradients = []
    for one in (model, plain):
        given = z.clone().requires_grad_()
        with capture(one.unet, {"mid": "mid_block"}) as found:
            run(one, given)
        gradients += torch.autograd.grad(found["mid"].square().sum(), given)
    assert torch.equal(*gradients)


@torch.no_grad()
def test_a_reduction_is_given_what_the_module_returned(model, plain, z):
    seen = []
    for one in (model, plain):
        with capture(one.unet, {"mid": "mid_block"}, reduce=lambda _, found: found.mean(1)) as kept:
            run(one, z)
        seen.append(kept["mid"])
    assert torch.equal(*seen)


@torch.no_grad()
def test_a_switch_that_is_turned_inside_the_block_is_seen_at_the_next_call(plain, z):
    model = replace(plain, unet=deepcopy(plain.unet))
    with capture(model.unet, {"mid": "mid_block"}) as found:
        run(model, z)
        model.unet.enable_freeu(**FREEU)
        run(model, z)
        model.unet.disable_freeu()
        run(model, z)
    first, second, third = found.all("mid")
    assert torch.equal(first, second)
    assert torch.equal(first, third)
    assert not is_rewritten(model.unet)


@torch.no_grad()
def test_a_tensor_that_is_written_stays_as_it_was_given(model, z):
    with capture(model.unet, {"mid": "mid_block"}) as found:
        run(model, z)
    written = found["mid"] + 1
    own = written.clone()
    with inject(model.unet, {"mid_block": written}):
        once, again = run(model, z), run(model, z)
    assert torch.equal(written, own)
    assert torch.equal(once, again)


@torch.inference_mode()
def test_what_torch_counts_nothing_of_is_copied(plain, z):
    paths = self_attention_paths(plain.unet, ["up_blocks.1"])
    with (
        capture(plain.unet, {"in": "conv_in"}) as found,
        record_attention(plain.unet, paths) as record,
    ):
        seen = []
        handle = plain.unet.conv_in.register_forward_hook(lambda _, given, out: seen.append(out))
        run(plain, z)
        handle.remove()
    own = found["in"].clone()
    seen[0].mul_(2)
    assert torch.equal(found["in"], own)
    assert record.calls(paths[0])[0].is_inference()


class Rewriting(nn.Module):
    """Returns the same memory at every call."""

    def __init__(self):
        super().__init__()
        self.memory = torch.zeros(2)

    def forward(self, x):
        return self.memory.copy_(x)


def test_what_is_written_in_the_forward_is_refused_by_name_with_a_way_to_read_it():
    network = nn.Sequential(nn.Identity(), nn.Linear(2, 2), nn.ReLU(inplace=True))
    x = torch.tensor([[-5.0, 5.0]])
    with (
        torch.no_grad(),
        pytest.raises(CaptureError, match=f"tap 'a' {WRITTEN}; reduce=lambda name, activation"),
        capture(network, {"a": "1"}),
    ):
        network(x)
    with torch.no_grad(), capture(network, {"a": "1"}, reduce=lambda _, found: found.clone()) as ok:
        network(x)
    assert torch.equal(ok["a"], network[1](x))


def test_what_a_later_call_writes_to_is_refused_when_it_is_read():
    network = nn.Sequential(Rewriting())
    with capture(network, {"a": "0"}) as found:
        network(torch.ones(2))
    assert torch.equal(found["a"], torch.ones(2))
    network(torch.zeros(2))
    with pytest.raises(CaptureError, match=f"tap 'a' {WRITTEN}"):
        found["a"]


def test_an_injected_tensor_that_a_network_writes_to_is_refused_by_name():
    network = nn.Sequential(nn.Identity(), nn.ReLU(inplace=True))
    with (
        pytest.raises(CaptureError, match=rf"the tensor for '0' {WRITTEN}; give lambda activation"),
        inject(network, {"0": torch.tensor([-1.0])}),
    ):
        network(torch.zeros(1))


class Broken(Rewriting):
    """Returns the same memory twice and stops."""

    def forward(self, x):
        super().forward(x)
        raise ZeroDivisionError("ours")


def test_another_exception_is_not_covered_by_what_was_written():
    network = nn.Sequential(nn.Identity(), nn.ReLU(inplace=True), Broken())
    with pytest.raises(ZeroDivisionError, match="ours"), capture(network, {"a": "0"}):
        network(torch.tensor([-1.0, 1.0]))
