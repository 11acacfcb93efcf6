"""What latent diffusion models with a UNet have in common, whatever they are conditioned on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar

from torch import Tensor, nn

from featurekit.backbones.latent_model import LatentModel
from featurekit.backbones.unet import blocks
from featurekit.backbones.vae_taps import vae_stride
from featurekit.core.types import Conditioning, Predict, Tap
from featurekit.diffusion.backbone import Predictor
from featurekit.diffusion.guidance_embedding import guidance_embedding
from featurekit.diffusion.noise_schedule import NoiseTable
from featurekit.diffusion.steps import eps_from_v, eps_from_x0

_STATES = "encoder_hidden_states"  # what a UNet is given of the words


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LatentDiffusion(LatentModel):
    """A backbone with a UNet, without conditioning; see ``featurekit.diffusion.backbone``."""

    DENOISER: ClassVar[str] = "unet"
    noise: NoiseTable
    unet: Any  # UNet2DConditionModel

    @cached_property
    def taps(self) -> Mapping[str, Tap]:
        """Blocks, resnets and attentions of the UNet by name."""
        found = blocks.taps(self.unet.config, self.vae.config)
        return MappingProxyType({tap.name: tap for tap in found})

    @cached_property
    def activations(self) -> Mapping[str, Tap]:
        """Every readable activation by name, those of ``taps`` first."""
        found = blocks.activations(self.unet.config, self.vae.config)
        return MappingProxyType({tap.name: tap for tap in found})

    @property
    def stride(self) -> int:
        """Pixels of the input image per latent cell."""
        return vae_stride(self.vae.config)

    @property
    def multiple(self) -> int:
        """Pixels to pad to: the UNet halves its latent once less than it has levels."""
        return int(self.stride * 2 ** (len(self.unet.config.block_out_channels) - 1))

    @property
    def usual_guidance(self) -> float:
        """Scale of guidance that the stock pipeline takes where nobody says otherwise."""
        return 5.0 if self.SETTINGS_OF == "sdxl" else 7.5

    @property
    def first_layer(self) -> nn.Module:
        """The layer of the UNet that a latent comes to first."""
        layer: nn.Module = self.unet.conv_in
        return layer

    def copies(self, guidance: float) -> int:
        """Count the rows that are asked for each row of a latent.

        Args:
            guidance: scale of classifier-free guidance.

        Returns:
            2 with guidance: unconditional rows and the others; 1 without, and for a network that
            is told the scale (``time_cond_proj_dim``), as in the stock pipelines.
        """
        told = self.unet.config.get("time_cond_proj_dim") is not None
        return 1 if told or guidance == 1 else 2

    @property
    def sample_size(self) -> tuple[int, int]:
        """Rows and columns of the latents that the UNet was made for, in whole cells of its depth.

        Raises:
            BackboneError: its config does not say.
        """
        return blocks.sample_size(self.unet.config, of=self.name)

    def denoising(
        self,
        given: Callable[[Tensor], Mapping[str, Any]],
        conditioning: Conditioning,
        guidance: float,
    ) -> Predictor:
        """Make ``(z, t) -> eps`` from what the UNet is conditioned on.

        Args:
            given: makes the UNet's named inputs for a latent: a row for each of its rows, and for
                two ``copies`` as many unconditional rows before them.
            conditioning: what ``given`` is made of, for the fingerprint.
            guidance: scale of classifier-free guidance; a network that was distilled for it is
                told it instead.

        Returns:
            Predictor; with guidance both rows are computed in one call.
        """
        copies, width = self.copies(guidance), self.unet.config.get("time_cond_proj_dim")
        told_scale = {} if width is None else {"timestep_cond": guidance_embedding(guidance, width)}

        def answer(z: Tensor, t: float | Tensor) -> Tensor:
            what = self.dtype
            named = dict(given(z))
            named[_STATES] = named[_STATES].to(what)  # the text encoder may compute in another
            found: Tensor = self.unet(
                z.to(what).repeat(copies, 1, 1, 1),
                t.repeat(copies) if isinstance(t, Tensor) and t.ndim else t,
                **named,
                **{name: one.to(self.device, what) for name, one in told_scale.items()},
                return_dict=False,
            )[0]
            return found.to(z.dtype)

        ask = self._as_eps(with_guidance(answer, guidance, copies))
        return self.predicting(ask, conditioning, guidance)

    def _as_eps(self, answer: Predict) -> Predict:
        """What the UNet answers as the noise that it means, at the level which it was told."""
        if self.noise.prediction == "epsilon":
            return self._refusing(answer)
        convert = eps_from_v if self.noise.prediction == "v_prediction" else eps_from_x0

        def eps(z: Tensor, t: float | Tensor) -> Tensor:
            return convert(answer(z, t), z, alpha_bar=self.noise.level(t))

        return self._refusing(eps)

    def _refusing(self, predict: Predict) -> Predict:
        """Look a timestep up before the network is called, which would take any."""

        def checked(z: Tensor, t: float | Tensor) -> Tensor:
            self.noise.level(t)
            return predict(z, t)

        return checked


def with_guidance(predict: Predict, guidance: float, copies: int) -> Predict:
    """Combine unconditional rows and the others of one call, as classifier-free guidance does.

    Args:
        predict: answers for ``copies`` times as many rows as it is given.
        guidance: scale.
        copies: 2, or 1 where nothing is combined.

    Returns:
        Answers with one row for each row.

    Source: Ho and Salimans 2022, arXiv:2207.12598, eq. 6 with scale = 1 + w.
    """
    if copies == 1:
        return predict

    def combined(z: Tensor, t: float | Tensor) -> Tensor:
        without, with_prompt = predict(z, t).chunk(2)
        return without + guidance * (with_prompt - without)

    return combined
