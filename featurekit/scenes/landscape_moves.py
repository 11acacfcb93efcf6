"""How landscapes move, and the record that makes them a kind.

What is taken hold of is seen before and after: nothing lies over it, the frame does not cut it.
"""

import math
from dataclasses import replace
from random import Random

from featurekit.scenes import landscapes
from featurekit.scenes.geometry import Point
from featurekit.scenes.kind import Kind, Mover, Range, named, two_places, two_values
from featurekit.scenes.landscapes import FOOT, RANGES, Landscape, ridge, second_peak

FRAME = 0.01  # from the frame to a moved object, at least
GAP = 0.03  # between a moved object and one that could hide it

Pair = tuple[Landscape, Landscape]


def _sun(land: Landscape, rng: Random, at_least: float) -> Pair | None:
    room = land.sun_radius + FRAME
    across, down = _inside(RANGES["sun_x"], room), _inside(RANGES["sun_y"], room)
    places = two_places(rng, across, down, at_least)
    if places is None:
        return None
    before, after = (replace(land, sun_x=x, sun_y=y) for x, y in places)
    return (before, after) if _sun_is_seen(before) and _sun_is_seen(after) else None


def _house(land: Landscape, rng: Random, at_least: float) -> Pair | None:
    if not land.house:
        return None
    across = _inside(RANGES["house_x"], _house_reach(land) + FRAME)
    places = two_places(rng, across, RANGES["house_y"], at_least)
    if places is None:
        return None
    before, after = (replace(land, house_x=x, house_y=y) for x, y in places)
    return (before, after) if _side_by_side(before) and _side_by_side(after) else None


def _tree(land: Landscape, rng: Random, at_least: float) -> Pair | None:
    if not land.tree:
        return None
    across = _inside(RANGES["tree_x"], _tree_reach(land) + FRAME)
    places = two_places(rng, across, RANGES["tree_y"], at_least)
    if places is None:
        return None
    before, after = (replace(land, tree_x=x, tree_y=y) for x, y in places)
    return (before, after) if _side_by_side(before) and _side_by_side(after) else None


def _peak(land: Landscape, rng: Random, at_least: float) -> Pair | None:
    heights = two_values(rng, RANGES["peak_y"], at_least)
    # A mountain of the sky's own colour has no peak that anybody could take hold of.
    if not land.mountain or land.mountain_colour == land.sky or heights is None:
        return None
    before, after = (replace(land, peak_y=y) for y in heights)
    seen = _sun_is_seen(before) and _sun_is_seen(after)
    return (before, after) if seen and _bare(before) and _bare(after) else None


def _tree_top(land: Landscape, rng: Random, at_least: float) -> Pair | None:
    heights = two_values(rng, RANGES["tree_height"], at_least)
    if not land.tree or heights is None:
        return None
    before, after = (replace(land, tree_height=height) for height in heights)
    tallest = before if before.tree_height > after.tree_height else after
    low, high = _inside((0.0, 1.0), _tree_reach(tallest) + FRAME)
    if not low <= land.tree_x <= high:
        return None
    return (before, after) if _side_by_side(tallest) else None


def _roof(land: Landscape, rng: Random, at_least: float) -> Pair | None:
    """Raise or lower wall and roof together, each by its share of the whole range."""
    wall, roof = RANGES["house_height"], RANGES["roof_height"]
    sums = two_values(rng, (wall[0] + roof[0], wall[1] + roof[1]), at_least)
    # Before a mountain of its own colour a roof has no tip that anybody could take hold of.
    if not land.house or land.roof == land.mountain_colour or sums is None:
        return None
    before, after = (_tall(land, height) for height in sums)
    reach = _inside((0.0, 1.0), _house_reach(land) + FRAME)
    inside = reach[0] <= land.house_x <= reach[1]
    return (before, after) if inside and _side_by_side(land) else None


