"""From the latent's resolution to a sketch, with the autoencoder's maps on the way."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from featurekit_sketch.network.feature_taps import FeatureTaps

GROUPS, FUSED_GROUPS = 4, 16  # of group normalisation
RGB = 3
PIVOT = 0.75  # ink that more contrast leaves as it is: nearer to white paper than to a line


class Decoder(nn.Module):
    """Doubles a map's resolution stage by stage; each stage adds the autoencoder's maps to it."""

    def __init__(self, feature_taps: FeatureTaps, *, carried: int, adorned: bool) -> None:
        """Draw first weights.

        Args:
            feature_taps: which maps there are.
            carried: channels of the map that comes in; 0 where none does.
            adorned: whether the autoencoder's maps and the picture are added.
        """
        super().__init__()
        self.carried = carried
        self.reducers = nn.ModuleList()
        self.fusers = nn.ModuleList()
        fused = feature_taps.fused_widths
        for i, (taps, width) in enumerate(
            zip(feature_taps.decoder, feature_taps.reduced_widths, strict=True)
        ):
            used = taps if adorned else ()
            self.reducers.append(nn.ModuleList(_reducer(tap.channels, width) for tap in used))
            carried += len(used) * width
            if i < len(fused):
                self.fusers.append(_fuser(carried, fused[i]))
                carried = fused[i]
        self.out = _outlet(carried + RGB * adorned, fused[-1])

    def forward(
        self, carried: Tensor | None, stages: Sequence[Sequence[Tensor]], picture: Tensor | None
    ) -> Tensor:
        """Draw.

        Args:
            carried: map (b c h w) at the coarsest stage's resolution.
            stages: the autoencoder's maps (b c h w) by stage.
            picture: what they are of (b 3 h w), at the finest stage's resolution.

        Returns:
            Sketch (b 1 h w), 1 on white paper, 0 on a line, not bounded.
        """
        running = [] if carried is None else [carried]
        del carried
        for i, maps in enumerate(stages):
            running += self._reduced(i, maps)
            if i < len(self.fusers):
                running = [self.fusers[i](torch.cat(running, dim=1))]
        if picture is not None:
            running.append(picture)
        drawn: Tensor = self.out(torch.cat(running, dim=1))
        return drawn

    @torch.no_grad()
    def sharpen(self, contrast: float) -> None:
        """Draw ``PIVOT + contrast * (ink - PIVOT)`` from now on; the last layer is changed."""
        weight, bias = self.out[-1].parameters()
        weight.mul_(contrast)
        bias.mul_(contrast).add_(PIVOT * (1 - contrast))

    def _reduced(self, stage: int, maps: Sequence[Tensor]) -> list[Tensor]:
        """The autoencoder's maps of one stage with few channels."""
        count = len(maps)
        return [self.get_submodule(f"reducers.{stage}.{j}")(maps[j]) for j in range(count)]


def _reducer(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, width, 1), *_looking(width, width, GROUPS))


def _fuser(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Upsample(scale_factor=2), *_looking(channels, width, FUSED_GROUPS))


def _outlet(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(*_looking(channels, width, GROUPS), nn.Conv2d(width, 1, 1))


def _looking(channels: int, width: int, groups: int) -> tuple[nn.Module, ...]:
    around = nn.Conv2d(channels, width, 3, padding=1, bias=False)
    return around, nn.GroupNorm(groups, width), nn.GELU()
