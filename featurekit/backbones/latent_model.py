"""What all latent models have in common: an autoencoder, words for activations, a denoiser."""

from __future__ import annotations

import reprlib
import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from featurekit.backbones.loaded.compiling import with_compiled_blocks
from featurekit.backbones.loaded.layers import compute_dtype, running_device
from featurekit.backbones.loaded.model import LoadedModel
from featurekit.backbones.loaded.prompts import padded_ids, places_of
from featurekit.backbones.loaded.untouched import frozen, remembered, upcast
from featurekit.core.errors import BackboneError, FeatureKitWarning, ShapeError
from featurekit.core.finite import check_floating
from featurekit.core.shapes import expect
from featurekit.core.types import Conditioning, Tap
from featurekit.diffusion.backbone import Predictor
from featurekit.images import coordinates
from featurekit.taps.addresses import addressed


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LatentModel(LoadedModel):
    """A backbone without conditioning; see ``featurekit.diffusion.backbone.Backbone``."""

    DENOISER: ClassVar[str]  # name of the attribute that holds it

    def __repr__(self) -> str:
        """One line, never the networks."""
        dtype = str(self.dtype).removeprefix("torch.")
        return (
            f"{type(self).__name__}({reprlib.repr(self.name)}, {dtype} on {self.device}, "
            f"latents of {self.latent_channels} channels and {self.stride} px, {self.noise!r})"
        )

    @property
    def denoiser(self) -> Any:  # noqa: ANN401 - each family has its own class
        """The network that taps and hooks refer to."""
        return getattr(self, self.DENOISER)

    @property
    @abstractmethod
    def taps(self) -> Mapping[str, Tap]:
        """Maps of the denoiser that procedures read by name."""

    @property
    @abstractmethod
    def activations(self) -> Mapping[str, Tap]:
        """Every readable activation by name."""

    @property
    @abstractmethod
    def stride(self) -> int:
        """Pixels of the input image per latent cell."""

    @property
    @abstractmethod
    def multiple(self) -> int:
        """Pixels that an image is padded to a multiple of."""

    def compiled(self) -> Self:
        """Compile the repeated blocks of the denoiser, at whose borders taps stay readable.

        Returns:
            The backbone, known by other fingerprints since its answers are rounded otherwise.

        Raises:
            BackboneError: as ``compiling.with_compiled_blocks`` says.
        """
        return with_compiled_blocks(self, self.DENOISER)

    @property
    def latent_channels(self) -> int:
        """Channels of a latent."""
        return int(self.vae.config.latent_channels)

    @property
    @abstractmethod
    def sample_size(self) -> tuple[int, int]:
        """Rows and columns of latents as large as those that the denoiser was made for."""

    @property
    @abstractmethod
    def usual_guidance(self) -> float:
        """Scale of guidance that the family's stock pipeline takes where nobody says otherwise."""

    @property
    @abstractmethod
    def first_layer(self) -> torch.nn.Module:
        """The layer of the denoiser that a latent comes to first."""

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return running_device(self.first_layer, self.denoiser)

    @property
    def dtype(self) -> torch.dtype:
        """What the denoiser computes in."""
        return compute_dtype(self.first_layer, self.denoiser)

    def encode(self, image: Tensor) -> Tensor:
        """Turn an image (b 3 h w) in [-1, 1] into the latent at the mean of its posterior.

        It is padded to ``multiple`` and taken to the backbone's device; its dtype stays.
        """
        return self.moments(image)[0]

    def moments(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of the posterior of an image, both VAE-scaled."""
        expect(image, "b c h w", of="image", c=3)
        padded = coordinates.pad(image, self.multiple)
        with self.untouched(self.vae), upcast(self.vae) as dtype:
            mean, std = self.encoded(padded.to(self.device, dtype))
        return mean.to(image.dtype), std.to(image.dtype)

    def decode(self, latent: Tensor) -> Tensor:
        """Turn a latent (b c h w) into an image, neither clamped nor cropped."""
        expect(latent, "b c h w", of="latent", c=self.latent_channels)
        with self.untouched(self.vae), upcast(self.vae) as dtype:
            image = self.decoded(latent, dtype)
        return image.to(latent.dtype)

    def encoded(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of an image of whole cells, in the autoencoder's dtype."""
        posterior = self.vae.encode(image).latent_dist
        mean, scale = self.scaling(posterior.mean)
        return (posterior.mean - mean) * scale, posterior.std * scale

    def decoded(self, latent: Tensor, dtype: torch.dtype) -> Tensor:
        """Image of a latent, by an autoencoder that computes in ``dtype``."""
        mean, scale = self.scaling(latent)
        image: Tensor = self.vae.decode((latent / scale + mean).to(dtype), return_dict=False)[0]
        return image

    def scaling(self, like: Tensor) -> tuple[Tensor | float, Tensor | float]:
        """Mean that the VAE's own latents are freed of, and the factor to unit variance after it.

        Numbers, or (1 c 1 1) as ``like`` where the autoencoder names them by channel.
        """
        config = self.vae.config
        if config.get("latents_mean") is None:
            return config.get("shift_factor") or 0.0, config.scaling_factor
        mean, std = (
            torch.tensor(config[key]).view(1, -1, 1, 1).to(like)
            for key in ("latents_mean", "latents_std")
        )
        return mean, config.scaling_factor / std

    @abstractmethod
    def embed(self, prompt: str) -> Conditioning:
        """Turn a prompt into conditioning."""

    @abstractmethod
    def predictor(self, conditioning: Conditioning, guidance: float = 1.0) -> Predictor:
        """Make what the denoiser predicts for a conditioning."""

    def sized(self, conditioning: Conditioning, picture_px: tuple[int, int]) -> Conditioning:
        """Return the conditioning as it is: most networks are not told how large a picture is."""
        return conditioning

    def untouched(self, network: torch.nn.Module) -> AbstractContextManager[object]:
        """Let gradients pass a network of somebody else's and reach no weight of it."""
        return remembered(network) if self.pipeline is None else frozen(network)

    def predicting(
        self,
        ask: Callable[[Tensor, float | Tensor], Tensor],
        conditioning: Conditioning,
        guidance: float,
        *,
        unconditional: Conditioning | None = None,
    ) -> Predictor:
        """Make a predictor that knows its fingerprint.

        Args:
            ask: calls the denoiser: a latent (b c h w) in its dtype and the timestep as given, to
                what the predictor answers.
            conditioning: what ``ask`` is conditioned on, for the fingerprint.
            guidance: scale of classifier-free guidance, for the fingerprint.
            unconditional: what guidance leads away from, if it is not the empty prompt.

        Returns:
            Predictor that answers in the dtype of the latent. Its fingerprint names backbone,
            conditioning and guidance, and a hash of what changed the denoiser since it was
            loaded, such as a LoRA.
        """

        def predict(z: Tensor, t: float | Tensor) -> Tensor:
            expect(z, "b c h w", of="latent", c=self.latent_channels)
            check_floating(z)
            with self.untouched(self.denoiser):
                return ask(z, t).to(z.dtype)

        given_hash: list[str] = []  # of the conditionings, once they were asked for

        def told() -> str:
            sides = [side for side in (conditioning, unconditional) if side is not None]
            given_hash[:] = given_hash or [side.fingerprint for side in sides]
            changed = self.altered(self.DENOISER)
            of = f"{self.name} changed to {changed[:16]}" if changed else self.name
            to = " led from ".join(given_hash)
            return f"{of}, conditioning {to}, guidance {float(guidance)!r}"

        return Predictor(predict, told)

    def addresses(self, *words: str, network: str = "denoiser") -> dict[str, str]:
        """Find the addresses that words mean, for ``capture``, ``inject`` and ``attention_maps``.

        Args:
            words: names, roles, names of published extractors, module paths or globs, as
                ``addresses.resolve`` reads them among ``activations``.
            network: ``denoiser`` or ``vae``, which the addresses are for.

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
            BackboneError: there is no text encoder.
        """
        self.needs_text("text_encoder")
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

    def needs_text(self, *parts: str) -> None:
        """Refuse to read a prompt without what reads it.

        Args:
            parts: attributes of the text encoders that are needed.

        Raises:
            BackboneError: one of them is missing.
        """
        missing = [part for part in parts if getattr(self, part, None) is None]
        if missing:
            raise BackboneError(
                f"a prompt must have a text encoder to be read, but {self.name} has no "
                f"{' and no '.join(missing)}; load the pipeline with it, or give conditioning= "
                f"made from prompt embeddings of your own"
            )


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
