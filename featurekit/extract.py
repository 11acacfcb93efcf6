"""Read the features of an image from a diffusion network, one early-exit call a timestep."""

from collections.abc import Mapping, Sequence
from typing import overload

import torch
from torch import Tensor

from featurekit.backbone import Backbone
from featurekit.capture import capture
from featurekit.errors import ConfigError, UnknownNameError
from featurekit.steps import noised
from featurekit.types import FeatureMap, Tap


class FeatureMaps(Sequence[FeatureMap]):
    """What ``extract`` read, in the order timesteps, then taps.

    ``maps[0]`` counts, ``maps["up2", 261]`` names a tap and a timestep.
    """

    def __init__(self, maps: Sequence[FeatureMap]) -> None:
        """Hold the maps.

        Args:
            maps: feature maps, each tap and timestep once.
        """
        self._maps = tuple(maps)

    @overload
    def __getitem__(self, key: int | tuple[str, int]) -> FeatureMap: ...
    @overload
    def __getitem__(self, key: slice) -> "FeatureMaps": ...
    def __getitem__(self, key: int | slice | tuple[str, int]) -> "FeatureMap | FeatureMaps":
        """One map by number or by (tap, timestep), or some of them by slice.

        Args:
            key: number, slice, or tap name and train timestep.

        Returns:
            The map; for a slice the maps.

        Raises:
            UnknownNameError: no map has that tap and timestep.
        """
        if isinstance(key, slice):
            return FeatureMaps(self._maps[key])
        if isinstance(key, tuple):
            named = {(one.tap, one.timestep): one for one in self._maps}
            if key not in named:
                known = [f"{tap}, {t}" for tap, t in named]
                raise UnknownNameError("feature map", ", ".join(map(str, key)), known)
            return named[key]
        return self._maps[key]

    def __len__(self) -> int:
        """Number of maps."""
        return len(self._maps)

    def __repr__(self) -> str:
        """One line: how many, of what."""
        taps = ", ".join(dict.fromkeys(one.tap for one in self._maps))
        timesteps = ", ".join(dict.fromkeys(str(one.timestep) for one in self._maps))
        return f"FeatureMaps({len(self._maps)}: taps {taps}; t {timesteps})"


def extract(  # noqa: PLR0913 - a public name of architecture.md, section 4
    backbone: Backbone,
    image: Tensor,
    *,
    taps: Sequence[str],
    timesteps: Sequence[int],
    prompt: str = "",
    ensemble: int = 1,
    seed: int = 0,
) -> FeatureMaps:
    """Read features of images at chosen taps and noise levels.

    The latent is the posterior mean, noised to each timestep. The noise depends on the seed
    and the latent's size alone: every image of a batch and every timestep gets the same
    draws, so a map does not depend on what else was asked for. The network's forward is left
    after the deepest tap. Gradients follow torch's mode.

    Args:
        backbone: a loaded model.
        image: (b 3 h w) in [-1, 1], any size; it is padded on the right and bottom, and the
            maps cover the padding.
        taps: names from ``backbone.taps``.
        timesteps: train timesteps, each from 0 to below the length of the noise table.
        prompt: what the network is conditioned on.
        ensemble: noise draws to average over, in one call, >= 1.
        seed: of the noise, drawn on the CPU.

    Returns:
        One map for each timestep and tap, (b c H/stride W/stride) with the padded H, W.

    Raises:
        UnknownNameError: no tap of that name.
        NoiseLevelError: a timestep is outside the noise table.
        ConfigError: no tap, no timestep or no ensemble is asked for.
        ShapeError: the image is not (b 3 h w), as ``backbone.encode`` finds.

    Source: Tang et al. 2023 (DIFT), arXiv:2306.03881, with the same noise for
    every image.
    """
    if not taps or not timesteps or ensemble < 1:
        raise ConfigError(
            f"taps, timesteps and ensemble must ask for something, got taps {list(taps)}, "
            f"timesteps {list(timesteps)}, ensemble {ensemble}"
        )
    chosen = {name: _tap(backbone, name) for name in taps}
    levels = {t: backbone.noise.level(t) for t in timesteps}  # refuses before any work
    predict = backbone.predictor(backbone.embed(prompt))
    z0 = backbone.encode(image)
    eps = _draws(z0, ensemble, seed)
    rows = z0.repeat(ensemble, 1, 1, 1)
    maps = []
    for t, alpha_bar in levels.items():
        paths = {name: tap.path for name, tap in chosen.items()}
        with capture(backbone.unet, paths, stop_after=True) as captured:
            predict(noised(rows, eps, alpha_bar=alpha_bar), t)
        maps += [_mean(captured, tap, t, ensemble) for tap in chosen.values()]
    return FeatureMaps(maps)


def _tap(backbone: Backbone, name: str) -> Tap:
    """The published tap of that name."""
    if name not in backbone.taps:
        raise UnknownNameError("tap", name, backbone.taps)
    return backbone.taps[name]


def _draws(z0: Tensor, ensemble: int, seed: int) -> Tensor:
    """Standard normal noise, (ensemble*b c h w): draw by draw, one draw for all images."""
    generator = torch.Generator().manual_seed(seed)
    draws = torch.randn(ensemble, *z0.shape[1:], generator=generator)
    return draws.to(z0).repeat_interleave(len(z0), dim=0)


def _mean(captured: Mapping[str, Tensor], tap: Tap, t: int, ensemble: int) -> FeatureMap:
    """Mean of a tap's activation over the draws."""
    rows = captured[tap.name]
    stacked = rows.reshape(ensemble, -1, *rows.shape[1:])
    return FeatureMap(stacked.mean(0), tap.name, t, tap.stride)
