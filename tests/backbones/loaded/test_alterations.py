"""What has changed a network is told, however it was done; what changes no answer is not."""

from copy import deepcopy

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor2_0
from peft import LoraConfig
from reduced import reduced_configs
from torch import nn

from featurekit.backbones.loaded.alterations import altered, as_loaded, state
from featurekit.backbones.lora import LoraRecipe, applied, fit_lora
from featurekit.backbones.unet import sd
from featurekit.diffusion.denoising_objective import denoising_objective
from featurekit.features.extractor import Extractor, Sample
from featurekit.features.recipes import Recipe
from featurekit.store.picture_reader import weights_of
from featurekit.taps.attention_sharing import share_attention
from featurekit.taps.capture import capture
from featurekit.taps.inject import inject

SELF = "up_blocks.3.attentions.0.transformer_blocks.0.attn1"


@pytest.fixture(scope="module")
def kept():
    return sd.build("sd15", reduced_configs("sd15"), device="cpu", seed=1)


@pytest.fixture
def model(kept):
    """A narrow model that a test may change."""
    return deepcopy(kept)


@pytest.fixture(scope="module")
def small():
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return UNet2DConditionModel(
            block_out_channels=(8, 8),
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            layers_per_block=1,
            norm_num_groups=4,
            attention_head_dim=4,
            cross_attention_dim=8,
        )


class Doubled(AttnProcessor2_0):
    """A processor of a third party."""

    def __init__(self, strength):
        super().__init__()
        self.strength = strength


def adapter(net, scale=1.0, rank=2):
    net.add_adapter(LoraConfig(r=rank, target_modules=["to_q", "to_v"]), "style")
    generator = torch.Generator().manual_seed(0)
    for name, weight in net.named_parameters():
        if "lora_" in name:
            weight.data = torch.randn(weight.shape, generator=generator) * 0.2
    net.set_adapters("style", scale)


def fused(net):
    adapter(net)
    net.fuse_lora()


def one_number(net):
    """As peft merges adapters: neither the version counter nor the address moves."""
    weight = next(net.parameters())
    before = weight._version, weight.data_ptr()
    weight.data.view(-1)[3] += 1e-3
    assert (weight._version, weight.data_ptr()) == before


def swapped_numbers(net):
    flat = net.mid_block.resnets[0].conv1.weight.data.view(-1)
    flat[:2] = flat[:2].flip(0)


def swapped_pairs(net, apart=2):
    """Eight bytes are one word of the sums: words that change places, in a row of them or not."""
    flat = net.mid_block.resnets[0].conv1.weight.data.view(-1)
    flat[:2], flat[apart : apart + 2] = flat[apart : apart + 2].clone(), flat[:2].clone()


def updated(net):
    with torch.no_grad():
        for weight in net.parameters():
            weight.mul_(1.01)


def processor(net, strength=1.0):
    net.set_attn_processor(Doubled(strength))


def dropping(net):
    net.mid_block.resnets[0].dropout.p = 0.1
    net.train()


def nonlinearity(net):
    net.mid_block.resnets[0].nonlinearity = nn.GELU()


def epsilon(net):
    net.conv_norm_out.eps = 1e-3


def replaced(net):
    own = net.conv_out.forward
    net.conv_out.forward = lambda x: own(x) * 2


UNET = {
    "adapter": adapter,
    "scale of an adapter": lambda net: adapter(net, 0.5),
    "rank of an adapter": lambda net: adapter(net, rank=3),
    "fused adapter": fused,
    "one number": one_number,
    "swapped numbers": swapped_numbers,
    "swapped pairs": swapped_pairs,
    "swapped pairs far apart": lambda net: swapped_pairs(
        net, net.mid_block.resnets[0].conv1.weight.numel() // 2
    ),
    "optimiser": updated,
    "rounded": lambda net: net.half().float(),
    "cast": lambda net: net.half(),
    "freeu": lambda net: net.enable_freeu(s1=0.9, s2=0.2, b1=1.5, b2=1.6),
    "freeu elsewhere": lambda net: net.enable_freeu(s1=0.9, s2=0.2, b1=1.5, b2=1.5),
    "fused projections": lambda net: net.fuse_qkv_projections(),
    "processor": processor,
    "state of a processor": lambda net: processor(net, 2.0),
    "dropout": dropping,
    "another module": nonlinearity,
    "another setting": epsilon,
    "replaced forward": replaced,
    "layerwise casting": lambda net: net.enable_layerwise_casting(
        storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float32
    ),
}


# laws


def test_nothing_is_told_of_a_model_as_it_was_loaded(model):
    assert dict(model.weights) == {}
    assert model.altered("unet") == ""


@pytest.mark.parametrize("change", UNET.values(), ids=UNET)
def test_each_change_of_the_unet_is_told(model, change):
    before = weights_of(model)
    change(model.unet)
    assert list(model.weights) == ["unet"]
    assert weights_of(model) != before


def test_each_change_has_a_hash_of_its_own_the_same_in_another_model(small):
    loaded = as_loaded(small)
    hashes = {}
    for name, change in UNET.items():
        pair = [deepcopy(small), deepcopy(small)]
        for net in pair:
            change(net)
        first, second = (altered(net, loaded) for net in pair)
        assert first == second != "", name
        hashes[name] = first
    assert len(set(hashes.values())) == len(UNET)


