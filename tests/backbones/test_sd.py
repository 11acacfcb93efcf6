"""StableDiffusion: agrees with diffusers' own pipeline, and refuses what it cannot be sure of."""

import hashlib
import json
import shutil

import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from safetensors.torch import load_file, save_file

from featurekit.backbones.folder import embedded_folder
from featurekit.backbones.unet import sd
from featurekit.core.errors import BackboneError, NoiseLevelError, ScheduleError, ShapeError
from featurekit.core.types import Conditioning
from featurekit.diffusion.noise_schedule import Schedule
from featurekit.diffusion.steps import ddim_step, eps_from_v
from featurekit.taps.capture import capture

UNET = "unet/diffusion_pytorch_model.safetensors"
VAE = "vae/diffusion_pytorch_model.safetensors"
TEXT = "text_encoder/model.safetensors"


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def load(folder, **chosen):
    return sd.load_folder(folder, name="tiny", device="cpu", **chosen)


def pipeline(folder):
    pipe = StableDiffusionPipeline.from_pretrained(
        folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def rewrite(path, change):
    """Change a JSON file by a function of its content."""
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))


def rename_weights(path, rename):
    """Change the names inside a safetensors file."""
    renamed = {rename(name): tensor for name, tensor in load_file(path).items()}
    save_file(renamed, path, metadata={"format": "pt"})


@pytest.fixture(scope="module", params=["sd15", "sd21"])
def pair(request, written):
    """One folder, loaded here and by diffusers: eps with a PNDM scheduler, v with a DDIM one."""
    folder = written(request.param)
    return load(folder), pipeline(folder)


@pytest.fixture(scope="module")
def tiny(written):
    return load(written("sd15"))


# reference: diffusers' own pipeline


def test_features_are_those_of_the_pipelines_unet(pair):
    ours, theirs = pair
    z, conditioning = normal(2, 4, 8, 8), ours.embed("a red face")
    seen = []
    hook = theirs.unet.up_blocks[2].register_forward_hook(lambda m, i, out: seen.append(out))
    states = theirs.encode_prompt("a red face", "cpu", 1, False)[0]
    theirs.unet(z, 261, encoder_hidden_states=states.expand(2, -1, -1))
    hook.remove()
    with capture(ours.unet, {"up2": ours.taps["up2"].path}, stop_after=True) as found:
        ours.predictor(conditioning)(z, 261)
    torch.testing.assert_close(found["up2"], seen[0], rtol=0, atol=1e-5)
    assert seen[0].abs().max() > 0.1


