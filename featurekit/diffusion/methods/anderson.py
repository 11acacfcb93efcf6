"""Fixed points of a map of latents, by repeating it plainly or with Anderson's extrapolation."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

Move: TypeAlias = Callable[[Tensor], Tensor]
"""A latent (b c h w) to where the map brings it, same shape."""

_Mix: TypeAlias = Callable[[list[Tensor], list[Tensor]], Tensor]
"""Last answers of a map, and how far each moved, to the next latent to ask about."""

MEMORY = 2  # differences of earlier answers that an extrapolation combines
_RIDGE = 1e-13  # relative to unit columns; decides only where differences are parallel or zero


@dataclass(frozen=True)
class Settled:
    """Where a repeated map was left, and how much it still moved there."""

    z: Tensor  # estimate of the fixed point, (b c h w)
    moved: Tensor  # rms by which the last application moved each row, (b,)


def repeated(move: Move, z: Tensor, times: int, *, tol: float | None = None) -> Settled:
    """Apply a map again and again; the error falls by its contraction factor each time.

    Args:
        move: map to apply.
        z: first latent, (b c h w).
        times: applications at most, 1 or more.
        tol: a row that an application moved by no more than this rms stays as it then is, and
            once that is so of all rows the map is applied no more; None always applies it
            ``times`` times.

    Returns:
        Last answer, (b c h w), and how far it was from the one before.

    Source: Pan et al. 2023, arXiv:2309.04907, without acceleration.
    """
    return _settled(move, z, times, tol=tol, mix=lambda answers, moves: answers[-1])


def extrapolated(move: Move, z: Tensor, times: int, *, tol: float | None = None) -> Settled:
    """Apply a map and step to where its last answers, combined row by row, move least.

    The small systems are solved in float64 on the CPU: not every device has that precision.

    Args:
        move: map to apply; a contraction near its fixed point.
        z: first latent, (b c h w).
        times: applications at most, 1 or more; with 1 the answer is that of ``repeated``.
        tol: as for ``repeated``.

    Returns:
        Estimate of the fixed point, (b c h w), dtype and device of ``z``, and how far the last
        answer was from the estimate before.

    Source: Anderson 1965, doi:10.1145/321296.321305, as type II in Walker and Ni 2011,
    doi:10.1137/10078356X; for inversion Pan et al. 2023, arXiv:2309.04907.
    """
    return _settled(move, z, times, tol=tol, mix=_least_moved)


def _settled(move: Move, z: Tensor, times: int, *, tol: float | None, mix: _Mix) -> Settled:
    answers: list[Tensor] = []
    moves: list[Tensor] = []
    moved = torch.full((len(z),), torch.inf, device=z.device)
    for _ in range(times):
        answers.append(move(z))
        moves.append(answers[-1] - z)
        answers, moves = answers[-MEMORY - 1 :], moves[-MEMORY - 1 :]
        latest = _rms(moves[-1])
        if tol is None:
            z, moved = mix(answers, moves), latest
            continue
        going = moved > tol
        z = torch.where(going[:, None, None, None], mix(answers, moves), z)
        moved = torch.where(going, latest, moved)
        if not bool((moved > tol).any()):
            break
    return Settled(z, moved)


def _rms(change: Tensor) -> Tensor:
    """Root mean square of each row, in float32 where the latents are shorter."""
    wide = change.detach().to(torch.promote_types(change.dtype, torch.float32))
    found: Tensor = wide.flatten(1).square().mean(1).sqrt().float()
    return found


def _least_moved(answers: list[Tensor], moves: list[Tensor]) -> Tensor:
    """Last answer, less the share of earlier changes that explains how it still moves."""
    if len(answers) == 1:
        return answers[0]
    columns = _differences(moves)
    lengths = columns.norm(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
    unit = columns / lengths
    gram = unit.mT @ unit + _RIDGE * torch.eye(unit.shape[2]).to(unit)
    still = moves[-1].cpu().double().flatten(1)[:, :, None]
    shares = torch.linalg.solve(gram, unit.mT @ still) / lengths.mT
    change = (_differences(answers) @ shares)[:, :, 0].to(answers[-1].dtype)
    extrapolation: Tensor = answers[-1] - change.to(answers[-1].device).view_as(answers[-1])
    return extrapolation


def _differences(latents: list[Tensor]) -> Tensor:
    """Changes from each latent to the next, as columns (b n m), float64 on the CPU."""
    rows = torch.stack([latent.cpu().double().flatten(1) for latent in latents], dim=2)
    changes: Tensor = rows.diff(dim=2)
    return changes
