"""Every switch of diffusers against every door: what a plain hook sees, or a refusal by name."""

from copy import deepcopy
from dataclasses import replace

import diffusers.hooks
import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from reduced import reduced_configs
from switches import ELSEWHERE, HOOKS, TEXT, UNET, VAE, offered
from transformers import CLIPTextModel

import featurekit as fk
from featurekit.backbones.lora import Lora, LoraRecipe, applied
from featurekit.backbones.unet import sd
from featurekit.core.errors import FeatureKitError
from featurekit.taps.attention_sharing import (
    record_attention,
    replay_attention,
    self_attention_paths,
    share_attention,
)

MID, CONV = "mid_block", "up_blocks.1.resnets.1.conv2"
SELF = "mid_block.attentions.0.transformer_blocks.0.attn1"
UPPER = "up_blocks.1.attentions.0.transformer_blocks.0.attn1"
CROSS = "up_blocks.1.attentions.1.transformer_blocks.0.attn2"
TAPS = (MID, "mid_block.resnets.1", "up_blocks.0", "up_blocks.0.resnets.1", "up_blocks.1", CONV,
        "up_blocks.1.attentions.0", "conv_in", f"{CROSS}.to_q", SELF)  # fmt: skip
CACHES = ("apply_pyramid_attention_broadcast", "apply_faster_cache", "apply_layer_skip")
COMPILED = "must run uncompiled to be read, but"
REFUSED = {  # by switch and door, all others give what a plain hook sees
    **{(cache, door): "has the hook" for cache in CACHES for door in (
        "capture", "extract", "inject", "maps", "share", "replay", "lora")},
    **{("compile", door): COMPILED for door in (
        "capture", "extract", "inject", "maps", "share", "replay", "lora")},
    **{("compile, a block", door): COMPILED for door in ("capture", "extract", "maps", "lora")},
    ("fuse_qkv_projections", "maps"): "call unfuse_qkv_projections first",
    ("fuse_qkv_projections", "share"): "has fused_projections",
    ("fuse_qkv_projections", "replay"): "has fused_projections",
    ("set_adapter", "lora"): "must carry no adapter yet",
    ("fuse_qkv_projections", "lora"): "call unfuse_qkv_projections first",
    ("enable_layerwise_casting", "lora"): "layer-wise casting stores it in torch.float8_e4m3fn",
    ("cpu_offload, a block", "lora"): "its weights are offloaded",
}  # fmt: skip


TWO_LEVELS = {
    "block_out_channels": [16, 32],
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
}


@pytest.fixture(scope="module")
def built():
    configs = reduced_configs("sd15")
    return sd.build("two levels", configs | {"unet": configs["unet"] | TWO_LEVELS}, device="cpu")


@pytest.fixture(scope="module")
def z():
    return torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module", params=UNET)
def switched(request, built):
    model = replace(built, unet=deepcopy(built.unet))
    UNET[request.param](model.unet)
    return request.param, model


def seen(network, run, paths):
    """What plain hooks see, copied at once; and what the network returns."""
    found, handles = {}, []

    def keep(path):
        def hook(module, given, output):
            one = output[0] if isinstance(output, tuple) else output
            found[path] = one.detach().clone()

        return hook

    for path in paths:
        handles.append(network.get_submodule(path).register_forward_hook(keep(path)))
    run()
    for handle in handles:
        handle.remove()
    return found


def calling(model, z):
    predict = model.predictor(model.embed("a face"))
    return lambda rows=z: predict(rows, 261)


def by_hook(network, path, hook, run, **kind):
    part = network.get_submodule(path)
    handle = (part.register_forward_pre_hook if kind else part.register_forward_hook)(hook, **kind)
    out = run()
    handle.remove()
    return out


def capture(model, z):
    run = calling(model, z)
    with fk.capture(model.unet, {path: path for path in TAPS}) as found:
        run()
    plain = seen(model.unet, run, TAPS)
    return [found[path] for path in TAPS], [plain[path] for path in TAPS]


