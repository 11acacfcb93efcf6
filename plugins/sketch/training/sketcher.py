"""From a picture to its features, and to its sketch."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from featurekit.core.errors import ConfigError
from featurekit.core.types import Conditioning
from featurekit.diffusion.backbone import Backbone
from featurekit.diffusion.levels import NoiseSchedule
from featurekit.images import coordinates
from featurekit_sketch.network.feature_taps import FeatureTaps
from featurekit_sketch.network.features import Features
from featurekit_sketch.network.released_network import released_network
from featurekit_sketch.network.sketch_network import SketchNetwork
from featurekit_sketch.sampling.feature_reading import read
from featurekit_sketch.sampling.noising_paths import NoisingPath, inverted_path, noised_path
from featurekit_sketch.sampling.representative_timesteps import (
    COUNT,
    check_timesteps,
    drawn,
    representative,
    run_of,
)
from featurekit_sketch.settings import PUBLISHED, RANDOM, RELEASED, Reading
from featurekit_sketch.training.style_file import Style, digest, take_weights

NEW_NETWORK = {PUBLISHED: SketchNetwork, RELEASED: released_network}


@dataclass(frozen=True, eq=False)
class Reader:
    """Reads pictures as one style's network wants them read."""

    backbone: Backbone
    reading: Reading
    words: Conditioning  # of one row, what photographs are read with

    @classmethod
    def of_style(cls, style: Style, backbone: Backbone) -> "Reader":
        """Read pictures as a style's were.

        Raises:
            ConfigError: the backbone has not the timesteps that were chosen for the style.
        """
        reading = Reading(style.features, style.steps, style.seed)
        if style.chosen_by != PUBLISHED:
            reading = replace(reading, timesteps=style.timesteps, chosen_by=style.chosen_by)
        check_timesteps(reading, backbone.noise, backbone.sample_size)
        return cls.of(backbone, reading)

    @classmethod
    def of(cls, backbone: Backbone, reading: Reading) -> "Reader":
        """Read pictures with the empty prompt.

        Raises:
            BackboneError: there is no text encoder for it.
        """
        words = backbone.embed("")
        extra = {name: one.detach() for name, one in words.extra.items()}
        return cls(backbone, reading, replace(words, states=words.states.detach(), extra=extra))

    @property
    def states(self) -> Tensor:
        """Hidden states (1 n d) of what photographs are read with."""
        return self.words.states

    @property
    def feature_taps(self) -> FeatureTaps:
        """The maps that the paper's network reads, of a model with a UNet."""
        return FeatureTaps.of(self.backbone.denoiser.config, self.backbone.vae.config)

    @property
    def schedule(self) -> NoiseSchedule:
        """The path that timesteps are levels of."""
        return run_of(self.backbone.noise, self.reading.steps, self.backbone.sample_size)

    @property
    def timesteps(self) -> tuple[int, ...]:
        """Train timesteps that are read, rising; or of which some are drawn for each picture."""
        if self.reading.chosen_by == RANDOM:
            return self.reading.timesteps or tuple(sorted(map(int, self.schedule.timesteps)))
        noised = self.reading.kind == "noise"
        return self.reading.timesteps or representative(
            self.backbone.noise, self.schedule, noised=noised
        )

    @property
    def count(self) -> int:
        """How many timesteps of a picture are read."""
        return COUNT if self.reading.chosen_by == RANDOM else len(self.timesteps)

    def timesteps_for(self, clean: Tensor) -> tuple[int, ...]:
        """The timesteps that one picture is read at, rising: all, or some that its latent draws."""
        if self.reading.chosen_by != RANDOM:
            return self.timesteps
        return drawn(self.timesteps, clean)

    def noising(self, clean: Tensor) -> NoisingPath:
        """Latents of a clean latent (1 c h w) at the timesteps."""
        if self.reading.kind == "inversion":
            return inverted_path(
                self.backbone,
                clean,
                self.schedule,
                self.words,
                timesteps=self.timesteps_for(clean) if self.reading.chosen_by != PUBLISHED else (),
            )
        return noised_path(self.backbone, clean, self.timesteps_for(clean), seed=self.reading.seed)

    @torch.no_grad()
    def features(self, image: Tensor) -> Features:
        """Features of a picture (1 3 h w) in [-1, 1], of its padded size."""
        return self.of_path(self.noising(self.backbone.encode(image)), self.words)

    def of_path(self, noising: NoisingPath, words: Conditioning) -> Features:
        """Features of a picture by its path into noise, read with ``words``."""
        return read(self.backbone, self.feature_taps, noising, words)


@dataclass(frozen=True, eq=False)
class Sketcher:
    """Draws pictures in one style."""

    reader: Reader
    network: SketchNetwork
    kind: str = PUBLISHED  # of network, by the name that settings give it

    @classmethod
    def from_style(cls, style: Style, backbone: Backbone) -> "Sketcher":
        """Take up a style that was learnt on this backbone.

        Raises:
            ConfigError: its timesteps, channels or weights are not those that it says it was
                learnt with.
            UnknownNameError: it reads maps of an unknown source.
        """
        reader = Reader.of_style(style, backbone)
        network = NEW_NETWORK[style.network](
            reader.feature_taps, timesteps=reader.count, sources=style.sources
        )
        if style.timesteps != reader.timesteps:
            raise ConfigError(
                f"a style of {style.steps} steps must be read at the timesteps {reader.timesteps}, "
                f"but it says {style.timesteps}; learn the style again"
            )
        _check_channels(style.channels, _channels(reader.feature_taps))
        take_weights(network, style, backbone=backbone.name)
        return cls(reader, network.to(backbone.device).eval(), style.network)

    def style(self, size: tuple[int, int], *, prompt: str) -> Style:
        """What a file must hold to draw so again; ``size`` is what it was learnt on, (h, w) px."""
        reader = self.reader
        return Style(
            state=self.network.state_dict(),
            backbone=reader.backbone.name,
            weights=digest(reader.backbone.weights),
            timesteps=reader.timesteps,
            chosen_by=reader.reading.chosen_by,
            channels=_channels(reader.feature_taps),
            sources=tuple(sorted(self.network.sources)),
            image_size=size,
            features=reader.reading.kind,
            steps=reader.reading.steps,
            seed=reader.reading.seed,
            prompt=prompt,
            network=self.kind,
        )

    def draw(self, features: Features, height: int, width: int) -> Tensor:
        """Ink of pictures whose features were read, (b 1 height width) in [0, 1] on the CPU."""
        return coordinates.crop(self.network(features).clamp(0, 1), height, width).float().cpu()

    @torch.no_grad()
    def __call__(self, image: Tensor) -> Tensor:
        """Sketch a picture in one go.

        Args:
            image: (1 3 h w) in [-1, 1], any size.

        Returns:
            Ink, (1 1 h w) in [0, 1] on the CPU, white paper is 1.
        """
        return self.draw(self.reader.features(image), image.shape[-2], image.shape[-1])


def _channels(feature_taps: FeatureTaps) -> dict[str, int]:
    return {tap.name: tap.channels for tap in (*feature_taps.unet, *feature_taps.vae)}


def _check_channels(said: Mapping[str, int], wanted: Mapping[str, int]) -> None:
    """Refuse a style that was learnt on other maps than the backbone offers."""
    other = sorted(name for name in {*said, *wanted} if said.get(name) != wanted.get(name))
    if other:
        name = other[0]
        raise ConfigError(
            f"a style must be learnt on the maps of the backbone, whose map {name} has "
            f"{wanted.get(name, 'no')} channels, but it says {said.get(name, 'no')}; "
            f"learn the style again"
        )
