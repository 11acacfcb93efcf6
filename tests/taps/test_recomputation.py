"""Gradient checkpointing: gradients are those of the network as it ran, whenever they are taken."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from featurekit.backbones import random
from featurekit.backbones.lora import Lora, LoraRecipe, applied
from featurekit.core.errors import CaptureError
from featurekit.taps.attention_maps import attention_maps
from featurekit.taps.attention_sharing import (
    record_attention,
    replay_attention,
    self_attention_paths,
    share_attention,
)
from featurekit.taps.capture import capture
from featurekit.taps.inject import inject

CONV = "up_blocks.1.resnets.1.conv2"  # inside a part that is checkpointed
BLOCK = "up_blocks.1.attentions.0.transformer_blocks.0"  # one that is checkpointed
Q = f"{BLOCK}.attn1.to_q"


def pooled(name, activation):
    return activation.square().mean((-1, -2))


def update(unet):
    width, generator = unet.get_submodule(Q).in_features, torch.Generator().manual_seed(1)
    halves = {".lora_A.weight": (2, width), ".lora_B.weight": (width, 2)}
    names = {Q + end: torch.randn(*size, generator=generator) for end, size in halves.items()}
    return Lora(names, LoraRecipe(rank=2, alpha=2))


@pytest.fixture(scope="module")
def plain():
    return random.load("cpu", seed=3)


@pytest.fixture(scope="module")
def checkpointed(plain):
    model = replace(plain, unet=deepcopy(plain.unet))
    model.unet.enable_gradient_checkpointing()
    functions = {
        part: vars(part).get("_gradient_checkpointing_func") for part in model.unet.modules()
    }
    yield model
    for part, own in functions.items():
        assert vars(part).get("_gradient_checkpointing_func") is own
        assert not part._forward_hooks
        assert not part._forward_pre_hooks


@pytest.fixture(scope="module")
def record(plain):
    paths = self_attention_paths(plain.unet, ["up_blocks.1"])
    with torch.no_grad(), record_attention(plain.unet, paths) as found:
        noise = torch.randn(1, plain.latent_channels, 8, 8, generator=torch.Generator())
        for t in (261, 261):
            plain.predictor(plain.embed(""))(noise, t)
            noise = noise * 0.5
    return found


@pytest.fixture
def edits(record):
    paths = record.paths
    return {
        "inject": lambda unet: inject(unet, {CONV: lambda found: found * 1.5}),
        "share": lambda unet: share_attention(unet, paths),
        "record": lambda unet: record_attention(unet, paths),
        "replay": lambda unet: replay_attention(unet, paths, record),
        "lora": lambda unet: applied(unet, update(unet)),
        "maps": lambda unet: attention_maps(unet, {"map": f"{BLOCK}.attn1:map"}),
        "reduced": lambda unet: capture(unet, {"conv": CONV}, reduce=pooled),
    }


EDITS = ("inject", "share", "record", "replay", "lora", "maps", "reduced")


def drawn(model):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, model.latent_channels, 8, 8, generator=generator).requires_grad_()


def loss_of(model, z, calls=1):
    predict, out = model.predictor(model.embed("a face")), z
    for _ in range(calls):
        out = predict(out, 261)
    return out.square().sum()


def gradient(model, edit, *, late, calls=1):
    z = drawn(model)
    with edit(model.unet):
        loss = loss_of(model, z, calls)
        if not late:
            return torch.autograd.grad(loss, z)[0]
    return torch.autograd.grad(loss, z)[0]


@pytest.mark.parametrize("late", [False, True], ids=["inside", "after"])
@pytest.mark.parametrize("name", EDITS)
def test_the_gradient_is_that_of_the_network_as_it_ran(plain, checkpointed, edits, name, late):
    calls = 2 if name == "replay" else 1
    expected = gradient(plain, edits[name], late=True, calls=calls)
    assert torch.equal(gradient(checkpointed, edits[name], late=late, calls=calls), expected)


def test_edits_inside_each_other_are_all_part_of_it(plain, checkpointed, edits):
    def grad(model):
        z = drawn(model)
        with edits["lora"](model.unet), edits["share"](model.unet), edits["inject"](model.unet):
            loss = loss_of(model, z)
        return torch.autograd.grad(loss, z)[0]

    assert torch.equal(grad(checkpointed), grad(plain))


@pytest.mark.parametrize("name", [name for name in EDITS if name != "lora"])
def test_what_ran_before_a_block_is_computed_again_without_it(plain, checkpointed, edits, name):
    z = drawn(checkpointed)
    loss = loss_of(checkpointed, z)
    edit = edits[name]
    if name == "inject":  # which must be reached
        with edit(checkpointed.unet), torch.no_grad():
            loss_of(checkpointed, drawn(checkpointed))
            with torch.enable_grad():
                found = torch.autograd.grad(loss, z)[0]
    else:
        with edit(checkpointed.unet):
            found = torch.autograd.grad(loss, z)[0]
    expected = torch.autograd.grad(loss_of(plain, other := drawn(plain)), other)[0]
    assert torch.equal(found, expected)


def test_an_update_cannot_be_left_out_of_what_ran_before_and_says_so(checkpointed, edits):
    z = drawn(checkpointed)
    loss = loss_of(checkpointed, z)
    with (
        pytest.raises(CaptureError, match="call backward outside this block"),
        edits["lora"](checkpointed.unet),
    ):
        torch.autograd.grad(loss, z)


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("name", ["inject", "share", "replay", "lora"])
def test_a_checkpoint_of_ones_own_around_an_edited_network_is_refused(
    plain, edits, name, reentrant
):
    predict = plain.predictor(plain.embed(""))
    with (
        pytest.raises(CaptureError, match="inside a checkpoint that begins before the change"),
        edits[name](plain.unet),
    ):
        checkpoint(predict, drawn(plain), 261, use_reentrant=reentrant)


def test_an_edit_inside_a_function_that_is_checkpointed_is_computed_again(plain, edits):
    predict = plain.predictor(plain.embed("a face"))

    def whole(z):
        with edits["inject"](plain.unet):
            return predict(z, 261).square().sum()

    z = drawn(plain)
    found = torch.autograd.grad(checkpoint(whole, z, use_reentrant=False), z)[0]
    assert torch.equal(found, gradient(plain, edits["inject"], late=False))


# what was captured


def test_a_capture_read_after_backward_gives_what_fired_first(checkpointed):
    z, taps = drawn(checkpointed), {"conv": CONV, "q": Q, "block": BLOCK}
    with capture(checkpointed.unet, taps) as found:
        loss = loss_of(checkpointed, z)
        first = {name: found[name] for name in taps}
        loss.backward()
        assert all(found[name] is first[name] for name in taps)
    assert all(found[name] is first[name] for name in taps)


def test_a_recomputation_inside_another_block_is_none_of_its_calls(checkpointed):
    z = drawn(checkpointed)
    loss = loss_of(checkpointed, z)
    with capture(checkpointed.unet, {"conv": CONV}) as found:
        loss.backward()
    assert found.all("conv") == ()


def test_an_early_exit_is_not_taken_again_on_the_way_back(plain, checkpointed):
    gradients = []
    for model in (plain, checkpointed):
        z = drawn(model)
        with capture(model.unet, {"conv": CONV}, stop_after=True) as found:
            loss_of(model, z)
        gradients += torch.autograd.grad(found["conv"].square().sum(), z)
    assert torch.equal(*gradients)


@pytest.mark.parametrize("name", ["maps", "reduced"])
def test_a_loss_on_what_was_computed_of_an_activation_reaches_the_latent(
    plain, checkpointed, edits, name
):
    gradients = []
    for model in (plain, checkpointed):
        z = drawn(model)
        with edits[name](model.unet) as found:
            loss_of(model, z)
        (kept,) = found.values()
        gradients += torch.autograd.grad(kept.square().sum(), z)
    assert torch.equal(*gradients)


def test_what_is_written_to_before_the_way_back_is_refused(checkpointed):
    z, seen = drawn(checkpointed), []

    def remembered(name, activation):
        seen.append(activation)
        return activation.square().sum()

    with capture(checkpointed.unet, {"conv": CONV}, reduce=remembered) as found:
        loss_of(checkpointed, z)
    with torch.no_grad():
        seen[0].mul_(2)
    with pytest.raises(CaptureError, match="must find it unchanged on the way back"):
        found["conv"].backward()
