"""What latent diffusion models with a UNet have in common, whatever they are conditioned on."""

from __future__ import annotations

import reprlib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from featurekit.backbones import describe
from featurekit.backbones.loaded.layers import compute_dtype, running_device
from featurekit.backbones.loaded.model import LoadedModel
from featurekit.backbones.loaded.prompts import padded_ids, places_of
from featurekit.core.errors import FeatureKitWarning, ShapeError
from featurekit.core.finite import check_floating
from featurekit.core.shapes import expect
from featurekit.core.types import Conditioning, Tap
from featurekit.diffusion.backbone import Predictor
from featurekit.diffusion.guidance_embedding import guidance_embedding
from featurekit.diffusion.steps import eps_from_v, eps_from_x0
from featurekit.images import coordinates
from featurekit.taps.addresses import addressed

_STATES = "encoder_hidden_states"  # what a UNet is given of the words


@dataclass(frozen=True, eq=False, repr=False)
class LatentDiffusion(LoadedModel):
    """A frozen backbone without conditioning; see ``featurekit.diffusion.backbone.Backbone``."""

    def __repr__(self) -> str:
        """One line, never the networks."""
        dtype = str(self.dtype).removeprefix("torch.")
        return (
            f"{type(self).__name__}({reprlib.repr(self.name)}, {dtype} on {self.device}, "
            f"latents of {self.latent_channels} channels and {self.stride} px, {self.noise!r})"
        )

    @cached_property
    def taps(self) -> Mapping[str, Tap]:
        """Blocks, resnets and attentions of the UNet by name."""
        found = describe.taps(self.unet.config, self.vae.config)
        return MappingProxyType({tap.name: tap for tap in found})

    @cached_property
    def activations(self) -> Mapping[str, Tap]:
        """Every readable activation by name, those of ``taps`` first."""
        found = describe.activations(self.unet.config, self.vae.config)
        return MappingProxyType({tap.name: tap for tap in found})

    @property
    def stride(self) -> int:
        """Pixels of the input image per latent cell."""
        return describe.vae_stride(self.vae.config)

    @property
    def multiple(self) -> int:
        """Pixels to pad to: the UNet halves its latent once less than it has levels."""
        return int(self.stride * 2 ** (len(self.unet.config.block_out_channels) - 1))

    @property
    def latent_channels(self) -> int:
        """Channels of a latent."""
        return int(self.vae.config.latent_channels)

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return running_device(self.unet.conv_in, self.unet)

    @property
    def dtype(self) -> torch.dtype:
        """What the UNet computes in."""
        return compute_dtype(self.unet.conv_in)

    def encode(self, image: Tensor) -> Tensor:
        """Turn an image (b 3 h w) in [-1, 1] into the latent at the mean of its posterior.

        It is padded to ``multiple`` and taken to the backbone's device; its dtype stays.
        """
        return self.moments(image)[0]

    def moments(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of the posterior of an image, both VAE-scaled."""
        expect(image, "b c h w", of="image", c=3)
        padded = coordinates.pad(image, self.multiple).to(self.device, self.vae.dtype)
        posterior = self.vae.encode(padded).latent_dist
        mean, scale = self._scaling(posterior.mean)
        return (
            ((posterior.mean - mean) * scale).to(image.dtype),
            (posterior.std * scale).to(image.dtype),
        )

    def decode(self, latent: Tensor) -> Tensor:
        """Turn a latent (b c h w) into an image, neither clamped nor cropped."""
        expect(latent, "b c h w", of="latent", c=self.latent_channels)
        mean, scale = self._scaling(latent)
        unscaled = (latent / scale + mean).to(self.vae.dtype)
        image: Tensor = self.vae.decode(unscaled, return_dict=False)[0]
        return image.to(latent.dtype)

    def sized(self, conditioning: Conditioning, picture_px: tuple[int, int]) -> Conditioning:
        """Return the conditioning as it is: most networks are not told how large a picture is."""
        return conditioning

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
        return describe.sample_size(self.unet.config, of=self.name)

    def predicting(
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
            Predictor; with guidance both rows are computed in one call. Its fingerprint names
            backbone, conditioning and guidance, and a hash of what changed the UNet since it was
            loaded, such as a LoRA.
        """
        copies, width = self.copies(guidance), self.unet.config.get("time_cond_proj_dim")
        told_scale = {} if width is None else {"timestep_cond": guidance_embedding(guidance, width)}

        def predict(z: Tensor, t: float | Tensor) -> Tensor:
            expect(z, "b c h w", of="latent", c=self.latent_channels)
            check_floating(z)
            alpha_bar = self.noise.level(t)
            what = self.dtype
            named = dict(given(z))
            named[_STATES] = named[_STATES].to(what)  # the text encoder may compute in another
            answer: Tensor = self.unet(
                z.to(what).repeat(copies, 1, 1, 1),
                t.repeat(copies) if isinstance(t, Tensor) and t.ndim else t,
                **named,
                **{name: one.to(self.device, what) for name, one in told_scale.items()},
                return_dict=False,
            )[0]
            answer = answer.to(z.dtype)
            if copies == 2:
                without, with_prompt = answer.chunk(2)
                answer = without + guidance * (with_prompt - without)
            if self.noise.prediction == "epsilon":
                return answer
            convert = eps_from_v if self.noise.prediction == "v_prediction" else eps_from_x0
            return convert(answer, z, alpha_bar=alpha_bar)

        given_hash: list[str] = []  # of the conditioning, once it was asked for

        def told() -> str:
            given_hash[:] = given_hash or [conditioning.fingerprint]
            changed = self.altered("unet")
            of = f"{self.name} changed to {changed[:16]}" if changed else self.name
            return f"{of}, conditioning {given_hash[0]}, guidance {float(guidance)!r}"

        return Predictor(predict, told)

    def addresses(self, *words: str, network: str = "unet") -> dict[str, str]:
        """Find the addresses that words mean, for ``capture``, ``inject`` and ``attention_maps``.

        Args:
            words: names, roles, names of published extractors, module paths or globs, as
                ``addresses.resolve`` reads them among ``activations``.
            network: ``unet`` or ``vae``, which the addresses are for.

        Returns:
            Address by name; a glob leaves attention maps out unless it fits nothing else.

        Raises:
            UnknownNameError: a word means nothing here.
            CaptureError: a word means something in the other network alone.
            ConfigError: no word is given.
        """
        return addressed(words, self.activations.values(), network=network)

    def token_indices(self, prompt: str, words: str) -> tuple[int, ...]:
        """Find words of a prompt among the states that it becomes, for ``to_tokens``.

        Args:
            prompt: as ``embed`` takes it.
            words: one word of it or several in their order, wherever they stand in it.

        Returns:
            Every place, counted from 0; a word may have several.

        Raises:
            UnknownNameError: they are not in the prompt, or beyond what is read of it.
        """
        return places_of(words, prompt, self.text_encoder, self.tokenizer)

    def token_ids(self, prompt: str, encoder: Any, tokenizer: Any) -> Tensor:  # noqa: ANN401
        """Turn a prompt into token numbers (1 n); what the encoder cannot read warns and goes."""
        ids, found = padded_ids(prompt, encoder, tokenizer)
        if found > ids.shape[1]:
            warnings.warn(
                f"the prompt has {found} tokens, {self.name} reads the first {ids.shape[1]}: "
                f"{prompt!r}",
                FeatureKitWarning,
                stacklevel=3,  # where embed was called
            )
        return ids.to(self.device)

    def _scaling(self, like: Tensor) -> tuple[Tensor | float, Tensor | float]:
        """Mean that the VAE's own latents are freed of, and the factor to unit variance after it.

        Numbers, or (1 c 1 1) as ``like`` where the autoencoder names them by channel.
        """
        config = self.vae.config
        if config.get("latents_mean") is None:
            return 0.0, config.scaling_factor
        mean, std = (
            torch.tensor(config[key]).view(1, -1, 1, 1).to(like)
            for key in ("latents_mean", "latents_std")
        )
        return mean, config.scaling_factor / std


def repeated(conditioning: Tensor, rows: int) -> Tensor:
    """Let one conditioning serve every row of a latent.

    Args:
        conditioning: one row, or one for each row of the latent.
        rows: of the latent.

    Returns:
        The conditioning with ``rows`` rows.

    Raises:
        ShapeError: it has another number of rows.
    """
    if conditioning.shape[0] not in (1, rows):
        raise ShapeError(
            f"conditioning must have 1 row or one per row of the latent ({rows}), "
            f"got {tuple(conditioning.shape)}"
        )
    return conditioning.expand(rows, *conditioning.shape[1:])
