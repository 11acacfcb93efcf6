"""What every model family offers, and guidance as a wrapper around two predictors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from featurekit.core.types import Conditioning, Predict, Tap
from featurekit.diffusion.levels import ForwardProcess


class Predictor:
    """A ``Predict`` that can say what it predicts with; any other callable may do without."""

    def __init__(self, predict: Predict, told: Callable[[], str]) -> None:
        """Wrap a callable.

        Args:
            predict: ``(z, t) -> eps``.
            told: names model, conditioning and guidance in a few words; asked whenever it is
                needed, since what the model answers may have been changed.
        """
        self._predict, self._told = predict, told

    def __call__(self, z: Tensor, t: float | Tensor) -> Tensor:
        """Predict the noise in a latent, or a flow's velocity.

        Args:
            z: latent, (b c h w).
            t: train timestep, one number or (b,).

        Returns:
            eps, (b c h w).
        """
        return self._predict(z, t)

    @property
    def fingerprint(self) -> str:
        """What it predicts with: equal for predictors that answer alike; "" if that is unknown."""
        return self._told()


def fingerprint_of(predict: Predict) -> str:
    """Read what a predictor says that it predicts with.

    Args:
        predict: any callable ``(z, t) -> eps``.

    Returns:
        Its ``fingerprint``; "" if it has none.
    """
    return str(getattr(predict, "fingerprint", ""))


class Backbone(Protocol):
    """A pretrained model as procedures and plugins see it.

    The networks are stock modules, frozen and in evaluation mode. Everything is differentiable:
    nothing here switches gradients off.
    """

    @property
    def name(self) -> str:
        """What the user called it: a known name, a folder or a hub id."""
        ...

    @property
    def settings_of(self) -> str:
        """Backbone that plugins take settings of: its own name, or one that is shaped like it."""
        ...

    @property
    def noise(self) -> ForwardProcess:
        """Noise levels that the network was trained with, and what it answers.

        A ``NoiseTable`` of diffusion, or a ``FlowTable`` of flow matching.
        """
        ...

    @property
    def taps(self) -> Mapping[str, Tap]:
        """Maps of ``denoiser`` that procedures read by name: outputs of blocks and their parts."""
        ...

    @property
    def activations(self) -> Mapping[str, Tap]:
        """Every readable activation by name, those of ``taps`` first; ``resolve`` searches it."""
        ...

    @property
    def stride(self) -> int:
        """Pixels of the input image per latent cell."""
        ...

    @property
    def multiple(self) -> int:
        """Pixels that height and width of an image are padded to a multiple of."""
        ...

    @property
    def latent_channels(self) -> int:
        """Channels of a latent."""
        ...

    @property
    def sample_size(self) -> tuple[int, int]:
        """Rows and columns of latents as large as those that the network was trained on."""
        ...

    @property
    def usual_guidance(self) -> float:
        """Scale of guidance that the family's stock pipeline takes where nobody says otherwise."""
        ...

    @property
    def weights(self) -> Mapping[str, str]:
        """SHA-256 (hex) of each weight file by its path in the model folder; empty if random.

        What was changed since the model was loaded, such as an adapter or a weight, adds a hash
        under the name of the network: ``unet``, ``transformer``, ``vae``, ``text_encoder``.
        """
        ...

    @property
    def device(self) -> torch.device:
        """Where the networks are; latents must be there too."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """What the denoiser computes in; callers' tensors may have another."""
        ...

    # stock modules; Any, because each family has its own classes
    @property
    def denoiser(self) -> Any:  # noqa: ANN401
        """The network that taps and hooks refer to, a UNet or a transformer."""
        ...

    @property
    def vae(self) -> Any:  # noqa: ANN401
        """The autoencoder."""
        ...

    @property
    def text_encoder(self) -> Any:  # noqa: ANN401
        """The network that reads prompts."""
        ...

    @property
    def tokenizer(self) -> Any:  # noqa: ANN401
        """What turns a prompt into numbers."""
        ...

    def addresses(self, *words: str, network: str = "denoiser") -> dict[str, str]:
        """Find the addresses that words mean, for ``capture``, ``inject`` and ``attention_maps``.

        Args:
            words: names, roles, names of published extractors, module paths or globs.
            network: ``denoiser`` or ``vae``, which the addresses are for.

        Returns:
            Address by name; a glob leaves attention maps out unless it fits nothing else.
        """
        ...

    def token_indices(self, prompt: str, words: str) -> tuple[int, ...]:
        """Find words of a prompt among the states that it becomes, for ``to_tokens``.

        Args:
            prompt: as ``embed`` takes it.
            words: one word of it or several in their order.

        Returns:
            Every place, counted from 0; a word may have several.
        """
        ...

    def encode(self, image: Tensor) -> Tensor:
        """Turn an image into the latent at the mean of the posterior.

        Args:
            image: (b 3 h w) in [-1, 1], any size; it is padded with ``coordinates.pad``.

        Returns:
            Latent, (b c H/stride W/stride), VAE-scaled, of the padded size H W, dtype of the
            image, on the backbone's device.
        """
        ...

    def moments(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of the posterior, both VAE-scaled.

        Args:
            image: as for ``encode``.

        Returns:
            Two tensors shaped as ``encode``'s latent.
        """
        ...

    def decode(self, latent: Tensor) -> Tensor:
        """Turn a latent into an image.

        Args:
            latent: (b c h w), VAE-scaled, on the backbone's device.

        Returns:
            Image, (b 3 h*stride w*stride), about [-1, 1] but not clamped and not cropped.
        """
        ...

    def embed(self, prompt: str) -> Conditioning:
        """Turn a prompt into what the network is conditioned on.

        Args:
            prompt: any text; the empty text is the unconditional case.

        Returns:
            Conditioning with states (1 n d).
        """
        ...

    def sized(self, conditioning: Conditioning, picture_px: tuple[int, int]) -> Conditioning:
        """Say how large a picture is, where the network is told; else change nothing.

        Args:
            conditioning: what ``embed`` returned.
            picture_px: rows and columns of the picture without its padding.

        Returns:
            The conditioning with that size; as it is if it says a size already.
        """
        ...

    def predictor(self, conditioning: Conditioning, guidance: float = 1.0) -> Predictor:
        """Make a plain ``(z, t) -> eps``, of a flow ``-> v``, that knows its ``fingerprint``.

        Args:
            conditioning: what to predict for.
            guidance: scale of classifier-free guidance; 1 asks the network for one row per row of
                ``z``, any other value for two, unconditional rows first, in one call.

        Returns:
            Predictor that answers in the dtype of ``z``; an integer ``t`` reaches the network as
            it is.
        """
        ...


def guided(conditional: Predict, unconditional: Predict, scale: float) -> Predictor:
    """Wrap two predictors into a guided one.

    Args:
        conditional: predicts for the prompt.
        unconditional: predicts without it, or for what is to be avoided.
        scale: 0 gives the unconditional prediction, 1 the conditional one, more goes beyond it.

    Returns:
        Predictor that calls both at every step; its fingerprint names both and the scale.

    Source: Ho and Salimans 2022, arXiv:2207.12598, eq. 6 with scale = 1 + w.
    """

    def predict(z: Tensor, t: float | Tensor) -> Tensor:
        without = unconditional(z, t)
        return without + scale * (conditional(z, t) - without)

    def told() -> str:
        sides = fingerprint_of(unconditional), fingerprint_of(conditional)
        return f"({sides[0]}) to ({sides[1]}) guidance {float(scale)!r}" if all(sides) else ""

    return Predictor(predict, told)