@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_a_ddim_path_of_five_steps_is_the_pipelines(pair, guidance):
    ours, theirs = pair
    # a PNDM config does not say that it does not clip, and DDIM clips unless told otherwise
    theirs.scheduler = DDIMScheduler.from_config(theirs.scheduler.config, clip_sample=False)
    z = normal(1, 4, 8, 8)
    expected = theirs(
        "a red face",
        latents=z,
        num_inference_steps=5,
        guidance_scale=guidance,
        output_type="latent",
        height=64,
        width=64,
    ).images
    schedule = Schedule.ddim(ours.noise, steps=5)
    predict = ours.predictor(ours.embed("a red face"), guidance)
    with torch.no_grad():
        for level in range(schedule.steps, 0, -1):
            eps = predict(z, schedule.timestep(level))
            z = ddim_step(
                z,
                eps,
                alpha_bar_from=schedule.alpha_bars[level],
                alpha_bar_to=schedule.alpha_bars[level - 1],
            )
    torch.testing.assert_close(z, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_encoding_and_decoding_are_the_pipelines_autoencoder(pair):
    ours, theirs = pair
    image = normal(2, 3, 64, 128).clamp(-1, 1)
    posterior = theirs.vae.encode(image).latent_dist
    factor = theirs.vae.config.scaling_factor
    mean, std = ours.moments(image)
    torch.testing.assert_close(mean, posterior.mean * factor, rtol=0, atol=1e-5)
    torch.testing.assert_close(std, posterior.std * factor, rtol=0, atol=1e-5)
    assert torch.equal(ours.encode(image), mean)
    decoded = theirs.vae.decode(mean / factor).sample
    torch.testing.assert_close(ours.decode(mean), decoded, rtol=0, atol=1e-5)


def test_a_prompt_becomes_what_the_pipeline_makes_of_it(pair):
    ours, theirs = pair
    for prompt in ("a red face", ""):
        expected = theirs.encode_prompt(prompt, "cpu", 1, False)[0]
        found = ours.embed(prompt)
        torch.testing.assert_close(found.states, expected, rtol=0, atol=1e-6)
        assert found.prompt == prompt


def test_noise_levels_are_those_of_the_scheduler_whatever_its_kind(pair):
    ours, theirs = pair
    expected = theirs.scheduler.alphas_cumprod.double()
    torch.testing.assert_close(ours.noise.alpha_bars, expected, rtol=1e-5, atol=0)
    assert ours.noise.prediction == theirs.scheduler.config.prediction_type


def test_sizes_are_those_of_stable_diffusion(pair):
    ours, _ = pair
    assert (ours.stride, ours.multiple, ours.latent_channels) == (8, 64, 4)
    assert (ours.device, ours.dtype) == (torch.device("cpu"), torch.float32)


# the predictor


def test_an_integer_timestep_reaches_the_network_as_it_is(tiny):
    seen = []
    hook = tiny.unet.register_forward_pre_hook(lambda module, given: seen.append(given[1]))
    for guidance in (1.0, 3.0):
        tiny.predictor(tiny.embed("a"), guidance)(normal(1, 4, 8, 8), 261)
    hook.remove()
    assert [type(t) for t in seen] == [int, int]
    assert seen == [261, 261]


def test_a_timestep_per_row_is_repeated_for_guidance(tiny):
    z, t = normal(2, 4, 8, 8), torch.tensor([20, 700])
    seen = []
    hook = tiny.unet.register_forward_pre_hook(lambda module, given: seen.append(given[1]))
    predict = tiny.predictor(tiny.embed("a"), 3.0)
    both = predict(z, t)
    hook.remove()
    assert seen[0].tolist() == [20, 700, 20, 700]
    each = torch.cat([predict(z[:1], 20), predict(z[1:], 700)])
    torch.testing.assert_close(both, each, rtol=0, atol=1e-5)


def test_guidance_asks_for_unconditional_rows_first_in_one_call(tiny):
    z, conditioning = normal(3, 4, 8, 8), tiny.embed("a red face")
    seen = []
    hook = tiny.unet.register_forward_pre_hook(
        lambda module, given, named: seen.append((given[0], named["encoder_hidden_states"])),
        with_kwargs=True,
    )
    guided = tiny.predictor(conditioning, 3.0)(z, 10)
    hook.remove()
    ((rows, states),) = seen
    assert torch.equal(rows, z.repeat(2, 1, 1, 1))
    assert torch.equal(states[:3], tiny.embed("").states.expand(3, -1, -1))
    assert torch.equal(states[3:], conditioning.states.expand(3, -1, -1))
    without = tiny.predictor(tiny.embed(""))(z, 10)
    expected = without + 3.0 * (tiny.predictor(conditioning)(z, 10) - without)
    torch.testing.assert_close(guided, expected, rtol=0, atol=1e-5)


def test_a_velocity_is_converted_at_the_level_the_network_was_told(written):
    model = load(written("sd21"))
    z, conditioning = normal(2, 4, 8, 8), model.embed("a")
    states = conditioning.states.expand(2, -1, -1)
    for t in (5, torch.tensor([5, 900])):
        v = model.unet(z, t, encoder_hidden_states=states).sample
        expected = eps_from_v(v, z, alpha_bar=model.noise.level(t))
        assert torch.equal(model.predictor(conditioning)(z, t), expected)


@pytest.mark.parametrize("outside", [-1, 1000, torch.tensor([1, 1000])])
def test_a_timestep_outside_the_table_never_reaches_the_network(tiny, outside):
    with pytest.raises(NoiseLevelError, match=r"t must lie in \[0, 999\]"):
        tiny.predictor(tiny.embed("a"))(normal(2, 4, 8, 8), outside)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_answers_have_the_dtype_that_was_given(written, dtype):
    model = load(written("sd15"), dtype="bfloat16")
    z, image = normal(1, 4, 8, 8).to(dtype), normal(1, 3, 64, 64).to(dtype)
    assert model.dtype == torch.bfloat16
    assert model.predictor(model.embed("a"), 2.0)(z, 10).dtype == dtype
    assert model.encode(image).dtype == dtype
    assert model.decode(z).dtype == dtype


def test_gradients_reach_the_latent_and_the_image_but_no_weight(tiny):
    z, image = normal(1, 4, 8, 8).requires_grad_(), normal(1, 3, 64, 64).requires_grad_()
    eps = tiny.predictor(tiny.embed("a"), 2.0)(z, 10)
    assert torch.autograd.grad(eps.square().sum(), z)[0].abs().max() > 0
    assert torch.autograd.grad(tiny.encode(image).square().sum(), image)[0].abs().max() > 0
    assert all(weight.grad is None for weight in tiny.unet.parameters())


def test_a_conditioning_per_row_is_used_row_by_row(tiny):
    z, states = normal(2, 4, 8, 8), normal(2, 77, 32)
    both = tiny.predictor(Conditioning(states, "two"))(z, 10)
    each = [tiny.predictor(Conditioning(states[i : i + 1], ""))(z[i : i + 1], 10) for i in (0, 1)]
    torch.testing.assert_close(both, torch.cat(each), rtol=0, atol=1e-5)
    with pytest.raises(ShapeError, match=r"1 row or one per row of the latent \(3\), got \(2, 77"):
        tiny.predictor(Conditioning(states, "two"))(normal(3, 4, 8, 8), 10)


@pytest.mark.parametrize("shape", [(4, 8, 8), (1, 3, 8, 8)])
def test_what_is_no_latent_is_refused(tiny, shape):
    with pytest.raises(ShapeError, match=r"latent must be \(b c=4 h w\), got"):
        tiny.predictor(tiny.embed("a"))(normal(*shape), 10)
    with pytest.raises(ShapeError, match=r"latent must be \(b c=4 h w\), got"):
        tiny.decode(normal(*shape))


# images and prompts


@pytest.mark.parametrize(("height", "width", "cells"), [(50, 130, (8, 24)), (64, 64, (8, 8))])
def test_any_size_is_padded_on_the_right_and_bottom(tiny, height, width, cells):
    latent = tiny.encode(normal(1, 3, height, width))
    assert latent.shape == (1, 4, *cells)
    assert tiny.decode(latent).shape == (1, 3, cells[0] * 8, cells[1] * 8)


def test_a_picture_without_three_channels_is_refused(tiny):
    with pytest.raises(ShapeError, match=r"image must be \(b c=3 h w\), got \(1, 4, 64, 64\)"):
        tiny.encode(normal(1, 4, 64, 64))


def test_a_prompt_that_is_too_long_warns_and_is_cut_as_the_pipeline_cuts_it(pair):
    ours, theirs = pair
    prompt = "a red face and " * 40
    with pytest.warns(UserWarning, match=r"the prompt has \d+ tokens, tiny reads the first 77"):
        found = ours.embed(prompt)
    expected = theirs.encode_prompt(prompt, "cpu", 1, False)[0]
    torch.testing.assert_close(found.states, expected, rtol=0, atol=1e-6)


# loading


def test_a_loaded_model_is_frozen_and_in_evaluation_mode(tiny):
    for network in (tiny.unet, tiny.vae, tiny.text_encoder):
        assert not any(weight.requires_grad for weight in network.parameters())
        assert not any(part.training for part in network.modules())


def test_loading_draws_nothing_and_prints_nothing(written, capfd):
    before = torch.get_rng_state()
    load(written("sd15")).embed("a").fingerprint  # noqa: B018 - run for what it might print
    assert torch.equal(torch.get_rng_state(), before)
    assert capfd.readouterr() == ("", "")


def test_weights_are_the_hashes_of_the_files_by_their_place_in_the_folder(written):
    folder = written("sd15")
    expected = {name: hashlib.sha256((folder / name).read_bytes()) for name in (UNET, VAE, TEXT)}
    found = load(folder).weights
    assert dict(found) == {name: digest.hexdigest() for name, digest in expected.items()}


@pytest.mark.parametrize(
    ("config", "dtype", "vae_dtype"),
    [(True, "float16", "float32"), (False, "float16", "float16"), (True, "bfloat16", "bfloat16")],
)
def test_an_autoencoder_that_overflows_in_float16_stays_in_float32(
    folder, config, dtype, vae_dtype
):
    rewrite(folder / "vae/config.json", lambda it: it.update(force_upcast=config))
    model = load(folder, dtype=dtype)
    assert model.dtype == getattr(torch, dtype)
    assert model.vae.dtype == getattr(torch, vae_dtype)
    stored = load_file(folder / VAE)["encoder.conv_in.weight"]
    expected = stored.to(getattr(torch, vae_dtype))
    assert torch.equal(model.vae.encoder.conv_in.weight, expected)


def test_a_folder_with_half_precision_files_only_is_read(folder, tiny):
    for name in (UNET, VAE, TEXT):
        path = folder / name
        halves = {key: tensor.half() for key, tensor in load_file(path).items()}
        save_file(halves, path.with_suffix(".fp16.safetensors"), metadata={"format": "pt"})
        path.unlink()
    model = load(folder)
    assert model.dtype == torch.float32
    assert model.vae.dtype == torch.float32
    weight = tiny.unet.conv_in.weight
    assert torch.equal(model.unet.conv_in.weight, weight.half().float())
    assert set(model.weights) == {n.replace(".safe", ".fp16.safe") for n in (UNET, VAE, TEXT)}


def test_names_of_the_first_releases_are_understood(folder, tiny):
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}

    def as_published(name):
        for new, word in old.items():
            name = name.replace(f"attentions.0.{new}.", f"attentions.0.{word}.")
        return name

    rename_weights(folder / VAE, as_published)
    rename_weights(folder / TEXT, lambda name: f"text_model.{name.removeprefix('text_model.')}")
    text = load_file(folder / TEXT) | {"text_model.embeddings.position_ids": torch.arange(77)}
    save_file(text, folder / TEXT, metadata={"format": "pt"})
    model, image = load(folder), normal(1, 3, 64, 64)
    assert torch.equal(model.encode(image), tiny.encode(image))
    assert torch.equal(model.embed("a face").states, tiny.embed("a face").states)


