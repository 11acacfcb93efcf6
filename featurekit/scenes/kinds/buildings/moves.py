"""How buildings move and what is said of them, and the record that makes them a kind."""

from dataclasses import replace
from random import Random

from featurekit.scenes.geometry import Point
from featurekit.scenes.kind import Kind, Mover, named, two_places, two_values
from featurekit.scenes.kinds.buildings import building as buildings
from featurekit.scenes.kinds.buildings import parts as building_parts
from featurekit.scenes.kinds.buildings.building import (
    ENTRY,
    FLAGGED,
    FORMS,
    RANGES,
    Building,
    doorway,
    eaves,
    flag_corners,
    leaf,
    tip,
    window_span,
)
from featurekit.scenes.kinds.buildings.details import knob, windows
from featurekit.scenes.wording import article

NUMBERS = ("no", "one", "two", "three")
FLAG_REACH = 0.25  # how far a flag's end travels through all its angles
TALL, SMALL = 0.72, 0.6  # wall and roof together, from when on a caption says so

Pair = tuple[Building, Building]


def keypoints(building: Building) -> dict[str, Point]:
    """Where the named parts are; parts that are not there have none."""
    x, half, foot = building.centre_x, building.half_width, building.ground_y
    corners, (left, top, right) = eaves(building), doorway(building)
    points = {
        "roof_tip": tip(building),
        "eaves_l": corners[0],
        "eaves_r": corners[1],
        "wall_l": (x - half, foot),
        "wall_r": (x + half, foot),
        "door_l": (left, top),
        "door_r": (right, top),
        "knob": knob(building),
        "leaf": leaf(building)[3],
    }
    points |= {window.name: window.centre for window in windows(building) if window.name}
    if building.form in FLAGGED:
        points["flag"] = flag_corners(building)[2]
    return points


def caption(building: Building, rng: Random) -> str:
    """Say what is seen: form, wall and roof always, details by chance."""
    words = [building.wall]
    height = building.wall_height + building.roof_height
    if rng.random() < 0.5 and not SMALL < height < TALL:
        words.insert(0, "tall" if height >= TALL else "small")
    if building.wall_pattern and rng.random() < 0.6:
        words.append({"tiled": "brick"}.get(building.wall_pattern, building.wall_pattern))
    details = [f"{article(building.roof)} roof"]
    if rng.random() < 0.75:
        ajar = "open " if building.opening > 0.25 else ""
        details.append(article(f"{ajar}{building.door} door"))
    if rng.random() < 0.45:
        details.append(_windows_in_words(building))
    text = f"{article(' '.join([*words, building.form]))} with {' and '.join(details)}"
    if rng.random() < 0.55:
        pattern = f"{building.sky_pattern} " if building.sky_pattern else ""
        text += f" under {article(f'{pattern}{building.sky}')} sky"
    if rng.random() < 0.35:
        text += f" on {building.ground} ground"
    return text


def _windows_in_words(building: Building) -> str:
    lit = "lit" if building.lit else "dark"
    if building.form == "skyscraper":
        return f"many {lit} windows"
    if building.windows == 1:
        return article(f"{lit} window")
    return f"{NUMBERS[building.windows]} {lit} windows"


def _slide(b: Building, rng: Random, at_least: float) -> Pair | None:
    places = two_places(rng, RANGES["centre_x"], RANGES["ground_y"], at_least)
    if places is None:
        return None
    # The horizon stays where it is.
    near, far = RANGES["horizon"]
    levels = [y for _, y in places]
    low, high = max(levels) - far, min(levels) - near
    if low > high:
        return None
    line = rng.uniform(low, high)
    before, after = (replace(b, centre_x=x, ground_y=y, horizon=y - line) for x, y in places)
    return before, after


def _door(b: Building, rng: Random, at_least: float) -> Pair | None:
    """Slide the door along a wall that has room for it."""
    room = b.half_width * (1 - b.door_width) - ENTRY
    if not FORMS[b.form].doors_slide or room <= 0:
        return None
    places = two_values(rng, RANGES["door_x"], at_least / room)
    if places is None:
        return None
    single = 1 if b.form == "house" else b.windows
    before, after = (replace(b, door_x=place, windows=single) for place in places)
    return before, after


