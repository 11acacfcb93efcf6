"""FLUX.1: double blocks with text and picture apart, then single blocks with both together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from featurekit.backbones.dit.blocks import Part, Stack, double_and_single, double_parts
from featurekit.backbones.dit.diffusion_transformer import DiffusionTransformer, Words, parts_of
from featurekit.backbones.dit.packing import packed, places_of_tokens, unpacked
from featurekit.backbones.dit.word_places import Spelling
from featurekit.core.types import Conditioning
from featurekit.diffusion.flow_table import FlowTable

_PATCH = 2  # the pipeline packs squares of this side into a token
_POOLED = "pooled"


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Flux(DiffusionTransformer):
    """FLUX.1 dev, schnell and their kin."""

    EXTRA: ClassVar[tuple[str, ...]] = (_POOLED,)
    noise: FlowTable

    @classmethod
    def stacks(cls, config: Mapping[str, Any]) -> tuple[Stack, ...]:
        """Double blocks return text and picture, single ones too; inside, text comes first."""
        heads = config["num_attention_heads"]
        width = heads * config["attention_head_dim"]
        norm = Part("norm", "norm1", "adaln", width, side="out0")
        return double_and_single(config, double_parts(width, heads, norm), _single(width, heads))

    @property
    def patch(self) -> int:
        """Cells of the latent along the side of a token."""
        return _PATCH

    @property
    def usual_guidance(self) -> float:
        """Scale that dev is told; schnell was distilled to need none."""
        return super().usual_guidance if self.transformer.config.guidance_embeds else 1.0

    def velocity(self, z: Tensor, t: Tensor, words: Words, guidance: float) -> Tensor:
        """Pack, call and unpack; the network is told noise levels, text is at position 0."""
        grid = self.grid(z)
        told = torch.full_like(t, guidance) if self.transformer.config.guidance_embeds else None
        answer = self.transformer(
            hidden_states=packed(z, _PATCH),
            timestep=t / self.noise.train_timesteps,
            guidance=told,
            pooled_projections=words.extra[_POOLED].to(z.dtype),
            encoder_hidden_states=words.states,
            txt_ids=torch.zeros(words.states.shape[1], 3, device=z.device, dtype=z.dtype),
            img_ids=places_of_tokens(grid, z),
            return_dict=False,
        )[0]
        return unpacked(answer, _PATCH, grid)

    def embedded(self, prompt: str) -> Conditioning:
        """States of T5, and the pooled text of CLIP."""
        self.needs_text("text_encoder_2", "tokenizer_2")
        states, pooled, _ = self.prompts.encode_prompt(
            prompt=prompt, prompt_2=None, device=self.device
        )
        return Conditioning(states, prompt, {_POOLED: pooled})

    def spelt(self, prompt: str) -> tuple[Spelling, ...]:
        """Say what states are of: the prompt, as T5 reads it."""
        self.needs_text("text_encoder_2", "tokenizer_2")
        return (Spelling(self.tokenizer_2, prompt),)


def wrapped(pipeline: Any, name: str) -> Flux:  # noqa: ANN401 - untyped
    """Make a backbone of the networks of a loaded ``FluxPipeline``.

    Args:
        pipeline: it, or another pipeline of FLUX.1 for text alone.
        name: what the backbone will be called.

    Returns:
        Backbone that shares the pipeline's networks.

    Raises:
        ScheduleError: the noise levels of the scheduler cannot be read.
    """
    return Flux(
        name=name,
        noise=FlowTable.from_scheduler(pipeline.scheduler, family="flux", patch=_PATCH),
        **parts_of(pipeline),
    )


def _single(width: int, heads: int) -> tuple[Part, ...]:
    return (
        Part("", "", "single", width, side="out1"),
        Part("in", "", "single_in", width, side="in"),
        Part("words", "", "words", width, "words", side="out0"),
        Part("norm", "norm", "adaln", width, side="out0", place="last"),
        Part("attn", "attn", "joint_attention", width, place="last"),
        *(
            Part(f"attn.{letter}", f"attn.to_{letter}", f"joint_{letter}", width, place="last")
            for letter in "qkv"
        ),
        Part("attn.map", "attn", "joint_map", heads, "heads", side="map"),
    )
