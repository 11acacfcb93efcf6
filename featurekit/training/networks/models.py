"""The stock networks of a recipe with fresh weights, and their folder as diffusers lays it out."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from featurekit.backbones.stock import quietly
from featurekit.core.atomic import replacing_folder
from featurekit.training.recipe import Recipe

VAE_GROUPS, UNET_GROUPS = 8, 16  # of the normalisations; channels are multiples of them
NOISE = {  # Stable Diffusion 1.x; the scheduler's config in its published folder
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "timestep_spacing": "leading",
}

PREFIX = "text_model."  # of the names in the file; transformers from 5 on saves without, reads both
TEXT_FILE = "model.safetensors"  # as transformers calls it

INDEX = {  # of a diffusers pipeline: which library holds which part's class
    "_class_name": "StableDiffusionPipeline",
    "feature_extractor": [None, None],
    "image_encoder": [None, None],
    "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "DDIMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}


def autoencoder(recipe: Recipe) -> AutoencoderKL:
    """An ``AutoencoderKL`` with random weights; its latents are scaled by ``fold`` later."""
    levels = len(recipe.vae_channels)
    with _seeded(recipe.seed):
        return AutoencoderKL(
            in_channels=3,
            out_channels=3,
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            block_out_channels=recipe.vae_channels,
            layers_per_block=1,
            latent_channels=recipe.latent_channels,
            norm_num_groups=VAE_GROUPS,
            sample_size=recipe.size,
            scaling_factor=1.0,
        )


def denoiser(recipe: Recipe) -> UNet2DConditionModel:
    """A ``UNet2DConditionModel`` of Stable Diffusion's topology with random weights."""
    levels = len(recipe.unet_channels)
    with _seeded(recipe.seed + 1):
        return UNet2DConditionModel(
            sample_size=recipe.size // recipe.stride,
            in_channels=recipe.latent_channels,
            out_channels=recipe.latent_channels,
            layers_per_block=1,
            block_out_channels=recipe.unet_channels,
            down_block_types=("CrossAttnDownBlock2D",) * (levels - 1) + ("DownBlock2D",),
            up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * (levels - 1),
            cross_attention_dim=recipe.text_width,
            attention_head_dim=recipe.heads,  # diffusers means the number of heads by it
            norm_num_groups=UNET_GROUPS,
        )


def text_encoder(recipe: Recipe, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """A ``CLIPTextModel`` with random weights for the tokenizer's vocabulary."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.text_width,
        intermediate_size=recipe.text_width * 4,
        num_hidden_layers=recipe.text_layers,
        num_attention_heads=recipe.heads,
        max_position_embeddings=recipe.text_tokens,
        hidden_act="quick_gelu",
        projection_dim=recipe.text_width,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with _seeded(recipe.seed + 2):
        return CLIPTextModel(config)


def save_folder(
    folder: Path, *, vae: nn.Module, unet: nn.Module, text: nn.Module, tokenizer: CLIPTokenizer
) -> Path:
    """Write a diffusers folder in float16 that ``StableDiffusionPipeline`` loads offline.

    Releases of transformers before 5 read it as well: they know the text encoder's weights by names
    with a prefix, and the tokenizer by its vocabulary and merges in two files.

    Args:
        folder: to write, or to replace as a whole.
        vae: autoencoder, folded.
        unet: denoiser.
        text: text encoder.
        tokenizer: its tokenizer.

    Returns:
        The folder.

    Raises:
        OutputError: it cannot be written; what was there stays.
    """
    parts: dict[str, Any] = {"vae": vae, "unet": unet, "text_encoder": text}
    with replacing_folder(folder) as fresh, quietly():
        for name, network in parts.items():
            kept = {key: value.clone() for key, value in network.state_dict().items()}
            network.half().save_pretrained(fresh / name, safe_serialization=True)
            network.float().load_state_dict(kept)  # the rounding is the file's alone
        # transformers loads in the dtype that a config names, diffusers in float32: they must agree
        config = fresh / "text_encoder" / "config.json"
        settings = json.loads(config.read_text(encoding="utf-8")) | {"dtype": "float32"}
        config.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        write_prefixed(fresh / "text_encoder" / TEXT_FILE)
        tokenizer.save_pretrained(fresh / "tokenizer")
        tokenizer.backend_tokenizer.model.save(str(fresh / "tokenizer"))
        DDIMScheduler(**NOISE).save_pretrained(fresh / "scheduler")
        index = json.dumps(INDEX, indent=2) + "\n"
        (fresh / "model_index.json").write_text(index, encoding="utf-8")
    return folder


def write_prefixed(path: Path) -> None:
    """Give the weights of a text encoder's file the names that every release of transformers reads.

    Args:
        path: safetensors file; its tensors stay as they are.
    """
    tensors = {
        name if name.startswith(PREFIX) else PREFIX + name: tensor
        for name, tensor in load_file(path).items()
    }
    save_file(tensors, path, metadata={"format": "pt"})


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Draw first weights from a seed; the global random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
