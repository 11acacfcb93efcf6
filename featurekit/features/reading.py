"""One way to read features: rows of pictures, noises and timesteps, in calls of the network."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from featurekit.core.errors import BackboneError, CaptureError, ConfigError, FeatureKitWarning
from featurekit.core.types import Conditioning, Tap
from featurekit.diffusion.backbone import Backbone
from featurekit.features.feature_maps import FeatureMaps, Features
from featurekit.features.recipes import Ensemble, Recipe
from featurekit.images.inputs import Picture, as_image
from featurekit.taps.addresses import is_glob, resolve, split_address
from featurekit.taps.capture import capture
from featurekit.taps.tokens_to_maps import as_map, gridded, is_formless, refuse_formless

UNLISTED = "module"  # role of a tap that is known by its path alone


@dataclass(frozen=True)
class Reading:
    """What is read of each picture, known to be possible."""

    taps: Mapping[str, Tap]  # by the word asked for; by its name where a word means several
    words: Mapping[str, str]  # name of a tap by each word that means one alone
    timesteps: tuple[float, ...]  # what the network is told, all of them known to its noise levels
    ensemble: Ensemble

    @property
    def paths(self) -> Mapping[str, str]:
        """Addresses inside the network, by the keys of ``taps``."""
        return {key: tap.address for key, tap in self.taps.items()}


@dataclass(frozen=True)
class Latents:
    """What the network is given of some pictures of one size."""

    at: Callable[[float, int], Tensor]  # (timestep, draw) to noisy latents, (b c h w)
    draws: int = 1  # of each picture, to take the mean over


def reading(backbone: Backbone, recipe: Recipe) -> Reading:
    """Check what is asked for, before any work is done.

    Args:
        backbone: a loaded model.
        recipe: taps are words that ``resolve`` finds among ``backbone.activations``, or
            addresses of other modules inside its network; timesteps are those of its noise
            levels.

    Returns:
        What to read.

    Raises:
        UnknownNameError: a word means no tap and no submodule.
        CaptureError: a word means a tap that is no map of the picture, or of another network.
        NoiseLevelError: the network was trained at no such timestep.
        ConfigError: nothing is asked for, or something twice.
        BackboneError: a loaded pipeline or something else was given in place of a backbone.
    """
    if not hasattr(backbone, "activations"):
        raise BackboneError(
            f"features are read from a backbone, got a {type(backbone).__name__}; "
            f"fk.load_backbone gives one, and fk.wrap(pipeline) makes one of a loaded pipeline"
        )
    for kind, asked in (("taps", list(recipe.taps)), ("timesteps", list(recipe.timesteps))):
        if not asked:
            raise ConfigError(f"{kind} must ask for something, got none")
        if len(set(asked)) != len(asked):
            raise ConfigError(f"{kind} must differ from each other, got {asked}; ask for each once")
    taps, words = _found(backbone, recipe.taps)
    for t in recipe.timesteps:
        backbone.noise.level(t)
    return Reading(taps, words, recipe.timesteps, recipe.ensemble)


def _found(backbone: Backbone, words: Sequence[str]) -> tuple[dict[str, Tap], dict[str, str]]:
    """The taps that words mean, each once; and the name of the tap of a word that means one."""
    listed = tuple(backbone.activations.values())
    listed += _unlisted(backbone, words)
    taps: dict[str, Tap] = {}
    single: dict[str, str] = {}
    seen: set[str] = set()
    left_out: dict[str, None] = {}
    for word in words:
        found = resolve([word], listed)
        fitting = tuple(t for t in found if t.network == "denoiser" and not is_formless(t))
        if is_glob(word) and fitting:
            left_out |= dict.fromkeys(t.name for t in found if t not in fitting)
            found = fitting
        if len(found) == 1:
            single[word] = found[0].name
        for tap in found:
            _refuse_other(tap)
            if tap.name not in seen:
                taps[word if len(found) == 1 else tap.name] = tap
            seen.add(tap.name)
    if left_out:
        warnings.warn(
            f"globs fit {len(left_out)} activations that are no maps of the picture, which are "
            f"left out ({next(iter(left_out))}, ...); capture and attention_maps read them",
            FeatureKitWarning,
            stacklevel=4,  # where extract or Extractor was called
        )
    return taps, single


def _unlisted(backbone: Backbone, words: Sequence[str]) -> tuple[Tap, ...]:
    """Taps for words that are addresses of modules which no listing names, of unknown size."""
    modules = dict(backbone.denoiser.named_modules())
    known = {tap.address for tap in backbone.activations.values()} | set(backbone.activations)
    sides = [(word, *split_address(word)) for word in words if word not in known]
    return tuple(
        Tap(word, path, UNLISTED, 0, 0, side=side)
        for word, path, side in sides
        if path and path in modules and side in ("in", "out")
    )


def _refuse_other(tap: Tap) -> None:
    """Refuse a tap that no feature map of the denoiser can be made of."""
    if tap.network != "denoiser":
        raise CaptureError(
            f"features are read from the denoiser, but {tap.name} lies in the {tap.network}; "
            f"capture it there by its address {tap.address!r}"
        )
    refuse_formless(tap)


def encoded(backbone: Backbone, image: Picture, *, of: str = "image") -> Tensor:
    """Turn pictures into the means of their posteriors, once they are known to be numbers.

    Args:
        backbone: a loaded model.
        image: (b 3 h w) in [-1, 1], any size, or what else ``as_image`` takes.
        of: what the image is, for the message.

    Returns:
        Latent (b c h w) of the padded size.

    Raises:
        ImageError: ``as_image`` refuses it.
        BackboneError: the autoencoder gave NaN or infinities.
        ShapeError: the image is not (b 3 h w).
    """
    latent = backbone.encode(as_image(image, of=of))
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
        CaptureError: an unlisted module gives nothing that covers the picture.
        ShapeError: a tap gives another size than it says.

    Source: Tang et al. 2023 (DIFT), arXiv:2306.03881.
    """
    clean = asked.ensemble.policy == "clean"

    def at(t: float, draw: int) -> Tensor:
        return z0 if clean else backbone.noise.noised(z0, noise[draw].to(z0), t)

    given = Latents(at, len(noise))
    return read_latents(backbone, asked, given, conditioning=conditioning, together=together)


