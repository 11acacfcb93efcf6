"""The middle block as variable: the same numbers as the whole network, at a part of its cost."""

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from featurekit.backbones import load
from featurekit.backbones.lora import LoraRecipe
from featurekit.backbones.unet import sd
from featurekit.core.types import Stop
from featurekit.diffusion.invert import invert
from featurekit.diffusion.sample import sample
from featurekit.taps.inject import inject
from featurekit_drag.engine.composition import Composition
from featurekit_drag.engine.drag import Drag
from featurekit_drag.engine.outside.choice import LatentMask
from featurekit_drag.engine.points import read_points
from featurekit_drag.engine.request import Request
from featurekit_drag.engine.settings import DragSettings, Rule
from featurekit_drag.engine.variables.bottleneck import put_into
from featurekit_drag.engine.variables.encoder_path import encoder_path, recalled

SETTINGS = DragSettings(
    rule=Rule(updates=3, learning_rate=0.1), variable="bottleneck", identity=(), steps=6
)


@pytest.fixture(scope="module")
def backbone():
    return load("random", device="cpu")


def parts_of(backbone, settings):
    conditioning = backbone.embed("a disc")
    predict = backbone.predictor(conditioning, guidance=settings.guidance)
    return Composition(backbone, settings, conditioning, predict)


def latent(backbone, side=8):
    shape = (1, backbone.latent_channels, side, side)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("guidance", [1.0, 2.0])
@pytest.mark.parametrize("mask", [None, LatentMask(torch.ones(1, 1, 8, 8))])
def test_beginning_at_the_decoder_reads_and_derives_what_the_whole_network_would(
    backbone, guidance, mask
):
    settings = DragSettings(variable="bottleneck", identity=(), steps=6, guidance=guidance)
    parts, z = parts_of(backbone, settings), latent(backbone)
    variable = parts.model(mask).variable(4, z)
    assert len(variable.start) == (2 if guidance != 1 else 1)
    whole = parts.reader(4, mask)(z)
    found = variable.read(variable.start)
    assert torch.equal(found.field, whole.field)
    changed = (variable.start + 0.1).requires_grad_()
    loss = variable.read(changed).field.square().mean()
    (gradient,) = torch.autograd.grad(loss, changed)
    again = (variable.start + 0.1).requires_grad_()
    with inject(backbone.unet, {"mid_block": again}):
        expected = parts.reader(4, mask)(z).field.square().mean()
    assert torch.equal(expected, loss)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, again)[0])


def test_the_network_is_whole_again_after_a_recall_also_when_it_fails(backbone):
    unet, z = backbone.unet, latent(backbone)
    predict = backbone.predictor(backbone.embed(""))
    own = [id(module) for module in unet.modules()]
    path = encoder_path(unet, lambda: predict(z, 501))
    with pytest.raises(KeyboardInterrupt), recalled(unet, path, path.middle):
        raise KeyboardInterrupt
    assert [id(module) for module in unet.modules()] == own
    assert not any(module._forward_hooks for module in unet.modules())
    assert all(parameter.grad is None for parameter in unet.parameters())


def test_on_the_shape_of_sd_an_update_costs_87_hundredths_of_a_forward():
    backbone = sd.from_config("sd15", device="meta")
    z = torch.zeros(1, 4, 64, 64, device="meta")
    words = torch.zeros(1, 77, 768, device="meta")

    def predict(z, t):
        return backbone.unet(z, torch.tensor(t), encoder_hidden_states=words, return_dict=False)[0]

    with torch.no_grad(), FlopCounterMode(display=False) as whole:
        predict(z, 681)
    assert whole.get_total_flops() == pytest.approx(0.8033e12, rel=1e-3)
    settings = DragSettings(variable="bottleneck", identity=())
    variable = Composition(backbone, settings, None, predict).model(None).variable(35, z)
    value = variable.start.clone().requires_grad_()
    with FlopCounterMode(display=False) as update:
        variable.read(value).field.sum().backward()
    assert update.get_total_flops() / whole.get_total_flops() == pytest.approx(0.87, abs=0.02)


def request_for(mask=None):
    picture = torch.rand(1, 3, 32, 40, generator=torch.Generator().manual_seed(0))
    points = read_points([[12, 12, 24, 16]], height=32, width=40)
    return Request(picture * 1.8 - 0.9, points, mask)


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_the_bottleneck_stands_in_every_later_step_and_the_latent_is_unmoved(backbone, guidance):
    settings = replace(SETTINGS, guidance=guidance, animation_frames=2)
    drag, request = Drag(backbone, settings, LoraRecipe(steps=0)), request_for()
    edit = drag(request)
    dragged = edit.dragged
    assert dragged.stop is Stop.MAX_UPDATES
    assert len(edit.frames) == 2
    predict = backbone.predictor(backbone.embed(""), guidance=guidance)
    with torch.no_grad():
        path = invert(predict, backbone.encode(request.image), drag.schedule, until=drag.level)
        assert torch.equal(dragged.latent, path.at(drag.level))
        with inject(backbone.unet, {"mid_block": dragged.bottleneck}):
            clean = sample(predict, dragged.latent, drag.schedule, start=drag.level)
        expected = backbone.decode(clean)[..., :32, :40].clamp(-1, 1)
        plain = sample(predict, dragged.latent, drag.schedule, start=drag.level)
    assert torch.equal(edit.image, expected)
    assert not torch.equal(clean, plain)


def test_of_a_group_of_rows_only_the_last_gets_the_bottleneck(backbone):
    z = latent(backbone).repeat(2, 1, 1, 1)
    predict = backbone.predictor(backbone.embed("a disc"), guidance=2.0)
    with torch.no_grad():
        plain = predict(z, 501)
        bottleneck = encoder_path(backbone.unet, lambda: predict(z[:1], 501)).middle * 0
        with put_into(backbone.unet, bottleneck, rows=2):
            changed = predict(z, 501)
    torch.testing.assert_close(changed[0], plain[0], rtol=1e-4, atol=1e-5)
    assert (changed[1] - plain[1]).abs().max() > 1e-4


def test_the_price_of_change_reaches_the_bottleneck(backbone):
    mask = torch.zeros(1, 1, 32, 40)
    mask[..., 8:20, 8:28] = 1
    free, priced = (
        Drag(backbone, settings, LoraRecipe(steps=0))(request_for(mask)).dragged
        for settings in (
            replace(SETTINGS, rule=Rule(updates=3, mask_weight=weight)) for weight in (0.0, 10.0)
        )
    )
    assert priced.trace[0] == pytest.approx(free.trace[0])  # nothing has changed yet
    assert priced.trace[1] > free.trace[1]
    assert not torch.equal(free.bottleneck, priced.bottleneck)
