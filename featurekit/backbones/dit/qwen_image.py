"""Qwen-Image: double blocks alone, and an autoencoder of films, which is given films of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from featurekit.backbones.dit.blocks import Part, Stack
from featurekit.backbones.dit.diffusion_transformer import DiffusionTransformer, Words, parts_of
from featurekit.backbones.dit.fit import check_packed, check_plain, defaults_of_call
from featurekit.backbones.dit.packing import packed, unpacked
from featurekit.backbones.dit.word_places import Spelling
from featurekit.core.types import Conditioning, Tap
from featurekit.diffusion.flow_table import FlowTable

_PATCH = 2  # the pipeline packs squares of this side into a token
_MASK = "mask"  # of words that are none, where there are any
_FIXED = {  # by setting the one value that works, and why another does not
    "zero_cond_t": (False, "a picture to be edited is another input"),
    "use_additional_t_cond": (False, "a second condition beside the timestep is another input"),
    "use_layer3d_rope": (False, "layers of a picture are other inputs"),
    "guidance_embeds": (False, "its embedding of timesteps takes no guidance"),
}


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class QwenImage(DiffusionTransformer):
    """Qwen-Image of words alone."""

    noise: FlowTable

    @classmethod
    def stacks(cls, config: Mapping[str, Any]) -> tuple[Stack, ...]:
        """Blocks return text and picture; inside, text comes first."""
        heads = config["num_attention_heads"]
        parts = _block(heads * config["attention_head_dim"], heads)
        return (Stack("block", "transformer_blocks", range(config["num_layers"]), parts),)

    @property
    def patch(self) -> int:
        """Cells of the latent along the side of a token."""
        return _PATCH

    @property
    def usual_guidance(self) -> float:
        """Scale of guidance that the stock pipeline calls its true one."""
        return float(defaults_of_call(self.prompts, "true_cfg_scale")["true_cfg_scale"])

    @property
    def stride(self) -> int:
        """Pixels of the input image per latent cell."""
        return int(2 ** len(self.vae.config.temperal_downsample))  # spelt so

    @property
    def latent_channels(self) -> int:
        """Channels of a latent."""
        return int(self.vae.config.z_dim)

    @property
    def vae_activations(self) -> tuple[Tap, ...]:
        """None: what this autoencoder computes are films (b c t h w)."""
        return ()

    def scaling(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Mean that the VAE's own latents are freed of, and the factor to unit variance."""
        config = self.vae.config
        mean, std = (
            torch.tensor(config[key]).view(1, -1, 1, 1).to(like)
            for key in ("latents_mean", "latents_std")
        )
        return mean, 1.0 / std

    def encoded(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of a film of one image."""
        posterior = self.vae.encode(image.unsqueeze(2)).latent_dist
        mean, scale = self.scaling(image)
        return (posterior.mean[:, :, 0] - mean) * scale, posterior.std[:, :, 0] * scale

    def decoded(self, latent: Tensor, dtype: torch.dtype) -> Tensor:
        """First image of a film of one."""
        mean, scale = self.scaling(latent)
        film = (latent / scale + mean).to(dtype).unsqueeze(2)
        image: Tensor = self.vae.decode(film, return_dict=False)[0][:, :, 0]
        return image

    def combined(self, without: Tensor, with_prompt: Tensor, guidance: float) -> Tensor:
        """Combine, then give each token the length that it has with the prompt.

        Args:
            without: unconditional answer, (b c h w).
            with_prompt: the other one.
            guidance: scale.

        Returns:
            Guided answer.

        Source: Ho and Salimans 2022, arXiv:2207.12598, eq. 6; Lin et al. 2023, arXiv:2305.08891,
        section 3.4, of tokens, as diffusers' QwenImagePipeline has it.
        """
        guided = packed(super().combined(without, with_prompt, guidance), _PATCH)
        length = packed(with_prompt, _PATCH).norm(dim=-1, keepdim=True)
        rescaled = guided * (length / guided.norm(dim=-1, keepdim=True))
        return unpacked(rescaled, _PATCH, self.grid(without))

    def together(self, sides: Sequence[Conditioning]) -> list[Sequence[Conditioning]]:
        """Group conditionings by calls: those with as many words, all of them masked or none."""
        alike = len({(tuple(one.states.shape[1:]), *sorted(one.extra)) for one in sides}) == 1
        return [sides] if alike else [[side] for side in sides]

    def velocity(self, z: Tensor, t: Tensor, words: Words, guidance: float) -> Tensor:
        """Pack, call and unpack; the network is told noise levels and the shape of the picture."""
        grid = self.grid(z)
        answer = self.transformer(
            hidden_states=packed(z, _PATCH),
            timestep=t / self.noise.train_timesteps,
            guidance=None,
            encoder_hidden_states=words.states,
            encoder_hidden_states_mask=words.extra.get(_MASK),
            img_shapes=[[(1, *grid)]] * len(z),
            return_dict=False,
        )[0]
        return unpacked(answer, _PATCH, grid)

    def embedded(self, prompt: str) -> Conditioning:
        """Last states of a language model, without those of the instruction before the prompt."""
        states, mask = self.prompts.encode_prompt(prompt=prompt, device=self.device)
        return Conditioning(states, prompt, {} if mask is None else {_MASK: mask.bool()})

    def spelt(self, prompt: str) -> tuple[Spelling, ...]:
        """Say what states are of: the prompt behind an instruction, which is left out."""
        text = self.prompts.prompt_template_encode.format(prompt)
        return (Spelling(self.tokenizer, text, self.prompts.prompt_template_encode_start_idx),)


def wrapped(pipeline: Any, name: str) -> QwenImage:  # noqa: ANN401 - untyped
    """Make a backbone of the networks of a loaded ``QwenImagePipeline``.

    Args:
        pipeline: it.
        name: what the backbone will be called.

    Returns:
        Backbone that shares the pipeline's networks.

    Raises:
        BackboneError: the network is given more than a latent and words.
        ScheduleError: the noise levels of the scheduler cannot be read.
    """
    check_plain(pipeline, name, _FIXED)
    check_packed(pipeline, name, pipeline.vae.config.z_dim)
    return QwenImage(
        name=name,
        noise=FlowTable.from_scheduler(pipeline.scheduler, family="qwen_image", patch=_PATCH),
        **parts_of(pipeline),
    )


def _block(width: int, heads: int) -> tuple[Part, ...]:
    return (
        Part("", "", "block", width, side="out1"),
        Part("in", "", "block_in", width, side="in"),
        Part("words", "", "words", width, "words", side="out0"),
        Part("norm", "attn", "adaln", width, side="in"),
        Part("attn", "attn", "joint_attention", width, side="out0"),
        *(Part(f"attn.{one}", f"attn.to_{one}", f"joint_{one}", width) for one in "qkv"),
        *(
            Part(f"words.{one}", f"attn.add_{one}_proj", f"words_{one}", width, "words")
            for one in "qkv"
        ),
        Part("attn.map", "attn", "joint_map", heads, "heads", side="map"),
        Part("ff", "img_mlp", "ff", width),
    )