def _tall(land: Landscape, height: float) -> Landscape:
    """The landscape with a house of this height, walls and roof as tall within their ranges."""
    wall, roof = RANGES["house_height"], RANGES["roof_height"]
    lowest = wall[0] + roof[0]
    share = (height - lowest) / (wall[1] + roof[1] - lowest)
    walls = wall[0] + share * (wall[1] - wall[0])
    # The roof takes what the walls leave, so that rounding cannot push it out of its range.
    return replace(land, house_height=walls, roof_height=min(roof[1], max(roof[0], height - walls)))


def _inside(allowed: Range, room: float) -> Range:
    """The part of a range that keeps ``room`` to both sides of the frame."""
    return max(allowed[0], room), min(allowed[1], 1 - room)


def _house_reach(land: Landscape) -> float:
    return land.house_width * 1.25  # the eaves


def _tree_reach(land: Landscape) -> float:
    return land.tree_height * (0.42 if land.tree_form == "pine" else 0.36)


def _side_by_side(land: Landscape) -> bool:
    """Whether house and tree do not hide any of each other."""
    if not (land.house and land.tree):
        return True
    between = abs(land.house_x - land.tree_x)
    return between > _house_reach(land) + _tree_reach(land) + FRAME


def _sun_is_seen(land: Landscape) -> bool:
    """Whether the sun's disc is clear of both mountains."""
    if not land.mountain:
        return True
    x2, y2 = second_peak(land)
    mountains = (
        (land.peak_x, land.peak_y, land.mountain_width, FOOT),
        (x2, y2, land.mountain_width * 0.9, 0.8),
    )
    return all(_above(land, *mountain) for mountain in mountains)


def _above(land: Landscape, x: float, y: float, width: float, foot: float) -> bool:
    """Whether the sun's disc lies above a mountain's flanks, both drawn out beyond the peak."""
    rise = foot - y
    # Distance from the flank's line, positive above it.
    over = (y + rise * abs(land.sun_x - x) / width - land.sun_y) * width / math.hypot(width, rise)
    return over > land.sun_radius + FRAME


def _bare(land: Landscape) -> bool:
    """Whether neither hill nor house nor tree reaches a peak that is dragged."""
    return not any(_covered(land, peak) for peak in _peaks(land))


def _covered(land: Landscape, point: Point) -> bool:
    x, y = point
    roof = land.house_y - land.house_height - land.roof_height
    by_house = abs(x - land.house_x) < _house_reach(land) + GAP and y > roof - GAP
    top = land.tree_y - land.tree_height
    by_tree = abs(x - land.tree_x) < _tree_reach(land) + GAP and y > top - GAP
    by_hill = y > ridge(land, x) - GAP
    return by_hill or (land.house and by_house) or (land.tree and by_tree)


def _peaks(land: Landscape) -> tuple[Point, ...]:
    """The peak, and the one behind it where that stands aside: they rise and fall together."""
    peak, behind = (land.peak_x, land.peak_y), second_peak(land)
    return (peak, behind) if abs(land.second_peak) > 0.15 and 0.05 < behind[0] < 0.95 else (peak,)


def _top_of_tree(land: Landscape) -> tuple[Point, ...]:
    return ((land.tree_x, land.tree_y - land.tree_height),)


LANDSCAPE: Kind[Landscape] = Kind(
    name="landscape",
    share=0.35,
    sample=landscapes.sample,
    fits=landscapes.fits,
    draw=landscapes.draw,
    keypoints=landscapes.keypoints,
    caption=landscapes.caption,
    movers=(
        Mover("sun", False, 0.6, _sun, named(landscapes.keypoints, "sun")),
        Mover("house", False, 0.4, _house, named(landscapes.keypoints, "door")),
        Mover("tree", False, 0.4, _tree, named(landscapes.keypoints, "tree_mid")),
        Mover("peak", True, 0.22, _peak, _peaks),
        Mover("tree_top", True, 0.15, _tree_top, _top_of_tree),
        Mover("roof", True, 0.1, _roof, named(landscapes.keypoints, "roof")),
    ),
)
