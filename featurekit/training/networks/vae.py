"""The autoencoder's training, its decoder's alone, and the folding of latents to unit variance."""

from collections.abc import Mapping
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.nn import functional

from featurekit.core.metrics import psnr
from featurekit.training.data.rendered_scenes import Album, scaled

KL = 1e-5  # weight of the divergence, per latent value
FOREGROUND = 2.0  # what a pixel of the foreground counts more than one of the backdrop
SCALES = 3  # at which the gradients of picture and reconstruction are compared
BRIGHTNESS, CONTRAST = 0.1, 0.15  # how far pictures are jittered


class VaeTask:
    """Reconstruct pictures through few latent values."""

    stage = "vae"

    def __init__(self, network: AutoencoderKL, album: Album, held_out: Tensor) -> None:
        """Take the network, what it learns from, and pictures (b 4 h w), uint8, to check on."""
        self._vae: Any = network.to(memory_format=torch.channels_last)
        self.network: nn.Module = self._vae
        self.hot: tuple[nn.Module, ...] = (network.encoder, network.decoder)
        self._album, self._held_out = album, held_out
        self._device = next(network.parameters()).device

    def loss(self, count: int, draw: torch.Generator) -> Tensor:
        """Absolute, squared and gradient errors, the foreground counting more, and a little KL."""
        chosen = torch.randint(len(self._album), (count,), generator=draw)
        image, foreground = scaled(self._album.pictures(chosen))
        image, foreground = _jittered(image, foreground, draw)
        image = image.to(self._device, memory_format=torch.channels_last)
        posterior = self._encoded(image)
        noise = torch.randn(posterior.mean.shape, generator=draw).to(self._device)
        found = self._vae.decode(posterior.mean + posterior.std * noise).sample.float()
        mean, variance = posterior.mean.float(), posterior.var.float()
        divergence = 0.5 * (mean**2 + variance - 1 - posterior.logvar.float()).mean()
        weight = 1 + FOREGROUND * foreground.to(self._device)
        whole: Tensor = _error(found, image, weight / weight.mean()) + KL * divergence
        return whole

    @torch.no_grad()
    def figures(self) -> Mapping[str, float]:
        """Mean PSNR of held-out reconstructions in dB, of the whole and of the foreground."""
        whole, front = [], []
        for piece in self._held_out.split(32):  # type: ignore[no-untyped-call]
            image, foreground = (part.to(self._device) for part in scaled(piece))
            found = self._vae.decode(self._vae.encode(image).latent_dist.mode()).sample
            for a, b, mask in zip(found.clamp(-1, 1), image, foreground > 0.5, strict=True):
                whole.append(float(psnr(a[None], b[None])))
                if bool(mask.any()):
                    front.append(float(psnr(a[None], b[None], mask=mask[None])))
        return {"psnr": sum(whole) / len(whole), "psnr_foreground": sum(front) / len(front)}

    def _encoded(self, image: Tensor) -> Any:  # noqa: ANN401 - diffusers is not typed
        return self._vae.encode(image).latent_dist


class DecoderTask(VaeTask):
    """Decode better what a finished encoder gives: latents, and a denoiser of them, stay valid."""

    stage = "decoder"

    def __init__(self, network: AutoencoderKL, album: Album, held_out: Tensor) -> None:
        """Take a finished autoencoder; the other arguments as for ``VaeTask``."""
        super().__init__(network, album, held_out)
        parts = {"decoder": network.decoder, "post_quant_conv": network.post_quant_conv}
        self.network = nn.ModuleDict(parts)

    @torch.no_grad()
    def _encoded(self, image: Tensor) -> Any:  # noqa: ANN401 - diffusers is not typed
        return super()._encoded(image)


def _jittered(image: Tensor, foreground: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mirror half of the pictures, and change brightness and contrast a little."""
    count = len(image)
    mirrored = torch.rand(count, generator=draw) < 0.5
    image[mirrored], foreground[mirrored] = image[mirrored].flip(3), foreground[mirrored].flip(3)
    light, contrast = torch.rand(2, count, 1, 1, 1, generator=draw) * 2 - 1
    return (image * (1 + CONTRAST * contrast) + BRIGHTNESS * light).clamp(-1, 1), foreground


def _error(found: Tensor, image: Tensor, weight: Tensor) -> Tensor:
    """Pixel errors, and errors of the gradients at some scales, so that thin lines count."""
    difference = found - image
    total = (weight * (difference.abs() + 2 * difference**2)).mean()
    for scale in range(SCALES):
        across = difference[..., 1:] - difference[..., :-1]
        down = difference[..., 1:, :] - difference[..., :-1, :]
        total = total + 0.5 * (weight[..., 1:] * across.abs()).mean()
        total = total + 0.5 * (weight[..., 1:, :] * down.abs()).mean()
        if scale + 1 < SCALES:
            difference = functional.avg_pool2d(difference, 2)
            weight = functional.avg_pool2d(weight, 2)
    return total


@torch.no_grad()
def fold(network: AutoencoderKL, mean: Tensor, std: Tensor) -> None:
    """Scale every latent channel to mean 0 and variance 1, inside the network itself.

    A stock autoencoder has one factor for all channels; a small KL weight leaves them unequal. Here
    the two 1 x 1 convolutions next to the latents take it over, so that the factor is 1 and the
    reconstructions stay what they were.

    Args:
        network: ``AutoencoderKL`` with both convolutions.
        mean: of every latent channel over training pictures, (c).
        std: likewise, above 0.
    """
    channels = len(mean)
    into, out = network.quant_conv, network.post_quant_conv
    into.weight[:channels] /= std.view(-1, 1, 1, 1)
    into.bias[:channels] = (into.bias[:channels] - mean) / std
    into.bias[channels:] -= 2 * std.log()
    out.bias += out.weight[:, :, 0, 0] @ mean
    out.weight *= std.view(1, -1, 1, 1)


@torch.no_grad()
def latent_statistics(network: AutoencoderKL, album: Album, *, count: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of every latent channel over the first pictures, (c) each."""
    device = next(network.parameters()).device
    found = []
    for indices in torch.arange(min(count, len(album))).split(64):  # type: ignore[no-untyped-call]
        image, _ = scaled(album.pictures(indices))
        found.append(network.encode(image.to(device)).latent_dist.mean)
    latents = torch.cat(found)
    return latents.mean((0, 2, 3)), latents.std((0, 2, 3))
