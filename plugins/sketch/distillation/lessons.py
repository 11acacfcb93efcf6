"""One lesson of a student: a pair in other colours, bent, shifted and cut to one size."""

import torch
from torch import Tensor
from torch.nn import functional

from featurekit.measures.augmentations import views_of
from featurekit_sketch.distillation.pair_shards import Pair

VIEWED = 0.5  # share of lessons in other colours and bent
GAIN = 0.2  # most that a channel is stretched and, of half its range, shifted


def batch_of(pairs: list[Pair], side_px: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Make one lesson of each pair.

    Args:
        pairs: any sizes.
        side_px: of the lessons.
        draw: what is left to chance.

    Returns:
        Pictures (n 3 s s) in [-1, 1] and ink (n 1 s s) in [0, 1].
    """
    lessons = [_lesson(pair, side_px, draw) for pair in pairs]
    return torch.cat([one for one, _ in lessons]), torch.cat([ink for _, ink in lessons])


def _lesson(pair: Pair, side_px: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    picture, ink = pair.picture, pair.ink
    if _chance(draw) < VIEWED:
        seed = int(torch.randint(2**31, (), generator=draw))
        view = views_of(picture, ink, count=2, seed=seed)[1]
        picture, ink = view.image, view.ink
    # strokes have the width of the size that pairs are drawn at: nothing is enlarged without need
    factor = max(1.0, side_px / min(picture.shape[-2:]))
    sides = [max(side_px, round(factor * side)) for side in picture.shape[-2:]]
    both = torch.cat([(picture + 1) / 2, ink], 1)
    if sides != list(picture.shape[-2:]):
        both = functional.interpolate(both, sides, mode="bicubic").clamp(0, 1)
    top, left = (int(torch.randint(side - side_px + 1, (), generator=draw)) for side in sides)
    both = _moved(both[..., top : top + side_px, left : left + side_px], draw)
    return _gained(2 * both[:, :3] - 1, draw), both[:, 3:]


def _moved(both: Tensor, draw: torch.Generator) -> Tensor:
    """Shift by whole pixels, mirrored beyond the border, so that every cell meets every line."""
    most = both.shape[-1] // 10
    across, along = (int(torch.randint(2 * most + 1, (), generator=draw)) for _ in range(2))
    wide = functional.pad(both, (most,) * 4, mode="reflect")
    moved: Tensor = wide[..., along : along + both.shape[-2], across : across + both.shape[-1]]
    return moved


def _gained(picture: Tensor, draw: torch.Generator) -> Tensor:
    """Stretch and shift each colour a little."""
    change = GAIN * (2 * torch.rand(2, 1, 3, 1, 1, generator=draw) - 1)
    return ((1 + change[0]) * picture + change[1]).clamp(-1, 1)


def _chance(draw: torch.Generator) -> float:
    return float(torch.rand((), generator=draw))
