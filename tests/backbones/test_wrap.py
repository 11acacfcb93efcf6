"""A loaded pipeline becomes a backbone that shares its networks and leaves them as they are."""

from types import SimpleNamespace

import pytest
import torch
from diffusers import ControlNetModel, DDIMScheduler, StableDiffusionControlNetPipeline
from peft import LoraConfig
from pipelines import of_one_encoder, of_two_encoders
from reduced import reduced_configs

import featurekit as fk
from featurekit.backbones.loaded import alterations
from featurekit.backbones.loaded.alterations import state
from featurekit.core.errors import BackboneError

KINDS = {
    "sd15": of_one_encoder,
    "sd21": lambda: of_one_encoder("sd21"),
    "sdxl": of_two_encoders,
}
NETWORKS = ("unet", "vae", "text_encoder", "text_encoder_2")


@pytest.fixture(scope="module", params=list(KINDS))
def both(request):
    """A pipeline whose weights want gradients, as ``from_pretrained`` leaves them."""
    pipeline, model = KINDS[request.param]()
    for part in networks_of(pipeline):
        part.requires_grad_(True)
    return pipeline, model


def networks_of(pipeline):
    found = (getattr(pipeline, name, None) for name in NETWORKS)
    return [one for one in found if one is not None]


def picture():
    return torch.rand(1, 3, 61, 125, generator=torch.Generator().manual_seed(1)) * 2 - 1


@torch.no_grad()  # with gradients an attention may run another kernel
def test_it_shares_the_networks_and_answers_as_the_same_model_loaded(both):
    pipeline, model = both
    wrapped = fk.wrap(pipeline)
    assert wrapped.denoiser is pipeline.unet
    assert wrapped.vae is pipeline.vae
    z = wrapped.encode(picture())
    assert torch.equal(z, model.encode(picture()))
    assert torch.equal(wrapped.decode(z), model.decode(z))
    words, ours = wrapped.embed("a red house"), model.embed("a red house")
    assert words.fingerprint == ours.fingerprint
    for guidance in (1.0, 7.5):
        answer = wrapped.predictor(words, guidance)(z, 261)
        expected = model.predictor(ours, guidance)(z, 261)  # kernels round by alignment of memory
        torch.testing.assert_close(answer, expected, rtol=0, atol=1e-5)
    assert wrapped.taps == model.taps


@torch.no_grad()
@pytest.mark.parametrize("steps", [4, 20])
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_sampling_is_that_of_the_stock_pipeline(both, steps, guidance):
    pipeline, _ = both
    wrapped = fk.wrap(pipeline)
    z = torch.randn(1, 4, 8, 16, generator=torch.Generator().manual_seed(2))
    stock = pipeline(
        "a red house", latents=z.clone(), height=64, width=128, num_inference_steps=steps,
        guidance_scale=guidance, output_type="latent",
    ).images  # fmt: skip
    schedule = fk.Schedule.ddim(wrapped.noise, steps=steps)
    found = fk.sample(wrapped.predictor(wrapped.embed("a red house"), guidance), z, schedule)
    assert (found - stock).norm() <= 1e-5 * stock.norm()


