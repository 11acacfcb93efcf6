"""Read the features of an image or of noisy latents, by calls that end at the deepest tap."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from featurekit.core.errors import ConfigError, NoiseLevelError, ShapeError
from featurekit.core.finite import check_finite, check_floating
from featurekit.core.shapes import expect
from featurekit.core.types import Conditioning
from featurekit.diffusion.backbone import Backbone
from featurekit.diffusion.trajectory import Trajectory
from featurekit.features.feature_maps import FeatureMaps
from featurekit.features.noise_draws import noises
from featurekit.features.reading import Latents, encoded, read, read_latents, reading
from featurekit.features.recipes import Ensemble, Recipe
from featurekit.images.inputs import Picture, as_image

__all__ = ["FeatureMaps", "extract", "extract_latents"]


def extract(  # noqa: PLR0913 - a public name of architecture.md, section 4
    backbone: Backbone,
    image: Picture,
    *,
    taps: str | Sequence[str],
    timesteps: float | Sequence[float],
    prompt: str = "",
    conditioning: Conditioning | None = None,
    ensemble: int | str | Ensemble = 1,
    seed: int = 0,
) -> FeatureMaps:
    """Read features of images at chosen taps and noise levels.

    The latent is the posterior mean, noised to each timestep. The noise depends on the seed
    and the latent's size alone: every image of a batch and every timestep gets the same
    draws, so a map does not depend on what else was asked for. The network's forward is left
    after the deepest tap. Gradients follow torch's mode. For many images, see
    ``batches.Extractor``; for the latents of an inversion, ``extract_latents``.

    Args:
        backbone: a loaded model.
        image: (b 3 h w) in [-1, 1], any size, or what ``load_image`` reads; it is padded on the
            right and bottom, and the maps cover the padding and know what is none.
        taps: names, aliases, roles, module paths or globs, as ``addresses.resolve`` reads them
            among ``backbone.activations``, or paths of other modules of its network.
        timesteps: train timesteps, each once, below the length of the noise table; a flow's real.
        prompt: what the network is conditioned on.
        conditioning: that itself, in place of a prompt: 1 row, or one an image. A network that is
            told sizes is told the image's own, unless it says others.
        ensemble: noise draws to average over, in one call, >= 1; or another policy, or its word.
        seed: of the noise, drawn on the CPU.

    Returns:
        One map for each timestep and tap, (b c H/stride W/stride) with the padded H, W.

    Raises:
        UnknownNameError: a word means no tap.
        NoiseLevelError: a timestep is outside the noise table.
        ConfigError: no tap, no timestep or no ensemble is asked for, or one of them twice, or
            both a prompt and a conditioning.
        ShapeError: the image is not (b 3 h w), as ``backbone.encode`` finds.
        ImageError: the image cannot be read, or holds NaN, infinities, whole numbers, or
            numbers far outside [-1, 1].
        BackboneError: a pipeline was given, or the autoencoder gave NaN or infinities.
        CaptureError: what was named is no map of the image, or of another network.

    Source: Tang et al. 2023 (DIFT), arXiv:2306.03881, with the same noise for
    every image.
    """
    asked = reading(backbone, _recipe(taps, timesteps, ensemble))
    states = _conditioning(backbone, prompt, conditioning)
    pixels = as_image(image)
    z0 = encoded(backbone, pixels)
    picture_px = (pixels.shape[2], pixels.shape[3])
    channels, height, width = z0.shape[1:]
    drawn = noises(asked.ensemble, (channels, height, width), seed)
    each = drawn[:, None].expand(-1, len(z0), -1, -1, -1)
    told = backbone.sized(states, picture_px)
    maps = read(backbone, asked, z0, each, conditioning=told, together=len(drawn))
    return maps.of_picture(picture_px)


def extract_latents(  # noqa: PLR0913 - a public name of architecture.md, section 4
    backbone: Backbone,
    latents: Mapping[int, Tensor] | Mapping[float, Tensor] | Trajectory,
    *,
    taps: str | Sequence[str],
    timesteps: float | Sequence[float] | None = None,
    prompt: str = "",
    conditioning: Conditioning | None = None,
    picture_px: tuple[int, int] | None = None,
    rows: int = 64,
) -> FeatureMaps:
    """Read features of noisy latents as they are: of an inversion, a run, or noised by hand.

    No noise is added. The network's forward is left after the deepest tap, and several timesteps
    share a call. Gradients follow torch's mode.

    Args:
        backbone: a loaded model.
        latents: latent (b c h w) by the train timestep that the network is told; or a trajectory,
            whose levels say their timesteps, and of whose pairs the first states are read.
        taps: as in ``extract``.
        timesteps: which of the latents to read; None reads each, but a trajectory's clean one,
            which has no timestep.
        prompt: what the network is conditioned on.
        conditioning: that itself, in place of a prompt: 1 row, or one a latent.
        picture_px: rows and columns of the picture without its padding; None: all that the
            latents cover.
        rows: most rows in a call, each a latent at a timestep; one timestep is never split.

    Returns:
        One map for each timestep and tap, (b c H/stride W/stride).

    Raises:
        UnknownNameError: a word means no tap.
        NoiseLevelError: a timestep is outside the noise table, or there is no latent of it.
        ConfigError: nothing is asked for, or something twice, or both a prompt and a conditioning.
        ShapeError: the latents are not (b c h w), floating, of one size that the network takes.
        NotFiniteError: a latent holds NaN or infinity.
        CaptureError: what was named is no map of the picture, or of another network.
    """
    stored = _by_timestep(latents)
    wanted = tuple(stored) if timesteps is None else timesteps
    asked = reading(backbone, Recipe(taps, wanted))  # type: ignore[arg-type]  # as in extract
    height, width = _checked(backbone, stored, asked.timesteps)
    if rows < 1:
        raise ConfigError(f"rows must be at least 1, got {rows}")
    states = _conditioning(backbone, prompt, conditioning)
    together = max(rows // len(stored[asked.timesteps[0]]), 1)
    told = backbone.sized(states, picture_px or (height, width))
    given = Latents(lambda t, draw: stored[t])
    maps = read_latents(backbone, asked, given, conditioning=told, together=together)
    return maps.of_picture(picture_px)


def _recipe(
    taps: str | Sequence[str], timesteps: float | Sequence[float], ensemble: int | str | Ensemble
) -> Recipe:
    """What is asked for, where it is anything."""
    policy = Ensemble.of(ensemble or Ensemble())  # of none: refused below
    recipe = Recipe(taps, timesteps, policy)  # type: ignore[arg-type]  # one of a kind is a list
    if not recipe.taps or not recipe.timesteps or not ensemble:
        raise ConfigError(
            f"taps, timesteps and ensemble must ask for something, got taps {list(recipe.taps)}, "
            f"timesteps {list(recipe.timesteps)}, ensemble {ensemble}"
        )
    return recipe


def _conditioning(backbone: Backbone, prompt: str, given: Conditioning | None) -> Conditioning:
    """What the network is conditioned on, said in one of two ways."""
    if not isinstance(prompt, str):
        raise ConfigError(
            f"prompt must be one text for all images, got a {type(prompt).__name__}; give samples "
            f"with prompts to an Extractor, or a conditioning of a row an image"
        )
    if given is None:
        return backbone.embed(prompt)
    if prompt:
        raise ConfigError(
            f"a prompt must be left out where a conditioning is given, got {prompt!r}"
        )
    return given


def _by_timestep(
    latents: Mapping[int, Tensor] | Mapping[float, Tensor] | Trajectory,
) -> dict[float, Tensor]:
    """Latents of one state each, by what the network is told."""
    if isinstance(latents, Trajectory):
        levels = range(1, latents.until + 1)
        one = len(latents.latents[0]) // latents.states
        told = [latents.schedule.timestep(level) for level in levels]
        return {t: latents.at(level)[:one] for t, level in zip(told, levels, strict=True)}
    if not isinstance(latents, Mapping):
        raise ConfigError(
            f"latents must be tensors by timestep, such as {{261: z}}, or a Trajectory, got a "
            f"{type(latents).__name__}"
        )
    return {t: z for t, z in latents.items()}  # noqa: C416 - whole numbers become others


def _checked(
    backbone: Backbone, stored: Mapping[float, Tensor], timesteps: tuple[float, ...]
) -> tuple[int, int]:
    """Rows and columns in px that the latents cover, once they are known to fit the network."""
    shape = None
    for t in timesteps:
        if t not in stored:
            listed = ", ".join(map(str, sorted(stored))) or "none"
            raise NoiseLevelError(f"timesteps must have a latent, got {t}, there are {listed}")
        z = stored[t]
        of = f"the latent of t={t}"
        expect(z, "b c h w", of=of, c=backbone.latent_channels)
        check_floating(z, of=of)
        check_finite(z, of=of, where="where it was given")
        shape = shape or z.shape
        if z.shape != shape or not len(z):
            raise ShapeError(
                f"latents must have one shape and a row, got {tuple(shape)} and {tuple(z.shape)}"
            )
    sides = tuple(cells * backbone.stride for cells in stored[timesteps[0]].shape[2:])
    if any(side < 1 or side % backbone.multiple for side in sides):
        raise ShapeError(
            f"latents must cover a multiple of {backbone.multiple} px a side, as encode makes "
            f"them, got {sides[0]} x {sides[1]} px (rows x columns)"
        )
    return sides[0], sides[1]
