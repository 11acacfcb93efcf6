"""A pipeline in any state that its owner may have put it in is read right, or refused by name."""

import warnings
from copy import deepcopy
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from accelerate import cpu_offload, cpu_offload_with_hook
from diffusers import (
    FirstBlockCacheConfig,
    FluxImg2ImgPipeline,
    FluxPipeline,
    PyramidAttentionBroadcastConfig,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionPipeline,
)
from diffusers.hooks import LayerSkipConfig, apply_layer_skip, apply_pyramid_attention_broadcast
from peft import LoraConfig, get_peft_model_state_dict
from pipelines import of_one_encoder
from small_parts import as_latent, as_tokens, drawn
from small_transformers import SMALL
from torch import nn
from torch.testing._internal.two_tensor import TwoTensor  # torch's own example of a wrapper

import featurekit as fk
from featurekit.core.errors import BackboneError, CaptureError

pytestmark = [
    pytest.mark.filterwarnings("ignore:There are modules in"),  # diffusers, of any cast
    pytest.mark.filterwarnings("ignore:torch.quantize_per_"),  # torch, of its quantised layers
]
CPU, FP8 = torch.device("cpu"), torch.float8_e4m3fn
SIZE = {"height": 48, "width": 80}


class Owned:
    """Somebody's pipeline of Stable Diffusion, asked for one step without guidance."""

    blocks = ("up0", "up_blocks.0"), ("up1", "up_blocks.1")
    z = drawn(1, 4, 6, 10)

    def __init__(self, seed=0):
        self.pipeline = of_one_encoder(seed=seed)[0]

    @property
    def denoiser(self):
        return self.pipeline.unet

    def words(self, backbone):
        return backbone.embed("a face")

    def run(self):
        return self.pipeline("a face", latents=self.z.clone(), guidance_scale=1.0,
                             num_inference_steps=1, output_type="pt", **SIZE).images  # fmt: skip

    def answer(self, output):
        return output