def _window(b: Building, rng: Random, at_least: float) -> Pair | None:
    """Slide the window above the door up or down."""
    if b.form not in ("church", "tower"):
        return None
    # A low door under a high roof leaves it the way to go.
    tallest, lowest = FORMS[b.form].wall_height[1], RANGES["door_height"][0]
    height, door = rng.uniform(tallest - 0.08, tallest), rng.uniform(lowest, lowest + 0.08)
    single = min(FORMS[b.form].windows)
    b = replace(b, wall_height=height, door_height=door, windows=single)
    low, high = window_span(b)
    levels = two_values(rng, RANGES["window_level"], at_least / (low - high))
    if levels is None:
        return None
    before, after = (replace(b, window_level=level) for level in levels)
    return before, after


def _roof(b: Building, rng: Random, at_least: float) -> Pair | None:
    """Drag the roof's tip anywhere while the walls stay."""
    half = b.half_width * FORMS[b.form].core
    low, high = RANGES["tip_shift"]
    places = two_places(rng, (low * half, high * half), FORMS[b.form].roof_height, at_least)
    if places is None:
        return None
    before, after = (replace(b, tip_shift=x / half, roof_height=y) for x, y in places)
    return before, after


def _raise(b: Building, rng: Random, at_least: float) -> Pair | None:
    """Move the eaves up or down under a tip that stays: the roof gets flat or steep."""
    form = FORMS[b.form]
    heights = two_values(rng, form.wall_height, at_least)
    if heights is None:
        return None
    step = abs(heights[0] - heights[1])
    low, high = form.roof_height
    if high - low < step:
        return None
    total = max(heights) + rng.uniform(low, high - step)
    before, after = (replace(b, wall_height=wall, roof_height=total - wall) for wall in heights)
    return before, after


def _stretch(b: Building, rng: Random, at_least: float) -> Pair | None:
    """Make it wider or narrower on one side while the other stays."""
    halves = two_values(rng, FORMS[b.form].half_width, at_least / 2)
    if halves is None:
        return None
    left = b.centre_x - b.half_width
    before, after = (replace(b, half_width=half, centre_x=left + half) for half in halves)
    return before, after


def _open(b: Building, rng: Random, at_least: float) -> Pair | None:
    """Open or close the door."""
    left, _, right = doorway(b)
    openings = two_values(rng, RANGES["opening"], at_least / (right - left))
    if openings is None:
        return None
    before, after = (replace(b, opening=opening) for opening in openings)
    return before, after


def _flag(b: Building, rng: Random, at_least: float) -> Pair | None:
    """Turn the flag about its pole."""
    if b.form not in FLAGGED:
        return None
    low, high = RANGES["flag_angle"]
    angles = two_values(rng, (low, high), (high - low) * min(1.0, at_least / FLAG_REACH))
    if angles is None:
        return None
    before, after = (replace(b, flag_angle=angle) for angle in angles)
    return before, after


BUILDING: Kind[Building] = Kind(
    name="building",
    share=0.16,
    sample=buildings.sample,
    fits=buildings.fits,
    backdrop=building_parts.backdrop,
    figure=building_parts.figure,
    keypoints=keypoints,
    caption=caption,
    movers=(
        Mover("slide", False, 0.19, _slide, named(keypoints, "knob")),
        Mover("door", False, 0.19, _door, named(keypoints, "knob")),
        Mover("window", False, 0.19, _window, named(keypoints, "window")),
        Mover("roof", True, 0.19, _roof, named(keypoints, "roof_tip")),
        Mover("raise", True, 0.19, _raise, named(keypoints, "eaves_l", "eaves_r")),
        Mover("stretch", True, 0.19, _stretch, named(keypoints, "wall_r")),
        Mover("open", True, 0.19, _open, named(keypoints, "leaf")),
        Mover("flag", True, 0.19, _flag, named(keypoints, "flag")),
    ),
)
