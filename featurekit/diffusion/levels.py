"""Noise levels as numbers, and what diffusion and flow matching share about them.

``ForwardProcess`` is what a network was trained with (``NoiseTable``, ``FlowTable``),
``NoiseSchedule`` the levels of one run (``Schedule``, ``FlowSchedule``).
"""

from collections.abc import Sequence
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from featurekit.core.errors import NoiseLevelError, ScheduleError

Timestep = TypeVar("Timestep", int, float)


class ForwardProcess(Protocol):
    """How pictures become noise while a network is trained, by train timestep."""

    @property
    def prediction(self) -> str:
        """What the network answers: epsilon, v_prediction, sample, or flow."""
        ...

    @property
    def train_timesteps(self) -> int:
        """T: timesteps are whole ones in [0, T) for diffusion, real ones in [0, T] for flows."""
        ...

    def level(self, t: float | Tensor) -> Tensor:
        """Look up the noise level at a train timestep.

        Args:
            t: train timestep, one or (b,).

        Returns:
            float64, 0-dim or (b 1 1 1): alpha_bar for diffusion, sigma for flows.

        Raises:
            NoiseLevelError: the network was trained at no such timestep.
        """
        ...

    def noised(self, x0: Tensor, eps: Tensor, t: float | Tensor) -> Tensor:
        """Carry a clean latent to the noise level of a train timestep with a given noise.

        Args:
            x0: clean latent, (b c h w), scaled by the VAE factor.
            eps: noise, same shape and dtype, unit variance.
            t: train timestep, one or (b,).

        Returns:
            Latent at ``t``, (b c h w), dtype and device of ``x0``.

        Raises:
            NoiseLevelError: the network was trained at no such timestep.
            ShapeError: shape or dtype differ.
        """
        ...


class NoiseSchedule(Protocol):
    """The levels of one run: level 0 is clean, level i the i-th least noisy timestep."""

    @property
    def timesteps(self) -> Sequence[float]:
        """What the network is told, noisiest first, as diffusers lists them: level n first."""
        ...

    @property
    def told(self) -> str:
        """How the timesteps were chosen, for records."""
        ...

    @property
    def steps(self) -> int:
        """Number of timesteps n, which is also the highest level."""
        ...

    @property
    def terminal_snr(self) -> float:
        """Signal to noise, as powers, of the noisiest level."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hash of kind, timesteps and levels: equal for equal schedules."""
        ...

    def timestep(self, level: int) -> float:
        """Name the train timestep of a level, 1 to n.

        Raises:
            NoiseLevelError: there is no such level.
        """
        ...

    def level_for(self, strength: float) -> int:
        """Turn a share of the run in (0, 1] into the level nearest to it.

        Raises:
            NoiseLevelError: the strength is outside (0, 1], or rounds to no step at all.
        """
        ...

    def noised(self, x0: Tensor, eps: Tensor, level: int) -> Tensor:
        """Carry a clean latent to a level with a given noise.

        Args:
            x0: clean latent, (b c h w), scaled by the VAE factor.
            eps: noise, same shape and dtype, unit variance.
            level: 0 to n.

        Returns:
            Latent at ``level``, dtype and device of ``x0``.

        Raises:
            NoiseLevelError: there is no such level.
            ShapeError: shape or dtype differ.
        """
        ...

    def step(self, z: Tensor, answer: Tensor, from_level: int, to_level: int) -> Tensor:
        """Carry a latent from one level to another by what the network answered.

        Args:
            z: latent at ``from_level``, (b c h w).
            answer: what the predictor gave, same shape and dtype: eps, or v of a flow.
            from_level: level of ``z``, 0 to n.
            to_level: level to reach, 0 to n; higher ones are noisier.

        Returns:
            Latent at ``to_level``, dtype and device of ``z``.

        Raises:
            NoiseLevelError: there is no such level.
            ShapeError: shape or dtype differ.
        """
        ...


def timestep_of(timesteps: Sequence[Timestep], level: int) -> Timestep:
    """Name the train timestep of a level.

    Args:
        timesteps: noisiest first, level n first.
        level: 1 (least noisy) to n (noisiest).

    Returns:
        Train timestep that the network is told.

    Raises:
        NoiseLevelError: there is no such level.
    """
    if not 1 <= level <= len(timesteps):
        raise NoiseLevelError(f"level must lie in [1, {len(timesteps)}], got {level}")
    return timesteps[len(timesteps) - level]


def level_of_strength(strength: float, steps: int) -> int:
    """Turn a strength into the level nearest to that share of the run.

    Args:
        strength: share of the steps, in (0, 1]; .7 of 50 steps is level 35.
        steps: of the run.

    Returns:
        Level, 1 to n.

    Raises:
        NoiseLevelError: the strength is outside (0, 1], or rounds to no step at all.
    """
    if not 0 < strength <= 1:
        raise NoiseLevelError(f"strength must lie in (0, 1], got {strength:.6g}")
    level = round(strength * steps)
    if level == 0:
        raise NoiseLevelError(
            f"strength must reach the first of {steps} steps, got {strength:.6g}; "
            f"raise it above {0.5 / steps:.6g}"
        )
    return level


def check_steps(levels: Sequence[int], steps: int) -> None:
    """Refuse levels that a run does not have.

    Args:
        levels: what a step leads from and to.
        steps: of the run.

    Raises:
        NoiseLevelError: one is below 0 or above ``steps``.
    """
    for level in levels:
        if not 0 <= level <= steps:
            raise NoiseLevelError(f"a step must be between levels 0 to {steps}, got {level}")


def snr(alpha_bar: Tensor) -> float:
    """Signal to noise, as powers.

    Args:
        alpha_bar: cumulative signal level, 0-dim, in [0, 1).

    Returns:
        The ratio; 0 where no signal is left.
    """
    return float(alpha_bar / (1 - alpha_bar))


def check_levels(levels: Tensor) -> None:
    """Refuse signal levels that a path cannot be walked on.

    Args:
        levels: alpha_bar, (n,).

    Raises:
        ScheduleError: they are not float64 on the CPU, or leave (0, 1].
    """
    if levels.dtype != torch.float64 or levels.device.type != "cpu":
        raise ScheduleError(
            f"alpha_bars must be float64 on the CPU, got {levels.dtype} on {levels.device}; "
            f"convert with .double().cpu()"
        )
    bad = (~((levels > 0) & (levels <= 1))).nonzero()
    if len(bad):
        i = int(bad[0])
        raise ScheduleError(
            f"every alpha_bar must lie in (0, 1], got {float(levels[i]):.6g} at index {i}; "
            f"a level without signal cannot be inverted"
        )