def test_a_tokenizer_of_two_files_is_understood(folder, tiny):
    path = folder / "tokenizer/tokenizer.json"
    model = json.loads(path.read_text())["model"]
    pairs = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    (folder / "tokenizer/vocab.json").write_text(json.dumps(model["vocab"]))
    (folder / "tokenizer/merges.txt").write_text("\n".join(["#version: 0.2", *pairs, ""]))
    path.unlink()
    assert torch.equal(load(folder).embed("a red face").states, tiny.embed("a red face").states)


# refusals: every message names the file and what to do


def test_a_folder_that_is_no_model_is_refused_with_what_it_holds(tmp_path):
    (tmp_path / "holiday.png").touch()
    with pytest.raises(
        BackboneError,
        match=r"must hold unet/config\.json, .* has no unet/config\.json, it holds holiday\.png",
    ):
        load(tmp_path)


@pytest.mark.parametrize("name", ["diffusion_pytorch_model.bin", "model.ckpt"])
def test_a_pickle_is_refused_by_name(folder, name):
    (folder / UNET).rename(folder / "unet" / name)
    with pytest.raises(
        BackboneError, match=rf"found only the pickle unet/{name} in .*; convert it to safetensors"
    ):
        load(folder)


def test_a_pickle_beside_the_safetensors_is_never_opened(folder):
    (folder / "unet/diffusion_pytorch_model.bin").write_bytes(b"not to be opened")
    load(folder)


