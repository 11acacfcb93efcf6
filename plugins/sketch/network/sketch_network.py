"""The network that is trained: from a model's maps of a picture to its sketch."""

from collections.abc import Collection
from math import ceil

from torch import Tensor, nn

from featurekit.core.errors import ConfigError, ShapeError, UnknownNameError
from featurekit.core.shapes import expect
from featurekit_sketch.network.aggregation import Levels
from featurekit_sketch.network.decoder import Decoder
from featurekit_sketch.network.feature_taps import FeatureTaps
from featurekit_sketch.network.features import Features
from featurekit_sketch.network.fine_level import FineLevel
from featurekit_sketch.network.first_weights import first_weights

SOURCES = ("unet", "vae")
PAIR = 2  # unconditional and conditional


class SketchNetwork(nn.Module):
    """Maps of the UNet in two levels, then a decoder with the autoencoder's maps.

    Source: Yun et al. 2024, arXiv:2401.04362. Other than in the published code the first level
    reaches the second, the autoencoder's branch is trained, and the timesteps are fixed.
    """

    def __init__(
        self,
        feature_taps: FeatureTaps,
        *,
        timesteps: int = 13,
        sources: Collection[str] = SOURCES,
        checkpointed: bool = False,
        seed: int = 0,
    ) -> None:
        """Draw first weights; the global random state is left as it is.

        Args:
            feature_taps: which maps the model offers.
            timesteps: of each map of the UNet.
            sources: whose maps are used: ``unet``, ``vae`` (and the picture with it), or both.
            checkpointed: train in less memory and more time, with the same results.
            seed: of the first weights.

        Raises:
            ConfigError: there are no timesteps or no sources, or the model is too narrow.
            UnknownNameError: a source is unknown.
        """
        super().__init__()
        self.feature_taps, self.timesteps = feature_taps, timesteps
        self.sources = _checked(sources)
        if timesteps < 1:
            raise ConfigError(f"timesteps must be at least 1, got {timesteps}")
        with first_weights(seed):
            self.levels: Levels | FineLevel | None = (
                Levels(feature_taps, timesteps=timesteps, checkpointed=checkpointed)
                if "unet" in self.sources
                else None
            )
            carried = 0 if self.levels is None else PAIR * feature_taps.top_width
            self.decoder = Decoder(feature_taps, carried=carried, adorned="vae" in self.sources)

    def forward(self, features: Features) -> Tensor:
        """Sketch pictures.

        Args:
            features: their maps; those of sources that are not used may be missing. They may be of
                half precision, as their backbone is: the network computes in its weights' dtype.

        Returns:
            Sketches (b 1 h w) of the pictures' size: 1 on white paper, 0 on a line, not bounded.

        Raises:
            UnknownNameError: a map is missing.
            ShapeError: a map has not the shape that the picture's size and the model imply.
        """
        self._check(features)
        features = self._in_own_dtype(features)
        mixed = None if self.levels is None else self.levels(features.unet)
        if "vae" not in self.sources:
            bare: Tensor = self.decoder(mixed, [()] * len(self.feature_taps.decoder), None)
            return bare
        stages = [[features.vae[tap.name] for tap in stage] for stage in self.feature_taps.decoder]
        drawn: Tensor = self.decoder(mixed, stages, features.image)
        return drawn

    def sharpen(self, contrast: float) -> None:
        """Draw with more contrast from now on; what is learnt is changed, and stays so in a file.

        Of a picture that was not learnt from, a network draws the mean of what it may look like:
        lines that are pale and wide, and paper that is not quite white.

        Args:
            contrast: of the ink, about a light grey; 1 changes nothing.
        """
        self.decoder.sharpen(contrast)

    def mixing(self) -> dict[str, dict[str, tuple[float, ...]]]:
        """What each map of the UNet counts at each timestep, for reports.

        Returns:
            For the levels ``low`` and ``top`` weights by tap, cleanest timestep first, 1 in all;
            the last of each in ``top`` is the first level's. Empty where the UNet is not used.
        """
        return {} if self.levels is None else self.levels.mixing()

    def _in_own_dtype(self, features: Features) -> Features:
        used = Features(
            unet=features.unet if "unet" in self.sources else {},
            vae=features.vae if "vae" in self.sources else {},
            image=features.image,
        )
        return used.to(features.image.device, next(self.parameters()).dtype)

    def _check(self, features: Features) -> None:
        """Refuse maps that are missing or do not belong to the picture."""
        sizes = expect(features.image, "b 3 h w", of="image")
        rows, height, width = sizes["b"], sizes["h"], sizes["w"]
        if height % self.feature_taps.stride or width % self.feature_taps.stride:
            raise ShapeError(
                f"height and width of image must be multiples of {self.feature_taps.stride}, "
                f"got {height}x{width}"
            )
        pairs = {"t": self.timesteps, "p": PAIR}
        for kind, maps, taps, axes, fixed in (
            ("unet", features.unet, self.feature_taps.unet, "b t p c h w", pairs),
            ("vae", features.vae, self.feature_taps.vae, "b c h w", {}),
        ):
            for tap in taps if kind in self.sources else ():
                if tap.name not in maps:
                    raise UnknownNameError(f"{kind} map", tap.name, maps)
                sides = {"h": ceil(height / tap.stride), "w": ceil(width / tap.stride)}
                known = {"b": rows, "c": tap.channels} | sides | fixed
                expect(maps[tap.name], axes, of=f"{kind} map {tap.name!r}", **known)


def _checked(sources: Collection[str]) -> frozenset[str]:
    for name in sources:
        if name not in SOURCES:
            raise UnknownNameError("source of maps", name, SOURCES)
    if not sources:
        raise ConfigError(f"sources must name at least one of {', '.join(SOURCES)}, got none")
    return frozenset(sources)
