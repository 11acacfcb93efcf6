"""What latent diffusion models with a UNet have in common, whatever they are conditioned on."""

from __future__ import annotations

import reprlib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import file_digest
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from featurekit.backbones import describe
from featurekit.backbones.layers import compute_dtype, running_device
from featurekit.core.errors import ShapeError, UnknownNameError
from featurekit.core.finite import check_floating
from featurekit.core.shapes import expect
from featurekit.core.types import Conditioning, Tap
from featurekit.diffusion.backbone import Predictor
from featurekit.diffusion.noise_schedule import NoiseTable
from featurekit.diffusion.steps import eps_from_v
from featurekit.images import coordinates
from featurekit.taps.addresses import addressed

_STATES = "encoder_hidden_states"  # what a UNet is given of the words


@dataclass(frozen=True, eq=False, repr=False)
class LatentDiffusion:
    """A frozen backbone without conditioning; see ``featurekit.diffusion.backbone.Backbone``."""

    name: str
    noise: NoiseTable
    unet: Any  # UNet2DConditionModel; diffusers and transformers are not typed
    vae: Any  # AutoencoderKL
    text_encoder: Any  # CLIPTextModel
    tokenizer: Any  # CLIPTokenizer
    files: Mapping[str, Path] = field(default_factory=dict)  # weight files by name in the folder

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

    @cached_property
    def weights(self) -> Mapping[str, str]:
        """SHA-256 (hex) of each weight file, read from disk when first asked for."""
        hashes = {}
        for name, path in self.files.items():
            with path.open("rb") as file:
                hashes[name] = file_digest(file, "sha256").hexdigest()
        return MappingProxyType(hashes)

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

        The image is padded to ``multiple`` and taken to the backbone's device; the latent has the
        dtype of the image.
        """
        return self.moments(image)[0]

    def moments(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of the posterior of an image, both VAE-scaled."""
        expect(image, "b c h w", of="image", c=3)
        padded = coordinates.pad(image, self.multiple).to(self.device, self.vae.dtype)
        posterior = self.vae.encode(padded).latent_dist
        scale, shift = self._scaling
        mean, std = (posterior.mean - shift) * scale, posterior.std * scale
        return mean.to(image.dtype), std.to(image.dtype)

    def decode(self, latent: Tensor) -> Tensor:
        """Turn a latent (b c h w) into an image, neither clamped nor cropped."""
        expect(latent, "b c h w", of="latent", c=self.latent_channels)
        scale, shift = self._scaling
        unscaled = (latent / scale + shift).to(self.vae.dtype)
        image: Tensor = self.vae.decode(unscaled, return_dict=False)[0]
        return image.to(latent.dtype)

    def sized(self, conditioning: Conditioning, picture_px: tuple[int, int]) -> Conditioning:
        """Return the conditioning as it is: most networks are not told how large a picture is."""
        return conditioning

    def predicting(
        self,
        given: Callable[[Tensor], Mapping[str, Any]],
        conditioning: Conditioning,
        guidance: float,
    ) -> Predictor:
        """Make ``(z, t) -> eps`` from what the UNet is conditioned on.

        Args:
            given: makes the UNet's named inputs for a latent: a row for each of its rows, and with
                guidance as many unconditional rows before them.
            conditioning: what ``given`` is made of, for the fingerprint.
            guidance: scale of classifier-free guidance; 1 asks for one row per row of the latent.

        Returns:
            Predictor; with guidance both rows are computed in one call. Its fingerprint names
            backbone, conditioning and guidance, not what a hook or a LoRA changes.
        """
        copies = 1 if guidance == 1 else 2

        def predict(z: Tensor, t: int | Tensor) -> Tensor:
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
                return_dict=False,
            )[0]
            answer = answer.to(z.dtype)
            if guidance != 1:
                without, with_prompt = answer.chunk(2)
                answer = without + guidance * (with_prompt - without)
            if self.noise.prediction == "epsilon":
                return answer
            return eps_from_v(answer, z, alpha_bar=alpha_bar)

        def told() -> str:
            of = f"{self.name}, conditioning {conditioning.fingerprint}"
            return f"{of}, guidance {float(guidance)!r}"

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
        length = _length(self.text_encoder, self.tokenizer)
        ids = self.tokenizer(prompt, truncation=True, max_length=length)["input_ids"]
        sought = self.tokenizer(words, add_special_tokens=False)["input_ids"]
        starts = range(1, len(ids) - len(sought))  # between the marks of start and end
        found = [start for start in starts if ids[start : start + len(sought)] == sought]
        if not sought or not found:
            raise UnknownNameError(
                "words of the prompt", words, prompt.split(), f"its first {length} tokens are read"
            )
        return tuple(dict.fromkeys(at + more for at in found for more in range(len(sought))))

    def token_ids(self, prompt: str, encoder: Any, tokenizer: Any) -> Tensor:  # noqa: ANN401
        """Turn a prompt into token numbers (1 n); what the encoder cannot read warns and goes."""
        length = _length(encoder, tokenizer)
        found = len(tokenizer(prompt, truncation=False, verbose=False)["input_ids"])
        if found > length:
            warnings.warn(
                f"the prompt has {found} tokens, {self.name} reads the first {length}: {prompt!r}",
                stacklevel=3,  # where embed was called
            )
        ids: Tensor = tokenizer(
            prompt, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        )["input_ids"]
        return ids.to(self.device)

    @property
    def _scaling(self) -> tuple[float, float]:
        """Factor and shift between the VAE's own latents and unit variance."""
        return self.vae.config.scaling_factor, self.vae.config.get("shift_factor") or 0.0


def _length(encoder: Any, tokenizer: Any) -> int:  # noqa: ANN401
    """Tokens that are read of a prompt."""
    return int(min(encoder.config.max_position_embeddings, tokenizer.model_max_length))


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
