"""The network of the released code, whose coarse maps and trained projections are missing."""

from collections.abc import Collection

from featurekit_sketch.network.feature_taps import FeatureTaps
from featurekit_sketch.network.fine_level import FineLevel
from featurekit_sketch.network.first_weights import first_weights
from featurekit_sketch.network.sketch_network import SOURCES, SketchNetwork


def released_network(
    feature_taps: FeatureTaps,
    *,
    timesteps: int = 13,
    sources: Collection[str] = SOURCES,
    checkpointed: bool = False,
    seed: int = 0,
) -> SketchNetwork:
    """Make the network as the released code computes it; arguments as for ``SketchNetwork``.

    The first level is not read, and what reduces the autoencoder's maps keeps its first weights.

    Source: kwanyun/diffsketch, its sketch generator, by the numbers of its ``parameters()``.
    """
    network = SketchNetwork(
        feature_taps, timesteps=timesteps, sources=sources, checkpointed=checkpointed, seed=seed
    )
    if network.levels is not None:
        with first_weights(seed):
            network.levels = FineLevel(feature_taps, timesteps=timesteps, checkpointed=checkpointed)
    network.decoder.reducers.requires_grad_(False)
    return network