def extract(model, z):
    taps = ["mid", "up0", "up1"]
    together = fk.extract_latents(model, {261: z}, taps=taps)
    alone = [fk.extract_latents(model, {261: z}, taps=tap)[tap, 261].tensor for tap in taps]
    paths = [model.taps[tap].path for tap in taps]
    plain = seen(model.unet, lambda: model.predictor(model.embed(""))(z, 261), paths)
    order = [plain[path] for path in paths]
    return [together[tap, 261].tensor for tap in taps] + alone, order + order


def inject(model, z):
    run = calling(model, z)
    with fk.inject(model.unet, {CONV: lambda found: found * 1.5}):
        changed = run()
    hook = by_hook(model.unet, CONV, lambda part, given, out: out * 1.5, run)
    assert not torch.equal(changed, run())
    return [changed], [hook]


def maps(model, z):
    run = calling(model, z)
    with fk.attention_maps(model.unet, {"self": f"{SELF}:map", "cross": f"{CROSS}:map"}) as found:
        run()
    expected = []
    for path in (SELF, CROSS):
        plain = seen(model.unet, run, [f"{path}.to_q", f"{path}.to_k"])
        attention = model.unet.get_submodule(path)
        q, k = (one.unflatten(-1, (attention.heads, -1)).transpose(1, 2) for one in plain.values())
        expected.append(torch.softmax(q @ k.mT * attention.scale, -1).mean(1))
    return [found["self"], found["cross"]], expected


def share(model, z):
    run = calling(model, z)

    def first(part, given, named):
        return given, named | {"encoder_hidden_states": given[0][:1].expand(2, -1, -1)}

    with share_attention(model.unet, [UPPER]):
        shared = run()
    hook = by_hook(model.unet, UPPER, first, run, with_kwargs=True)
    assert not torch.equal(shared, run())
    return [shared], [hook]


def replay(model, z):
    run, paths = calling(model, z), self_attention_paths(model.unet, ["up_blocks"])
    with share_attention(model.unet, paths):
        shared = run()
    with record_attention(model.unet, paths) as record:
        alone = run(z[:1])
    with replay_attention(model.unet, paths, record):
        replayed = run(z[1:])
    return [replayed, alone], [shared[1:], run(z[:1])]


def lora(model, z):
    run, path = calling(model, z), f"{SELF}.to_v"
    width = model.unet.get_submodule(SELF).query_dim
    down, up = torch.randn(2, 2, width, generator=torch.Generator().manual_seed(1))
    names = {f"{path}.lora_A.weight": down, f"{path}.lora_B.weight": up.T.contiguous()}
    with applied(model.unet, Lora(names, LoraRecipe(rank=2, alpha=2))):
        adapted = run()

    def hook(part, given, out):
        return out + given[0] @ down.T @ up

    assert not torch.equal(adapted, run())
    return [adapted], [by_hook(model.unet, path, hook, run)]


DOORS = (capture, extract, inject, maps, share, replay, lora)


@torch.no_grad()
@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_a_switch_of_a_unet_is_seen_as_by_a_plain_hook_or_refused(switched, z, door):
    switch, model = switched
    message = REFUSED.get((switch, door.__name__))
    if message is not None:
        with pytest.raises(FeatureKitError, match=message):
            door(model, z)
        return
    ours, plain = door(model, z)
    exact = door in (capture, extract, inject, share)
    for one, other in zip(ours, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=0 if exact else 1e-4, atol=0 if exact else 1e-5)


@pytest.mark.parametrize(
    ("cls", "listed"),
    [(UNet2DConditionModel, UNET), (AutoencoderKL, VAE), (CLIPTextModel, TEXT)],
    ids=["unet", "vae", "text"],
)
def test_every_switch_that_is_offered_is_listed(cls, listed):
    assert offered(cls) - set(ELSEWHERE) - set(listed) == set()


def test_every_function_of_hooks_is_listed():
    given = {name for name in dir(diffusers.hooks) if name.startswith("apply_")}
    assert given == set(HOOKS)
