"""Z-Image: one stack of blocks on picture and text together, behind refiners of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from featurekit.backbones.dit.blocks import Part, Stack
from featurekit.backbones.dit.diffusion_transformer import DiffusionTransformer, Words, parts_of
from featurekit.backbones.dit.fit import check_channels, check_grid, check_plain
from featurekit.backbones.dit.word_places import Spelling
from featurekit.core.errors import BackboneError
from featurekit.core.types import Conditioning
from featurekit.diffusion.flow_table import FlowTable

_PATCH = 2  # of those that the network may have, the one that the pipeline takes
_FIXED = {"siglip_feat_dim": (None, "pictures beside the words are other inputs")}


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ZImage(DiffusionTransformer):
    """Z-Image and Z-Image-Turbo.

    Guidance is written as for every family, 1 without it; the stock pipeline's ``guidance_scale``
    is one less.
    """

    noise: FlowTable

    @classmethod
    def stacks(cls, config: Mapping[str, Any]) -> tuple[Stack, ...]:
        """The picture comes first; it is filled up with tokens of its own, then comes the text."""
        parts = _block(config["dim"], config["n_heads"])
        return (
            Stack("refiner", "noise_refiner", range(config["n_refiner_layers"]), parts),
            Stack("block", "layers", range(config["n_layers"]), parts),
        )

    @property
    def patch(self) -> int:
        """Cells of the latent along the side of a token."""
        return _PATCH

    @property
    def usual_guidance(self) -> float:
        """One more than the stock pipeline's own scale, which is 0 without guidance."""
        return super().usual_guidance + 1

    def velocity(self, z: Tensor, t: Tensor, words: Words, guidance: float) -> Tensor:
        """Call with a film of one image for each row; the network is told the share of signal.

        It answers data minus noise.
        """
        check_grid(self.grid(z), self.transformer.config.axes_lens[1:], of=self.name)
        total = self.noise.train_timesteps
        answer = self.transformer(
            x=list(z.unsqueeze(2)),
            t=(total - t) / total,
            cap_feats=list(words.states),
            return_dict=False,
        )[0]
        return -torch.stack(list(answer)).squeeze(2)

    def embedded(self, prompt: str) -> Conditioning:
        """States of the last layer but one of a language model, without padding."""
        states, _ = self.prompts.encode_prompt(
            prompt=prompt, device=self.device, do_classifier_free_guidance=False
        )
        return Conditioning(states[0].unsqueeze(0), prompt)

    def spelt(self, prompt: str) -> tuple[Spelling, ...]:
        """Say what states are of: the prompt in a conversation."""
        text: str = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}],
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=True,
        )
        return (Spelling(self.tokenizer, text),)


def wrapped(pipeline: Any, name: str) -> ZImage:  # noqa: ANN401 - untyped
    """Make a backbone of the networks of a loaded ``ZImagePipeline``.

    Args:
        pipeline: it.
        name: what the backbone will be called.

    Returns:
        Backbone that shares the pipeline's networks.

    Raises:
        BackboneError: the network is given more than a latent and words, or has other patches.
        ScheduleError: the noise levels of the scheduler cannot be read.
    """
    config = pipeline.transformer.config
    check_plain(pipeline, name, _FIXED)
    check_channels(pipeline, name)
    patches = list(zip(config.all_patch_size, config.all_f_patch_size, strict=True))
    if (_PATCH, 1) not in patches:
        raise BackboneError(
            f"the transformer of {name} must have patches of {_PATCH} x {_PATCH} cells of one "
            f"image, got (side, images) {patches}"
        )
    return ZImage(
        name=name,
        noise=FlowTable.from_scheduler(pipeline.scheduler, family="z_image", patch=_PATCH),
        **parts_of(pipeline),
    )


def _block(width: int, heads: int) -> tuple[Part, ...]:
    return (
        Part("", "", "block", width, place="first"),
        Part("in", "", "block_in", width, side="in", place="first"),
        Part("norm", "attention", "adaln", width, side="in", place="first"),
        Part("attn", "attention", "joint_attention", width, place="first"),
        *(
            Part(f"attn.{one}", f"attention.to_{one}", f"joint_{one}", width, place="first")
            for one in "qkv"
        ),
        Part("attn.map", "attention", "joint_map", heads, "heads", side="map"),
        Part("ff", "feed_forward", "ff", width, place="first"),
    )