def test_everything_public_takes_it(both):
    pipeline, _ = both
    wrapped = fk.wrap(pipeline, "mine")
    maps = fk.extract(wrapped, picture(), taps=["mid", "up1"], timesteps=[261], prompt="a house")
    for name in ("mid", "up1"):
        stride = wrapped.taps[name].stride
        assert maps[name, 261].grid == (64 // stride, 128 // stride)
    schedule = fk.Schedule.ddim(wrapped.noise, steps=4)
    predict = wrapped.predictor(wrapped.embed(""))
    with torch.no_grad():
        found = fk.invert(predict, wrapped.encode(picture()), schedule)
    assert found.fingerprint.startswith("mine changed to ")
    with (
        torch.no_grad(),
        fk.attention_maps(wrapped.denoiser, wrapped.addresses("mid.attention0.block0.attn2.map")),
    ):
        predict(found.at(4), 261)


def test_gradients_reach_the_latent_and_no_weight_which_goes_on_wanting_them(both):
    pipeline, _ = both
    wrapped = fk.wrap(pipeline)
    z = wrapped.encode(picture()).requires_grad_()
    wrapped.predictor(wrapped.embed("a face"))(z, 261).square().sum().backward()
    assert z.grad.abs().max() > 0
    for network in networks_of(pipeline):
        assert all(weight.requires_grad for weight in network.parameters())
        assert all(weight.grad is None for weight in network.parameters())


def test_the_same_gradient_with_checkpointing(both):
    pipeline, _ = both
    wrapped = fk.wrap(pipeline)
    predict = wrapped.predictor(wrapped.embed("a face"))
    found = []
    for switch in (pipeline.unet.disable_gradient_checkpointing,
                   pipeline.unet.enable_gradient_checkpointing):  # fmt: skip
        switch()
        z = wrapped.encode(picture()).detach().requires_grad_()
        predict(z, 261).square().sum().backward()
        found.append(z.grad)
    pipeline.unet.disable_gradient_checkpointing()
    torch.testing.assert_close(*found, rtol=1e-6, atol=0)
    assert all(weight.grad is None for weight in pipeline.unet.parameters())


def test_the_pipeline_works_as_before_to_the_bit(both):
    pipeline, _ = both
    asked = {"num_inference_steps": 3, "height": 64, "width": 64, "output_type": "pt"}

    def run():
        return pipeline("a face", generator=torch.Generator().manual_seed(0), **asked).images

    before, states = run(), [state(network) for network in networks_of(pipeline)]
    wrapped = fk.wrap(pipeline)
    fk.extract(wrapped, picture(), taps=["up1"], timesteps=[261])
    wrapped.decode(wrapped.encode(picture()))
    assert torch.equal(run(), before)
    assert [state(network) for network in networks_of(pipeline)] == states


def test_an_adapter_is_kept_and_part_of_the_identity():
    pipeline, _ = of_one_encoder()
    wrapped = fk.wrap(pipeline)
    words, z = wrapped.embed("a face"), wrapped.encode(picture())
    plain = wrapped.predictor(words)
    before, told, stored = plain(z, 261), plain.fingerprint, dict(wrapped.weights)
    pipeline.unet.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"]))
    for name, weight in pipeline.unet.named_parameters():
        if "lora_B" in name:
            torch.nn.init.constant_(weight, 0.1)
    again = fk.wrap(pipeline)
    answer = again.predictor(words)(z, 261)
    assert not torch.equal(answer, before)
    assert torch.equal(plain(z, 261), answer)  # the same networks
    assert again.predictor(words).fingerprint != told
    assert again.weights["unet"] != stored["unet"]
    assert again.weights["vae"] == stored["vae"]
    pipeline.unet.disable_adapters()
    assert torch.equal(again.predictor(words)(z, 261), before)
    assert again.weights["unet"] == stored["unet"]


def test_no_weight_is_read_until_a_fingerprint_is_asked_for(monkeypatch):
    pipeline, _ = of_one_encoder()
    read = []
    sums = alterations.sums_of
    monkeypatch.setattr(alterations, "sums_of", lambda some: read.append(1) or sums(some))
    wrapped = fk.wrap(pipeline)
    fk.extract(wrapped, picture(), taps=["mid"], timesteps=[1])
    assert read == []
    assert wrapped.predictor(wrapped.embed("")).fingerprint
    assert read == [1]


def test_an_autoencoder_that_overflows_in_float16_is_cast_and_put_back():
    pipeline, _ = of_one_encoder()
    weights = {name: one.clone() for name, one in pipeline.vae.half().state_dict().items()}
    pipeline.vae.register_to_config(force_upcast=True)
    seen = []
    hook = pipeline.vae.encoder.register_forward_pre_hook(
        lambda _, given: seen.append(given[0].dtype)
    )
    z = fk.wrap(pipeline).encode(picture())
    hook.remove()
    assert seen == [torch.float32]
    assert z.isfinite().all()
    assert pipeline.vae.dtype == torch.float16
    assert all(torch.equal(one, weights[name]) for name, one in pipeline.vae.state_dict().items())


def test_without_text_encoders_conditionings_are_given():
    pipeline, model = of_two_encoders()
    words = model.embed("a face")
    for part in ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"):
        setattr(pipeline, part, None)
    wrapped = fk.wrap(pipeline, "mine")
    maps = fk.extract(wrapped, picture(), taps=["mid"], timesteps=[261], conditioning=words)
    assert torch.equal(
        maps["mid", 261].tensor,
        fk.extract(model, picture(), taps=["mid"], timesteps=[261], conditioning=words)[
            "mid", 261
        ].tensor,
    )
    with pytest.raises(BackboneError, match="mine has no text_encoder and no tokenizer and no"):
        wrapped.embed("a face")


def controlled():
    pipeline, model = of_one_encoder()
    net = ControlNetModel.from_unet(model.unet)
    return StableDiffusionControlNetPipeline(
        **pipeline.components, controlnet=net, requires_safety_checker=False
    )


def changed(change):
    pipeline, _ = of_one_encoder()
    change(pipeline)
    return pipeline


def painting_in(pipeline):
    model = type(pipeline.unet)
    pipeline.unet = model.from_config(dict(pipeline.unet.config) | {"in_channels": 9})


def on_meta(pipeline):
    pipeline.unet = pipeline.unet.to("meta")


def dropping(pipeline):
    pipeline.unet.train()
    pipeline.unet.mid_block.resnets[0].dropout.p = 0.1


class FluxOnnxPipeline:
    pass


class OnnxStableDiffusionPipeline:
    pass


class FlaxStableDiffusionPipeline:
    pass


REFUSED = {
    "a model": (lambda: SimpleNamespace(), "wrap takes a loaded diffusers pipeline, got a SimpleN"),
    "a network": (lambda: of_one_encoder()[0].unet, "pipeline, got a UNet2DConditionModel"),
    "Flax": (FlaxStableDiffusionPipeline, "must be PyTorch's to be wrapped, got a Flax"),
    "ONNX": (OnnxStableDiffusionPipeline, "of ONNX, whose networks have no modules to read"),
    "ControlNet": (controlled, "is given a ControlNet as well; wrap the plain pipeline"),
    "no unet": (lambda: changed(lambda p: setattr(p, "unet", None)), "its unet is None, load the"),
    "no vae": (lambda: changed(lambda p: setattr(p, "vae", None)), "must have a vae to be wrapped"),
    "no scheduler": (
        lambda: changed(lambda p: setattr(p, "scheduler", None)), "must have a scheduler to be",
    ),
    "inpainting": (lambda: changed(painting_in), "unet in_channels of .* must be 4"),
    "meta": (lambda: changed(on_meta), "the unet of .* has some on the meta device"),
    "two devices": (
        lambda: changed(lambda p: p.vae.to("meta")), "the vae of .* has some on the meta device",
    ),
    "dropout": (lambda: changed(dropping), r"in training mode and drops .*; call pipeline\.unet"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_wrapped_is_refused_in_one_sentence(what):
    make, message = REFUSED[what]
    with pytest.raises(BackboneError, match=message) as refused:
        fk.wrap(make())
    assert "\n" not in str(refused.value)


def test_a_scheduler_of_the_users_choice_is_read():
    pipeline, _ = of_one_encoder()
    config = reduced_configs("sd15")["scheduler"] | {"prediction_type": "v_prediction"}
    pipeline.scheduler = DDIMScheduler.from_config(config)
    assert fk.wrap(pipeline).noise.prediction == "v_prediction"
