"""From the UNet's maps of all timesteps to one map, in two levels of resolution."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from featurekit.core.types import Tap
from featurekit_sketch.network.bottleneck import Bottleneck
from featurekit_sketch.network.feature_taps import FeatureTaps

GROUP = 2**22  # numbers that the maps of one group of timesteps may have behind their block


class Level(nn.Module):
    """A weighted mean, over layers and timesteps, of what each layer's own block makes of it."""

    def __init__(self, taps: Sequence[Tap], *, width: int, slots: int, checkpointed: bool) -> None:
        """Draw first weights; all layers and timesteps begin by counting the same.

        Args:
            taps: the layers.
            width: channels of the result.
            slots: timesteps of each layer.
            checkpointed: compute again in the backward pass what it needs, instead of keeping it.
        """
        super().__init__()
        self.taps, self.checkpointed = tuple(taps), checkpointed
        self.width = width
        self.blocks = nn.ModuleList(Bottleneck(tap.channels, width) for tap in self.taps)
        self.logits = nn.Parameter(torch.zeros(len(self.taps), slots))

    def weights(self) -> Tensor:
        """What each layer counts at each timestep (l t), 1 in all."""
        return self.logits.flatten().softmax(dim=0).view_as(self.logits)

    def forward(self, layers: Sequence[Sequence[Tensor]], size: tuple[int, int]) -> Tensor:
        """Mix maps, only ever holding those of one layer and a few timesteps.

        Args:
            layers: maps of each layer in runs (b t p c h w) of timesteps of one resolution; the
                timesteps of its runs, in order, are the level's slots.
            size: rows and columns of the result.

        Returns:
            One map for each of the pair, (b p width *size).
        """
        first = layers[0][0]
        total = first.new_zeros(first.shape[0], first.shape[2], self.width, *size)
        for block, runs, weights in zip(self.blocks, layers, self.weights(), strict=True):
            begin = 0
            for part in self._groups(runs, size):
                end = begin + part.shape[1]
                total += self._mixed(block, part, weights[begin:end], size)
                begin = end
        return total

    def _groups(self, runs: Sequence[Tensor], size: tuple[int, int]) -> Iterator[Tensor]:
        for run in runs:
            one = run.shape[0] * run.shape[2] * self.width * size[0] * size[1]
            yield from torch.split(run, max(1, GROUP // one), dim=1)

    def _mixed(
        self, block: nn.Module, part: Tensor, weights: Tensor, size: tuple[int, int]
    ) -> Tensor:
        if self.checkpointed and torch.is_grad_enabled():
            given = (block, part, weights, size)
            sample_views: Tensor = checkpoint(_summed, *given, use_reentrant=False)
            return sample_views
        return _summed(block, part, weights, size)


class Levels(nn.Module):
    """Coarse maps to a middle resolution, then these and the fine maps to the latent's."""

    def __init__(self, feature_taps: FeatureTaps, *, timesteps: int, checkpointed: bool) -> None:
        """Draw first weights.

        Args:
            feature_taps: which maps there are.
            timesteps: of each map.
            checkpointed: as for ``Level``.
        """
        super().__init__()
        self.low = Level(
            feature_taps.low,
            width=feature_taps.low_width,
            slots=timesteps,
            checkpointed=checkpointed,
        )
        self.top = Level(
            feature_taps.top,
            width=feature_taps.top_width,
            slots=timesteps + 1,
            checkpointed=checkpointed,
        )

    def forward(self, maps: Mapping[str, Tensor]) -> Tensor:
        """Mix the maps of a UNet.

        The result of the first level enters the second as one more timestep: a share of its
        channels for each layer.

        Args:
            maps: by tap, (b t 2 c h w).

        Returns:
            Map (b 2w h w), the unconditional half first.
        """
        maps = shared_pairs(maps)
        low = [[maps[tap.name]] for tap in self.low.taps]
        middle = self.low(low, _size(low[-1][0]))
        shares = middle[:, None].chunk(len(self.top.taps), dim=3)
        top = [[maps[tap.name], share] for tap, share in zip(self.top.taps, shares, strict=True)]
        mixed: Tensor = self.top(top, _size(top[-1][0]))
        return mixed.expand(-1, 2, -1, -1, -1).flatten(1, 2)

    def mixing(self) -> dict[str, dict[str, tuple[float, ...]]]:
        """What each map counts, by level and tap; in ``top`` the last is the first level's."""
        return {name: _table(level) for name, level in (("low", self.low), ("top", self.top))}


def _summed(block: nn.Module, part: Tensor, weights: Tensor, size: tuple[int, int]) -> Tensor:
    """Sum a block's maps over timesteps: (b t p c h w) and (t,) to (b p width *size)."""
    made: Tensor = block(part.flatten(0, 2), size)
    rows, timesteps, pair = part.shape[:3]
    summed = weights @ made.reshape(rows, timesteps, -1)
    return summed.view(rows, pair, *made.shape[1:])


def shared_pairs(maps: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Keep one half of the pairs where both are the same memory everywhere."""
    if all(one.stride(2) == 0 for one in maps.values()):
        return {name: one[:, :, :1] for name, one in maps.items()}
    return maps


def _size(run: Tensor) -> tuple[int, int]:
    return run.shape[-2], run.shape[-1]


def _table(level: Level) -> dict[str, tuple[float, ...]]:
    rows = level.weights().tolist()
    return {tap.name: tuple(row) for tap, row in zip(level.taps, rows, strict=True)}
