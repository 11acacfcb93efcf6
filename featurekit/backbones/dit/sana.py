"""Sana: linear attention among picture tokens, then attention to Gemma's words; 32 px a cell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from featurekit.backbones.dit.blocks import Part, Stack
from featurekit.backbones.dit.diffusion_transformer import DiffusionTransformer, Words, parts_of
from featurekit.backbones.dit.fit import check_channels, check_plain, cleaned, defaults_of_call
from featurekit.backbones.dit.word_places import Spelling
from featurekit.core.types import Conditioning, Tap
from featurekit.diffusion.flow_table import FlowTable

_MASK = "mask"
_GIVEN = {  # by setting what works, and why other values do not
    "guidance_embeds": (False, "a Sana Sprint's time is an angle and its latents have other sizes"),
}
_READING = ("clean_caption", "max_sequence_length")
_INSTRUCTION = "complex_human_instruction"  # stands before every prompt but the empty one


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Sana(DiffusionTransformer):
    """Sana and Sana 1.5."""

    EXTRA: ClassVar[tuple[str, ...]] = (_MASK,)
    noise: FlowTable

    @classmethod
    def stacks(cls, config: Mapping[str, Any]) -> tuple[Stack, ...]:
        """Blocks return the picture alone; their linear attention has no map."""
        width = config["num_attention_heads"] * config["attention_head_dim"]
        heads = config["num_cross_attention_heads"]
        parts = _parts(width, heads * config["cross_attention_head_dim"], heads)
        return (Stack("block", "transformer_blocks", range(config["num_layers"]), parts),)

    @property
    def patch(self) -> int:
        """Cells of the latent along the side of a token."""
        return int(self.transformer.config.patch_size)

    @property
    def stride(self) -> int:
        """Pixels of the input image per latent cell."""
        return int(2 ** (len(self.vae.config.encoder_block_out_channels) - 1))

    @property
    def vae_activations(self) -> tuple[Tap, ...]:
        """Maps of the blocks of the autoencoder."""
        return (*_encoder(self.vae.config), *_decoder(self.vae.config))

    def encoded(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Latent of an image of whole cells, which its autoencoder draws nothing for: no spread."""
        latent = self.vae.encode(image).latent * self.vae.config.scaling_factor
        return latent, torch.zeros_like(latent)

    def velocity(self, z: Tensor, t: Tensor, words: Words, guidance: float) -> Tensor:
        """Call; the network is told train timesteps, scaled as its config says."""
        self.grid(z)
        config = self.transformer.config
        answer: Tensor = self.transformer(
            z,
            encoder_hidden_states=words.states,
            encoder_attention_mask=words.extra[_MASK],
            timestep=t * config.timestep_scale,
            return_dict=False,
        )[0]
        return answer[:, : self.latent_channels]

    def embedded(self, prompt: str) -> Conditioning:
        """States of Gemma behind the pipeline's instruction, and which of them are words.

        The empty prompt is the unconditional case, which has no instruction.
        """
        given = defaults_of_call(self.prompts, *_READING, _INSTRUCTION)
        found = self.prompts.encode_prompt(
            prompt,
            do_classifier_free_guidance=not prompt,
            negative_prompt="",
            device=self.device,
            **given,
        )
        states, mask = found[:2] if prompt else found[2:]
        return Conditioning(states, prompt, {_MASK: mask})

    def spelt(self, prompt: str) -> tuple[Spelling, ...]:
        """Say what states are of: a first token, then the prompt behind an instruction left out."""
        told = "\n".join(defaults_of_call(self.prompts, _INSTRUCTION)[_INSTRUCTION])
        before = len(self.tokenizer.encode(told)) - 2  # the pipeline keeps one more, and the first
        return (Spelling(self.tokenizer, told + self.written(prompt), before),)

    def written(self, text: str) -> str:
        """Clean a text as the pipeline does."""
        return cleaned(self.prompts, text)


def wrapped(pipeline: Any, name: str) -> Sana:  # noqa: ANN401 - untyped
    """Make a backbone of the networks of a loaded ``SanaPipeline``.

    Args:
        pipeline: it.
        name: what the backbone will be called.

    Returns:
        Backbone that shares the pipeline's networks.

    Raises:
        BackboneError: the transformer has other inputs.
        ScheduleError: the noise levels of the scheduler cannot be read.
    """
    check_plain(pipeline, name, _GIVEN)
    check_channels(pipeline, name, variance=True)
    transformer = pipeline.transformer
    return Sana(
        name=name,
        noise=FlowTable.from_scheduler(
            pipeline.scheduler, family="sana", patch=transformer.config.patch_size
        ),
        **parts_of(pipeline),
    )


def _parts(width: int, inner: int, heads: int) -> tuple[Part, ...]:
    """What the linear attention is given is normed and modulated; no module gives it."""
    return (
        Part("", "", "block", width),
        Part("in", "", "block_in", width, side="in"),
        Part("norm", "attn1", "adaln", width, side="in"),
        Part("attn1", "attn1", "self_attention", width),
        *(Part(f"attn1.{one}", f"attn1.to_{one}", f"self_{one}", width) for one in "qkv"),
        Part("attn2", "attn2", "cross_attention", width),
        Part("attn2.q", "attn2.to_q", "cross_q", inner),
        Part("attn2.k", "attn2.to_k", "cross_k", inner, "words"),
        Part("attn2.v", "attn2.to_v", "cross_v", inner, "words"),
        Part("attn2.map", "attn2", "cross_map", heads, "heads", side="map"),
        Part("ff", "ff", "ff", width, "map"),
    )


def _encoder(vae: Mapping[str, Any]) -> Iterator[Tap]:
    """Each block but the last halves the size behind its layers."""
    channels, last = vae["encoder_block_out_channels"], len(vae["encoder_block_out_channels"]) - 1
    for number in range(len(channels)):
        depth = min(number + 1, last)
        yield _map("encoder", "down", number, channels[depth], 2**depth)


def _decoder(vae: Mapping[str, Any]) -> Iterator[Tap]:
    """Blocks are counted from the picture and run towards it; one without layers does nothing."""
    channels, layers = vae["decoder_block_out_channels"], vae["decoder_layers_per_block"]
    for number in reversed(range(len(channels))):
        level = number if layers[number] else number + 1
        yield _map("decoder", "up", number, channels[level], 2**level)


def _map(way: str, side: str, number: int, channels: int, stride: int) -> Tap:
    name, path = f"vae.{way}.{side}{number}", f"{way}.{side}_blocks.{number}"
    return Tap(name, path, f"vae_{way}", channels, stride, network="vae")