def test_a_missing_weight_file_is_refused_with_what_was_looked_for(folder):
    (folder / VAE).unlink()
    with pytest.raises(
        BackboneError,
        match=r"must hold vae/diffusion_pytorch_model\.safetensors or .*, vae/ holds config\.json",
    ):
        load(folder)


@pytest.mark.parametrize("name", [UNET, VAE, TEXT])
@pytest.mark.parametrize("damage", ["cut short", "empty", "another kind"])
def test_a_damaged_weight_file_is_refused_in_one_sentence(folder, name, damage):
    whole = (folder / name).read_bytes()
    damaged = {"cut short": whole[:-100], "empty": b"", "another kind": b"version 1\noid 3" * 9}
    (folder / name).write_bytes(damaged[damage])
    with pytest.raises(
        BackboneError, match=rf"{name} must be a whole safetensors file.*; download or copy"
    ) as refusal:
        load(folder)
    assert "\n" not in str(refusal.value)


def test_a_weight_that_is_missing_in_the_file_is_never_left_random(folder):
    kept = {name: t for name, t in load_file(folder / UNET).items() if name != "conv_in.weight"}
    save_file(kept, folder / UNET, metadata={"format": "pt"})
    with pytest.raises(BackboneError, match=r"missing 1 \['conv_in\.weight'\]"):
        load(folder)


