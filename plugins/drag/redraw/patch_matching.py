"""Patches of a hole and the patches elsewhere that are most like them, on one level."""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F  # noqa: N812  the field's name for it
from torch import Tensor

from featurekit_drag.plan.grid import grown

RADIUS = 3  # cells around the centre of a patch
SEARCHES = 4  # random guesses of a round, each over half the width of the one before
STEPS = (8, 3, 1)  # cells from which good offsets are taken over
NEARER = 0.03  # mean squared difference that a source as far away as the picture is wide costs
COHERENT = 0.9  # share of its difference at which a neighbour's offset is taken over in the end
GATHERINGS = 6  # passes of that
DEEPER = 0.8  # weight of a patch for each cell that it lies deeper in the hole
SHARP = 0.4  # quantile of the differences that is the width of the votes' weights


@dataclass(frozen=True)
class Level:
    """A picture, its hole, and where patches may be copied from, at one size."""

    image: Tensor  # (3 h w)
    hole: Tensor  # (h w) bool
    compared: Tensor  # (h w) in {0, 1}: 0 where what is shown says nothing of the hole
    sources: Tensor  # (h w) bool: centres of patches that lie whole in what may be copied

    @classmethod
    def of(cls, image: Tensor, hole: Tensor, shut: Tensor, size: tuple[int, int]) -> "Level":
        """Shrink a picture (1 3 H W) and its masks (1 1 H W) to a size."""
        small = F.interpolate(image, size=size, mode="area")
        inside, closed = (F.adaptive_max_pool2d(one.float(), size) > 0 for one in (hole, shut))
        whole = ~(grown(closed, RADIUS) > 0)[0, 0]
        if min(size) > 2 * RADIUS:
            framed = torch.zeros_like(whole)
            framed[RADIUS:-RADIUS, RADIUS:-RADIUS] = True
            whole &= framed
        else:
            whole &= False
        # what shows through the hole's own cells is compared: it is drawn anew in each round
        return cls(small[0], inside[0, 0], (inside | ~closed)[0, 0].float(), whole)


@dataclass(frozen=True)
class Matches:
    """For each patch that touches a hole, the offset to the patch most like it."""

    level: Level
    offset: Tensor  # (h w 2) long, rows before columns; 0 where no patch touches the hole
    apart: Tensor  # (n,) mean squared difference of each patch, inf before any was compared
    y: Tensor  # (n,) centres of the patches
    x: Tensor

    @classmethod
    def on(cls, level: Level, offset: Tensor) -> "Matches":
        """Take offsets (h w 2) for the patches of a level, not compared yet."""
        touching = grown(level.hole[None, None], RADIUS)[0, 0] > 0
        y, x = touching.nonzero(as_tuple=True)
        return cls(level, offset, torch.full((len(y),), torch.inf), y, x)

    @classmethod
    def random(cls, level: Level, generator: torch.Generator) -> "Matches":
        """Guess for every patch."""
        matches = cls.on(level, torch.zeros(*level.hole.shape, 2, dtype=torch.long))
        y, x = matches.y, matches.x
        guess = _any_source(level, len(y), generator)
        matches.offset[y, x] = guess - torch.stack([y, x], dim=-1)
        return matches

    def carried(self, level: Level, generator: torch.Generator) -> "Matches":
        """Take the offsets to a finer level; what leads to no source there is guessed."""
        (height, width), (wide_h, wide_w) = self.level.hole.shape, level.hole.shape
        finer = F.interpolate(
            self._continued().permute(2, 0, 1)[None].float(), size=(wide_h, wide_w), mode="nearest"
        )[0].permute(1, 2, 0)
        scale = finer.new_tensor([wide_h / height, wide_w / width])
        matches = Matches.on(level, (finer * scale).round().long())
        y, x = matches.y, matches.x
        here = torch.stack([y, x], dim=-1)
        there = here + matches.offset[y, x]
        bad = ~_is_source(level, there)
        there[bad] = _any_source(level, int(bad.sum()), generator)
        matches.offset[y, x] = there - here
        return matches

    def _continued(self) -> Tensor:
        """The offsets, with those of the nearest patch one cell beyond them, (h w 2)."""
        known = torch.zeros_like(self.level.hole)
        known[self.y, self.x] = True
        offset = self.offset.clone()
        for dy, dx in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            shifted = torch.roll(offset, (dy, dx), dims=(0, 1))
            seen = torch.roll(known, (dy, dx), dims=(0, 1)) & ~known
            offset[seen] = shifted[seen]
            known = known | seen
        return offset

    def voted(self) -> Tensor:
        """Draw every cell of the hole as the mean of what the patches over it show, (3 h w)."""
        level, depth = self.level, _depth(self.level.hole)[self.y, self.x]
        weight = DEEPER**depth
        if bool(self.apart.isfinite().all()):
            width = self.apart.quantile(SHARP) + 1e-4
            weight = weight * torch.exp(-self.apart / (2 * width)).clamp_min(1e-6)
        height, wide = level.hole.shape
        total, weights = torch.zeros(3, height * wide), torch.zeros(height * wide)
        source = torch.stack([self.y, self.x], dim=-1) + self.offset[self.y, self.x]
        flat = level.image.flatten(1)
        for dy in range(-RADIUS, RADIUS + 1):
            for dx in range(-RADIUS, RADIUS + 1):
                to_y, to_x = self.y + dy, self.x + dx
                kept = (to_y >= 0) & (to_y < height) & (to_x >= 0) & (to_x < wide)
                to = (to_y * wide + to_x)[kept]
                of = ((source[:, 0] + dy) * wide + source[:, 1] + dx)[kept]
                total.index_add_(1, to, flat[:, of] * weight[kept])
                weights.index_add_(0, to, weight[kept])
        mean = (total / weights.clamp_min(1e-12)).view_as(level.image)
        return torch.where(level.hole, mean, level.image)

    def gathered(self, drawn: Tensor) -> "Matches":
        """Let neighbours share an offset where that costs little: pieces, not single cells."""
        search = _Search(self, drawn)
        for _ in range(GATHERINGS):
            for dy, dx in ((1, 0), (-1, 0), (0, 1), (0, -1)):
                search.take(search.shifted(dy, dx), bias=COHERENT)
        return search.found()


