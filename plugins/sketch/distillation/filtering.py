"""Which pairs a student learns from: those whose ink is of the amount and crispness of a drawing.

A teacher that does not know what it sees draws next to nothing, black clouds or grey. The rule is
stated, the same for all, and what it rejects is shown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from PIL import Image
from torch import Tensor

from featurekit.core.errors import ConfigError
from featurekit.images.pictures import contact_sheet
from featurekit_sketch.distillation.pair_shards import Pairs

BAND = 3.0  # how many times more or less ink than the drawn example a sketch may have
BLACKEST = 0.6  # most ink that any sketch may have
GREYEST = 0.9  # share of grey; true drawings have .28 to .41, a blurred one above 1
FEWEST = 2  # pairs that something can be learnt from, and measured on
SHOWN = 12  # rejects on a sheet


@dataclass(frozen=True)
class Rule:
    """Bounds of a sketch that is kept."""

    ink: float  # share that is usual, in (0, 1)
    band: float = BAND
    greyest: float = GREYEST

    @property
    def least(self) -> float:
        """Least share of ink."""
        return self.ink / self.band

    @property
    def most(self) -> float:
        """Greatest share of ink."""
        return min(BLACKEST, self.ink * self.band)

    @property
    def told(self) -> str:
        """The rule in words."""
        return (
            f"kept are sketches with ink on {self.least:.1%} to {self.most:.1%} of the paper "
            f"(usual is {self.ink:.1%}) and a share of grey of at most {self.greyest:g}"
        )

    def fault(self, ink: Tensor) -> str:
        """Why a sketch (1 1 h w) is not kept; empty if it is."""
        if not bool(ink.isfinite().all()):
            return "not finite"
        share = ink_share(ink)
        if share < self.least:
            return f"too little ink, {share:.1%}"
        if share > self.most:
            return f"too much ink, {share:.1%}"
        grey = grey_share(ink)
        return f"too grey, {grey:.2f}" if grey > self.greyest else ""


@dataclass(frozen=True, eq=False)
class Sorted:
    """Pairs that are learnt from, and the others with the reason."""

    kept: Pairs
    rejected: Mapping[str, str]
    rule: Rule

    @property
    def told(self) -> str:
        """How many were rejected, and by which rule."""
        return f"{len(self.rejected)} of {len(self.rejected) + len(self.kept)} pairs are left " + (
            f"out: {self.rule.told}"
        )


def sort_out(pairs: Pairs, *, drawn_ink: float | None = None) -> Sorted:
    """Keep the pairs of a rule.

    Args:
        pairs: all of them.
        drawn_ink: share of ink of the drawing that the style was learnt from; without it the
            median of the pairs is what is usual.

    Raises:
        ConfigError: fewer than two are left.
    """
    if drawn_ink is None:
        drawn_ink = median(ink_share(one.ink) for one in pairs)
    rule = Rule(max(drawn_ink, 1e-3))
    faults = {one.name: rule.fault(one.ink) for one in pairs}
    kept = [name for name in pairs.names if not faults[name]]
    if len(kept) < FEWEST:
        raise ConfigError(
            f"a student needs at least {FEWEST} pairs to learn from, got {len(kept)} of "
            f"{len(pairs)}: {rule.told}; give more pictures, or a style that draws them"
        )
    rejected = {name: faults[name] for name in pairs.names if faults[name]}
    return Sorted(pairs.only(kept), rejected, rule)


def rejects_sheet(pairs: Pairs, rejected: Mapping[str, str]) -> Image.Image:
    """The first pairs that were rejected, none chosen, each with the reason."""
    names: Sequence[str] = list(rejected)[:SHOWN]
    rows = {}
    for name in names:
        pair = pairs[name]
        rows[f"{name}: {rejected[name]}"] = [
            pair.picture,
            (2 * pair.ink - 1).expand(-1, 3, -1, -1),
        ]
    return contact_sheet(rows, ["picture", "sketch"])


def ink_share(ink: Tensor) -> float:
    """How much of the paper (1 1 h w) is ink, in [0, 1]."""
    return float((1 - ink).mean())


def grey_share(ink: Tensor) -> float:
    """How much of the ink is grey: sum of 4 y (1 - y) over sum of 1 - y, y in [0, 1]."""
    return float((4 * ink * (1 - ink)).sum() / (1 - ink).sum().clamp(min=1e-6))
