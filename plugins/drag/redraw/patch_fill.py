"""A hole continued by pieces of the picture around it: no model, every pixel at full resolution."""

import torch
from torch import Tensor

from featurekit.core.shapes import expect
from featurekit.images.parts import Box
from featurekit.scenes.harmonic import fill as harmonic
from featurekit_drag.plan.grid import grown
from featurekit_drag.plan.laying import Laid
from featurekit_drag.plan.warp_plan import WarpPlan
from featurekit_drag.redraw.gradients import relit
from featurekit_drag.redraw.patch_matching import Level, Matches, matched

SIDE = 256  # px of the longer side of the hole's surroundings, at which patches are compared
LEAST = 24  # px of the longer side of the coarsest level
AROUND = 1.0  # sides of a hole that are looked at beside it, on each side
LEAST_AROUND = 96  # px, likewise
ROUNDS = 10  # of matching and voting on the coarsest level; one fewer on each finer one
LEAST_ROUNDS = 2
ENOUGH = 0.15  # share of a level's cells that are centres of patches to copy
SEEN = 2  # px beyond a hole that are continued as well, under the layer's soft rim
PART = 2**18  # pixels that are copied at once
FADE = 3.0  # slope of the cross-fade between pieces; 1 fades over a whole cell


def over_patches(image: Tensor, plan: WarpPlan, laid: Laid, *, seed: int) -> Tensor:
    """Lay the layers of a plan over ground that is continued by patches.

    Nothing is copied from a layer, moved or not. The part of the picture that was laid comes back.

    Args:
        image: (1 3 H W) in [-1, 1], before the drag.
        plan: of it.
        laid: by that plan.
        seed: of the random search.
    """
    left = laid.left > 0
    seen = (grown(laid.hole, SEEN) > 0) & left
    place = Box.around(seen)
    if place is None:
        return laid.picture
    wide = _surroundings(place.placed_in(laid.box), plan.size)
    hole, taken = (laid.box.carried(one, wide) for one in (seen, left))
    shut = taken | hole | (plan.covered(wide) > 0)
    y, x, ground = _continuation(wide.of(image), hole, shut, seed)
    corner = wide.relative_to(laid.box)
    return laid.over((y + corner.top, x + corner.left), ground)


def continued(image: Tensor, hole: Tensor, unusable: Tensor, *, seed: int) -> Tensor:
    """Fill a hole with what the picture shows elsewhere, copied pixel by pixel.

    The offset from each cell of the hole to its source is found on a pyramid at most ``SIDE`` px
    wide, and is carried to the picture's own pixels: what is copied keeps its sharpness, whatever
    the size. Gradients are copied rather than colours (see ``relit``), so that pieces meet each
    other and the rim of the hole without a step.

    Args:
        image: (1 3 H W) in [-1, 1]; what it holds inside the hole is not read.
        hole: (1 1 H W), nonzero inside.
        unusable: (1 1 H W), nonzero where nothing is copied from and nothing is compared with.
        seed: of the random search.

    Returns:
        The image with the hole filled. Where nothing can be copied the fill is harmonic; a hole
        that is the whole picture is left as it is.

    Raises:
        ShapeError: the hole does not fit the image.

    Source: Wexler, Shechtman and Irani 2007, "Space-Time Completion of Video" (the rounds);
    Barnes et al. 2009, "PatchMatch" (the search).
    """
    size = expect(image, "1 3 h w", of="image")
    expect(hole, "1 1 h w", of="hole", h=size["h"], w=size["w"])
    inside = hole > 0
    place = Box.around(inside)
    if place is None or bool(inside.all()):
        return image
    box = _surroundings(place, (size["h"], size["w"]))
    shut = box.of((unusable > 0) | inside)
    y, x, colours = _continuation(box.of(image), box.of(inside), shut, seed)
    result = image.clone()
    box.of(result)[0][:, y, x] = colours
    return result


