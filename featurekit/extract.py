"""Read the features of an image from a diffusion network, one early-exit call a timestep."""

from collections.abc import Sequence

from torch import Tensor

from featurekit.backbone import Backbone
from featurekit.draws import noises
from featurekit.errors import ConfigError
from featurekit.features import FeatureMaps
from featurekit.reading import encoded, read, reading
from featurekit.recipes import Ensemble, Recipe

__all__ = ["FeatureMaps", "extract"]


def extract(  # noqa: PLR0913 - a public name of architecture.md, section 4
    backbone: Backbone,
    image: Tensor,
    *,
    taps: Sequence[str],
    timesteps: Sequence[int],
    prompt: str = "",
    ensemble: int | Ensemble = 1,
    seed: int = 0,
) -> FeatureMaps:
    """Read features of images at chosen taps and noise levels.

    The latent is the posterior mean, noised to each timestep. The noise depends on the seed
    and the latent's size alone: every image of a batch and every timestep gets the same
    draws, so a map does not depend on what else was asked for. The network's forward is left
    after the deepest tap. Gradients follow torch's mode. For many images, see
    ``batches.Extractor``.

    Args:
        backbone: a loaded model.
        image: (b 3 h w) in [-1, 1], any size; it is padded on the right and bottom, and the
            maps cover the padding.
        taps: names, aliases, roles, module paths or globs, as ``addresses.resolve`` reads them
            among ``backbone.activations``, or paths of other modules of its network.
        timesteps: train timesteps, each once, from 0 to below the length of the noise table.
        prompt: what the network is conditioned on.
        ensemble: noise draws to average over, in one call, >= 1; or another policy.
        seed: of the noise, drawn on the CPU.

    Returns:
        One map for each timestep and tap, (b c H/stride W/stride) with the padded H, W.

    Raises:
        UnknownNameError: a word means no tap.
        NoiseLevelError: a timestep is outside the noise table.
        ConfigError: no tap, no timestep or no ensemble is asked for, or one of them twice.
        ShapeError: the image is not (b 3 h w), as ``backbone.encode`` finds.
        ImageError: the image holds NaN or infinities, or whole numbers.
        BackboneError: the autoencoder gave NaN or infinities.
        CaptureError: what was named is no map of the image, or of another network.

    Source: Tang et al. 2023 (DIFT), arXiv:2306.03881, with the same noise for
    every image.
    """
    if not taps or not timesteps or ensemble == 0:
        raise ConfigError(
            f"taps, timesteps and ensemble must ask for something, got taps {list(taps)}, "
            f"timesteps {list(timesteps)}, ensemble {ensemble}"
        )
    policy = Ensemble("mean", ensemble) if isinstance(ensemble, int) else ensemble
    asked = reading(backbone, Recipe(tuple(taps), tuple(timesteps), policy))
    conditioning = backbone.embed(prompt)
    z0 = encoded(backbone, image)
    channels, height, width = z0.shape[1:]
    drawn = noises(policy, (channels, height, width), seed)
    each = drawn[:, None].expand(-1, len(z0), -1, -1, -1)
    return read(backbone, asked, z0, each, conditioning=conditioning, together=len(drawn))
