"""Which few timesteps stand for a whole run: the clusters of what a network computes along it.

``feature_gram`` noises one clean latent to every level; ``runs`` follows a run of the network's own
latents, sampled as in the paper or inverted. ``representatives`` takes the products of either.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import torch
from torch import Tensor

from featurekit.analysis.clustering import (
    by_rank,
    chord_knee,
    equally_spaced,
    kmeans_groups,
    mean_distance,
    medoids,
    random_distance,
    segment_groups,
    share_knee,
)
from featurekit.analysis.gram import gram_of, principal_scores, wcss
from featurekit.core.errors import CaptureError, ConfigError
from featurekit.core.shapes import expect
from featurekit.core.types import Progress, silent
from featurekit.diffusion.backbone import Backbone
from featurekit.features.extract import extract
from featurekit.features.feature_maps import FeatureMaps

COMPONENTS = 30  # axes that timesteps are clustered in; source: arXiv 2401.04362, its figure
LEAST_TIMESTEPS = 4
LARGEST = 24  # most clusters that are tried; the same
HELD_BYTES = 1 << 30  # of features at a time, unless one tap alone has more
BYTES = 4  # of a number that is held; half precision takes half of what is allowed for

Read: TypeAlias = Callable[[Sequence[str], Sequence[int]], FeatureMaps]
"""``(taps, timesteps)``: the maps of some rows."""


@dataclass(frozen=True)
class Representatives:
    """Timesteps that stand for all of a run, and how well they do it."""

    timesteps: tuple[int, ...]  # train timesteps of the run, rising
    chosen: tuple[int, ...]  # their places in the run, rising
    in_segments: tuple[int, ...]  # the same by the best cut of the run into segments
    curve: Mapping[int, float]  # spread within K-means clusters by their number, mean over images
    segments: Mapping[int, float]  # the same within the best segments
    knees: Mapping[str, int]  # number of clusters by rule: ``share`` and ``chord``
    distances: Mapping[str, float]  # mean distance of a timestep from its representative, by choice
    images: int = 1  # how many it rests on

    @property
    def chosen_timesteps(self) -> tuple[int, ...]:
        """Train timesteps of the chosen places."""
        return tuple(self.timesteps[place] for place in self.chosen)


def resnet_taps(backbone: Backbone) -> tuple[str, ...]:
    """Name what each residual block of the decoder adds to its input, before it is added.

    Args:
        backbone: a loaded model.

    Returns:
        Module paths inside ``backbone.denoiser``, in the order of the calls.

    Raises:
        ConfigError: the network has no such blocks.
    """
    names = [name for name, _ in backbone.denoiser.named_modules()]
    found = [name for name in names if name.startswith("up_blocks") and name.endswith("conv2")]
    if not found:
        raise ConfigError(
            f"taps must be named for {backbone.name}, whose up blocks have no resnets"
        )
    return tuple(found)


@torch.no_grad()
def feature_gram(
    backbone: Backbone,
    images: Tensor,
    *,
    taps: Sequence[str],
    timesteps: Sequence[int],
    prompt: str = "",
    seed: int = 0,
) -> Tensor:
    """Multiply the features of each image, noised to each timestep, with those of each other.

    Args:
        backbone: a loaded model.
        images: (b 3 h w) in [-1, 1].
        taps: as in ``extract``.
        timesteps: as in ``extract``.
        prompt: what the network is conditioned on.
        seed: of the noise, the same for every timestep and image.

    Returns:
        Inner products (b*n b*n), float64; the n timesteps of an image stand together.

    Raises:
        FeatureKitError: as in ``extract``.
        CaptureError: a feature is not finite.
    """

    def read(taps: Sequence[str], timesteps: Sequence[int]) -> FeatureMaps:
        return extract(backbone, images, taps=taps, timesteps=timesteps, prompt=prompt, seed=seed)

    return gram_of_maps(read, taps, timesteps)


def gram_of_maps(read: Read, taps: Sequence[str], timesteps: Sequence[int]) -> Tensor:
    """Multiply the features of each row and timestep with those of each other.

    The features of all taps are one long vector, which is never built: taps are read in groups of
    at most ``HELD_BYTES``, and of each only the products are kept.

    Args:
        read: gives maps (b ...) at taps and timesteps.
        taps: words that it takes.
        timesteps: likewise, n.

    Returns:
        Inner products (b*n b*n), float64; the n timesteps of a row stand together.

    Raises:
        FeatureKitError: as ``read`` raises.
        CaptureError: a feature is not finite.
    """
    first = read(taps, timesteps[:1])
    sizes = {one.tap: one.tensor.numel() * BYTES * len(timesteps) for one in first}
    rows = len(first[0].tensor) * len(timesteps)
    gram = torch.zeros(rows, rows, dtype=torch.float64)
    for group in _groups(sizes):
        maps = read(group, timesteps)
        for tap in group:
            found = torch.stack([maps[tap, t].tensor.flatten(1) for t in timesteps], dim=1)
            if not bool(found.isfinite().all()):
                raise CaptureError(
                    f"features of {tap!r} must be finite, got NaN or infinity; use dtype=float32"
                )
            gram += gram_of(found.flatten(0, 1))
    return gram


def blocks_of(gram: Tensor, images: int) -> tuple[Tensor, ...]:
    """Take the Gram matrix of each image out of that of several.

    Args:
        gram: (b*n b*n).
        images: b.

    Returns:
        (n n) for each image.
    """
    n = expect(gram, "rows columns", of="Gram matrix")["rows"] // images
    return tuple(gram[i * n : (i + 1) * n, i * n : (i + 1) * n] for i in range(images))


def representatives(
    grams: Sequence[Tensor],
    timesteps: Sequence[int],
    *,
    count: int | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> Representatives:
    """Choose timesteps that stand for a run, image by image and then by rank.

    The timesteps of each image are clustered along their principal axes by K-means. The number of
    clusters is the smallest at which the mean curve has fallen by 95 % of its whole fall; of each
    cluster the timestep nearest to its mean is taken, and of these the median over images, rank
    by rank. The best segments and the distances say how much of that is due to the method.

    Args:
        grams: of each image, (n n) float64, in the order of ``timesteps``.
        timesteps: train timesteps, 4 or more, rising.
        count: how many to choose of them; None lets the curve decide.
        seed: of K-means and of the choices at random.
        progress: called after each image.

    Returns:
        The choice, and what it rests on.

    Raises:
        ConfigError: there is no image, or the timesteps or ``count`` are not as above.

    Source: Yun et al. 2024, arXiv:2401.04362, section on feature selection, by Gram matrices.
    """
    largest = _largest(grams, timesteps, count)
    generator = torch.Generator().manual_seed(seed)
    clustered, cut = [], []
    for done, gram in enumerate(grams, start=1):
        scores = principal_scores(gram, min(COMPONENTS, len(gram)))
        reduced = scores @ scores.T
        clustered.append((reduced, kmeans_groups(reduced, largest, generator=generator)))
        cut.append((reduced, segment_groups(reduced, largest)))
        progress(done, len(grams))
    curve = _mean_curve(clustered, largest)
    knees = {"share": share_knee(curve), "chord": chord_knee(curve)}
    chosen_count = knees["share"] if count is None else count
    chosen, in_segments = (
        by_rank([medoids(gram, groups[chosen_count]) for gram, groups in found])
        for found in (clustered, cut)
    )
    equal = equally_spaced(len(timesteps), chosen_count)
    places = {"selected": chosen, "segments": in_segments, "equal": equal}
    away = {name: _mean([mean_distance(gram, at) for gram in grams]) for name, at in places.items()}
    drawn = [random_distance(gram, chosen_count, generator=generator) for gram in grams]
    return Representatives(
        timesteps=tuple(timesteps),
        chosen=chosen,
        in_segments=in_segments,
        curve=curve,
        segments=_mean_curve(cut, largest),
        knees=knees,
        distances={**away, "random": _mean(drawn)},
        images=len(grams),
    )


def most_clusters(timesteps: int) -> int:
    """Say how many clusters are tried at most for a number of timesteps."""
    return min(LARGEST, timesteps - 1)


def _largest(grams: Sequence[Tensor], timesteps: Sequence[int], count: int | None) -> int:
    """Most clusters to try, once what is asked for is known to make sense."""
    rises = all(a < b for a, b in pairwise(timesteps))
    if not grams or len(timesteps) < LEAST_TIMESTEPS or not rises:
        raise ConfigError(
            f"representatives need an image and {LEAST_TIMESTEPS} timesteps that rise, got "
            f"{len(grams)} images and {list(timesteps)}"
        )
    for gram in grams:
        expect(gram, "n m", of="Gram matrix", n=len(timesteps), m=len(timesteps))
    largest = most_clusters(len(timesteps))
    if count is not None and not 1 <= count <= largest:
        raise ConfigError(f"count must lie in [1, {largest}], got {count}")
    return largest


def _groups(sizes: Mapping[str, int]) -> list[list[str]]:
    """Taps in their order, as many together as may be held; at least one."""
    groups: list[list[str]] = []
    held = 0
    for tap, size in sizes.items():
        if not groups or held + size > HELD_BYTES:
            groups.append([])
            held = 0
        groups[-1].append(tap)
        held += size
    return groups


def _mean_curve(
    found: Sequence[tuple[Tensor, Mapping[int, Tensor]]], largest: int
) -> dict[int, float]:
    return {
        count: _mean([wcss(gram, groups[count]) for gram, groups in found])
        for count in range(2, largest + 1)
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