def _continuation(
    image: Tensor, hole: Tensor, shut: Tensor, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Continue a picture (1 3 h w) into a hole, of which it shows the surroundings.

    Returns:
        Rows and columns of the pixels of the hole, (n,) each, and their colours, (3 n).
    """
    y, x = hole[0, 0].nonzero(as_tuple=True)
    levels = _with_sources(_pyramid(image, hole, shut))
    if not levels:
        known = ~hole.all()
        return y, x, (harmonic(image, hole) if known else image)[0][:, y, x]
    matches, drawn = _coarse_to_fine(levels, torch.Generator().manual_seed(seed))
    light = relit(matches, drawn)
    parts = zip(torch.split(y, PART), torch.split(x, PART), strict=True)
    colours = torch.cat([_copied(image, shut, matches, light, part) for part in parts], dim=1)
    return y, x, colours.clamp_(-1, 1)


def _surroundings(place: Box, size: tuple[int, int]) -> Box:
    """The box of a hole and what is looked at beside it, cut by the frame."""
    rows, columns = (max(LEAST_AROUND, round(AROUND * side)) for side in place.size)
    return place.grown(rows, columns, size)


def _pyramid(image: Tensor, hole: Tensor, shut: Tensor) -> list[Level]:
    """Levels from the coarsest to the finest, each at most twice as wide as the one before."""
    height, width = image.shape[-2:]
    longest = min(SIDE, max(height, width))
    widths = [longest]
    while widths[-1] // 2 >= LEAST:
        widths.append(widths[-1] // 2)
    levels = []
    for wide in reversed(widths):
        share = wide / max(height, width)
        size = (max(1, round(height * share)), max(1, round(width * share)))
        levels.append(Level.of(image, hole, shut, size))
    return levels


def _with_sources(levels: list[Level]) -> list[Level]:
    """Leave out coarse levels where nearly nothing is left to copy from.

    What little there is would be spread over the whole hole, and finer levels would keep it.
    """
    shares = [float(level.sources.float().mean()) for level in levels]
    enough = min(ENOUGH, shares[-1] / 2)
    return [one for one, share in zip(levels, shares, strict=True) if share > 0 and share >= enough]


def _coarse_to_fine(levels: list[Level], generator: torch.Generator) -> tuple[Matches, Tensor]:
    """Match and vote from the coarsest level on; the matches and the picture of the finest."""
    first = levels[0]
    unknown = (first.hole | (first.compared == 0))[None, None].float()
    drawn = first.image if bool(unknown.all()) else harmonic(first.image[None], unknown)[0]
    matches = Matches.random(first, generator)
    for number, level in enumerate(levels):
        if number:
            matches = matches.carried(level, generator)
            drawn = matches.voted()
        for _ in range(max(LEAST_ROUNDS, ROUNDS - 3 * number)):
            matches = matched(matches, drawn, generator)
            drawn = matches.voted()
    return matches.gathered(drawn), drawn


def _copied(
    image: Tensor, shut: Tensor, matches: Matches, light: Tensor, places: tuple[Tensor, Tensor]
) -> Tensor:
    """Copy pixels of a hole by the offsets of the cells around them, cross-faded, (3 n).

    Args:
        image: (1 3 h w).
        shut: (1 1 h w) bool, where nothing is copied from.
        matches: of the hole's cells.
        light: (3 h w) what is added to each cell.
        places: rows and columns of the pixels, (n,) each.
    """
    (height, width), (y, x) = image.shape[-2:], places
    cells_high, cells_wide = light.shape[-2:]
    at_y, at_x = ((y + 0.5) * cells_high / height - 0.5, (x + 0.5) * cells_wide / width - 0.5)
    rows = [_neighbour(at_y, after, cells_high) for after in (0, 1)]
    columns = [_neighbour(at_x, after, cells_wide) for after in (0, 1)]
    total, weights = image.new_zeros(3, len(y)), image.new_zeros(len(y))
    for column, share_x in columns:
        for row, share_y in rows:
            dy, dx = matches.offset[row, column].unbind(dim=-1)
            from_y = (y + (dy * height / cells_high).round().long()).clamp_(0, height - 1)
            from_x = (x + (dx * width / cells_wide).round().long()).clamp_(0, width - 1)
            weight = share_y * share_x * (~shut[0, 0, from_y, from_x] + 1e-9)
            total += weight * (image[0][:, from_y, from_x] + light[:, row, column])
            weights += weight
    return total.div_(weights)


def _neighbour(at: Tensor, after: int, count: int) -> tuple[Tensor, Tensor]:
    """The cell before or after a position, and its share of it, steeper than linear."""
    low = at.floor()
    share = ((at - low - 0.5) * FADE + 0.5).clamp(0, 1)
    return (low.long() + after).clamp(0, count - 1), share if after else 1 - share
