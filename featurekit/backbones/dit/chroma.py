"""Chroma: FLUX.1's blocks, fewer and without pooled text; padding of the text is masked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from featurekit.backbones.dit.blocks import Part, Stack, double_and_single, double_parts
from featurekit.backbones.dit.diffusion_transformer import DiffusionTransformer, Words, parts_of
from featurekit.backbones.dit.fit import check_packed
from featurekit.backbones.dit.packing import packed, places_of_tokens, unpacked
from featurekit.backbones.dit.word_places import Spelling
from featurekit.core.errors import BackboneError
from featurekit.core.types import Conditioning
from featurekit.diffusion.flow_table import FlowTable

_PATCH = 2  # the pipeline packs squares of this side into a token
_MASK = "mask"  # 1 of a word and of the first padding, 0 of the rest


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Chroma(DiffusionTransformer):
    """Chroma and its kin.

    The mask weighs as diffusers has it: its numbers are added to the products of queries and keys,
    so that what is masked is attended to less, not never.
    """

    EXTRA: ClassVar[tuple[str, ...]] = (_MASK,)
    noise: FlowTable

    @classmethod
    def stacks(cls, config: Mapping[str, Any]) -> tuple[Stack, ...]:
        """Double blocks return text and picture, single ones both in one, text first."""
        heads = config["num_attention_heads"]
        width = heads * config["attention_head_dim"]
        norm = Part("norm", "norm1", "adaln", width, side="out0")
        return double_and_single(config, double_parts(width, heads, norm), _single(width, heads))

    @property
    def patch(self) -> int:
        """Cells of the latent along the side of a token."""
        return _PATCH

    def velocity(self, z: Tensor, t: Tensor, words: Words, guidance: float) -> Tensor:
        """Pack, call and unpack; the network is told noise levels, text is at position 0.

        Raises:
            BackboneError: gradients are checkpointed, where diffusers leaves the mask out.
        """
        grid, mask = self.grid(z), words.extra[_MASK].to(z.dtype)
        if self.transformer.gradient_checkpointing and torch.is_grad_enabled() and not mask.all():
            raise BackboneError(
                f"gradients of {self.name} must be computed without checkpoints, in which "
                f"diffusers leaves the mask of the words out; call "
                f"disable_gradient_checkpointing() on its transformer"
            )
        answer = self.transformer(
            hidden_states=packed(z, _PATCH),
            timestep=t / self.noise.train_timesteps,
            encoder_hidden_states=words.states,
            txt_ids=torch.zeros(words.states.shape[1], 3, device=z.device, dtype=z.dtype),
            img_ids=places_of_tokens(grid, z),
            attention_mask=torch.cat([mask, mask.new_ones(len(z), grid[0] * grid[1])], dim=1),
            return_dict=False,
        )[0]
        return unpacked(answer, _PATCH, grid)

    def embedded(self, prompt: str) -> Conditioning:
        """States of T5, and which of them are words."""
        states, _, mask, *_ = self.prompts.encode_prompt(
            prompt=prompt, device=self.device, do_classifier_free_guidance=False
        )
        return Conditioning(states, prompt, {_MASK: mask})

    def spelt(self, prompt: str) -> tuple[Spelling, ...]:
        """Say what states are of: the prompt."""
        return (Spelling(self.tokenizer, prompt),)


def wrapped(pipeline: Any, name: str) -> Chroma:  # noqa: ANN401 - untyped
    """Make a backbone of the networks of a loaded ``ChromaPipeline``.

    Args:
        pipeline: it.
        name: what the backbone will be called.

    Returns:
        Backbone that shares the pipeline's networks.

    Raises:
        BackboneError: the transformer takes other channels.
        ScheduleError: the noise levels of the scheduler cannot be read.
    """
    check_packed(pipeline, name, pipeline.vae.config.latent_channels)
    return Chroma(
        name=name,
        noise=FlowTable.from_scheduler(pipeline.scheduler, family="chroma", patch=_PATCH),
        **parts_of(pipeline),
    )


def _single(width: int, heads: int) -> tuple[Part, ...]:
    return (
        Part("", "", "single", width, place="last"),
        Part("in", "", "single_in", width, side="in", place="last"),
        Part("norm", "norm", "adaln", width, side="out0", place="last"),
        Part("attn", "attn", "joint_attention", width, place="last"),
        *(
            Part(f"attn.{one}", f"attn.to_{one}", f"joint_{one}", width, place="last")
            for one in "qkv"
        ),
        Part("attn.map", "attn", "joint_map", heads, "heads", side="map"),
    )
