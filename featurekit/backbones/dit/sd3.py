"""Stable Diffusion 3 and 3.5: text and picture in streams of their own that attend jointly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from featurekit.backbones.dit.blocks import Part, Stack
from featurekit.backbones.dit.diffusion_transformer import DiffusionTransformer, Words, parts_of
from featurekit.backbones.dit.fit import check_channels, check_grid
from featurekit.backbones.dit.word_places import Spelling
from featurekit.core.errors import BackboneError
from featurekit.core.types import Conditioning
from featurekit.diffusion.flow_table import FlowTable

_POOLED = "pooled"


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class StableDiffusion3(DiffusionTransformer):
    """Stable Diffusion 3, 3.5 and their kin."""

    EXTRA: ClassVar[tuple[str, ...]] = (_POOLED,)
    noise: FlowTable

    @classmethod
    def stacks(cls, config: Mapping[str, Any]) -> tuple[Stack, ...]:
        """Blocks return text and picture, the last one no text; inside, the picture comes first."""
        heads, depth = config["num_attention_heads"], config["num_layers"]
        width = heads * config["attention_head_dim"]
        return tuple(
            Stack(
                "block",
                "transformer_blocks",
                range(number, number + 1),
                (
                    *_picture(width, heads),
                    *(_second(width, heads) if number in config["dual_attention_layers"] else ()),
                    *_text(width, last=number == depth - 1),
                ),
            )
            for number in range(depth)
        )

    @property
    def patch(self) -> int:
        """Cells of the latent along the side of a token."""
        return int(self.transformer.config.patch_size)

    def velocity(self, z: Tensor, t: Tensor, words: Words, guidance: float) -> Tensor:
        """Call; the network is told train timesteps."""
        most = self.transformer.config.pos_embed_max_size
        check_grid(self.grid(z), (most, most), of=self.name)
        answer: Tensor = self.transformer(
            hidden_states=z,
            timestep=t,
            encoder_hidden_states=words.states,
            pooled_projections=words.extra[_POOLED].to(z.dtype),
            return_dict=False,
        )[0]
        return answer

    def embedded(self, prompt: str) -> Conditioning:
        """States of two CLIPs, then those of T5 or zeros without one; pooled texts of the CLIPs."""
        self.needs_text("text_encoder_2", "tokenizer_2")
        states, _, pooled, _ = self.prompts.encode_prompt(
            prompt=prompt,
            prompt_2=None,
            prompt_3=None,
            device=self.device,
            do_classifier_free_guidance=False,
        )
        return Conditioning(states, prompt, {_POOLED: pooled})

    def spelt(self, prompt: str) -> tuple[Spelling, ...]:
        """Say what states are of: the prompt as the CLIPs read it side by side, then as T5 does."""
        self.needs_text("tokenizer_2")
        length = int(self.prompts.tokenizer_max_length)
        clips = [Spelling(one, prompt, length=length) for one in (self.tokenizer, self.tokenizer_2)]
        if self.text_encoder_3 is None:  # zeros stand in the place of T5's states
            return tuple(clips)
        states = self.embed(prompt).states.shape[1]
        t5 = Spelling(self.tokenizer_3, prompt, first=length, length=states - length)
        return (*clips, t5)


def wrapped(pipeline: Any, name: str) -> StableDiffusion3:  # noqa: ANN401 - untyped
    """Make a backbone of the networks of a loaded ``StableDiffusion3Pipeline``.

    Args:
        pipeline: it, or another pipeline of Stable Diffusion 3 for text alone; without T5 prompts
            are read as the stock pipeline reads them then.
        name: what the backbone will be called.

    Returns:
        Backbone that shares the pipeline's networks.

    Raises:
        BackboneError: the transformer has other inputs, or an image adapter is loaded into it.
        ScheduleError: the noise levels of the scheduler cannot be read.
    """
    check_channels(pipeline, name)
    if getattr(pipeline.transformer, "image_proj", None) is not None:
        raise BackboneError(
            f"the denoiser of a wrapped pipeline must be given a latent and words alone, but that "
            f"of {name} has an image adapter; call pipeline.unload_ip_adapter(), or load the "
            f"pipeline without it"
        )
    transformer = pipeline.transformer
    return StableDiffusion3(
        name=name,
        noise=FlowTable.from_scheduler(
            pipeline.scheduler, family="sd3", patch=transformer.config.patch_size
        ),
        **parts_of(pipeline),
    )


def _picture(width: int, heads: int) -> tuple[Part, ...]:
    return (
        Part("", "", "block", width, side="out1"),
        Part("in", "", "block_in", width, side="in"),
        Part("norm", "norm1", "adaln", width, side="out0"),
        Part("attn", "attn", "joint_attention", width, side="out0"),
        *(
            Part(f"attn.{letter}", f"attn.to_{letter}", f"joint_{letter}", width)
            for letter in "qkv"
        ),
        Part("attn.map", "attn", "joint_map", heads, "heads", side="map"),
        Part("ff", "ff", "ff", width),
    )


def _second(width: int, heads: int) -> tuple[Part, ...]:
    """The attention among picture tokens alone that the first blocks of 3.5 have beside it."""
    return (
        Part("attn2", "attn2", "self_attention", width),
        *(
            Part(f"attn2.{letter}", f"attn2.to_{letter}", f"self_{letter}", width)
            for letter in "qkv"
        ),
        Part("attn2.map", "attn2", "self_map", heads, "heads", side="map"),
    )


def _text(width: int, *, last: bool) -> tuple[Part, ...]:
    """Of the last block only what the picture attends to goes anywhere."""
    outputs = () if last else (Part("words", "", "words", width, "words", side="out0"),)
    return (
        *outputs,
        *(
            Part(f"words.{letter}", f"attn.add_{letter}_proj", f"words_{letter}", width, "words")
            for letter in ("kv" if last else "qkv")
        ),
    )