@pytest.mark.parametrize("name", ["vae", "text_encoder"])
@pytest.mark.parametrize("change", [one_number, updated], ids=["one number", "all"])
def test_each_network_is_told_of_by_its_name(kept, name, change):
    model = deepcopy(kept)
    if name == "text_encoder" and change is updated:
        adapter_of_text(model.text_encoder)
    change(getattr(model, name))
    assert list(model.weights) == [name]
    assert weights_of(model) != weights_of(kept)


def adapter_of_text(net):
    net.add_adapter(LoraConfig(r=2, target_modules=["q_proj"]), "style")


def test_a_buffer_counts(model):
    model.text_encoder.register_buffer("shift", torch.zeros(3))
    assert list(model.weights) == ["text_encoder"]


def harmless(model):
    """Name and action of each thing that changes no answer."""
    net = model.unet

    def run():
        z = torch.zeros(1, 4, 16, 16)
        predict = model.predictor(model.embed("a cat"))
        with torch.no_grad(), capture(net, {"mid": "mid_block"}):
            predict(z, 5)
        with (
            torch.no_grad(),
            share_attention(net, [SELF], rows=1),
            inject(net, {"mid_block": lambda x: x}),
        ):
            predict(z, 5)
        model.decode(model.encode(torch.zeros(1, 3, 64, 64)))

    def switched_off():
        adapter(net)
        net.disable_adapters()

    def taken_off():
        net.delete_adapters("style")

    def freeu():
        net.enable_freeu(s1=0.9, s2=0.2, b1=1.5, b2=1.6)
        net.disable_freeu()

    def projections():
        net.fuse_qkv_projections()
        net.unfuse_qkv_projections()

    return {
        "running, reading, writing, sharing": run,
        "an adapter that is off": switched_off,
        "an adapter that is gone": taken_off,
        "FreeU that is off": freeu,
        "projections that are no longer fused": projections,
        "slicing": lambda: net.set_attention_slice("auto"),
        "checkpointing": net.enable_gradient_checkpointing,
        "training without dropout": net.train,
        "gradients": lambda: net.requires_grad_(True),
        "memory format": lambda: net.to(memory_format=torch.channels_last),
        "a hook that reads": lambda: net.register_forward_hook(lambda *_: None),
        "compiling": lambda: net.compile(),
        "moving": lambda: [setattr(p, "data", p.data.clone()) for p in net.parameters()],
    }


def test_what_changes_no_answer_is_not_told(model):
    for name, act in harmless(model).items():
        act()
        assert model.altered("unet") == "", name
    assert dict(model.weights) == {}


def test_a_change_that_is_undone_is_no_change(model):
    weight = model.unet.conv_in.weight
    before = weight.detach().clone()
    weight.data.mul_(2)
    assert model.altered("unet") != ""
    weight.data.copy_(before)
    assert model.altered("unet") == ""


def test_a_lora_of_a_block_is_told_while_the_block_lasts(model):
    words = model.embed("a cat")
    predict = model.predictor(words)
    plain = predict.fingerprint
    z = torch.ones(1, 4, 8, 8)
    objective = denoising_objective(model, (z, z), words, 2)
    seed = torch.Generator().manual_seed(0)
    lora = fit_lora(model.unet, objective, recipe=LoraRecipe(rank=2, steps=1), generator=seed)
    assert predict.fingerprint == plain
    with applied(model.unet, lora):
        assert predict.fingerprint != plain
        whole = predict.fingerprint
    with applied(model.unet, lora, strength=0.5):
        assert predict.fingerprint not in (plain, whole)
    assert predict.fingerprint == plain


def test_an_extractor_forgets_latents_and_prompts_when_their_encoders_change(model):
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    extractor = Extractor(model, Recipe(("mid",), (261,)), batch=1)

    def read():
        ((_, maps),) = extractor([Sample("a", picture, "a cat")])
        return maps["mid"].tensor

    first = read()
    assert torch.equal(read(), first)
    for network in (model.vae, model.text_encoder):
        updated(network)
        now = read()
        ((_, anew),) = Extractor(model, Recipe(("mid",), (261,)), batch=1)(
            [Sample("a", picture, "a cat")]
        )
        assert not torch.equal(now, first)
        assert torch.equal(now, anew["mid"].tensor)
        first = now


def test_only_what_differs_is_hashed(model, monkeypatch):
    hashed = []
    own = torch.Tensor.numpy
    monkeypatch.setattr(torch.Tensor, "numpy", lambda self: hashed.append(len(self)) or own(self))
    assert model.altered("unet") == ""
    assert hashed == []
    one_number(model.unet)
    assert model.altered("unet") != ""
    weight = next(model.unet.parameters())
    assert hashed == [weight.numel() * weight.element_size()]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.int8])
@pytest.mark.parametrize("count", [0, 1, 7, 8, 1023])
def test_every_byte_of_every_size_counts(count, dtype):
    net = nn.Module()
    net.register_buffer("numbers", torch.zeros(count + 1, dtype=dtype)[1:])  # not aligned
    loaded, before = as_loaded(net), state(net)
    for place in range(0, count, 100):
        net.numbers[place] = 1
        assert altered(net, loaded) != ""
        assert state(net) != before
        net.numbers[place] = 0
    assert altered(net, loaded) == ""
    assert state(net) == before


def test_a_model_without_memory_can_be_asked():
    model = sd.build("sd15", reduced_configs("sd15"), device="meta")
    assert dict(model.weights) == {}
