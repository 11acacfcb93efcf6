"""Pictures of any size, drawn by networks at two scales."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from featurekit.core.errors import ConfigError
from featurekit.core.types import Progress, silent
from featurekit.diffusion.backbone import Backbone
from featurekit.images import coordinates
from featurekit_sketch.network.first_weights import first_weights
from featurekit_sketch.settings import LINES, TWO_SCALES
from featurekit_sketch.training.sketcher import Reader
from featurekit_sketch.training.style_file import Style, digest, take_weights
from featurekit_sketch.two_scales.network import (
    TwoScaleNetwork,
    logit_in,
    precision_on,
)
from featurekit_sketch.two_scales.reading import (
    TwoScaleMaps,
    TwoScaleReader,
    learnt_maps,
    map_specs,
)
from featurekit_sketch.two_scales.rendering import crisp, toned
from featurekit_sketch.working_size import Size, resized, size_of, working_size


@dataclass(frozen=True, eq=False)
class TwoScaleDrawer:
    """A ``Drawer`` in one style, or in a mix of several that read alike."""

    reader: TwoScaleReader
    networks: Sequence[TwoScaleNetwork]
    side_px: int  # of a square picture at the size that the style works at
    made_of: str = LINES
    offset: float = 0.0  # of the logit at which ink is half
    shares: Sequence[float] = (1.0,)  # of each network's logit

    @classmethod
    def from_style(cls, style: Style, backbone: Backbone) -> "TwoScaleDrawer":
        """Take up a style that was learnt on this backbone.

        Raises:
            ConfigError: its timesteps or weights are not those that it says it was learnt with.
        """
        reader = Reader.of_style(style, backbone)
        if not set(style.timesteps) <= set(reader.timesteps):
            raise ConfigError(
                f"a style of {style.steps} steps must be read at timesteps of "
                f"{reader.timesteps}, but it says {style.timesteps}; learn the style again"
            )
        ranks = tuple(reader.timesteps.index(one) for one in style.timesteps)
        two_scales = TwoScaleReader(reader, ranks)
        networks = []
        for state in _states_of(style.state):
            network = new_network(
                two_scales, style.sources, style.ink_channels, maps=frozenset(style.channels)
            )
            take_weights(network, replace(style, state=state), backbone=backbone.name)
            networks.append(network.to(backbone.device).eval())
        drawer = cls.of_networks(two_scales, networks, style.side_px, style.made_of)
        return replace(drawer, offset=style.offset)

    @classmethod
    def of_networks(
        cls,
        reader: TwoScaleReader,
        networks: Sequence[TwoScaleNetwork],
        side_px: int,
        made_of: str = LINES,
    ) -> "TwoScaleDrawer":
        """What networks of one style draw together; each counts the same."""
        shares = [1 / len(networks)] * len(networks)
        return cls(reader, networks, side_px, made_of, shares=shares)

    def mixed(
        self, others: Sequence["TwoScaleDrawer"], shares: Sequence[float]
    ) -> "TwoScaleDrawer":
        """A mix with other styles; the logits of ink are averaged.

        Args:
            others: styles of the same backbone.
            shares: of this style and each other, not negative, of which one is more than 0.

        Raises:
            ConfigError: a style reads pictures otherwise, or draws other ink.
        """
        for other in others:
            if _reads(other) != _reads(self):
                raise ConfigError(
                    f"styles that are mixed must read pictures alike and draw the same kind of "
                    f"ink, got {_reads(self)} and {_reads(other)}; learn them together with "
                    f"plugin.drawings=[...]"
                )
        drawers = (self, *others)
        parts = [share / sum(shares) for share in shares]
        each = list(zip(parts, drawers, strict=True))
        return replace(
            self,
            networks=[network for one in drawers for network in one.networks],
            shares=[part * share for part, one in each for share in one.shares],
            offset=sum(part * one.offset for part, one in each),
        )

    @property
    def told(self) -> str:
        """How pictures are read, in words."""
        return self.reader.reader.schedule.told

    @property
    def part_px(self) -> int:
        """Side of a square picture at the size that the style works at."""
        return self.side_px

    def parts(self, height: int, width: int) -> int:
        """Every picture is drawn in one part, whatever its size."""
        return 1

    @torch.no_grad()
    def __call__(self, image: Tensor, *, progress: Progress = silent) -> Tensor:
        """Draw a picture (1 3 h w) in [-1, 1] of any size, (1 c h w) in [0, 1] on the CPU."""
        size = size_of(image)
        work = working_size(size, self.side_px)
        drawn = self.draw(self.reader(resized(image, work)), work, size)
        progress(1, 1)
        return drawn

    @torch.no_grad()
    def draw(self, maps: TwoScaleMaps, work: Size, size: Size) -> Tensor:
        """Draw a picture whose maps were read.

        Args:
            maps: of its frame.
            work: size that it was read at.
            size: of the drawing.

        Returns:
            Ink, (1 c h w) in [0, 1] on the CPU.
        """
        logit = self.logit(maps, work)
        if self.made_of == LINES:
            return crisp(logit, *size, offset=self.offset).float().cpu()
        return toned(logit, *size).float().cpu()

    @torch.no_grad()
    def logit(self, maps: TwoScaleMaps, work: Size) -> Tensor:
        """Logit of ink of a picture whose maps were read, (1 c h w) at the working size."""
        parts = zip(self.networks, self.shares, strict=True)
        precision = precision_on(maps.image.device)
        mixed = torch.stack(
            [share * logit_in(precision, network, maps) for network, share in parts]
        ).sum(0)
        return coordinates.crop(mixed, *work)

    def style(self, size: Size, *, prompt: str) -> Style:
        """What a file must hold to draw so again; ``size`` is what it was learnt on, px."""
        network, reader = self.networks[0], self.reader.reader
        return Style(
            state=_state_of(self.networks),
            backbone=reader.backbone.name,
            weights=digest(reader.backbone.weights),
            timesteps=self.reader.timesteps,
            chosen_by=reader.reading.chosen_by,
            channels={spec.name: spec.channels for spec in network.specs},
            sources=tuple(sorted(_sources(network))),
            image_size=(size.height, size.width),
            features=reader.reading.kind,
            steps=reader.reading.steps,
            seed=reader.reading.seed,
            prompt=prompt,
            network=TWO_SCALES,
            side_px=self.side_px,
            made_of=self.made_of,
            ink_channels=network.channels,
            offset=self.offset,
        )


def new_network(
    reader: TwoScaleReader,
    sources: Sequence[str],
    channels: int,
    seed: int = 0,
    *,
    maps: Collection[str] | None = None,
) -> TwoScaleNetwork:
    """A network for what a reader reads; the global random state is left as it is.

    Args:
        reader: of pictures.
        sources: whose maps are used, of ``unet`` and ``vae``.
        channels: of the ink.
        seed: of the first weights.
        maps: names of those that are used; None are those that a new style learns from.
    """
    taps = reader.taps
    used = learnt_maps(taps, sources) if maps is None else maps
    specs = [spec for spec in map_specs(taps, len(reader.ranks), sources) if spec.name in used]
    with first_weights(seed):
        return TwoScaleNetwork(specs, doublings=taps.stride.bit_length() - 1, channels=channels)


def _state_of(networks: Sequence[TwoScaleNetwork]) -> dict[str, Tensor]:
    """Weights of all networks of a style, those of several under their numbers."""
    if len(networks) == 1:
        return networks[0].state_dict()
    return {
        f"{number}.{name}": one
        for number, network in enumerate(networks)
        for name, one in network.state_dict().items()
    }


def _states_of(state: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    """Weights of each network of a style."""
    numbered: dict[str, dict[str, Tensor]] = {}
    for name, one in state.items():
        number, _, rest = name.partition(".")
        if not number.isdecimal():  # of one network, as all were before there were several
            return [dict(state)]
        numbered.setdefault(number, {})[rest] = one
    return [numbered[number] for number in sorted(numbered, key=int)] or [{}]


def _sources(network: TwoScaleNetwork) -> set[str]:
    return {"vae" if spec.name.startswith("v") else "unet" for spec in network.specs}


def _reads(drawer: TwoScaleDrawer) -> tuple[object, ...]:
    reader = drawer.reader.reader
    return (
        *(drawer.reader.timesteps, reader.reading.kind, reader.reading.seed),
        *(drawer.side_px, drawer.made_of, drawer.networks[0].channels),
    )
