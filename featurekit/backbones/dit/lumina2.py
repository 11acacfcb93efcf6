"""Lumina Image 2: words and picture refined apart, then in one row of tokens, words first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from torch import Tensor

from featurekit.backbones.dit.blocks import Part, Stack
from featurekit.backbones.dit.diffusion_transformer import DiffusionTransformer, Words, parts_of
from featurekit.backbones.dit.fit import check_channels, check_grid, defaults_of_call
from featurekit.backbones.dit.word_places import Spelling
from featurekit.core.errors import ShapeError
from featurekit.core.types import Conditioning
from featurekit.diffusion.flow_table import FlowTable

_MASK = "mask"
_READING = ("system_prompt", "max_sequence_length")
_MOVING = (
    "use_dynamic_shifting must be false, got true: the stock pipeline of Lumina 2 counts channels "
    "for tokens there; set use_dynamic_shifting to false in the scheduler's config"
)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Lumina2(DiffusionTransformer):
    """Lumina Image 2 and its kin."""

    EXTRA: ClassVar[tuple[str, ...]] = (_MASK,)
    noise: FlowTable

    @classmethod
    def stacks(cls, config: Mapping[str, Any]) -> tuple[Stack, ...]:
        """Refiners of words and of the picture, then blocks whose rows end with the picture."""
        refiners = range(config["num_refiner_layers"])
        return (
            Stack("words", "context_refiner", refiners, _parts(config, "words", adaln=False)),
            Stack("refiner", "noise_refiner", refiners, _parts(config, "tokens")),
            Stack("block", "layers", range(config["num_layers"]), _parts(config, "tokens", "last")),
        )

    @property
    def patch(self) -> int:
        """Cells of the latent along the side of a token."""
        return int(self.transformer.config.patch_size)

    def velocity(self, z: Tensor, t: Tensor, words: Words, guidance: float) -> Tensor:
        """Call and turn round: the network is told shares of signal, and answers data - noise.

        Raises:
            ShapeError: prompts of the rows differ in length.
        """
        check_grid(self.grid(z), self.transformer.config.axes_lens[1:], of=self.name)
        mask = words.extra[_MASK].long()
        lengths = _lengths(mask)
        if len(set(lengths)) > 1:
            raise ShapeError(
                f"rows of one call of {self.name} must have prompts of as many tokens, which its "
                f"pictures stand behind, got {lengths}; call it for each prompt"
            )
        answer: Tensor = self.transformer(
            z.contiguous(),
            timestep=1 - t / self.noise.train_timesteps,
            encoder_hidden_states=words.states,
            encoder_attention_mask=mask,
            return_dict=False,
        )[0]
        return -answer

    def together(self, sides: Sequence[Conditioning]) -> list[Sequence[Conditioning]]:
        """Group conditionings by calls: prompts of as many tokens in one."""
        alike = len({length for side in sides for length in _lengths(side.extra[_MASK])}) == 1
        return super().together(sides) if alike else [[side] for side in sides]

    def combined(self, without: Tensor, with_prompt: Tensor, guidance: float) -> Tensor:
        """Guide, and give each row of cells the length that it has with the prompt alone.

        Source: diffusers 0.42, ``Lumina2Pipeline`` with its default ``cfg_normalization``.
        """
        guided = super().combined(without, with_prompt, guidance)
        wanted, found = (one.norm(dim=-1, keepdim=True) for one in (with_prompt, guided))
        renormed: Tensor = guided * (wanted / found)
        return renormed

    def embedded(self, prompt: str) -> Conditioning:
        """States of Gemma behind the pipeline's system prompt, and which of them are words.

        The empty prompt is the unconditional case, which has no system prompt.
        """
        found = self.prompts.encode_prompt(
            prompt,
            do_classifier_free_guidance=not prompt,
            negative_prompt="",
            device=self.device,
            **defaults_of_call(self.prompts, *_READING),
        )
        states, mask = found[:2] if prompt else found[2:]
        return Conditioning(states, prompt, {_MASK: mask})

    def spelt(self, prompt: str) -> tuple[Spelling, ...]:
        """Say what states are of: the prompt behind the pipeline's system prompt."""
        text = f"{self.prompts.system_prompt} <Prompt Start> {prompt}"
        return (Spelling(self.tokenizer, text),)


def wrapped(pipeline: Any, name: str) -> Lumina2:  # noqa: ANN401 - untyped
    """Make a backbone of the networks of a loaded ``Lumina2Pipeline``.

    Args:
        pipeline: it.
        name: what the backbone will be called.

    Returns:
        Backbone that shares the pipeline's networks.

    Raises:
        BackboneError: the transformer has other inputs.
        ScheduleError: the noise levels of the scheduler cannot be read.
    """
    check_channels(pipeline, name)
    transformer = pipeline.transformer
    noise = FlowTable.from_scheduler(
        pipeline.scheduler, family="lumina2", patch=transformer.config.patch_size
    )
    return Lumina2(
        name=name,
        noise=noise if noise.dynamic is None else replace(noise, obstacle=_MOVING),
        **parts_of(pipeline),
    )


def _lengths(mask: Tensor) -> list[int]:
    """Tokens of each prompt, without padding."""
    found: list[int] = mask.long().sum(dim=1).tolist()
    return found


def _parts(
    config: Mapping[str, Any], form: str, place: str = "all", *, adaln: bool = True
) -> tuple[Part, ...]:
    """What is read of a block on tokens of one form; roles of the words' own say so."""
    width, heads = config["hidden_size"], config["num_attention_heads"]
    shared = (config["num_kv_heads"] or heads) * (width // heads)  # keys serve several heads
    kind = {"words": "words", "last": "joint"}.get(form if form == "words" else place, "self")
    block = "words" if form == "words" else "refiner" if place == "all" else "block"

    def part(name: str, path: str, role: str, channels: int = width, side: str = "out") -> Part:
        return Part(name, path, role, channels, form, side, place)

    return (
        part("", "", block),
        part("in", "", f"{block}_in", side="in"),
        part("norm", "norm1", "adaln" if adaln else "norm", side="out0" if adaln else "out"),
        part("attn", "attn", f"{kind}_attention"),
        part("attn.q", "attn.to_q", f"{kind}_q"),
        part("attn.k", "attn.to_k", f"{kind}_k", shared),
        part("attn.v", "attn.to_v", f"{kind}_v", shared),
        Part("attn.map", "attn", f"{kind}_map", heads, "heads", side="map"),
        part("ff", "feed_forward", "ff"),
    )
