"""Networks as other libraries change them: what is read is what the network then computes."""

from copy import deepcopy

import pytest
import torch
from peft import LoraConfig
from reduced import reduced_configs

import featurekit as fk
from featurekit.backbones.unet import sd
from featurekit.core.errors import CaptureError

TAP = "up_blocks.1"


@pytest.fixture(scope="module")
def kept():
    return sd.build("sd15", reduced_configs("sd15"), device="cpu", seed=1)


@pytest.fixture
def model(kept):
    return deepcopy(kept)


@pytest.fixture(scope="module")
def z():
    return torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def answered(model, z):
    """What the network answers, what capture reads at a block, what a plain hook sees there."""
    seen = []
    block = model.unet.get_submodule(TAP)
    handle = block.register_forward_hook(lambda *given: seen.append(given[2].clone()))
    with fk.capture(model.unet, {"up1": TAP}) as captured:
        answer = model.predictor(model.embed("a cat"))(z, 261)
    handle.remove()
    return answer, captured["up1"], seen[0]


ADAPTERS = {"LoRA": {}, "DoRA": {"use_dora": True}, "rsLoRA": {"use_rslora": True}}


@pytest.mark.parametrize("words", ADAPTERS.values(), ids=ADAPTERS)
def test_an_adapter_is_read_fused_and_switched_off(model, z, words):
    plain = answered(model, z)
    net = model.unet
    net.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"], **words), "style")
    generator = torch.Generator().manual_seed(0)
    for name, weight in net.named_parameters():
        if "lora_B" in name:
            weight.data = torch.randn(weight.shape, generator=generator) * 0.3
    adapted = answered(model, z)
    assert torch.equal(adapted[1], adapted[2])
    assert (adapted[1] - plain[1]).abs().max() > 1e-3
    net.disable_adapters()
    off = answered(model, z)
    torch.testing.assert_close(off[1], plain[1], atol=1e-5, rtol=1e-5)
    net.enable_adapters()
    net.fuse_lora()
    fused = answered(model, z)
    assert torch.equal(fused[1], fused[2])
    torch.testing.assert_close(fused[1], adapted[1], atol=1e-4, rtol=1e-4)


def test_fused_projections_change_no_block_and_come_apart_again(model, z):
    plain = answered(model, z)
    model.unet.fuse_qkv_projections()
    fused = answered(model, z)
    torch.testing.assert_close(fused[1], plain[1], atol=1e-5, rtol=1e-5)
    for word in ("self_q", "cross_k"):
        with (
            pytest.raises(CaptureError, match="fuse_qkv_projections"),
            fk.capture(model.unet, model.addresses(word)),
        ):
            pass
    model.unet.unfuse_qkv_projections()
    assert torch.equal(answered(model, z)[1], plain[1])


def test_slicing_and_tiling_of_the_autoencoder_are_as_diffusers_has_them(model):
    image = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        plain = model.encode(image)
        model.vae.enable_slicing()
        torch.testing.assert_close(model.encode(image), plain, atol=1e-5, rtol=1e-5)
        model.vae.enable_tiling()
        model.vae.tile_sample_min_size, model.vae.tile_latent_min_size = 64, 8
        scale = model.vae.config.scaling_factor
        expected = model.vae.encode(model_padded(model, image)).latent_dist.mean * scale
        torch.testing.assert_close(model.encode(image), expected)
        with fk.capture(model.vae, {"conv": "encoder.conv_in"}) as captured:
            model.encode(image)
    with pytest.raises(CaptureError, match="fired"):
        captured["conv"]


def model_padded(model, image):
    """An image as encode pads it: 96 px are a whole multiple or grow by reflection."""
    more = -image.shape[-1] % model.multiple
    return torch.nn.functional.pad(image, (0, more, 0, more), mode="reflect")


def test_a_forward_that_is_compiled_is_told_and_not_read(model):
    compiled = torch.compile(model.unet)
    with pytest.raises(CaptureError, match="uncompiled"), fk.capture(compiled, {"up1": TAP}):
        pass
