"""Features along one run of a network: of its own latents, not of a clean latent noised."""

from collections.abc import Sequence

import torch
from torch import Tensor

from featurekit.analysis.representative_timesteps import gram_of_maps
from featurekit.core.types import Predict
from featurekit.diffusion.backbone import Backbone
from featurekit.diffusion.invert import invert
from featurekit.diffusion.levels import NoiseSchedule
from featurekit.diffusion.sample import sample
from featurekit.features.extract import extract_latents
from featurekit.features.feature_maps import FeatureMaps
from featurekit.features.reading import encoded


@torch.no_grad()
def sampled_run(
    backbone: Backbone,
    schedule: NoiseSchedule,
    size: tuple[int, int],
    *,
    prompt: str = "",
    seed: int,
) -> tuple[Tensor, ...]:
    """Sample from noise and keep the latents that the network was shown.

    Args:
        backbone: a loaded model.
        schedule: levels of the run.
        size: rows and columns of the latent.
        prompt: what the network is conditioned on.
        seed: of the noise, drawn on the CPU.

    Returns:
        Latents (1 c h w) of levels 1 to n, the least noisy first.

    Raises:
        FeatureKitError: as in ``sample``.
    """
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(1, backbone.latent_channels, *size, generator=generator)
    noisy = start.to(backbone.device, backbone.dtype)
    met = {schedule.steps: noisy}

    def keep(level: int, z: Tensor) -> None:
        met[level] = z

    sample(_predict(backbone, prompt), noisy, schedule, on_step=keep)
    return tuple(met[level] for level in range(1, schedule.steps + 1))


@torch.no_grad()
def inverted_run(
    backbone: Backbone, schedule: NoiseSchedule, image: Tensor, *, prompt: str = ""
) -> tuple[Tensor, ...]:
    """Invert a picture and keep the latents: the run that would end at it.

    Args:
        backbone: a loaded model.
        schedule: levels of the run.
        image: (1 3 h w) in [-1, 1].
        prompt: what the network is conditioned on.

    Returns:
        Latents (1 c h w) of levels 1 to n, the least noisy first.

    Raises:
        FeatureKitError: as in ``encoded`` and ``invert``.
    """
    z0 = encoded(backbone, image)
    return invert(_predict(backbone, prompt), z0, schedule).latents[1:]


@torch.no_grad()
def run_gram(
    backbone: Backbone,
    runs: Sequence[Sequence[Tensor]],
    schedule: NoiseSchedule,
    *,
    taps: Sequence[str],
    prompt: str = "",
) -> Tensor:
    """Multiply the features of each latent of some runs with those of each other.

    As ``representative.feature_gram``, but the network is shown the latents that are given.

    Args:
        backbone: a loaded model.
        runs: latents (1 c h w) of levels 1 to n each, all of one size.
        schedule: what the levels are.
        taps: as in ``extract``.
        prompt: what the network is conditioned on.

    Returns:
        Inner products (runs*n runs*n), float64; the n levels of a run stand together.

    Raises:
        FeatureKitError: as in ``extract``.
        CaptureError: a feature is not finite.
    """
    rising = sorted(map(int, schedule.timesteps))
    levels = zip(rising, zip(*runs, strict=True), strict=True)
    latents = {t: torch.cat(alike) for t, alike in levels}

    def read(taps: Sequence[str], timesteps: Sequence[int]) -> FeatureMaps:
        return extract_latents(backbone, latents, taps=taps, timesteps=timesteps, prompt=prompt)

    return gram_of_maps(read, taps, rising)


def _predict(backbone: Backbone, prompt: str) -> Predict:
    return backbone.predictor(backbone.embed(prompt))
