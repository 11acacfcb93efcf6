"""The denoiser's training: latents, words, noise, and the folder that comes out of it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file
from transformers import CLIPTokenizer

from featurekit.training.data import tokenizer_training
from featurekit.training.data.latents import Latents
from featurekit.training.networks import models
from featurekit.training.networks.denoiser import DROPPED, DenoiserTask, Networks, _spread
from featurekit.training.recipe import SMALL

TINY = replace(
    SMALL,
    size=16,
    latent_channels=3,
    vae_channels=(8, 8, 8),
    unet_channels=(16, 16, 32, 32),
    text_width=16,
    text_layers=1,
    text_tokens=12,
    heads=2,
)
CAPTIONS = [["a red cat", "a red cat on a mat"], ["a blue dog", "a blue dog with an apple"]] * 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("words")


@pytest.fixture(scope="module")
def tokenizer(folder):
    return tokenizer_training.learn(
        [text for texts in CAPTIONS for text in texts], folder, tokens=12
    )


@pytest.fixture(scope="module")
def latents(folder):
    draw = np.random.default_rng(0)
    path = Path(folder) / "latents.npy"
    stored = draw.normal(size=(8, 2, 6, 4, 4)).astype(np.float16)
    stored[:, :, 3:] = 0.0
    np.save(path, stored)
    return Latents([path])


@pytest.fixture
def task(tokenizer, latents):
    networks = Networks(models.denoiser(TINY), models.text_encoder(TINY, tokenizer), tokenizer)
    held_out = torch.randn(4, 3, 4, 4), ["a red cat"] * 4
    return DenoiserTask(networks, latents, CAPTIONS, held_out=held_out)


def test_words_come_back_as_they_went_in(tokenizer):
    for text in ("a red cat", "a blue dog with an apple"):
        assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text


def test_every_word_of_the_world_is_one_token(tokenizer):
    numbers = tokenizer("a blue dog with an apple").input_ids
    assert len(numbers) == 6 + 2


def test_the_tokenizer_reads_back_the_same(tokenizer, folder):
    again = CLIPTokenizer.from_pretrained(folder)
    text = "a red dog on a mat"
    assert again(text).input_ids == tokenizer(text).input_ids
    assert again.model_max_length == 12


def test_texts_are_padded_to_one_length(tokenizer):
    numbers = tokenizer_training.numbered(
        tokenizer, ["a cat", "a red cat on a mat with an apple and a dog too"]
    )
    assert numbers.shape == (2, 12)
    assert (numbers[:, 0] == tokenizer.bos_token_id).all()
    assert (numbers[:, -1] == tokenizer.eos_token_id).all()


def test_latents_are_drawn_from_both_sides_with_their_spread(latents):
    chosen = torch.zeros(400, dtype=torch.long)
    drawn = latents.drawn(chosen, torch.Generator().manual_seed(0))
    sides = torch.unique(drawn.flatten(1), dim=0)
    assert len(sides) == 2


def test_timesteps_are_spread_evenly_over_the_table():
    timesteps = _spread(10, 1000, torch.Generator().manual_seed(0))
    assert sorted((timesteps // 100).tolist()) == list(range(10))
    assert timesteps.tolist() != sorted(timesteps.tolist())


def test_the_loss_is_the_same_for_the_same_draw_and_another_for_another(task):
    one, two = (task.loss(8, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one, two)
    assert not torch.equal(one, task.loss(8, torch.Generator().manual_seed(4)))


def test_the_loss_falls_and_trains_the_text_encoder_too(task):
    optimiser = torch.optim.Adam(task.network.parameters(), lr=2e-3)
    before = task.figures()["eps_mse"]
    for step in range(25):
        optimiser.zero_grad()
        task.loss(8, torch.Generator().manual_seed(step)).backward()
        optimiser.step()
    gradients = [p.grad for p in task.network["text"].parameters() if p.grad is not None]
    assert any(bool(g.abs().max() > 0) for g in gradients)
    assert task.figures()["eps_mse"] < before - 0.1


def test_some_captions_are_left_out(task, monkeypatch):
    seen = []
    monkeypatch.setattr(
        task, "_errors", lambda latents, texts, *rest: seen.append(texts) or torch.zeros(len(texts))
    )
    for step in range(40):
        task.loss(16, torch.Generator().manual_seed(step))
    texts = torch.cat(seen)
    share = (texts == task._nothing).all(1).float().mean()
    assert float(share) == pytest.approx(DROPPED, abs=0.04)


def test_low_noise_weighs_little_and_high_noise_all(task):
    weights = task._weights(torch.tensor([0, 261, 999]))
    assert weights[0] == pytest.approx(0.05)
    assert 0.05 < weights[1] <= 1
    assert weights[2] == 1


def test_the_folder_is_a_stable_diffusion_pipeline_in_half_precision(tmp_path, tokenizer):
    vae = models.autoencoder(TINY)
    unet, text = models.denoiser(TINY), models.text_encoder(TINY, tokenizer)
    kept = unet.conv_in.weight.detach().clone()
    models.save_folder(tmp_path, vae=vae, unet=unet, text=text, tokenizer=tokenizer)
    assert torch.equal(unet.conv_in.weight, kept)
    pipe = StableDiffusionPipeline.from_pretrained(tmp_path, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    stored = next(pipe.unet.parameters()).dtype
    assert stored in (torch.float16, torch.float32)
    image = pipe("a red cat", num_inference_steps=2, height=16, width=16, output_type="np").images[
        0
    ]
    assert image.shape == (16, 16, 3)
    sizes = {p.name: p.stat().st_size for p in (tmp_path / "unet").iterdir()}
    parameters = sum(p.numel() for p in unet.parameters())
    assert sizes["diffusion_pytorch_model.safetensors"] < parameters * 2 * 1.1 + 20_000


def test_releases_before_transformers_5_know_the_names_of_the_folder(tmp_path, tokenizer):
    vae = models.autoencoder(TINY)
    unet, text = models.denoiser(TINY), models.text_encoder(TINY, tokenizer)
    models.save_folder(tmp_path, vae=vae, unet=unet, text=text, tokenizer=tokenizer)
    stored = load_file(tmp_path / "text_encoder/model.safetensors")
    meant = {f"text_model.{name}": one.half() for name, one in text.state_dict().items()}
    assert stored.keys() == meant.keys()
    assert all(torch.equal(stored[name], one) for name, one in meant.items())
    vocabulary = json.loads((tmp_path / "tokenizer/vocab.json").read_text())
    assert vocabulary == tokenizer.get_vocab()
    assert (tmp_path / "tokenizer/merges.txt").read_text().startswith("#version")
