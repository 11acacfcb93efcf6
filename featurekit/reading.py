"""One way to read features: rows of pictures, noises and timesteps, in calls of the network."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from featurekit.backbone import Backbone
from featurekit.capture import capture
from featurekit.errors import BackboneError, ConfigError, ImageError, UnknownNameError
from featurekit.features import FeatureMaps, Features, gridded
from featurekit.recipes import Ensemble, Recipe
from featurekit.steps import noised
from featurekit.types import Conditioning


@dataclass(frozen=True)
class Reading:
    """What is read of each picture, known to be possible."""

    paths: Mapping[str, str]  # module path by tap, as asked for
    levels: Mapping[int, Tensor]  # alpha_bar of the latent, by what the network is told
    ensemble: Ensemble


def reading(backbone: Backbone, recipe: Recipe) -> Reading:
    """Check what is asked for, before any work is done.

    Args:
        backbone: a loaded model.
        recipe: taps are names from ``backbone.taps`` or module paths inside its network;
            timesteps lie from 0 to below the length of the noise table.

    Returns:
        What to read.

    Raises:
        UnknownNameError: no tap and no submodule has that name.
        NoiseLevelError: a timestep is outside the noise table.
        ConfigError: nothing is asked for, or something twice.
    """
    for kind, asked in (("taps", list(recipe.taps)), ("timesteps", list(recipe.timesteps))):
        if not asked:
            raise ConfigError(f"{kind} must ask for something, got none")
        if len(set(asked)) != len(asked):
            raise ConfigError(f"{kind} must differ from each other, got {asked}; ask for each once")
    paths = {name: _path(backbone, name) for name in recipe.taps}
    levels = {t: backbone.noise.level(t) for t in recipe.timesteps}
    if recipe.ensemble.policy == "clean":
        levels = dict.fromkeys(levels, torch.ones((), dtype=torch.float64))
    return Reading(paths, levels, recipe.ensemble)


def _path(backbone: Backbone, name: str) -> str:
    """Module path of a tap: that of a published name, or the name itself."""
    if name in backbone.taps:
        return backbone.taps[name].path
    if name and name in dict(backbone.unet.named_modules()):
        return name
    raise UnknownNameError("tap", name, backbone.taps)


def encoded(backbone: Backbone, image: Tensor, *, of: str = "image") -> Tensor:
    """Turn pictures into the means of their posteriors, once they are known to be numbers.

    Args:
        backbone: a loaded model.
        image: (b 3 h w) in [-1, 1], any size.
        of: what the image is, for the message.

    Returns:
        Latent (b c h w) of the padded size.

    Raises:
        ImageError: a pixel is NaN or infinite, or the pixels are whole numbers.
        BackboneError: the autoencoder gave NaN or infinities.
        ShapeError: the image is not (b 3 h w).
    """
    if not image.is_floating_point():
        raise ImageError(f"{of} must hold numbers in [-1, 1], got {image.dtype}; use load_image")
    if not bool(image.isfinite().all()):
        raise ImageError(f"{of} must hold finite numbers, got NaN or infinity")
    latent = backbone.encode(image)
    if not bool(latent.isfinite().all()):
        raise BackboneError(
            f"the autoencoder of {backbone.name} must give finite latents, got NaN or infinity "
            f"for {of}; load it with dtype=float32"
        )
    return latent


def read(
    backbone: Backbone,
    asked: Reading,
    z0: Tensor,
    noise: Tensor,
    *,
    conditioning: Conditioning,
    together: int,
) -> FeatureMaps:
    """Read features of pictures of one size; means over their noises.

    The network is called with ``together`` times b rows at a time and left after the deepest tap.
    Gradients follow torch's mode.

    Args:
        backbone: a loaded model.
        asked: what to read.
        z0: clean latents, (b c h w).
        noise: (n b c h w), the draws of each picture.
        conditioning: states of 1 row, or of one row a picture.
        together: pairs of a timestep and a draw in one call, >= 1.

    Returns:
        One map for each timestep and tap, (b c H/stride W/stride).

    Raises:
        CaptureError: a tap gives nothing that covers the picture.

    Source: Tang et al. 2023 (DIFT), arXiv:2306.03881.
    """
    size_px = (z0.shape[2] * backbone.stride, z0.shape[3] * backbone.stride)
    pairs = [(t, draw) for t in asked.levels for draw in range(len(noise))]
    sums: dict[tuple[int, str], Tensor] = {}
    for some in _chunks(pairs, together):
        z = torch.cat(
            [noised(z0, noise[draw].to(z0), alpha_bar=asked.levels[t]) for t, draw in some]
        )
        predict = backbone.predictor(_repeated(conditioning, len(some)))
        with capture(backbone.unet, asked.paths, stop_after=True) as captured:
            predict(z, _timesteps(some, z0))
        for name in asked.paths:
            parts = torch.split(captured[name], len(z0))
            for (t, _), part in zip(some, parts, strict=True):
                sums[t, name] = sums[t, name] + part if (t, name) in sums else part
    maps = []
    for t in asked.levels:
        for name in asked.paths:
            mean = sums[t, name] / len(noise)
            tensor, stride = gridded(mean, size_px, of=name)
            maps.append(Features(tensor, name, t, stride))
    return FeatureMaps(maps)


def _chunks(pairs: Sequence[tuple[int, int]], size: int) -> Iterator[Sequence[tuple[int, int]]]:
    for start in range(0, len(pairs), size):
        yield pairs[start : start + size]


def _timesteps(pairs: Sequence[tuple[int, int]], z0: Tensor) -> int | Tensor:
    """One number where all rows share it, as the network is called elsewhere; else one a row."""
    timesteps = [t for t, _ in pairs]
    if len(set(timesteps)) == 1:
        return timesteps[0]
    return torch.tensor(timesteps, device=z0.device).repeat_interleave(len(z0))


def _repeated(conditioning: Conditioning, times: int) -> Conditioning:
    """Rows of pictures, repeated for each timestep and draw; one row serves all as it is."""
    if len(conditioning.states) == 1:
        return conditioning
    extra = {
        name: one.repeat(times, *[1] * (one.ndim - 1)) for name, one in conditioning.extra.items()
    }
    return Conditioning(conditioning.states.repeat(times, 1, 1), conditioning.prompt, extra)
