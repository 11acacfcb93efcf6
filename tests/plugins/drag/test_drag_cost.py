"""What a drag will cost: counted in calls of the network, one of which is measured."""

import gc
from dataclasses import replace

import pytest
import torch
from live_bytes import LiveBytes, peak_bytes
from small_text_encoders import with_text
from small_transformers import SMALL
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from featurekit.backbones import load
from featurekit.backbones.lora import LoraRecipe
from featurekit.diffusion.denoising_objective import denoising_objective
from featurekit.scenes import held_out_moves
from featurekit_drag.cost import (
    FILMING,
    FURTHER_ROW,
    HELD_WITHOUT_GRADIENTS,
    LORA_ROW,
    MEASURING,
    PASSES,
    PIXEL_BYTES,
    PLANNED_BYTES,
    UPDATE,
    WRITING,
    Call,
    Cost,
    Pixels,
    cost_of,
    cost_of_warp,
    measured_call,
    timed_call,
    with_pixels,
)
from featurekit_drag.engine.settings import DragSettings, RedrawSettings, Rule, WarpSettings
from featurekit_drag.inputs import from_move
from featurekit_drag.redraw.warp_drag import WarpDrag

SETTINGS = DragSettings(rule=Rule(updates=80), steps=50, strength=0.7, animation_frames=8)
LORA = LoraRecipe(rank=8, steps=80, batch=4)
CALL = Call(0.1, 10**7)


@pytest.fixture(scope="module")
def backbone():
    return load("embedded", device="cpu")


def test_each_part_costs_its_calls(backbone):
    cost = cost_of(CALL, backbone, SETTINGS, LORA)
    assert cost.parts["LoRA"] == pytest.approx(0.1 * 80 * 4 * LORA_ROW)
    assert cost.parts["inversion"] == pytest.approx(0.1 * 35)
    assert cost.parts["motion supervision at most"] == pytest.approx(0.1 * 80 * UPDATE)
    film = 1 + 8 * FURTHER_ROW
    assert cost.parts["denoising"] == pytest.approx(0.1 * (35 * (1 + FURTHER_ROW) + film))
    still = cost_of(CALL, backbone, replace(SETTINGS, animation_frames=0), LORA, inverted=True)
    assert still.parts["denoising"] == pytest.approx(0.1 * 35 * (1 + FURTHER_ROW))
    assert still.parts["inversion"] == 0
    assert cost.seconds > sum(cost.parts.values())


def test_guidance_doubles_all_but_the_lora_which_may_be_at_hand(backbone):
    plain = cost_of(CALL, backbone, SETTINGS, LORA)
    guided = cost_of(CALL, backbone, replace(SETTINGS, guidance=2.0), replace(LORA, steps=0))
    assert guided.parts["LoRA"] == 0
    assert guided.parts["inversion"] == 2 * plain.parts["inversion"]
    assert (
        guided.parts["motion supervision at most"] == 2 * plain.parts["motion supervision at most"]
    )
    assert guided.parts["denoising"] == 2 * plain.parts["denoising"]


def test_the_line_for_a_person_has_time_and_memory(backbone):
    line = str(cost_of(CALL, backbone, SETTINGS, LORA))
    assert line.startswith("by one call of the network at this size, the drag takes about 2 min ")
    assert "(LoRA 80 s, inversion 3.5 s, motion supervision at most 11 s, denoising 6.8 s)" in line
    assert line.endswith("and about 88 MB beside the model")
    large = replace(cost_of(CALL, backbone, SETTINGS, LORA), bytes=2_500_000_000)
    assert str(large).endswith("and about 2.5 GB beside the model")


def test_what_a_call_keeps_grows_with_the_area_and_holds_what_a_fit_of_lora_keeps(backbone):
    small, large = (measured_call(backbone, torch.zeros(1, 3, side, side)) for side in (32, 64))
    assert 3.5 < large.kept_bytes / small.kept_bytes < 4.5
    assert small.seconds > 0
    kept, own = {}, {one.untyped_storage().data_ptr() for one in backbone.unet.parameters()}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.no_grad():
        moments = backbone.moments(torch.zeros(1, 3, 64, 64))
    objective = denoising_objective(backbone, moments, backbone.embed(""), 4)
    backbone.unet.requires_grad_(True)  # more than LoRA asks for
    try:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            objective(torch.Generator().manual_seed(0))
    finally:
        backbone.unet.requires_grad_(False)
    live = sum(kept.values())
    estimate = cost_of(large, backbone, SETTINGS, LORA).bytes
    assert 0.9 * live < estimate < 3 * live, (live, estimate)


