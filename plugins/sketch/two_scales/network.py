"""From maps at two scales to the logit of ink, at the picture's own resolution."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from featurekit.core.errors import ShapeError, UnknownNameError
from featurekit.core.precision import has_fast_bfloat16
from featurekit.core.shapes import expect
from featurekit_sketch.two_scales.moments import Moments
from featurekit_sketch.two_scales.reading import MapSpec, TwoScaleMaps

WIDTHS = (64, 48, 32)  # after the coarsest stage, at stride 2, at the picture's resolution
REDUCED = (24, 16)  # channels that a map of these last two stages is reduced to
GROUPS = 4  # of each normalisation
DROPPED = 0.1  # of the channels of each map, in every lesson
FURTHEST = 4.0  # standard deviations; what is beyond is new to the network
PAPER = -2.0  # first logit of ink: most of a drawing is paper
COLOURS = 3


class ResidualBlock(nn.Module):
    """Normalisation, 3x3, GELU, 3x3, which begins as nothing, added to what came in."""

    def __init__(self, width: int) -> None:
        """Draw first weights for maps of this width."""
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, width)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(b c h w) to the same."""
        changed: Tensor = x + self.second(functional.gelu(self.first(self.norm(x))))
        return changed


class Reduced(nn.Module):
    """A map, standardised by kept numbers and reduced by a 1x1 convolution."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, channels: int, width: int, lots: torch.Generator) -> None:
        """Draw first weights; the numbers are 0 and 1 until ``standardise``.

        Args:
            channels: of the map.
            width: that it is reduced to.
            lots: what decides which channels are dropped while learning.
        """
        super().__init__()
        self.lots = lots
        self.register_buffer("mean", torch.zeros(1, channels, 1, 1))
        self.register_buffer("deviation", torch.ones(1, channels, 1, 1))
        self.mix = nn.Conv2d(channels, width, 1)

    def forward(self, one: Tensor) -> Tensor:
        """(b c h w) to (b width h w); while learning whole channels are dropped."""
        standard = torch.sub(one, self.mean).div_(self.deviation).clamp_(-FURTHEST, FURTHEST)
        if self.training:
            # functional.dropout2d draws from torch's own generator, which a stopped training loses
            whole = torch.rand(*standard.shape[:2], 1, 1, generator=self.lots) >= DROPPED
            standard.mul_(whole.to(standard)).div_(1 - DROPPED)
        reduced: Tensor = self.mix(standard)
        return reduced


class Stage(nn.Module):
    """One resolution: what came from the coarser one, with the maps of this one, and blocks."""

    def __init__(self, carried: int, width: int, blocks: int) -> None:
        """Draw first weights for ``carried`` channels in all."""
        super().__init__()
        self.join = nn.Conv2d(carried, width, 3, padding=1)
        self.blocks = nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)))

    def forward(self, parts: Sequence[Tensor]) -> Tensor:
        """Maps (b c h w) of one size to (b width h w)."""
        joined: Tensor = self.blocks(functional.gelu(self.join(torch.cat(list(parts), 1))))
        return joined


class TwoScaleNetwork(nn.Module):
    """Every map by a 1x1 convolution, summed where the latent's cells are, then doubled and joined.

    The maps of the UNet, and those of the decoder that are as coarse, are summed at the latent's
    resolution; the finer maps of the decoder join on the way, and at the end the picture itself
    with its slopes.
    """

    def __init__(self, specs: Sequence[MapSpec], *, doublings: int, channels: int = 1) -> None:
        """Draw first weights with torch's generator.

        Args:
            specs: the maps that are given.
            doublings: from the latent's resolution to the picture's, at least 1.
            channels: of the ink: 1, or 3 in colour.
        """
        super().__init__()
        self.specs, self.doublings, self.channels = tuple(specs), doublings, channels
        self.lots = torch.Generator()
        last = [*(WIDTHS[:1] * (doublings - 2)), *WIDTHS[-min(2, doublings) :]]
        widths = [WIDTHS[0], *last]
        self.reduced = nn.ModuleDict()
        counts = [0] * (doublings + 1)
        for spec in specs:
            stage = self.stage_of(spec)
            width = widths[0] if stage == 0 else self._reduced_width(stage)
            self.reduced[_key(spec.name)] = Reduced(spec.channels, width, self.lots)
            counts[stage] += 0 if stage == 0 else width
        self.coarse = nn.Sequential(ResidualBlock(widths[0]), ResidualBlock(widths[0]))
        self.stages = nn.ModuleList()
        for stage in range(1, doublings + 1):
            seen = 3 * COLOURS if stage == doublings else 0
            carried = widths[stage - 1] + counts[stage] + seen
            self.stages.append(Stage(carried, widths[stage], 2 if seen else 1))
        self.ink = nn.Conv2d(widths[-1], channels, 3, padding=1)
        nn.init.zeros_(self.ink.weight)
        nn.init.constant_(self.ink.bias, PAPER)  # type: ignore[arg-type]

    def stage_of(self, spec: MapSpec) -> int:
        """At which resolution a map joins: 0 is the latent's, ``doublings`` the picture's."""
        return max(0, self.doublings - (spec.stride.bit_length() - 1))

    def standardise(self, moments: Mapping[str, Moments]) -> None:
        """Take the numbers that maps are standardised by.

        Raises:
            UnknownNameError: those of a map are missing.
        """
        for spec in self.specs:
            if spec.name not in moments:
                raise UnknownNameError("moments of map", spec.name, moments)
            kept = self.get_submodule(f"reduced.{_key(spec.name)}")
            mean, deviation = moments[spec.name].mean, moments[spec.name].deviation
            kept.load_state_dict({"mean": mean, "deviation": deviation}, strict=False)

    def forward(self, given: TwoScaleMaps) -> Tensor:
        """Logit of ink (b channels h w) of pictures (b 3 h w), in the weights' dtype.

        Raises:
            UnknownNameError: a map is missing.
            ShapeError: the picture's sides are no multiples of the latent's cells, or a map has
                other channels.
        """
        image = given.image.to(self.ink.weight.dtype)
        sides = expect(image, "b 3 h w", of="image")
        cell = 2**self.doublings
        if sides["h"] % cell or sides["w"] % cell:
            raise ShapeError(
                f"height and width of image must be multiples of {cell}, "
                f"got {sides['h']}x{sides['w']}"
            )
        parts = self._reduced_maps(given.maps, (sides["h"] // cell, sides["w"] // cell))
        x: Tensor = self.coarse(functional.gelu(torch.stack(parts[0]).sum(0)))
        for number, stage in enumerate(self.stages, start=1):
            joined = [doubled(x), *parts[number]]
            if number == self.doublings:
                joined += [image, slopes(image)]
            x = stage(joined)
        logit: Tensor = self.ink(x)
        return logit

    def _reduced_maps(
        self, maps: Mapping[str, Tensor], cells: tuple[int, int]
    ) -> list[list[Tensor]]:
        parts: list[list[Tensor]] = [[] for _ in range(self.doublings + 1)]
        for spec in self.specs:
            if spec.name not in maps:
                raise UnknownNameError("map", spec.name, maps)
            expect(maps[spec.name], "b c h w", of=f"map {spec.name!r}", c=spec.channels)
            one, stage = self.reduced[_key(spec.name)](maps[spec.name]), self.stage_of(spec)
            if stage == 0 and one.shape[-2:] != cells:
                one = functional.interpolate(one, cells, mode="bilinear")
            parts[stage].append(one)
        return parts

    def _reduced_width(self, stage: int) -> int:
        return REDUCED[max(0, len(REDUCED) - 1 - (self.doublings - stage))]


def precision_on(device: torch.device) -> torch.dtype:
    """What convolutions compute in, while learning and drawing: bfloat16 where it is fast."""
    return torch.bfloat16 if has_fast_bfloat16(device) else torch.float32


def logit_in(precision: torch.dtype, network: nn.Module, maps: TwoScaleMaps) -> Tensor:
    """Logit of ink with convolutions in a precision, float32."""
    lowered = precision != torch.float32
    with torch.autocast(maps.image.device.type, precision, enabled=lowered):
        logit: Tensor = network(maps)
    return logit.float()


def doubled(x: Tensor) -> Tensor:
    """A map (b c h w) of twice the sides, bilinearly."""
    return functional.interpolate(x, scale_factor=2, mode="bilinear")


def slopes(image: Tensor) -> Tensor:
    """Central differences of each colour along x, then y: (b c h w) to (b 2c h w)."""
    padded = functional.pad(image, (1, 1, 1, 1), mode="replicate")
    across = padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]
    down = padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]
    return torch.cat([across, down], 1)


def _key(name: str) -> str:
    return name.replace(".", "_")  # names of modules have no dots
