"""How flowers and their vase move, what is said of them, and the record that makes them a kind.

What a drag takes hold of lies on the side of the vase without a leaf, or in front of everything.
"""

import math
from dataclasses import replace
from random import Random

from featurekit.scenes.kind import Kind, Mover, named, two_places, two_values
from featurekit.scenes.kinds.flowers import flower as flowers
from featurekit.scenes.kinds.flowers.flower import FLOWER_RANGES, RANGES, Flower, Flowers
from featurekit.scenes.wording import article, on_background

NUMBERS = {2: "two", 3: "three"}

Pair = tuple[Flowers, Flowers]


def caption(scene: Flowers, rng: Random) -> str:
    """Say what is seen; the vase's look and what is around it are left to chance."""
    colours = [flower.colour for flower in scene.flowers]
    if len(colours) > 1 and len(set(colours)) == 1:
        blooms = f"{NUMBERS[len(colours)]} {colours[0]} flowers"
    else:
        blooms = " and ".join(article(f"{colour} flower") for colour in colours)
    looks = [scene.vase_form] if rng.random() < 0.4 else []
    if scene.vase_print is not None and rng.random() < 0.5:
        looks.append(scene.vase_print)
    text = f"{article(' '.join([*looks, scene.vase, 'vase']))} with {blooms}"
    if rng.random() < 0.5:
        return f"{text} on {article(scene.table)} table"
    if rng.random() < 0.5:
        return f"{text} {on_background(scene.wall, scene.wall_print)}"
    return text


def _slide(scene: Flowers, rng: Random, at_least: float) -> Pair | None:
    places = two_places(rng, RANGES["x"], RANGES["y"], at_least)
    if places is None:
        return None
    before, after = (replace(scene, x=x, y=y) for x, y in places)
    return before, after


def _bend(scene: Flowers, rng: Random, at_least: float) -> Pair | None:
    """Drag the blossom in front: its stem bends after it, and it turns with the stem."""
    first, *others = scene.flowers
    places = two_places(rng, FLOWER_RANGES["reach"], FLOWER_RANGES["up"], at_least)
    if places is None:
        return None
    moved = (replace(first, reach=reach, up=up) for reach, up in places)
    before, after = (replace(scene, flowers=(flower, *others)) for flower in moved)
    return before, after


def _widen(scene: Flowers, rng: Random, at_least: float) -> Pair | None:
    widths = two_values(rng, RANGES["vase_width"], at_least)
    if widths is None:
        return None
    before, after = (replace(scene, vase_width=width) for width in widths)
    return before, after


def _grow(scene: Flowers, rng: Random, at_least: float) -> Pair | None:
    """Pull the rim up while the blossoms stay where they are: it hides more of their stems."""
    heights = two_values(rng, RANGES["vase_height"], at_least)
    if heights is None:
        return None
    # Over the higher vase the blossoms have to leave room for the longer stems over the lower one.
    lowest, highest = FLOWER_RANGES["up"]
    rise = max(heights) - min(heights)
    share = (highest - lowest - rise) / (highest - lowest)

    def stemmed(flower: Flower, height: float) -> Flower:
        up = lowest + (flower.up - lowest) * share + max(heights) - height
        return replace(flower, up=min(up, highest))

    before, after = (
        replace(
            scene,
            vase_height=height,
            flowers=tuple(stemmed(flower, height) for flower in scene.flowers),
        )
        for height in heights
    )
    return before, after


def _leaf(scene: Flowers, rng: Random, at_least: float) -> Pair | None:
    # The tip moves along an arc; its chord has to be long enough.
    chord = min(1.0, at_least / (2 * scene.leaf_length))
    angles = two_values(rng, RANGES["leaf_deg"], 2 * math.degrees(math.asin(chord)))
    if angles is None:
        return None
    before, after = (replace(scene, leaf_deg=angle) for angle in angles)
    return before, after


_keypoints = flowers.keypoints

FLOWERS: Kind[Flowers] = Kind(
    name="flowers",
    share=0.0,
    sample=flowers.sample,
    fits=flowers.fits,
    backdrop=flowers.backdrop,
    figure=flowers.figure,
    keypoints=_keypoints,
    caption=caption,
    movers=(
        Mover("slide", False, 0.2, _slide, named(_keypoints, "belly")),
        Mover("bend", True, 0.25, _bend, named(_keypoints, "blossom_0")),
        Mover("widen", True, 0.19, _widen, named(_keypoints, "belly")),
        Mover("grow", True, 0.19, _grow, named(_keypoints, "rim")),
        Mover("leaf", True, 0.2, _leaf, named(_keypoints, "leaf_tip")),
    ),
)
