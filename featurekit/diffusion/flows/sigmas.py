"""The noise levels of a flow's run, as stock pipelines and diffusers' schedulers choose them.

All arithmetic is in float64 with NumPy, in diffusers' order, since whole timesteps are cut off.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

Sigmas = NDArray[np.float64]

KARRAS_RHO = 7.0  # Karras et al. 2022, arXiv:2206.00364, table 1
BETA_SHAPE = 0.6  # both of the distribution's; Lee et al. 2024, arXiv:2407.12173
UNIPC_BELOW_ONE = 1e-6  # what UniPC takes from a first sigma of 1, whose signal has no logarithm


@dataclass(frozen=True)
class Spacing:
    """How the stock pipeline of a family asks its scheduler for the levels of a run."""

    sigmas: Literal["even", "open", "whole", "own"] = "even"  # what it passes; own: nothing
    mu: Literal["linear", "root", "empirical"] = "linear"  # of a dynamic shift, from tokens
    max_shift: float = 1.15  # where the scheduler says none


SPACINGS: Mapping[str, Spacing] = {
    "sd3": Spacing("own", max_shift=1.16),
    "flux": Spacing(),
    "flux2": Spacing(mu="empirical"),
    "sana": Spacing("own"),
    "lumina2": Spacing(),
    "qwen_image": Spacing(),
    "z_image": Spacing(),
    "chroma": Spacing(),
    "auraflow": Spacing("own"),
    "cogview4": Spacing("whole", "root", max_shift=0.75),
    "hunyuan_image": Spacing("open"),
}
"""By family, as diffusers 0.42 has its pipelines."""


@dataclass(frozen=True)
class DynamicShift:
    """A shift that follows the size of the picture, by its number of tokens."""

    kind: Literal["exponential", "linear"] = "exponential"
    base_shift: float = 0.5  # mu at ``base_tokens``
    max_shift: float = 1.15  # mu at ``max_tokens``
    base_tokens: int = 256
    max_tokens: int = 4096


def passed(sigmas: str, steps: int, total: int, ends: tuple[float, float]) -> Sigmas:
    """List the sigmas that a scheduler starts from, before it shifts them.

    Args:
        sigmas: as ``Spacing.sigmas``.
        steps: n, >= 1.
        total: T of the training.
        ends: first and last sigma of a scheduler that is passed none.

    Returns:
        (n,), noisiest first.
    """
    return _PASSED[sigmas](steps, total, ends)


def _even(n: int, total: int, ends: tuple[float, float]) -> Sigmas:
    return np.linspace(1.0, 1 / n, n)


def _open(n: int, total: int, ends: tuple[float, float]) -> Sigmas:
    return np.linspace(1.0, 0.0, n + 1)[:-1]


def _whole(n: int, total: int, ends: tuple[float, float]) -> Sigmas:
    return np.floor(np.linspace(total, 1.0, n)) / total


def _own(n: int, total: int, ends: tuple[float, float]) -> Sigmas:
    return np.linspace(total * ends[0], total * ends[1], n) / total


def _multistep(n: int, total: int, ends: tuple[float, float]) -> Sigmas:
    return np.flip(1.0 - np.linspace(1, 1 / total, n + 1))[:-1].copy()


def _unipc(n: int, total: int, ends: tuple[float, float]) -> Sigmas:
    return np.linspace(1, 1 / total, n + 1)[:-1].copy()


_PASSED: Mapping[str, Callable[[int, int, tuple[float, float]], Sigmas]] = {
    "even": _even,
    "open": _open,
    "whole": _whole,
    "own": _own,
    "DPMSolverMultistepScheduler": _multistep,
    "UniPCMultistepScheduler": _unipc,
}


def shifted(sigmas: Sigmas, shift: float) -> Sigmas:
    """Move levels towards the noise by a fixed factor.

    Args:
        sigmas: (n,), in [0, 1].
        shift: > 0; 1 leaves them.

    Returns:
        (n,).

    Source: Esser et al. 2024, arXiv:2403.03206, eq. 23.
    """
    return shift * sigmas / (1 + (shift - 1) * sigmas)


def dynamically_shifted(sigmas: Sigmas, mu: float, kind: str) -> Sigmas:
    """Move levels towards the noise by what the size of a picture asks for.

    Args:
        sigmas: (n,), in (0, 1].
        mu: the shift, or with ``exponential`` its logarithm.
        kind: as ``DynamicShift.kind``.

    Returns:
        (n,).

    Source: FLUX.1's own sampler, as diffusers' FlowMatchEulerDiscreteScheduler has it.
    """
    factor = math.exp(mu) if kind == "exponential" else mu
    return factor / (factor + (1 / sigmas - 1))


def stretched(sigmas: Sigmas, terminal: float) -> Sigmas:
    """Stretch levels from 1 on so that the last one is at a given place.

    Args:
        sigmas: (n,), the last below 1.
        terminal: last sigma, in (0, 1).

    Returns:
        (n,).

    Source: LTX-Video, as diffusers' FlowMatchEulerDiscreteScheduler has it.
    """
    signal = 1 - sigmas
    moved: Sigmas = 1 - signal / (signal[-1] / (1 - terminal))
    return moved


def respaced(sigmas: Sigmas, kind: str) -> Sigmas:
    """Replace the levels between the first and the last.

    Args:
        sigmas: (n,), in (0, 1].
        kind: karras, exponential or beta; "" leaves them.

    Returns:
        (n,).

    Source: Karras et al. 2022, arXiv:2206.00364, eq. 5; Lee et al. 2024, arXiv:2407.12173.
    """
    n, first, last = len(sigmas), float(sigmas[0]), float(sigmas[-1])
    if kind == "karras":
        ends = first ** (1 / KARRAS_RHO), last ** (1 / KARRAS_RHO)
        roots: Sigmas = ends[0] + np.linspace(0, 1, n) * (ends[1] - ends[0])
        return roots**KARRAS_RHO
    if kind == "exponential":
        exponents: Sigmas = np.linspace(math.log(first), math.log(last), n)
        return np.exp(exponents)
    if kind == "beta":
        shares: Sigmas = beta.ppf(1 - np.linspace(0, 1, n), BETA_SHAPE, BETA_SHAPE)
        found: Sigmas = last + shares * (first - last)
        return found
    return sigmas


def mu_of(rule: str, dynamic: DynamicShift, tokens: int, steps: int) -> float:
    """Say how far a picture of some size is shifted.

    Args:
        rule: as ``Spacing.mu``.
        dynamic: the scheduler's settings; ``empirical`` reads none of them.
        tokens: of the picture, without those of the text.
        steps: of the run; only ``empirical`` reads it.

    Returns:
        mu.

    Source: diffusers' pipelines of FLUX.1 (linear), CogView4 (root), FLUX.2 (empirical).
    """
    if rule == "root":
        return math.sqrt(tokens / dynamic.base_tokens) * dynamic.max_shift + dynamic.base_shift
    if rule == "empirical":
        return _flux2_mu(tokens, steps)
    slope = (dynamic.max_shift - dynamic.base_shift) / (dynamic.max_tokens - dynamic.base_tokens)
    return tokens * slope + (dynamic.base_shift - slope * dynamic.base_tokens)


def _flux2_mu(tokens: int, steps: int) -> float:
    """Lines fitted at 200 and 10 steps, and between them; large pictures have the first alone."""
    many = 0.00016927 * tokens + 0.45666666
    if tokens > 4300:
        return many
    few = 8.73809524e-05 * tokens + 1.89833333
    slope = (many - few) / 190
    return slope * steps + (many - 200 * slope)
