"""FLUX.2: double blocks, then single ones on one tensor; latents that are packed already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from featurekit.backbones.dit.blocks import Part, Stack, double_and_single, double_parts
from featurekit.backbones.dit.diffusion_transformer import DiffusionTransformer, Words, parts_of
from featurekit.backbones.dit.fit import check_packed
from featurekit.backbones.dit.packing import gathered, packed, scattered, unpacked
from featurekit.backbones.dit.word_places import Spelling
from featurekit.backbones.vae_taps import vae_stride
from featurekit.core.errors import BackboneError
from featurekit.core.types import Conditioning
from featurekit.diffusion.flow_table import FlowTable

_PACKED = 2  # cells of the autoencoder along the side of a cell of the latent


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Flux2(DiffusionTransformer):
    """FLUX.2 klein, base or distilled, and FLUX.2 dev.

    The latent is the map that the network is given: squares of the autoencoder's cells as the
    channels of one, freed of mean and deviation, so that a token is a cell.
    """

    noise: FlowTable
    is_distilled: bool = False  # answers for few steps, guided already

    @classmethod
    def stacks(cls, config: Mapping[str, Any]) -> tuple[Stack, ...]:
        """Double blocks return text and picture, single ones both in one, text first."""
        heads = config["num_attention_heads"]
        width = heads * config["attention_head_dim"]
        norm = Part("norm", "attn", "adaln", width, side="in")
        return double_and_single(config, double_parts(width, heads, norm), _single(width, heads))

    @property
    def patch(self) -> int:
        """Cells of the latent along the side of a token."""
        return 1

    @property
    def stride(self) -> int:
        """Pixels of the input image per latent cell."""
        return vae_stride(self.vae.config) * _PACKED

    @property
    def latent_channels(self) -> int:
        """Channels of a latent."""
        return int(self.vae.config.latent_channels) * _PACKED**2

    @property
    def sample_size(self) -> tuple[int, int]:
        """Rows and columns of the latents of 1024 px, for which the network was made."""
        return 1024 // self.stride, 1024 // self.stride

    @property
    def usual_guidance(self) -> float:
        """Scale that the stock pipeline takes; a distilled network takes none."""
        return 1.0 if self.is_distilled else super().usual_guidance

    def copies(self, guidance: float) -> int:
        """Count the rows that are asked for each row of a latent, as for every transformer.

        Raises:
            BackboneError: guidance is asked of a distilled network, which knows no other answer.
        """
        if self.is_distilled and guidance != 1:
            raise BackboneError(
                f"guidance must be 1 for {self.name}, which was distilled to answer as if guided, "
                f"got {guidance:g}"
            )
        return super().copies(guidance)

    def encoded(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of an image, squares packed and then normalised."""
        posterior = self.vae.encode(image).latent_dist
        mean, std = self._statistics(posterior.mean)
        return (
            (gathered(posterior.mean, _PACKED) - mean) / std,
            gathered(posterior.std, _PACKED) / std,
        )

    def decoded(self, latent: Tensor, dtype: torch.dtype) -> Tensor:
        """Image of a latent; undoes the same."""
        mean, std = self._statistics(latent)
        cells = scattered(latent * std + mean, _PACKED).to(dtype)
        image: Tensor = self.vae.decode(cells, return_dict=False)[0]
        return image

    def velocity(self, z: Tensor, t: Tensor, words: Words, guidance: float) -> Tensor:
        """Call with a token a cell; text is at the position of the first, one behind the other."""
        told = torch.full_like(t, guidance) if self.transformer.config.guidance_embeds else None
        grid = self.grid(z)
        count = words.states.shape[1]
        answer = self.transformer(
            hidden_states=packed(z, 1),
            timestep=t / self.noise.train_timesteps,
            guidance=told,
            encoder_hidden_states=words.states,
            txt_ids=_places((1, 1, 1, count), z.device),
            img_ids=_places((1, *grid, 1), z.device),
            return_dict=False,
        )[0]
        return unpacked(answer, 1, grid)

    def embedded(self, prompt: str) -> Conditioning:
        """States of three layers of a language model, padding among them."""
        states, _ = self.prompts.encode_prompt(prompt=prompt, device=self.device)
        return Conditioning(states, prompt)

    def _statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation (1 c 1 1) that the autoencoder has counted."""
        norm = self.vae.bn
        mean = norm.running_mean.view(1, -1, 1, 1).to(like)
        std = (norm.running_var.view(1, -1, 1, 1) + self.vae.config.batch_norm_eps).sqrt()
        return mean, std.to(like)

    def spelt(self, prompt: str) -> tuple[Spelling, ...]:
        """Say what states are of: the prompt in a conversation."""
        text: str = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}],
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=False,
        )
        return (Spelling(self.tokenizer, text),)


def wrapped(pipeline: Any, name: str) -> Flux2:  # noqa: ANN401 - untyped
    """Make a backbone of the networks of a loaded ``Flux2KleinPipeline`` or ``Flux2Pipeline``.

    Args:
        pipeline: it.
        name: what the backbone will be called.

    Returns:
        Backbone that shares the pipeline's networks.

    Raises:
        BackboneError: the autoencoder packs other squares, or the transformer takes other channels.
        ScheduleError: the noise levels of the scheduler cannot be read.
    """
    squares = tuple(pipeline.vae.config.patch_size)
    if squares != (_PACKED, _PACKED):
        raise BackboneError(
            f"the autoencoder of {name} must pack squares of {_PACKED} x {_PACKED} cells, as the "
            f"pipelines of FLUX.2 do, got {squares}"
        )
    check_packed(pipeline, name, pipeline.vae.config.latent_channels)
    return Flux2(
        name=name,
        noise=FlowTable.from_scheduler(pipeline.scheduler, family="flux2"),
        is_distilled=bool(pipeline.config.get("is_distilled")),
        **parts_of(pipeline),
    )


def _places(sizes: tuple[int, ...], device: torch.device) -> Tensor:
    """Time, row, column and place in the text of each token, (n 4)."""
    return torch.cartesian_prod(*(torch.arange(size, device=device) for size in sizes))


def _single(width: int, heads: int) -> tuple[Part, ...]:
    """Queries, keys, values and the first half of the feed-forward are one projection here."""
    return (
        Part("", "", "single", width, place="last"),
        Part("in", "", "single_in", width, side="in", place="last"),
        Part("norm", "attn", "adaln", width, side="in", place="last"),
        Part("attn", "attn", "joint_attention", width, place="last"),
        Part("attn.map", "attn", "joint_map", heads, "heads", side="map"),
    )
