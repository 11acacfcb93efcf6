"""What latent models with a transformer have in common, whatever its tokens and its words are."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from featurekit.backbones.dit.blocks import Stack, block_taps, inner_taps
from featurekit.backbones.dit.fit import defaults_of_call
from featurekit.backbones.dit.word_places import Spelling, places_in
from featurekit.backbones.latent_model import LatentModel, repeated
from featurekit.backbones.loaded.layers import layers_of
from featurekit.backbones.vae_taps import vae_stride, vae_taps
from featurekit.core.errors import ShapeError, UnknownNameError
from featurekit.core.types import Conditioning, Tap
from featurekit.diffusion.backbone import Predictor

_NUMBERS = ("", "_2", "_3")  # of text encoders and tokenizers
_CELLS = 128  # latents of 1024 px at 8 px a cell, for which models are made that do not say


class Words(NamedTuple):
    """What a transformer is told beside a latent, a row for each of its rows."""

    states: Tensor  # (b n d) in the dtype of the network
    extra: Mapping[str, Tensor]  # as in ``Conditioning``, in their own dtypes


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class DiffusionTransformer(LatentModel):
    """A backbone with a transformer; a family says how it is called and what it answers."""

    DENOISER: ClassVar[str] = "transformer"
    SETTINGS_OF: ClassVar[str] = "transformer"
    EXTRA: ClassVar[tuple[str, ...]] = ()  # what conditionings must hold beside their states
    transformer: Any
    text_encoder_2: Any = None
    tokenizer_2: Any = None
    text_encoder_3: Any = None
    tokenizer_3: Any = None
    prompts: Any = None  # pipeline of the family, whose ``encode_prompt`` reads them

    @classmethod
    @abstractmethod
    def stacks(cls, config: Mapping[str, Any]) -> tuple[Stack, ...]:
        """List the blocks of a transformer and their parts, from its config alone."""

    @property
    @abstractmethod
    def patch(self) -> int:
        """Cells of the latent along the side of a token."""

    @abstractmethod
    def velocity(self, z: Tensor, t: Tensor, words: Words, guidance: float) -> Tensor:
        """Call the transformer.

        Args:
            z: latents, (b c h w) of whole tokens, in the dtype of the network.
            t: train timesteps, (b,), float32.
            words: of each row.
            guidance: scale, for a network that is told it.

        Returns:
            What the predictor answers, (b c h w).
        """

    @cached_property
    def taps(self) -> Mapping[str, Tap]:
        """Outputs of the blocks by name."""
        stacks = self.stacks(self.transformer.config)
        return MappingProxyType({t.name: t for t in block_taps(stacks, self.multiple)})

    @cached_property
    def activations(self) -> Mapping[str, Tap]:
        """Every readable activation by name, those of ``taps`` first."""
        found = (
            *self.taps.values(),
            *inner_taps(self.stacks(self.transformer.config), self.multiple),
            *self.vae_activations,
        )
        return MappingProxyType({tap.name: tap for tap in found})

    @property
    def vae_activations(self) -> tuple[Tap, ...]:
        """Maps of the autoencoder."""
        return vae_taps(self.vae.config)

    @property
    def stride(self) -> int:
        """Pixels of the input image per latent cell."""
        return vae_stride(self.vae.config)

    @property
    def multiple(self) -> int:
        """Pixels of the input image per token, whole ones of which are read."""
        return self.stride * self.patch

    @property
    def first_layer(self) -> nn.Module:
        """The first layer of the transformer with a weight."""
        return next(layers_of(self.transformer))

    @property
    def sample_size(self) -> tuple[int, int]:
        """Rows and columns of the latents that the transformer was made for, whole tokens."""
        side = self.transformer.config.get("sample_size") or _CELLS
        side = -(-int(side) // self.patch) * self.patch
        return side, side

    @property
    def usual_guidance(self) -> float:
        """Scale of guidance that the stock pipeline takes where nobody says otherwise."""
        return float(defaults_of_call(self.prompts, "guidance_scale")["guidance_scale"])

    def copies(self, guidance: float) -> int:
        """Count the rows that are asked for each row of a latent.

        Args:
            guidance: scale of classifier-free guidance.

        Returns:
            2 with guidance: unconditional rows and the others; 1 without, and for a network that
            is told the scale (``guidance_embeds``), as in the stock pipelines.
        """
        return 1 if self.transformer.config.get("guidance_embeds") or guidance == 1 else 2

    def combined(self, without: Tensor, with_prompt: Tensor, guidance: float) -> Tensor:
        """Combine the answers without and with the prompt.

        Args:
            without: unconditional answer, (b c h w).
            with_prompt: the other one.
            guidance: scale.

        Returns:
            Guided answer.

        Source: Ho and Salimans 2022, arXiv:2207.12598, eq. 6 with scale = 1 + w.
        """
        return without + guidance * (with_prompt - without)

    def predictor(
        self,
        conditioning: Conditioning,
        guidance: float = 1.0,
        *,
        unconditional: Conditioning | None = None,
    ) -> Predictor:
        """Make ``(z, t) -> v``, of a diffusion ``-> eps``, for a conditioning.

        Args:
            conditioning: what to predict for.
            guidance: scale of classifier-free guidance; 1 asks for one row per row of ``z``, any
                other value for two, in one call where one can take them, else in two.
            unconditional: what guidance leads away from; None is the empty prompt.

        Returns:
            Predictor that answers in the dtype of ``z``.

        Raises:
            ShapeError: a conditioning lacks what the network is told beside states.
            BackboneError: there is no text encoder for the empty prompt.
        """
        copies = self.copies(guidance)
        without = () if copies == 1 else (unconditional or self.embed(""),)
        sides = (*without, conditioning)
        for side in sides:
            self._check(side)

        def ask(z: Tensor, t: float | Tensor) -> Tensor:
            self.noise.level(t)
            latent = z.to(self.dtype)
            answers = [
                self.velocity(
                    latent.repeat(len(group), 1, 1, 1),
                    _times(t, len(z), z.device).repeat(len(group)),
                    self._words(group, len(z)),
                    guidance,
                ).to(z.dtype)
                for group in self.together(sides)
            ]
            if copies == 1:
                return answers[0]
            negative, positive = torch.cat(answers).chunk(2)
            return self.combined(negative, positive, guidance)

        led_from = unconditional if copies == 2 else None
        return self.predicting(ask, conditioning, guidance, unconditional=led_from)

    def together(self, sides: Sequence[Conditioning]) -> list[Sequence[Conditioning]]:
        """Group conditionings by calls of the network: here those with as many words."""
        alike = len({tuple(side.states.shape[1:]) for side in sides}) == 1
        return [sides] if alike else [[side] for side in sides]

    def embed(self, prompt: str) -> Conditioning:
        """Turn a prompt into conditioning, as the stock pipeline does."""
        self.needs_text("text_encoder", "tokenizer")
        encoders = (self.text_encoder, self.text_encoder_2, self.text_encoder_3)
        with ExitStack() as frozen:
            for encoder in (one for one in encoders if one is not None):
                frozen.enter_context(self.untouched(encoder))
            return self.embedded(prompt)

    def token_indices(self, prompt: str, words: str) -> tuple[int, ...]:
        """Find words of a prompt among the states that it becomes, for ``to_tokens``.

        Raises:
            UnknownNameError: they are not in the prompt, or beyond what is read of it.
            BackboneError: there is no tokenizer, or one that says no places.
        """
        self.needs_text("text_encoder", "tokenizer")
        states = self.embed(prompt).states.shape[1]
        spellings = self.spelt(prompt)
        lengths = [one.length or states for one in spellings]
        asked = self.written(prompt), self.written(words)
        read = {
            place
            for one, length in zip(spellings, lengths, strict=True)
            for place in places_in(one, *asked, length)
        }
        if not read:
            among = f"its first {max(lengths)} tokens are read"
            raise UnknownNameError("words of the prompt", words, prompt.split(), among)
        return tuple(sorted(read))

    @abstractmethod
    def spelt(self, prompt: str) -> Sequence[Spelling]:
        """Say which texts the pipeline makes states of; several where several encoders read it."""

    def written(self, text: str) -> str:
        """Write a text as the pipeline writes it before a tokenizer reads it."""
        return text

    @abstractmethod
    def embedded(self, prompt: str) -> Conditioning:
        """Turn a prompt into conditioning, its text encoders known to be there."""

    def grid(self, z: Tensor) -> tuple[int, int]:
        """Rows and columns of tokens of a latent.

        Raises:
            ShapeError: it is not whole tokens.
        """
        rows, columns = z.shape[2:]
        if rows % self.patch or columns % self.patch:
            raise ShapeError(
                f"a latent of {self.name} must be whole tokens of {self.patch} x {self.patch} "
                f"cells, got {rows} x {columns}"
            )
        return rows // self.patch, columns // self.patch

    def _check(self, conditioning: Conditioning) -> None:
        missing = [name for name in self.EXTRA if name not in conditioning.extra]
        if missing:
            raise ShapeError(
                f"conditioning for {self.name} must hold extra[{missing[0]!r}] beside its states, "
                f"got {sorted(conditioning.extra)}; make it with its embed"
            )

    def _words(self, sides: Sequence[Conditioning], rows: int) -> Words:
        states = torch.cat([repeated(side.states, rows) for side in sides])
        extra = {
            name: torch.cat([repeated(side.extra[name], rows) for side in sides])
            for name in sides[0].extra
        }
        where = self.device
        return Words(
            states.to(where, self.dtype), {name: one.to(where) for name, one in extra.items()}
        )


def _times(t: float | Tensor, rows: int, device: torch.device) -> Tensor:
    """The timestep of each row."""
    if isinstance(t, Tensor) and t.ndim:
        return t.to(device, torch.float32)
    return torch.full((rows,), float(t), device=device, dtype=torch.float32)


def parts_of(pipeline: Any) -> dict[str, Any]:  # noqa: ANN401 - untyped
    """Take the networks and tokenizers of a pipeline of the family.

    Args:
        pipeline: it; text encoders and tokenizers may be None, or not there.

    Returns:
        What a ``DiffusionTransformer`` of it is made of, by field.
    """
    texts = [f"{part}{number}" for part in ("text_encoder", "tokenizer") for number in _NUMBERS]
    parts = {part: getattr(pipeline, part, None) for part in ("transformer", "vae", *texts)}
    return {**parts, "prompts": pipeline, "pipeline": pipeline}
