"""Are the colours that a caption names in the picture? A test by pixels, calibrated on true scenes.

It asks nothing of any network. A colour counts as there if enough pixels lie close to one of its
tints and shades; how many is enough is learnt from true scenes, for each noun a colour is said of.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from featurekit.core.errors import ConfigError
from featurekit.scenes.colours import COLOURS, darker, lighter

WANTED = 0.95  # share of true scenes that a calibrated test lets pass, at least
SMALLEST_SHARE = 0.01  # of the picture: a part that can be smaller is not tested
FEWEST = 12  # times a noun must have been seen with a colour to be tested
CLOSE = 12.0  # CIELAB distance to a tint or shade
SHADES = (0.7, 0.8, 0.9, 1.0)  # of the world's shadows and gradients
TINTS = (0.12, 0.24, 0.35)
QUANTILES = tuple(step / 400 for step in range(30, -1, -1))  # tried from the strictest
LINKS = frozenset({"a", "an", "the", "and", "on", "under", "with", "in", "of"})

Shares = Mapping[str, float]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Phrase:
    """A colour, the noun it is said of, and which word of the caption it is."""

    colour: str
    noun: str
    place: int


@dataclass(frozen=True)
class ColourTest:
    """How much of a picture a colour must cover, by the noun it is said of."""

    least: Mapping[str, float]  # share of the picture; a noun that is missing is not tested

    def tested(self, caption: str) -> tuple[Phrase, ...]:
        """The colours of a caption that the test asks for."""
        return tuple(phrase for phrase in phrases(caption) if phrase.noun in self.least)

    def passes(self, shares: Shares, caption: str) -> bool:
        """Whether a picture with these shares has every tested colour of the caption."""
        return all(shares[one.colour] >= self.least[one.noun] for one in self.tested(caption))


def phrases(caption: str) -> tuple[Phrase, ...]:
    """Every colour of a caption with its noun: the last word before the next link word."""
    words = caption.split()
    return tuple(
        Phrase(word, _noun(words, place), place)
        for place, word in enumerate(words)
        if word in COLOURS
    )


def recoloured(caption: str, place: int, colour: str) -> str:
    """The caption with another colour at a place, its article put right."""
    words = caption.split()
    words[place] = colour
    if place and words[place - 1] in ("a", "an"):
        words[place - 1] = "an" if colour[0] in "aeiou" else "a"
    return " ".join(words)


def swapped(caption: str, among: Sequence[Phrase], rng: Random) -> str:
    """The caption with one of some colours exchanged for one that it does not name."""
    named = {phrase.colour for phrase in phrases(caption)}
    others = [colour for colour in COLOURS if colour not in named]
    return recoloured(caption, rng.choice(among).place, rng.choice(others))


def colour_shares(picture: Image.Image) -> dict[str, float]:
    """Share of a picture's pixels that lie close to each named colour, lighter or darker."""
    pixels = _lab(np.asarray(picture.convert("RGB"), dtype=np.float64).reshape(-1, 3))
    line = _lines().reshape(-1, 3)
    squared = (pixels**2).sum(1)[:, None] - 2 * pixels @ line.T + (line**2).sum(1)
    apart = squared.reshape(len(pixels), len(COLOURS), -1).min(2)
    close = (apart <= CLOSE**2).mean(0)
    return {name: float(share) for name, share in zip(COLOURS, close, strict=True)}


def calibrate(examples: Sequence[tuple[Shares, str]]) -> ColourTest:
    """Find the strictest test that lets at least ``WANTED`` of true scenes pass.

    Args:
        examples: shares and caption of each true scene.

    Returns:
        The test: for each noun the same quantile of what true scenes show.

    Raises:
        ConfigError: no noun is seen often and large enough to be tested.
    """
    seen: dict[str, list[float]] = {}
    for shares, caption in examples:
        for phrase in phrases(caption):
            seen.setdefault(phrase.noun, []).append(shares[phrase.colour])
    often = {noun: found for noun, found in seen.items() if len(found) >= FEWEST}
    for test in _candidates(often):
        asked = [one for one in examples if test.tested(one[1])]
        if asked and pass_rate(test, asked) >= WANTED:
            return test
    raise ConfigError(
        f"a colour test must be calibrated on scenes with large coloured parts, got "
        f"{len(examples)} scenes without any; take more of them"
    )


def pass_rate(test: ColourTest, examples: Sequence[tuple[Shares, str]]) -> float:
    """Share of pictures that have their captions' colours."""
    return sum(test.passes(*one) for one in examples) / len(examples)


def _candidates(often: Mapping[str, Sequence[float]]) -> Iterator[ColourTest]:
    # What is tested is decided once, or leaving parts out would pass for strictness.
    large = [noun for noun, found in often.items() if _low(found, 0.025) >= SMALLEST_SHARE]
    for quantile in QUANTILES:
        yield ColourTest({noun: _low(often[noun], quantile) for noun in large})


def _low(found: Sequence[float], quantile: float) -> float:
    # a value that was seen, so that all but the share below it pass
    return float(np.quantile(found, quantile, method="lower"))


def _noun(words: Sequence[str], place: int) -> str:
    end = place + 1
    while end < len(words) and words[end] not in LINKS:
        end += 1
    return words[end - 1]


@cache
def _lines() -> Floats:
    """Shades and tints of every named colour in CIELAB, (colours n 3)."""
    named = COLOURS.values()
    variants = [[darker(colour, factor) for factor in SHADES] for colour in named]
    paler = [[lighter(colour, share) for share in TINTS] for colour in named]
    rgb = np.concatenate((np.asarray(variants), np.asarray(paler)), axis=1).astype(np.float64)
    return _lab(rgb.reshape(-1, 3)).reshape(rgb.shape)


def _lab(rgb: Floats) -> Floats:
    """CIELAB under D65 of sRGB values from 0 to 255, (n 3)."""
    share = rgb / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array(  # rows X, Y, Z over the white point, IEC 61966-2-1
        [[0.43395, 0.37622, 0.18983], [0.21267, 0.71516, 0.07217], [0.01776, 0.10947, 0.87277]]
    )
    xyz = linear @ to_xyz.T
    bent = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = bent.T
    lab: Floats = np.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), axis=1)
    return lab