class OwnedFlux(Owned):
    """Somebody's pipeline of FLUX.1, with prompts as they were embedded elsewhere."""

    blocks = ("double1", "transformer_blocks.1"), ("single1", "single_transformer_blocks.1")
    z = drawn(1, 16, 6, 10)

    def __init__(self):
        self.small = SMALL["flux_dev"]()
        self.pipeline = self.small.pipeline
        self.pipeline.set_progress_bar_config(disable=True)

    @property
    def denoiser(self):
        return self.pipeline.transformer

    def words(self, backbone):
        return self.small.words

    def run(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return self.pipeline(
                **self.small.named, **self.small.options, latents=as_tokens(self.z),
                num_inference_steps=1, output_type="pt", **SIZE).images  # fmt: skip

    def answer(self, output):
        return as_latent(output, self.z.shape)


FAMILIES = {"sd": Owned, "flux": OwnedFlux}


def of_network(name, *given, **named):
    return lambda owned: getattr(owned.denoiser, name)(*given, **named)


def of_pipeline(name, *given, **named):
    return lambda owned: getattr(owned.pipeline, name)(*given, **named)


def of_vae(name):
    return lambda owned: getattr(owned.pipeline.vae, name)()


def parts(owned):
    found = (getattr(owned.pipeline, name, None) for name in ("text_encoder", "vae"))
    return [owned.denoiser, *(one for one in found if one is not None)]


def offloaded_by_model(owned):
    before = None
    for part in parts(owned):
        _, before = cpu_offload_with_hook(part, CPU, prev_module_hook=before)


def offloaded_by_layer(owned):
    for part in parts(owned):
        cpu_offload(part, CPU, offload_buffers=True)


def compiled(owned):
    path, _, number = owned.blocks[1][1].rpartition(".")
    blocks = owned.denoiser.get_submodule(path)
    blocks[int(number)] = torch.compile(blocks[int(number)], backend="eager")


def quantised(owned):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.ao.quantization.quantize_dynamic(
            owned.denoiser, {nn.Linear}, dtype=torch.qint8, inplace=True
        )


def group(kind, **named):
    def offload(owned):
        for part in (owned.denoiser, owned.pipeline.vae):
            part.enable_group_offload(
                onload_device=CPU, offload_device=CPU, offload_type=kind, **named
            )

    return offload


CAST = of_network("enable_layerwise_casting", storage_dtype=FP8, compute_dtype=torch.float32)
STATES = {  # what was done, and whether anything is answered otherwise for it
    "nothing": (lambda owned: None, False),
    "attention slicing": (of_pipeline("enable_attention_slicing", 1), False),
    "attention backend": (of_network("set_attention_backend", "native"), None),
    "tiled autoencoder": (of_vae("enable_tiling"), True),
    "sliced autoencoder": (of_vae("enable_slicing"), False),
    "layer-wise cast": (CAST, True),
    "group offload of leaves": (group("leaf_level"), False),
    "group offload of blocks": (group("block_level", num_blocks_per_group=1), False),
    "model offload": (offloaded_by_model, False),
    "sequential offload": (offloaded_by_layer, False),
    "compiled block": (compiled, False),
    "checkpointing": (of_network("enable_gradient_checkpointing"), False),
    "quantised": (quantised, True),
    "fused projections": (of_network("fuse_qkv_projections"), None),
    "FreeU": (lambda owned: owned.pipeline.enable_freeu(s1=0.9, s2=0.2, b1=1.5, b2=1.6), True),
}
OF_SD = {"FreeU"}
CASES = [(of, state) for state in STATES for of in FAMILIES if of == "sd" or state not in OF_SD]


@pytest.fixture(scope="module")
def plain():
    """Hashes of the pipelines as they are made."""
    return {of: dict(fk.wrap(make().pipeline).weights) for of, make in FAMILIES.items()}


def seen(owned, path):
    """A picture, and what the denoiser and a block of it answered while it was made."""
    found = []

    def keep(module, given, output):
        one = output[-1] if isinstance(output, tuple) else output
        found.append(one.clone() if isinstance(one, torch.Tensor) else one)

    hooks = [
        part.register_forward_hook(keep)
        for part in (owned.denoiser.get_submodule(path), owned.denoiser)
    ]
    picture = owned.run()
    for hook in hooks:
        hook.remove()
    block, answer = found
    return picture, owned.answer(answer), block


@pytest.mark.parametrize(("of", "state"), CASES)
@torch.no_grad()
def test_a_state_is_kept_and_read_right(of, state, plain):
    owned = FAMILIES[of]()
    do, changes = STATES[state]
    do(owned)
    (name, path), _ = owned.blocks
    picture, answer, block = seen(owned, path)
    backbone = fk.wrap(owned.pipeline)
    t = owned.pipeline.scheduler.timesteps[0].item()
    predict = backbone.predictor(owned.words(backbone))
    with fk.capture(backbone.denoiser, backbone.addresses(name)) as found:
        ours = predict(owned.z, t)
    torch.testing.assert_close(ours, answer, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found[name], block, rtol=1e-5, atol=1e-5)
    assert torch.equal(predict(owned.z, t), ours)
    image = drawn(1, 3, backbone.multiple, 2 * backbone.multiple, seed=3).clamp(-1, 1)
    latent = backbone.encode(image)
    assert backbone.decode(latent).shape == image.shape
    if changes is not None:
        assert (dict(backbone.weights) != plain[of]) is changes
    assert dict(fk.wrap(owned.pipeline).weights) == dict(backbone.weights)
    assert torch.equal(owned.run(), picture)


@pytest.mark.parametrize("of", FAMILIES)
@torch.no_grad()
def test_what_is_compiled_is_not_read_and_goes_on(of):
    owned = FAMILIES[of]()
    compiled(owned)
    backbone = fk.wrap(owned.pipeline)
    name, path = owned.blocks[1]
    with (
        pytest.raises(
            CaptureError, match=f"but {path} is compiled, and what was traced knows no"
        ) as refused,
        fk.capture(backbone.denoiser, backbone.addresses(name)),
    ):
        pytest.fail("the block ran")
    assert "\n" not in str(refused.value)
    assert backbone.predictor(owned.words(backbone))(owned.z, 1).isfinite().all()


@torch.no_grad()
def test_a_cache_of_blocks_is_refused_before_it_answers(plain):
    owned = OwnedFlux()
    owned.denoiser.enable_cache(FirstBlockCacheConfig(threshold=0.2))
    picture = owned.run()
    backbone = fk.wrap(owned.pipeline)
    with (
        pytest.raises(CaptureError, match=r"transformer_blocks\.0 has the hook 'fbc_leader"),
        fk.capture(backbone.denoiser, backbone.addresses("single1")),
    ):
        pytest.fail("the block ran")
    with pytest.raises(BackboneError, match="has the cache 'fbc_leader_block_hook', which answers"):
        backbone.predictor(owned.words(backbone))(owned.z, 261)
    assert dict(backbone.weights) != plain["flux"]
    assert torch.equal(owned.run(), picture)
    owned.denoiser.disable_cache()
    assert backbone.predictor(owned.words(backbone))(owned.z, 261).isfinite().all()
    assert dict(backbone.weights) == plain["flux"]


@torch.no_grad()
def test_a_cache_of_attentions_is_refused_before_it_answers():
    owned = Owned()
    config = PyramidAttentionBroadcastConfig(
        spatial_attention_block_skip_range=2, current_timestep_callback=lambda: 261
    )
    apply_pyramid_attention_broadcast(owned.denoiser, config)
    backbone = fk.wrap(owned.pipeline)
    with pytest.raises(BackboneError, match="has the cache 'pyramid_attention_broadcast'"):
        backbone.predictor(owned.words(backbone))(owned.z, 261)


@torch.no_grad()
def test_layers_that_are_skipped_are_told_and_not_read(plain):
    owned = OwnedFlux()
    backbone = fk.wrap(owned.pipeline)
    predict = backbone.predictor(owned.words(backbone))
    before = predict(owned.z, 261)
    skipped = LayerSkipConfig([1], "transformer_blocks", skip_attention=False)
    apply_layer_skip(owned.denoiser, skipped)
    assert not torch.equal(predict(owned.z, 261), before)
    assert dict(backbone.weights) != plain["flux"]
    with (
        pytest.raises(CaptureError, match="which may skip it"),
        fk.capture(backbone.denoiser, backbone.addresses("single1")),
    ):
        pytest.fail("the block ran")


# numbers that lie elsewhere


def test_what_is_offloaded_to_disk_is_hashed_from_there(tmp_path, plain):
    owned = Owned()
    group("leaf_level", offload_to_disk_path=str(tmp_path))(owned)
    backbone = fk.wrap(owned.pipeline)
    for weight in owned.denoiser.parameters():
        weight.data.fill_(7)  # what is left in memory may be anything
    assert dict(backbone.weights) == plain["sd"]


def test_weights_on_meta_that_nothing_brings_back_have_no_fingerprint():
    owned = Owned()
    backbone = fk.wrap(owned.pipeline, "mine")
    owned.denoiser.to("meta")
    with pytest.raises(BackboneError, match=r"conv_in\.weight is on the meta device; load the"):
        _ = backbone.weights


def gradient(owned):
    """Of the latent, by the sum of squares of an answer."""
    backbone = fk.wrap(owned.pipeline)
    z = owned.z.clone().requires_grad_()
    backbone.predictor(owned.words(backbone))(z, 261).square().sum().backward()
    return z.grad


def rounded(owned):
    """Weights as a cast to eight bits and back leaves them, in the layers that it is of."""
    kept = {name: one.clone() for name, one in owned.denoiser.state_dict().items()}
    CAST(owned)
    cast = {name for name, one in owned.denoiser.state_dict().items() if one.dtype == FP8}
    return {name: one.to(FP8).float() if name in cast else one for name, one in kept.items()}


@pytest.mark.parametrize(("of", "checkpointing"), [("sd", False), ("flux", False), ("flux", True)])
def test_gradients_pass_a_layer_wise_cast(of, checkpointing):
    owned, other = FAMILIES[of](), FAMILIES[of]()
    for part in parts(owned):
        part.requires_grad_(True)
    if checkpointing:
        owned.denoiser.enable_gradient_checkpointing()
    other.denoiser.load_state_dict(rounded(owned))
    torch.testing.assert_close(gradient(owned), gradient(other), rtol=1e-4, atol=1e-5)


def test_gradients_are_of_the_weights_and_not_of_what_an_offloading_leaves(tmp_path):
    owned = Owned()
    expected = gradient(owned)
    group("leaf_level", offload_to_disk_path=str(tmp_path))(owned)
    for _ in range(2):
        torch.testing.assert_close(gradient(owned), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("state", ["cast", "disk"])
def test_checkpointing_that_would_meet_other_weights_is_refused(state, tmp_path):
    owned = Owned()
    {"cast": CAST, "disk": group("leaf_level", offload_to_disk_path=str(tmp_path))}[state](owned)
    picture = owned.run()
    owned.denoiser.enable_gradient_checkpointing()
    with pytest.raises(BackboneError, match="call its disable_gradient_checkpointing") as refused:
        gradient(owned)
    assert "\n" not in str(refused.value)
    torch.testing.assert_close(owned.run(), picture, rtol=0, atol=1e-5)  # read from disk anew
    owned.denoiser.disable_gradient_checkpointing()
    assert gradient(owned).isfinite().all()


def test_gradients_pass_a_cast_of_a_model_that_is_loaded():
    model = of_one_encoder()[1]
    model.unet.enable_layerwise_casting(storage_dtype=FP8, compute_dtype=torch.float32)
    z = Owned.z.clone().requires_grad_()
    model.predictor(model.embed("a face"))(z, 261).square().sum().backward()
    expected = Owned()
    CAST(expected)
    torch.testing.assert_close(z.grad, gradient(expected), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("state", ["layer-wise cast", "group offload of leaves"])
def test_a_copy_of_what_hooks_of_diffusers_hold_is_refused(state):
    owned = Owned()
    STATES[state][0](owned)
    with pytest.raises(BackboneError, match="hooks of diffusers cast, offload or cache the "):
        deepcopy(fk.wrap(owned.pipeline))


def test_weights_go_on_wanting_gradients_when_an_offloading_has_replaced_them():
    owned = Owned()
    for part in parts(owned):
        part.requires_grad_(True)
    offloaded_by_layer(owned)
    backbone = fk.wrap(owned.pipeline)
    z = owned.z.clone().requires_grad_()
    backbone.predictor(owned.words(backbone))(z, 261).square().sum().backward()
    backbone.encode(torch.zeros(1, 3, 48, 80))
    assert z.grad.abs().max() > 0
    for part in parts(owned):
        assert all(weight.requires_grad and weight.grad is None for weight in part.parameters())


@torch.no_grad()
def test_a_quantised_layer_is_known_by_its_numbers():
    owned = Owned()
    quantised(owned)
    layers = [part for part in owned.denoiser.modules() if hasattr(part, "_weight_bias")]
    before = fk.wrap(owned.pipeline).weights["unet"]
    weight, bias = layers[3]._weight_bias()
    shift = torch.quantize_per_tensor(
        weight.dequantize() * 1.5, weight.q_scale() * 1.5, weight.q_zero_point(), torch.qint8
    )
    layers[3].set_weight_bias(shift, bias)
    assert fk.wrap(owned.pipeline).weights["unet"] != before
    layers[3].set_weight_bias(weight, bias)
    assert fk.wrap(owned.pipeline).weights["unet"] == before


def test_a_weight_that_wraps_others_is_known_by_all_of_them():
    owned = Owned()
    layer = owned.denoiser.conv_in
    inner = [layer.weight.data.clone(), layer.weight.data.clone()]
    layer.weight = nn.Parameter(TwoTensor(*inner), requires_grad=False)
    before = fk.wrap(owned.pipeline).weights["unet"]
    inner[1][0, 0, 0, 0] += 1
    assert fk.wrap(owned.pipeline).weights["unet"] != before


class EightBits(nn.Module):
    """A linear layer that holds whole numbers, as quantising libraries have them."""

    def __init__(self, layer):
        super().__init__()
        self.scale = layer.weight.abs().max() / 127
        whole = (layer.weight / self.scale).round().to(torch.int8)
        self.weight = nn.Parameter(whole, requires_grad=False)
        self.bias = layer.bias

    def forward(self, x):
        return nn.functional.linear(x, self.weight * self.scale, self.bias)


@torch.no_grad()
def test_a_network_computes_in_no_whole_numbers():
    owned = OwnedFlux()
    for part in list(owned.denoiser.modules()):
        for name, layer in part.named_children():
            if isinstance(layer, nn.Linear):
                setattr(part, name, EightBits(layer))
    _, answer, _ = seen(owned, "transformer_blocks.0")
    backbone = fk.wrap(owned.pipeline)
    assert backbone.dtype == torch.float32
    ours = backbone.predictor(owned.words(backbone))(owned.z, 1000)
    torch.testing.assert_close(ours, answer, rtol=1e-5, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(
    "state", ["sequential offload", "group offload of leaves", "model offload"]
)
def test_an_autoencoder_that_overflows_is_upcast_wherever_it_lies(state):
    owned, image = Owned(), drawn(1, 3, 48, 80).clamp(-1, 1)
    owned.pipeline.vae.register_to_config(force_upcast=True)
    nn.Module.to(owned.pipeline.vae, torch.float16)
    expected = fk.wrap(owned.pipeline).encode(image)
    STATES[state][0](owned)
    backbone = fk.wrap(owned.pipeline)
    assert torch.equal(backbone.encode(image), expected)
    assert owned.pipeline.vae.dtype == torch.float16


@torch.no_grad()
def test_an_autoencoder_of_two_dtypes_has_both_after_an_upcast():
    owned = Owned()
    vae = owned.pipeline.vae
    vae.register_to_config(force_upcast=True)
    nn.Module.to(vae, torch.float16)
    vae.decoder.conv_norm_out.float()
    before = {name: one.clone() for name, one in vae.state_dict().items()}
    fk.wrap(owned.pipeline).encode(drawn(1, 3, 48, 80).clamp(-1, 1))
    for name, one in vae.state_dict().items():
        assert one.dtype == before[name].dtype
        assert torch.equal(one, before[name]), name


@torch.no_grad()
def test_an_autoencoder_that_overflows_and_is_cast_by_layers_is_refused():
    owned = Owned()
    vae = owned.pipeline.vae
    vae.register_to_config(force_upcast=True)
    nn.Module.to(vae, torch.float16)
    vae.enable_layerwise_casting(storage_dtype=FP8, compute_dtype=torch.float16)
    before = {name: one.dtype for name, one in vae.named_parameters()}
    with pytest.raises(BackboneError, match="layer-wise cast has this one compute in float16"):
        fk.wrap(owned.pipeline).encode(torch.zeros(1, 3, 48, 80))
    assert {name: one.dtype for name, one in vae.named_parameters()} == before


# adapters


def tiny_lora(owned, folder):
    """A LoRA file of the pipeline, as diffusers writes it."""
    network = deepcopy(owned.denoiser)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network.add_adapter(
            LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False)
        )
    part = "unet" if isinstance(owned.pipeline, StableDiffusionPipeline) else "transformer"
    layers = {f"{part}_lora_layers": get_peft_model_state_dict(network)}
    type(owned.pipeline).save_lora_weights(folder, **layers)
    return Path(folder)


@pytest.mark.parametrize("of", FAMILIES)
@torch.no_grad()
def test_adapters_of_a_file_and_their_scales_are_kept_and_told(of, tmp_path, plain):
    owned = FAMILIES[of]()
    backbone = fk.wrap(owned.pipeline, "mine")
    predict = backbone.predictor(owned.words(backbone))
    t, answers, told, weights = 261, {}, {}, {}

    def note(state):
        answers[state] = predict(owned.z, t)
        told[state], weights[state] = predict.fingerprint, dict(fk.wrap(owned.pipeline).weights)

    note("plain")
    owned.pipeline.load_lora_weights(tiny_lora(owned, tmp_path), adapter_name="style")
    note("whole")
    owned.pipeline.set_adapters(["style"], [0.5])
    note("half")
    name, path = owned.blocks[0]
    with fk.capture(backbone.denoiser, backbone.addresses(name)) as found:
        predict(owned.z, t)
    owned.pipeline.set_adapters(["style"], [1.0])
    note("whole again")
    for one in answers, told, weights:
        different = [one["plain"], one["whole"], one["half"]]
        assert not any(same(a, b) for a, b in pairwise(different))
        assert same(one["whole"], one["whole again"])
    owned.pipeline.set_adapters(["style"], [0.5])
    _, answer, block = seen(owned, path)
    again = fk.wrap(owned.pipeline)
    t = owned.pipeline.scheduler.timesteps[0].item()
    torch.testing.assert_close(predict(owned.z, t), answer, rtol=1e-5, atol=1e-5)
    assert again.weights == weights["half"]
    assert not torch.equal(found[name], block)  # of another timestep
    owned.pipeline.unload_lora_weights()
    t = 261
    note("unloaded")
    assert torch.equal(answers["unloaded"], answers["plain"])
    assert weights["unloaded"] == weights["plain"] == plain[of]


@pytest.mark.parametrize("vectors", [1, 3])
@torch.no_grad()
def test_a_word_of_textual_inversion_is_read_in_all_of_its_vectors(vectors, plain):
    owned, prompt = Owned(), "a <cat> on a <cat>"
    width = owned.pipeline.text_encoder.config.hidden_size
    owned.pipeline.load_textual_inversion(drawn(vectors, width), token="<cat>")
    backbone = fk.wrap(owned.pipeline)
    states, _ = owned.pipeline.encode_prompt(prompt, CPU, 1, False)
    assert torch.equal(backbone.embed(prompt).states, states)
    first, second = 2, 2 + vectors + 2  # the start and "a" before, "on" and "a" between
    places = (*range(first, first + vectors), *range(second, second + vectors))
    assert backbone.token_indices(prompt, "<cat>") == places
    assert backbone.weights["text_encoder"] != plain["sd"]["text_encoder"]


def same(one, other):
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


# other pipelines of the same networks


@pytest.mark.parametrize(
    ("of", "kind"), [("sd", StableDiffusionImg2ImgPipeline), ("flux", FluxImg2ImgPipeline)]
)
@torch.no_grad()
def test_another_pipeline_of_a_wrapped_one_works_and_what_it_casts_is_told(of, kind):
    owned = FAMILIES[of]()
    owned.denoiser.to(torch.bfloat16)
    backbone = fk.wrap(owned.pipeline, "mine")
    predict = backbone.predictor(owned.words(backbone))
    before, told, stored = predict(owned.z, 261), predict.fingerprint, dict(backbone.weights)
    other = kind.from_pipe(owned.pipeline)
    assert backbone.dtype == torch.float32  # diffusers casts the networks that both have
    assert predict.fingerprint != told
    assert dict(backbone.weights) != stored
    now = predict(owned.z, 261)
    assert not torch.equal(now, before)
    torch.testing.assert_close(now, before, rtol=0.1, atol=0.1)
    assert torch.equal(fk.wrap(owned.pipeline).predictor(owned.words(backbone))(owned.z, 261), now)
    assert isinstance(other, FluxPipeline) is False
    told = predict.fingerprint
    kind.from_pipe(owned.pipeline)
    assert predict.fingerprint == told
