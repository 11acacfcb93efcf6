"""The second level alone, which is all of the UNet that reaches a sketch in the released code."""

from collections.abc import Mapping

from torch import Tensor, nn

from featurekit_sketch.network.aggregation import Level, shared_pairs
from featurekit_sketch.network.feature_taps import FeatureTaps


class FineLevel(nn.Module):
    """The maps of the last block at all timesteps, without those that are coarser.

    The released code computes the first level and then reads 39 of 42 maps of the second, of which
    none is the first level's: its weights get no gradient. Here they are left out.
    """

    def __init__(self, feature_taps: FeatureTaps, *, timesteps: int, checkpointed: bool) -> None:
        """Draw first weights.

        Args:
            feature_taps: which maps there are.
            timesteps: of each map.
            checkpointed: as for ``Level``.
        """
        super().__init__()
        self.top = Level(
            feature_taps.top,
            width=feature_taps.top_width,
            slots=timesteps,
            checkpointed=checkpointed,
        )

    def forward(self, maps: Mapping[str, Tensor]) -> Tensor:
        """Mix the maps of a UNet, as ``Levels`` does with the first level as well."""
        maps = shared_pairs(maps)
        first = maps[self.top.taps[-1].name]
        mixed: Tensor = self.top(
            [[maps[tap.name]] for tap in self.top.taps], (first.shape[-2], first.shape[-1])
        )
        return mixed.expand(-1, 2, -1, -1, -1).flatten(1, 2)

    def mixing(self) -> dict[str, dict[str, tuple[float, ...]]]:
        """What each map counts, by tap; the first level, the last of each, nothing."""
        rows = self.top.weights().tolist()
        return {
            "top": {tap.name: (*row, 0.0) for tap, row in zip(self.top.taps, rows, strict=True)}
        }
