"""inject: what is written is what the network goes on with, and nothing is left behind."""

import pytest
import torch
from reduced import reduced_configs
from torch import nn

from featurekit.backbones.unet import sd
from featurekit.core.errors import CaptureError, ConfigError, ShapeError, UnknownNameError
from featurekit.taps.capture import capture
from featurekit.taps.inject import inject

CONV = "up_blocks.1.resnets.1.conv2"
EVERY = [
    "conv_in",
    "up_blocks.1",
    "up_blocks.1.resnets.1",
    "up_blocks.1.resnets.1:in",
    CONV,
    "up_blocks.1:skip2",
    "up_blocks.1.attentions.0",
    "up_blocks.1.attentions.0.transformer_blocks.0",
    "up_blocks.1.attentions.0.transformer_blocks.0.attn1",
    "up_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k",
    "up_blocks.1.attentions.0.transformer_blocks.0.ff.net.0",
    "up_blocks.1.upsamplers.0",
]


@pytest.fixture(scope="module")
def model():
    return sd.build("sd15", reduced_configs("sd15"), device="cpu")


@pytest.fixture(scope="module")
def run(model):
    latent = torch.randn(1, 4, 8, 16, generator=torch.Generator().manual_seed(0))
    states = model.embed("a face")

    def call(z=latent):
        return model.predictor(states)(z, 261)

    call.latent = latent
    return call


@pytest.fixture(autouse=True)
def nothing_left(model, run):
    with torch.no_grad():
        expected = run()
    yield
    parts = list(model.unet.modules())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in parts)
    with torch.no_grad():
        assert torch.equal(run(), expected)


@torch.no_grad()
@pytest.mark.parametrize("address", EVERY)
def test_what_is_written_is_what_is_read_there_and_what_follows_changes(model, run, address):
    plain = run()
    with capture(model.unet, {"tap": address}) as own:
        run()
    written = own["tap"] * 1.5 + 0.1
    with inject(model.unet, {address: written}), capture(model.unet, {"tap": address}) as found:
        changed = run()
    assert found["tap"] is written
    assert not torch.equal(changed, plain)


@torch.no_grad()
@pytest.mark.parametrize("address", EVERY)
def test_writing_what_was_computed_changes_nothing(model, run, address):
    plain = run()
    with inject(model.unet, {address: lambda activation: activation.clone()}):
        assert torch.equal(run(), plain)


@torch.no_grad()
def test_a_branch_of_zero_leaves_what_the_resnet_was_given(model, run):
    resnet = "up_blocks.1.resnets.1"
    taps = {"in": f"{resnet}:in", "out": resnet}
    shortcut = model.unet.get_submodule(resnet).conv_shortcut
    with inject(model.unet, {CONV: torch.zeros_like}), capture(model.unet, taps) as found:
        run()
    torch.testing.assert_close(found["out"], shortcut(found["in"]))


@torch.no_grad()
def test_features_of_one_run_carry_into_another(model, run):
    with capture(model.unet, {"conv": CONV}) as source:
        run()
    other = run.latent.flip(-1)
    with (
        inject(model.unet, {CONV: source["conv"]}),
        capture(model.unet, {"out": "up_blocks.1.resnets.1.conv2"}) as found,
    ):
        run(other)
    assert found["out"] is source["conv"]


@torch.no_grad()
def test_a_capture_around_the_block_reads_what_was_computed(model, run):
    with (
        capture(model.unet, {"own": CONV}) as outer,
        inject(model.unet, {CONV: torch.zeros_like}),
        capture(model.unet, {"own": CONV}) as inner,
    ):
        run()
    assert outer["own"].abs().max() > 0
    assert inner["own"].abs().max() == 0


def test_gradients_pass_through_a_callable_and_reach_a_tensor(model, run):
    z = run.latent.clone().requires_grad_()
    with inject(model.unet, {CONV: lambda activation: 2 * activation}):
        run(z).square().sum().backward()
    assert z.grad.abs().max() > 0
    with torch.no_grad(), capture(model.unet, {"conv": CONV}) as own:
        run()
    written = own["conv"].clone().requires_grad_()
    with inject(model.unet, {CONV: written}):
        run().square().sum().backward()
    assert written.grad.abs().max() > 0


# refusals


@torch.no_grad()
@pytest.mark.parametrize(
    ("written", "message"),
    [
        (torch.zeros(1, 2, 3), r"must have the shape of the activation \(1, \d+, .*got \(1, 2, 3"),
        (lambda found: found[:, :-1], "must have the shape of the activation"),
        (lambda found: found.double(), r"must be torch\.float32 on cpu, .* got torch\.float64"),
        (lambda found: None, "must be a tensor, got a NoneType"),
    ],
)
def test_what_does_not_fit_is_refused(model, run, written, message):
    with pytest.raises(ShapeError, match=message), inject(model.unet, {CONV: written}):
        run()


@torch.no_grad()
def test_an_exception_inside_the_block_passes_through(model, run):
    with pytest.raises(ZeroDivisionError, match="zero"), inject(model.unet, {CONV: torch.zeros(1)}):
        1 / 0  # noqa: B018 - raised on purpose


def test_an_address_of_nothing_is_refused_before_anything_is_hooked(model):
    with (
        pytest.raises(UnknownNameError, match=r"no submodule named 'up_blocks\.1\.resnets\.9'"),
        inject(model.unet, {CONV: torch.zeros(1), "up_blocks.1.resnets.9": torch.zeros(1)}),
    ):
        pass


@torch.no_grad()
def test_an_injection_that_never_happens_is_no_silence(model, run):
    with pytest.raises(CaptureError, match=f"'{CONV}' never was"), inject(model.unet, {CONV: abs}):
        pass
    with (
        pytest.raises(CaptureError, match="do not leave it earlier"),
        inject(model.unet, {CONV: abs}),
        capture(model.unet, {"mid": "mid_block"}, stop_after=True),
    ):
        run()


def test_what_is_no_mapping_is_refused_with_the_way_to_one(model):
    with (
        pytest.raises(ConfigError, match=r"written by address, got list; backbone\.addresses\("),
        inject(model.unet, ["up1"]),
    ):
        pass
    with pytest.raises(CaptureError, match="must be a torch module, got Stable"), inject(model, {}):
        pass


def test_any_network_will_do():
    network = nn.Sequential(nn.Identity(), nn.Identity())
    with inject(network, {"0": lambda found: found + 1}):
        assert network(torch.ones(1)).item() == 2
