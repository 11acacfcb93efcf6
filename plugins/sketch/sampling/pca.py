"""Principal axes of more rows than fit into memory together."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from featurekit.core.errors import BackboneError, ConfigError

EXACT = 2048  # rows that are decomposed at once
SPARE = 128  # directions kept between decompositions beyond those asked for
SMALLEST = 1e-5  # share of the largest deviation below which a direction is rounding
EQUAL = 1e-6  # relative deviation below which rows are one and the same


def principal_axes(
    parts: Iterable[Tensor], components: int
) -> tuple[Tensor, Tensor, Tensor, float]:
    """Find the principal axes of rows that come in parts and need not fit into memory together.

    Rows are gathered until there are ``EXACT``, or twice ``components`` if that is more, and then
    decomposed together with what earlier rows left: their mean and their leading directions,
    scaled so that the products of these rows are the scatter of all rows seen. A row for the
    difference of the two means makes the new scatter whole. Rows that fit into one gathering, or
    have no more entries than directions are kept, are so decomposed exactly. Otherwise only what
    lies beyond ``components + SPARE`` directions is dropped at each decomposition, which can make
    a deviation too small, never too large. Mean and whole variance are exact in any case. Memory
    is a gathering's, whatever the number of rows; the smaller of the two Gram matrices is
    decomposed, in float64.

    Args:
        parts: rows (r s) each, any float dtype and device.
        components: axes to find.

    Returns:
        Mean (s,), orthonormal axes (k s), deviations (k,) from the largest on, all float64 on the
        CPU, and the share of the variance that they hold; k is at most what the rows span.

    Raises:
        ConfigError: the rows are all one.
        BackboneError: a number is not finite.

    Source: Ross et al. 2008, Incremental learning for robust visual tracking, section 2.
    """
    seen: _Seen | None = None
    waiting: list[Tensor] = []
    for part in parts:
        waiting.append(part.cpu())
        if sum(map(len, waiting)) >= max(EXACT, 2 * components):
            seen = _with_rows(seen, torch.cat(waiting), components + SPARE)
            waiting.clear()
    if waiting:
        seen = _with_rows(seen, torch.cat(waiting), components + SPARE)
    if seen is None or seen.energy <= EQUAL**2 * seen.count * float(seen.mean.square().sum()):
        raise ConfigError("a prior needs captions that differ, but all are one to the text encoder")
    lengths = seen.rows.norm(dim=1)[:components]
    axes = seen.rows[:components] / lengths[:, None]
    kept = float(lengths.square().sum()) / seen.energy
    return seen.mean, axes, lengths / sqrt(seen.count - 1), kept


@dataclass(frozen=True, eq=False)
class _Seen:
    """What is known of the rows so far."""

    count: int
    mean: Tensor  # (s,)
    rows: Tensor  # (r s), orthogonal, longest first; rows.T @ rows is the scatter about the mean
    energy: float  # sum of the squared distances from the mean, of everything


def _with_rows(seen: _Seen | None, new: Tensor, keep: int) -> _Seen:
    """Add rows (m s) to what is known and keep the leading directions."""
    new = new.double()
    if not new.isfinite().all():
        raise BackboneError("the text encoder must give finite numbers, got NaN or infinity")
    centre, added = new.mean(dim=0), len(new)
    new = new - centre
    energy = float(torch.linalg.vector_norm(new)) ** 2
    if seen is None:
        return _Seen(added, centre, _leading(new, keep), energy)
    count, step = seen.count + added, centre - seen.mean
    between = step * sqrt(seen.count * added / count)
    return _Seen(
        count=count,
        mean=seen.mean + step * (added / count),
        rows=_leading(torch.cat([seen.rows, new, between[None]]), keep),
        energy=seen.energy + energy + float(between.square().sum()),
    )


def _leading(rows: Tensor, keep: int) -> Tensor:
    """Orthogonal rows, longest first, with the scatter of the given ones as far as they reach."""
    wide = rows.shape[1] >= rows.shape[0]
    values, vectors = torch.linalg.eigh(rows @ rows.T if wide else rows.T @ rows)
    counted = int((values > SMALLEST**2 * values[-1]).sum())
    chosen = vectors.flip(1)[:, : min(keep, counted)].T
    scaled: Tensor = chosen @ rows if wide else chosen * _column(values, len(chosen))
    return scaled


def _column(values: Tensor, count: int) -> Tensor:
    return values.flip(0)[:count, None].sqrt()
