"""An edit leaves nothing behind: networks, random states and the request are as they were."""

import random
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch

from featurekit.backbones import load
from featurekit.backbones.lora import LoraRecipe
from featurekit_drag.engine.drag import Drag
from featurekit_drag.engine.points import read_points
from featurekit_drag.engine.request import Request
from featurekit_drag.engine.settings import DragSettings, Rule

SETTINGS = DragSettings(rule=Rule(updates=2), steps=6)
RECIPE = LoraRecipe(rank=2, alpha=2, learning_rate=1e-2, steps=2, batch=1)
STAGES = ["LoRA on the image", "inversion", "motion supervision", "denoising", "animation"]


@pytest.fixture(scope="module")
def backbone():
    return load("random", device="cpu")


def request_for(height, width, *, mask=None):
    rows = [[width * 0.4, height * 0.4, width * 0.6, height * 0.6]]
    points = read_points(rows, height=height, width=width)
    picture = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    return Request(picture * 1.8 - 0.9, points, mask)


def breaking(stage_to_break):
    """A stage that fails after its first unit of work if it has that name."""

    @contextmanager
    def stage(name):
        def progress(done, total):
            if name == stage_to_break:
                raise KeyboardInterrupt(f"in {name}")

        yield progress

    return stage


def condition_of(backbone):
    """Everything of the networks that an edit could leave changed."""
    unet = backbone.unet
    networks = (unet, backbone.vae, backbone.text_encoder)
    modules = [module for network in networks for module in network.modules()]
    parameters = [p for network in networks for p in network.parameters()]
    return {
        "modules": list(unet.named_modules()),
        "processors": unet.attn_processors,
        "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules],
        "attributes": sorted(vars(unet)),
        "modes": [module.training for module in modules],
        "flags": [p.requires_grad for p in parameters],
        "gradients": [p.grad for p in parameters],
        "weights": sum(float(p.detach().double().sum()) for p in parameters),
    }


@pytest.fixture
def unchanged(backbone):
    """The networks and every global random state are afterwards what they were before."""
    before = condition_of(backbone)
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    yield
    assert condition_of(backbone) == before
    assert not any(before["hooks"])
    assert all(gradient is None for gradient in before["gradients"])
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert np.random.get_state()[1].tolist() == states[2]


@pytest.mark.parametrize("guidance", [1.0, 2.0])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.usefixtures("unchanged")
def test_a_whole_edit_leaves_the_networks_and_random_states_alone(backbone, guidance, masked):
    mask = torch.ones(1, 1, 20, 31) if masked else None
    settings = replace(SETTINGS, guidance=guidance, residuals=True, animation_frames=2)
    Drag(backbone, settings, RECIPE)(request_for(20, 31, mask=mask))


@pytest.mark.parametrize("broken", STAGES)
@pytest.mark.usefixtures("unchanged")
def test_an_interrupt_in_any_stage_leaves_the_networks_clean(backbone, broken):
    drag = Drag(backbone, replace(SETTINGS, residuals=True, animation_frames=2), RECIPE)
    with pytest.raises(KeyboardInterrupt, match=f"in {broken}"):
        drag(request_for(32, 32), stage=breaking(broken))


@pytest.mark.parametrize("path", ["up_blocks.2", "up_blocks.3.attentions.0", "mid_block"])
@pytest.mark.parametrize("masked", [False, True])
def test_a_failure_inside_the_network_leaves_it_clean(backbone, path, masked):
    before, calls = condition_of(backbone), []

    def fail(module, inputs):
        calls.append(path)
        if len(calls) == 9:  # 2 of the LoRA, 4 of the inversion, then looks or denoising
            raise RuntimeError("out of memory")

    handle = backbone.unet.get_submodule(path).register_forward_pre_hook(fail)
    mask = torch.ones(1, 1, 32, 32) if masked else None
    try:
        with pytest.raises(RuntimeError, match="out of memory"):
            Drag(backbone, SETTINGS, RECIPE)(request_for(32, 32, mask=mask))
    finally:
        handle.remove()
    assert condition_of(backbone) == before


def test_the_global_random_state_does_not_reach_the_result(backbone):
    drag, images = Drag(backbone, SETTINGS, RECIPE), []
    with torch.random.fork_rng(devices=[]):
        for seed in (0, 1):
            torch.manual_seed(seed)
            images.append(drag(request_for(32, 32)).image)
    assert torch.equal(*images)


def test_the_request_is_not_changed(backbone):
    mask = torch.zeros(1, 1, 20, 31)
    mask[..., 5:10, 7:15] = 1
    request = request_for(20, 31, mask=mask)
    given = request.image, request.mask, request.points.handles, request.points.targets
    copies = [tensor.clone() for tensor in given]
    Drag(backbone, replace(SETTINGS, composite=True), RECIPE)(request)
    assert all(torch.equal(a, b) for a, b in zip(copies, given, strict=True))
