"""How landscapes move, and the record that makes them a kind.

What is taken hold of is seen before and after: that is part of what fits the kind.
"""

from dataclasses import replace
from random import Random

from featurekit.scenes.kind import Kind, Mover, named, two_places, two_values
from featurekit.scenes.kinds.landscapes import landscape as landscapes
from featurekit.scenes.kinds.landscapes import parts as landscape_parts
from featurekit.scenes.kinds.landscapes.landscape import RANGES, Landscape

Pair = tuple[Landscape, Landscape]


def _sun(land: Landscape, rng: Random, at_least: float) -> Pair | None:
    """Move the sun on its side of the sky, so that no shadow changes."""
    low, high = RANGES["sun_x"]
    side = (low, 0.499) if land.sun_x < 0.5 else (0.501, high)
    places = two_places(rng, side, RANGES["sun_y"], at_least)
    if places is None:
        return None
    # Clouds would make way for the sun, and more than the sun would move.
    before, after = (replace(land, sun_x=x, sun_y=y, clouds=False) for x, y in places)
    return before, after


def _house(land: Landscape, rng: Random, at_least: float) -> Pair | None:
    places = two_places(rng, RANGES["house_x"], RANGES["house_y"], at_least)
    if not land.house or places is None:
        return None
    before, after = (replace(land, house_x=x, house_y=y) for x, y in places)
    return before, after


def _tree(land: Landscape, rng: Random, at_least: float) -> Pair | None:
    places = two_places(rng, RANGES["tree_x"], RANGES["tree_y"], at_least)
    if not land.tree or places is None:
        return None
    before, after = (replace(land, tree_x=x, tree_y=y) for x, y in places)
    return before, after


def _peak(land: Landscape, rng: Random, at_least: float) -> Pair | None:
    heights = two_values(rng, RANGES["peak_y"], at_least)
    if not land.mountain or heights is None:
        return None
    before, after = (replace(land, peak_y=y) for y in heights)
    return before, after


def _tree_top(land: Landscape, rng: Random, at_least: float) -> Pair | None:
    heights = two_values(rng, RANGES["tree_height"], at_least)
    if not land.tree or heights is None:
        return None
    before, after = (replace(land, tree_height=height) for height in heights)
    return before, after


def _tree_lean(land: Landscape, rng: Random, at_least: float) -> Pair | None:
    leans = two_values(rng, RANGES["tree_lean"], at_least)
    if not land.tree or leans is None:
        return None
    before, after = (replace(land, tree_lean=lean) for lean in leans)
    return before, after


def _roof(land: Landscape, rng: Random, at_least: float) -> Pair | None:
    """Raise or lower wall and roof together, each by its share of the whole range."""
    wall, roof = RANGES["house_height"], RANGES["roof_height"]
    sums = two_values(rng, (wall[0] + roof[0], wall[1] + roof[1]), at_least)
    if not land.house or sums is None:
        return None
    before, after = (_tall(land, height) for height in sums)
    return before, after


def _tall(land: Landscape, height: float) -> Landscape:
    """The landscape with a house of this height, walls and roof as tall within their ranges."""
    wall, roof = RANGES["house_height"], RANGES["roof_height"]
    lowest = wall[0] + roof[0]
    share = (height - lowest) / (wall[1] + roof[1] - lowest)
    walls = wall[0] + share * (wall[1] - wall[0])
    # The roof takes what the walls leave, so that rounding cannot push it out of its range.
    return replace(land, house_height=walls, roof_height=min(roof[1], max(roof[0], height - walls)))


LANDSCAPE: Kind[Landscape] = Kind(
    name="landscape",
    share=0.22,
    sample=landscapes.sample,
    fits=landscapes.fits,
    backdrop=landscape_parts.backdrop,
    figure=landscape_parts.figure,
    keypoints=landscape_parts.keypoints,
    caption=landscapes.caption,
    movers=(
        Mover("sun", False, 0.3, _sun, named(landscape_parts.keypoints, "sun")),
        Mover("house", False, 0.4, _house, named(landscape_parts.keypoints, "door")),
        Mover("tree", False, 0.4, _tree, named(landscape_parts.keypoints, "tree_mid")),
        Mover("peak", True, 0.25, _peak, named(landscape_parts.keypoints, "peak")),
        Mover("tree_top", True, 0.22, _tree_top, named(landscape_parts.keypoints, "tree_top")),
        Mover("tree_lean", True, 0.2, _tree_lean, named(landscape_parts.keypoints, "tree_top")),
        Mover("roof", True, 0.2, _roof, named(landscape_parts.keypoints, "roof")),
    ),
)