def test_a_planned_drag_is_told_by_its_rows_its_units_and_what_measuring_it_takes(backbone):
    call = measured_call(backbone, torch.zeros(1, 3, 64, 48))
    assert call.units == 64 * 48  # of a quarter of a cell each
    few, many = (
        cost_of_warp(call, backbone, WarpSettings(redraw=RedrawSettings(candidates=count))).bytes
        for count in (1, 64)
    )
    planned = PLANNED_BYTES * call.units
    assert few == round(MEASURING * call.kept_bytes) + planned
    assert many == pytest.approx(HELD_WITHOUT_GRADIENTS * 65 * call.kept_bytes + planned, abs=1)


def test_a_transformer_is_timed_without_gradients(monkeypatch):
    backbone = with_text("flux_schnell", SMALL["flux_schnell"]()).wrapped()
    asked = []
    monkeypatch.setattr(
        type(backbone),
        "velocity",
        lambda self, z, *_: asked.append(torch.is_grad_enabled()) or z,
    )
    call = timed_call(backbone, torch.zeros(1, 3, 64, 48))
    assert call.seconds > 0
    assert asked == [False, False]
    assert call.units == 16 * 12  # of a quarter of a token each
    cost = cost_of_warp(call, backbone, WarpSettings(redraw=RedrawSettings(attention=())))
    assert cost.bytes == PLANNED_BYTES * call.units
    assert str(cost).endswith("beside the model and what its calls hold")


def test_rows_without_gradients_hold_what_is_told_of_them(backbone):
    call = measured_call(backbone, torch.zeros(1, 3, 64, 64))
    predict = backbone.predictor(backbone.embed(""))
    z = backbone.encode(torch.zeros(1, 3, 64, 64)).repeat(5, 1, 1, 1)
    with torch.no_grad():
        held = peak_bytes(lambda: predict(z, 500))
    assert 0.8 * held < 5 * HELD_WITHOUT_GRADIENTS * call.kept_bytes < 1.5 * held


def test_measuring_leaves_no_gradient_and_no_random_state(backbone):
    state = torch.random.get_rng_state()
    measured_call(backbone, torch.zeros(1, 3, 32, 32))
    assert all(one.grad is None for one in backbone.unet.parameters())
    assert torch.equal(torch.random.get_rng_state(), state)


def test_pixels_are_told_by_pictures_and_frames_whatever_the_network_sees():
    plain = Cost({"plan": 1.0}, 2.0, 100)
    small = with_pixels(plain, Pixels(10**6, pictures=1, seconds=1e-9))
    assert small.parts == {"plan": 1.0, "pixels": pytest.approx(1e-3 * (PASSES + WRITING))}
    assert small.seconds == pytest.approx(3 + small.parts["pixels"])
    assert small.bytes == 100 + PIXEL_BYTES * 10**6
    many = with_pixels(plain, Pixels(10**6, pictures=5, frames=2, seconds=1e-9))
    more = many.parts["pixels"] - small.parts["pixels"]
    assert more == pytest.approx(1e-3 * (4 * WRITING + 2 * FILMING))
    filmed, still = (Pixels(10**8, frames=count).passes for count in (3, 0))
    assert filmed - still == 3 * FILMING * 1024**2  # of what a screen shows
    assert with_pixels(plain, Pixels(10**8, seconds=1e-9)).seconds > 50


class Passes(TorchDispatchMode):
    """Counts the numbers that large results hold."""

    def __init__(self, least):
        super().__init__()
        self.least, self.numbers = least, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for one in tree_leaves(result):
            if torch.is_tensor(one) and one.numel() >= self.least:
                self.numbers += one.numel()
        return result


@pytest.mark.parametrize("side", [512, 1536])
def test_what_is_told_of_pixels_follows_what_a_drag_holds_and_goes_over(backbone, side):
    request = from_move(held_out_moves(1, deforms=False)[0], size=side, seed=0).request
    redraw = RedrawSettings(steps=2, candidates=1)
    drag = WarpDrag(backbone, WarpSettings(redraw=redraw, side_px=64))
    with LiveBytes() as live:
        drag(request)
    held = live.peak + 16 * side**2  # picture and mask
    assert 0.5 * held < PIXEL_BYTES * side**2 < 2 * held
    with Passes(side**2 // 4) as counted:
        drag(request)
    passes = counted.numbers / 3 / side**2  # of three channels; some cost as much as five others
    assert 0.2 * PASSES / 2 < passes < 0.2 * PASSES * 2


def test_a_measured_call_leaves_no_graph_behind():
    """What saved-tensor hooks return is held by the graph: the tensor itself would hold it back."""
    backbone, image = load("embedded"), torch.zeros(1, 3, 64, 64)

    def graphs():
        gc.collect()
        held = [one for one in gc.get_objects() if type(one) is torch.Tensor]
        return sum(one.grad_fn is not None for one in held)

    before = graphs()
    measured_call(backbone, image)
    assert graphs() == before