def read_latents(
    backbone: Backbone,
    asked: Reading,
    latents: Latents,
    *,
    conditioning: Conditioning,
    together: int,
) -> FeatureMaps:
    """Read features of latents as they are; means over the draws of each.

    The network is called with ``together`` times b rows at a time and left after the deepest tap.
    Gradients follow torch's mode.

    Args:
        backbone: a loaded model.
        asked: what to read.
        latents: what the network is given.
        conditioning: states of 1 row, or of one row a picture.
        together: pairs of a timestep and a draw in one call, >= 1.

    Returns:
        One map for each timestep and tap, (b c H/stride W/stride).

    Raises:
        CaptureError: an unlisted module gives nothing that covers the picture.
        ShapeError: a tap gives another size than it says.
    """
    pairs = [(t, draw) for t in asked.timesteps for draw in range(latents.draws)]
    sums: dict[tuple[float, str], Tensor] = {}
    for some in _chunks(pairs, together):
        given = [latents.at(t, draw) for t, draw in some]
        predict = backbone.predictor(_repeated(conditioning, len(some)))
        with capture(backbone.denoiser, asked.paths, stop_after=True) as captured:
            predict(torch.cat(given), _timesteps(some, given[0]))
        for name in asked.paths:
            parts = torch.split(captured[name], len(given[0]))
            for (t, _), part in zip(some, parts, strict=True):
                sums[t, name] = sums[t, name] + part if (t, name) in sums else part
    size_px = (given[0].shape[2] * backbone.stride, given[0].shape[3] * backbone.stride)
    maps = []
    for t in asked.timesteps:
        for name, tap in asked.taps.items():
            mean = sums[t, name] / latents.draws
            maps.append(_laid(mean, tap, t, size_px))
    return FeatureMaps(maps, asked.words)


def _laid(mean: Tensor, tap: Tap, t: float, size_px: tuple[int, int]) -> Features:
    """A mean over draws as a map; the stride of an unlisted module shows only here."""
    if tap.role == UNLISTED:
        tensor, stride = gridded(mean, size_px, of=tap.name)
        return Features(tensor, tap.name, t, stride)
    return Features(as_map(mean, tap, size_px=size_px), tap.name, t, tap.stride)


def _chunks(pairs: Sequence[tuple[float, int]], size: int) -> Iterator[Sequence[tuple[float, int]]]:
    for start in range(0, len(pairs), size):
        yield pairs[start : start + size]


def _timesteps(pairs: Sequence[tuple[float, int]], z: Tensor) -> float | Tensor:
    """One number where all rows share it, as the network is called elsewhere; else one a row."""
    timesteps = [t for t, _ in pairs]
    if len(set(timesteps)) == 1:
        return timesteps[0]
    return torch.tensor(timesteps, device=z.device).repeat_interleave(len(z))


def _repeated(conditioning: Conditioning, times: int) -> Conditioning:
    """Rows of pictures, repeated for each timestep and draw; one row serves all as it is."""
    if len(conditioning.states) == 1:
        return conditioning
    extra = {
        name: one.repeat(times, *[1] * (one.ndim - 1)) for name, one in conditioning.extra.items()
    }
    return Conditioning(conditioning.states.repeat(times, 1, 1), conditioning.prompt, extra)