def test_a_weight_that_the_config_has_no_place_for_is_refused(folder):
    more = load_file(folder / UNET) | {"extra.weight": torch.zeros(3)}
    save_file(more, folder / UNET, metadata={"format": "pt"})
    with pytest.raises(BackboneError, match=r"left over 1 \['extra\.weight'\]"):
        load(folder)


@pytest.mark.parametrize("part", [UNET, VAE, TEXT])
def test_weights_of_another_width_are_refused(folder, part):
    first = {UNET: "conv_in.weight", VAE: "encoder.conv_in.weight"}
    tensors = load_file(folder / part)
    name = first.get(part) or next(n for n in tensors if n.endswith("token_embedding.weight"))
    save_file(tensors | {name: tensors[name][:4].clone()}, folder / part, metadata={"format": "pt"})
    with pytest.raises(BackboneError, match="and its config must fit each other, got") as refusal:
        load(folder)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"addition_embed_type": "text_time"}, "need text states alone.*addition_embed_type"),
        ({"class_embed_type": "timestep"}, "need text states alone.*class_embed_type"),
        ({"in_channels": 9}, "in_channels of .* must be 4.*got 9; inpainting"),
        ({"cross_attention_dim": 64}, "cross_attention_dim of .* must be 32.*got 64"),
        ({"mid_block_type": "UNetMidBlock2D"}, "must be built of .*, got 'UNetMidBlock2D'"),
    ],
)
def test_another_architecture_is_refused_before_weights_are_read(folder, setting, message):
    rewrite(folder / "unet/config.json", lambda it: it.update(setting))
    (folder / UNET).unlink()
    with pytest.raises(BackboneError, match=message):
        load(folder)


def test_a_scheduler_that_cannot_be_inverted_is_refused(folder):
    path = folder / "scheduler/scheduler_config.json"
    rewrite(path, lambda it: it.update(prediction_type="score"))
    with pytest.raises(ScheduleError, match="score"):
        load(folder)


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_a_config_that_is_no_json_object_is_refused(folder, text):
    (folder / "vae/config.json").write_text(text)
    with pytest.raises(BackboneError, match=r"vae/config\.json must (be readable|hold a) JSON"):
        load(folder)


def test_a_missing_or_broken_tokenizer_is_refused(folder):
    (folder / "tokenizer/tokenizer.json").write_text("{}")
    with pytest.raises(BackboneError, match=r"the tokenizer in .* cannot be read"):
        load(folder)
    shutil.rmtree(folder / "tokenizer")
    with pytest.raises(BackboneError, match=r"must hold tokenizer/tokenizer\.json or .* neither"):
        load(folder)


# from the config alone


@pytest.mark.parametrize(("name", "millions"), [("sd15", 859.52), ("sd21", 865.91)])
def test_a_family_is_built_from_its_config_without_memory(name, millions):
    model = sd.from_config(name, device="meta")
    total = sum(weight.numel() for weight in model.unet.parameters())
    assert total / 1e6 == pytest.approx(millions, abs=0.01)
    assert model.unet.conv_in.weight.is_meta
    assert model.text_encoder.config.max_position_embeddings == 77
    assert model.name == name
    assert dict(model.weights) == {}


def test_a_name_without_bundled_configs_is_refused():
    with pytest.raises(BackboneError, match="configs are bundled for sd15, sd21, sdxl, got 'sd3'"):
        sd.from_config("sd3", device="meta")


def test_the_embedded_folder_is_a_stock_pipeline():
    pipe = pipeline(embedded_folder())
    image = pipe(
        "a red face", num_inference_steps=2, height=64, width=64, output_type="pt", guidance_scale=2
    ).images
    assert image.shape == (1, 3, 64, 64)
    assert bool(image.isfinite().all())
