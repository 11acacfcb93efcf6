"""PixArt-alpha and -Sigma: picture tokens attend to themselves, then to the words of T5."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from featurekit.backbones.dit.blocks import Part, Stack
from featurekit.backbones.dit.diffusion_transformer import DiffusionTransformer, Words, parts_of
from featurekit.backbones.dit.fit import check_channels, check_plain, cleaned, defaults_of_call
from featurekit.backbones.dit.word_places import Spelling
from featurekit.backbones.unet.configs import noise_table
from featurekit.core.errors import BackboneError
from featurekit.core.types import Conditioning
from featurekit.diffusion.noise_schedule import NoiseTable

_MASK = "mask"
_GIVEN = {  # by setting what works, and why other values do not
    "attention_type": ("default", "it attends to places of objects that nobody names here"),
}


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class PixArt(DiffusionTransformer):
    """PixArt-alpha, PixArt-Sigma and their kin, which are diffusion models and answer eps."""

    EXTRA: ClassVar[tuple[str, ...]] = (_MASK,)
    noise: NoiseTable

    @classmethod
    def stacks(cls, config: Mapping[str, Any]) -> tuple[Stack, ...]:
        """Blocks return the picture alone; the words stay as they are from block to block."""
        heads = config["num_attention_heads"]
        parts = _parts(heads * config["attention_head_dim"], heads)
        return (Stack("block", "transformer_blocks", range(config["num_layers"]), parts),)

    @property
    def patch(self) -> int:
        """Cells of the latent along the side of a token."""
        return int(self.transformer.config.patch_size)

    def velocity(self, z: Tensor, t: Tensor, words: Words, guidance: float) -> Tensor:
        """Call for eps; what follows it is a variance, which the stock pipelines leave out, too."""
        self.grid(z)
        answer: Tensor = self.transformer(
            z,
            encoder_hidden_states=words.states,
            encoder_attention_mask=words.extra[_MASK],
            timestep=t.long(),
            added_cond_kwargs=self._size(z),
            return_dict=False,
        )[0]
        return answer[:, : self.latent_channels]

    def embedded(self, prompt: str) -> Conditioning:
        """States of T5 and which of them are words, the prompt cleaned as the pipeline does."""
        states, mask, _, _ = self.prompts.encode_prompt(
            prompt,
            do_classifier_free_guidance=False,
            device=self.device,
            **defaults_of_call(self.prompts, "clean_caption", "max_sequence_length"),
        )
        return Conditioning(states, prompt, {_MASK: mask})

    def spelt(self, prompt: str) -> tuple[Spelling, ...]:
        """Say what states are of: the cleaned prompt."""
        return (Spelling(self.tokenizer, self.written(prompt)),)

    def written(self, text: str) -> str:
        """Clean a text as the pipeline does."""
        return cleaned(self.prompts, text)

    def _size(self, z: Tensor) -> dict[str, Tensor | None]:
        """Size and shape of the picture, which the 1024 px network of alpha is told."""
        if not self.transformer.use_additional_conditions:
            return {"resolution": None, "aspect_ratio": None}
        size = z.new_tensor([side * self.stride for side in z.shape[2:]])
        shape = z.new_tensor([z.shape[2] / z.shape[3]])
        return {
            "resolution": size.repeat(len(z), 1),
            "aspect_ratio": shape.repeat(len(z), 1),
        }


def wrapped(pipeline: Any, name: str) -> PixArt:  # noqa: ANN401 - untyped
    """Make a backbone of the networks of a loaded ``PixArtAlphaPipeline`` or ``-Sigma``.

    Args:
        pipeline: it.
        name: what the backbone will be called.

    Returns:
        Backbone that shares the pipeline's networks.

    Raises:
        BackboneError: the transformer has other inputs, or answers no eps.
        ScheduleError: the noise levels of the scheduler cannot be read.
    """
    check_channels(pipeline, name, variance=True)
    check_plain(pipeline, name, _GIVEN)
    scheduler = pipeline.scheduler
    noise = noise_table({**scheduler.config, "_class_name": type(scheduler).__name__})
    if noise.prediction != "epsilon":
        raise BackboneError(
            f"a PixArt must answer the noise, but the scheduler of {name} has "
            f"prediction_type={noise.prediction!r}; load it with the scheduler it was "
            f"published with"
        )
    return PixArt(
        name=name,
        noise=noise,
        **parts_of(pipeline),
    )


def _parts(width: int, heads: int) -> tuple[Part, ...]:
    """What the first attention is given is normed and modulated; no module gives it."""
    return (
        Part("", "", "block", width),
        Part("in", "", "block_in", width, side="in"),
        Part("norm", "attn1", "adaln", width, side="in"),
        Part("attn1", "attn1", "self_attention", width),
        *(Part(f"attn1.{one}", f"attn1.to_{one}", f"self_{one}", width) for one in "qkv"),
        Part("attn1.map", "attn1", "self_map", heads, "heads", side="map"),
        Part("attn2", "attn2", "cross_attention", width),
        Part("attn2.q", "attn2.to_q", "cross_q", width),
        Part("attn2.k", "attn2.to_k", "cross_k", width, "words"),
        Part("attn2.v", "attn2.to_v", "cross_v", width, "words"),
        Part("attn2.map", "attn2", "cross_map", heads, "heads", side="map"),
        Part("ff", "ff", "ff", width),
    )
