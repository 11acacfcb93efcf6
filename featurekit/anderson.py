"""Fixed points of a map of latents, by repeating it plainly or with Anderson's extrapolation."""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

Move: TypeAlias = Callable[[Tensor], Tensor]
"""A latent (b c h w) to where the map brings it, same shape."""

MEMORY = 2  # differences of earlier answers that an extrapolation combines
_RIDGE = 1e-13  # relative to unit columns; decides only where differences are parallel or zero


def repeated(move: Move, z: Tensor, times: int) -> Tensor:
    """Apply a map again and again; the error falls by its contraction factor each time.

    Args:
        move: map to apply.
        z: first latent, (b c h w).
        times: applications, 1 or more.

    Returns:
        Last answer, (b c h w).

    Source: Pan et al. 2023, arXiv:2309.04907, without acceleration.
    """
    for _ in range(times):
        z = move(z)
    return z


def extrapolated(move: Move, z: Tensor, times: int) -> Tensor:
    """Apply a map and step to where its last answers, combined row by row, move least.

    Args:
        move: map to apply; a contraction near its fixed point.
        z: first latent, (b c h w).
        times: applications, 1 or more; with 1 the answer is that of ``repeated``.

    Returns:
        Estimate of the fixed point, (b c h w), dtype and device of ``z``.

    Source: Anderson 1965, doi:10.1145/321296.321305, as type II in Walker and Ni 2011,
    doi:10.1137/10078356X; for inversion Pan et al. 2023, arXiv:2309.04907.
    """
    answers: list[Tensor] = []
    moves: list[Tensor] = []
    for _ in range(times):
        answers.append(move(z))
        moves.append(answers[-1] - z)
        answers, moves = answers[-MEMORY - 1 :], moves[-MEMORY - 1 :]
        z = _least_moved(answers, moves)
    return z


def _least_moved(answers: list[Tensor], moves: list[Tensor]) -> Tensor:
    """Last answer, less the share of earlier changes that explains how it still moves."""
    if len(answers) == 1:
        return answers[0]
    columns = _differences(moves)
    lengths = columns.norm(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
    unit = columns / lengths
    gram = unit.mT @ unit + _RIDGE * torch.eye(unit.shape[2]).to(unit)
    still = moves[-1].flatten(1).double()[:, :, None]
    shares = torch.linalg.solve(gram, unit.mT @ still) / lengths.mT
    change = (_differences(answers) @ shares)[:, :, 0]
    extrapolation: Tensor = answers[-1] - change.view_as(answers[-1]).to(answers[-1])
    return extrapolation


def _differences(latents: list[Tensor]) -> Tensor:
    """Changes from each latent to the next, as columns (b n m), float64."""
    rows = torch.stack([latent.flatten(1).double() for latent in latents], dim=2)
    changes: Tensor = rows.diff(dim=2)
    return changes
