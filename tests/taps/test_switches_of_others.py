"""Switches of autoencoder and text encoder: what a plain hook sees, or a refusal by name."""

from copy import deepcopy

import pytest
import torch
from reduced import reduced_configs
from switches import TEXT, VAE

import featurekit as fk
from featurekit.backbones.unet import sd
from featurekit.core.errors import FeatureKitError

MAPPED = "decoder.mid_block.attentions.0"
OF_VAE = ("encoder.mid_block.resnets.0", "quant_conv", "decoder.mid_block", MAPPED)
OF_TEXT = ("encoder.layers.0.mlp", "encoder.layers.1.mlp.fc1", "final_layer_norm")
REFUSED = {  # by switch and door; all others give what a plain hook sees
    ("enable_slicing", "capture"): "must fire exactly once",
    ("enable_slicing", "maps"): "must fire exactly once",
    ("enable_tiling", "capture"): r"written to in place later|must fire exactly once",
    ("enable_tiling", "maps"): "must fire exactly once",
    ("compile", "capture"): "must run uncompiled",
    ("compile", "inject"): "must run uncompiled",
    ("compile", "maps"): "must run uncompiled",
    ("fuse_qkv_projections", "maps"): "call unfuse_qkv_projections first",
}


@pytest.fixture(scope="module")
def model():
    return sd.build("sd15", reduced_configs("sd15"), device="cpu")


@pytest.fixture(scope="module", params=VAE)
def vae(request, model):
    network = deepcopy(model.vae)
    VAE[request.param](network)
    if request.param == "enable_tiling":
        network.tile_sample_min_size, network.tile_latent_min_size = 24, 3
    image = torch.rand(2, 3, 32, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1

    def run():
        return network.decode(network.encode(image).latent_dist.mean).sample

    return request.param, network, run


@pytest.fixture(scope="module", params=TEXT)
def text(request, model):
    network = deepcopy(model.text_encoder)
    TEXT[request.param](network)
    ids = model.token_ids("a face", network, model.tokenizer)
    return request.param, network, lambda: network(ids)[0]


def plain(network, run, paths, change=None):
    """What plain hooks see, copied at once, and what comes out; changed on the way if asked."""
    found, handles = {}, []
    for path in paths:

        def hook(module, given, output, path=path):
            found[path] = output.detach().clone()
            return None if change is None else change(output)

        handles.append(network.get_submodule(path).register_forward_hook(hook))
    out = run()
    for handle in handles:
        handle.remove()
    return [found[path] for path in paths], out


def capture(network, run, paths):
    with fk.capture(network, {path: path for path in paths}) as found:
        run()
    return [found[path] for path in paths], plain(network, run, paths)[0]


def inject(network, run, paths):
    def change(activation):
        return activation * 1.5

    with fk.inject(network, {paths[0]: change}):
        changed = run()
    assert not torch.equal(changed, run())
    return [changed], [plain(network, run, paths[:1], change)[1]]


def maps(network, run, paths):
    with fk.attention_maps(network, {"map": f"{MAPPED}:map"}) as found:
        run()
    attention = network.get_submodule(MAPPED)
    seen, _ = plain(network, run, [f"{MAPPED}.to_q", f"{MAPPED}.to_k"])
    q, k = (one.unflatten(-1, (attention.heads, -1)).transpose(1, 2) for one in seen)
    return [found["map"]], [torch.softmax(q @ k.mT * attention.scale, -1).mean(1)]


def check(switched, door, paths):
    switch, network, run = switched
    message = REFUSED.get((switch, door.__name__))
    if message is not None:
        with pytest.raises(FeatureKitError, match=message):
            door(network, run, paths)
        return
    for one, other in zip(*door(network, run, paths), strict=True):
        atol = 1e-6 if door is maps else 0
        torch.testing.assert_close(one, other, rtol=0, atol=atol)


@torch.no_grad()
@pytest.mark.parametrize("door", [capture, inject, maps])
def test_a_switch_of_an_autoencoder_is_seen_as_by_a_plain_hook_or_refused(vae, door):
    check(vae, door, OF_VAE)


@pytest.mark.parametrize("door", [capture, inject])
def test_a_switch_of_a_text_encoder_is_seen_as_by_a_plain_hook_or_refused(text, door):
    check(text, door, OF_TEXT)


@pytest.mark.parametrize("storage", [torch.float8_e4m3fn, torch.float16])
@pytest.mark.parametrize("compute", [torch.float32, torch.bfloat16])
def test_every_call_of_a_backbone_reads_in_what_a_cast_network_computes_in(storage, compute):
    cast = sd.build("sd15", reduced_configs("sd15"), device="cpu", dtype=compute)
    for network in (cast.unet, cast.vae):
        network.enable_layerwise_casting(storage_dtype=storage, compute_dtype=compute)
    assert cast.dtype == compute
    assert str(compute).removeprefix("torch.") in repr(cast)
    image = torch.zeros(1, 3, 64, 64)
    maps_of = fk.extract(cast, image, taps=["mid", "up1"], timesteps=261)
    assert maps_of["up1", 261].tensor.isfinite().all()
    predict, z = cast.predictor(cast.embed("a face"), guidance=2), cast.encode(image)
    assert predict(z, 261).dtype == z.dtype
    assert cast.decode(z).isfinite().all()
    with fk.attention_maps(cast.unet, cast.addresses("cross_map")) as found:
        cast.predictor(cast.embed(""))(z, 261)
    assert all(found[name].isfinite().all() for name in found)


def test_words_of_another_dtype_than_the_unet_computes_in_are_read():
    model = sd.build("sd15", reduced_configs("sd15"), device="cpu", dtype=torch.bfloat16)
    model.text_encoder.float()
    z = torch.zeros(1, 4, 8, 8)
    assert model.predictor(model.embed("a face"), guidance=2)(z, 261).dtype == z.dtype