def matched(matches: Matches, drawn: Tensor, generator: torch.Generator) -> Matches:
    """Search once: offsets of neighbours near and far, then random ones around the best."""
    search = _Search(matches, drawn)
    for step in STEPS:
        for dy, dx in ((step, 0), (-step, 0), (0, step), (0, -step)):
            search.take(search.shifted(dy, dx))
    reach = max(matches.level.hole.shape) / 2
    for _ in range(SEARCHES):
        search.take(search.near(reach, generator))
        reach = max(1.0, reach / 3)
    return search.found()


class _Search:
    """The best offsets so far, and what each guess is compared with."""

    def __init__(self, matches: Matches, drawn: Tensor) -> None:
        level = matches.level
        self.matches, self.level = matches, level
        self.here = torch.stack([matches.y, matches.x], dim=-1)
        self.offset = matches.offset.clone()
        self.sources = _patches(level.image)
        at = matches.y * level.hole.shape[1] + matches.x
        self.wanted = _patches(drawn)[at]
        compared = _patches(level.compared[None])[at]
        compared = compared / compared.sum(dim=1, keepdim=True).clamp_min(1)
        self.weights = compared.repeat(1, 3) / 3
        self.apart = self._compared(self.here + self.offset[matches.y, matches.x])

    def shifted(self, dy: int, dx: int) -> Tensor:
        """The offset of the patch so many cells away, for each patch, (n 2)."""
        height, width = self.level.hole.shape
        y = (self.here[:, 0] + dy).clamp(0, height - 1)
        x = (self.here[:, 1] + dx).clamp(0, width - 1)
        return self.offset[y, x]

    def near(self, reach: float, generator: torch.Generator) -> Tensor:
        """An offset at most so many cells from the best, for each patch, (n 2)."""
        own = self.offset[self.here[:, 0], self.here[:, 1]]
        moved = (torch.rand(own.shape, generator=generator) * 2 - 1) * reach
        return own + moved.round().long()

    def take(self, offset: Tensor, *, bias: float = 1.0) -> None:
        """Take the offsets (n 2) that are better, or hardly worse with a bias below 1."""
        there = self.here + offset
        fair = _is_source(self.level, there) & (offset != 0).any(dim=1)
        own = self.offset[self.here[:, 0], self.here[:, 1]]
        rows = (fair & (offset != own).any(dim=1)).nonzero()[:, 0]
        if not len(rows):
            return
        apart = self._compared(there[rows], rows)
        better = apart * bias < self.apart[rows]
        rows, apart = rows[better], apart[better]
        y, x = self.here[rows].unbind(dim=-1)
        self.offset[y, x] = offset[rows]
        self.apart[rows] = apart

    def _compared(self, there: Tensor, rows: Tensor | None = None) -> Tensor:
        """How unlike the patches at some centres (n 2) are to those that are wanted."""
        rows = torch.arange(len(there)) if rows is None else rows
        of = there[:, 0] * self.level.hole.shape[1] + there[:, 1]
        squares = (self.sources[of] - self.wanted[rows]).square_().mul_(self.weights[rows])
        far = (there - self.here[rows]).float().square().sum(dim=1)
        return squares.sum(dim=1) + NEARER * far / max(self.level.hole.shape) ** 2

    def found(self) -> Matches:
        """What was found."""
        return replace(self.matches, offset=self.offset, apart=self.apart)


def _patches(field: Tensor) -> Tensor:
    """All patches of a field (c h w), one row each, (h*w c*k*k)."""
    wide = F.pad(field[None], (RADIUS,) * 4, mode="replicate")
    return F.unfold(wide, 2 * RADIUS + 1)[0].T.contiguous()


def _is_source(level: Level, at: Tensor) -> Tensor:
    """Whether positions (n 2) are centres of patches that may be copied, (n,) bool."""
    height, width = level.hole.shape
    y, x = at.unbind(dim=-1)
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    return inside & level.sources[y.clamp(0, height - 1), x.clamp(0, width - 1)]


def _any_source(level: Level, count: int, generator: torch.Generator) -> Tensor:
    """Centres of patches that may be copied, drawn evenly, (count 2)."""
    known = level.sources.nonzero()
    return known[torch.randint(len(known), (count,), generator=generator)]


def _depth(hole: Tensor) -> Tensor:
    """How many cells a cell lies inside a hole, (h w); 0 outside."""
    left, depth = hole[None, None].float(), torch.zeros(hole.shape)
    while bool((left > 0).any()):
        depth += left[0, 0]
        smaller = -F.max_pool2d(-F.pad(left, (1,) * 4, value=1.0), 3, 1)
        if bool((smaller == left).all()):
            break
        left = smaller
    return depth
