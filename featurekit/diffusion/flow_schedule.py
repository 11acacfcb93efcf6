"""The noise levels that a run of flow matching visits, and Euler's step between them."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import torch
from torch import Tensor

from featurekit.core.errors import ScheduleError
from featurekit.core.shapes import expect
from featurekit.diffusion.flow_steps import flow_noised, flow_step
from featurekit.diffusion.flow_table import FlowTable
from featurekit.diffusion.flows.sigmas import (
    UNIPC_BELOW_ONE,
    Sigmas,
    dynamically_shifted,
    mu_of,
    passed,
    respaced,
    shifted,
    stretched,
)
from featurekit.diffusion.levels import (
    ForwardProcess,
    NoiseSchedule,
    check_steps,
    level_of_strength,
    timestep_of,
)
from featurekit.diffusion.noise_schedule import Schedule

TIMESTEP_DECIMALS = 9  # of what a network is told, so that 600.0000000000001 is called 600


@dataclass(frozen=True, eq=False)
class FlowSchedule:
    """The levels of one run of a flow: level 0 is clean, level i the i-th least noisy timestep.

    Inversion climbs the levels and sampling descends them; both read one and the same object.
    """

    timesteps: tuple[float, ...]  # noisiest first, as diffusers lists them: level n first
    sigmas: Tensor  # (n+1,) float64 on the CPU, by level: [0] is the clean end, 0
    told: str = ""  # how the levels were chosen, for records

    def __post_init__(self) -> None:
        """Refuse lists that contradict each other.

        Raises:
            ShapeError: there is not one level more than there are timesteps.
            ScheduleError: there is no timestep, they do not fall, or the levels are not float64
                on the CPU, do not rise from 0 or exceed 1.
        """
        expect(self.sigmas, "levels", of="sigmas", levels=len(self.timesteps) + 1)
        falls = all(a > b for a, b in zip(self.timesteps, self.timesteps[1:], strict=False))
        if not self.timesteps or not falls or not self.timesteps[-1] >= 0:
            raise ScheduleError(f"timesteps must fall, noisiest first, got {self.timesteps}")
        if self.sigmas.dtype != torch.float64 or self.sigmas.device.type != "cpu":
            raise ScheduleError(
                f"sigmas must be float64 on the CPU, got {self.sigmas.dtype} on "
                f"{self.sigmas.device}; convert with .double().cpu()"
            )
        rises = bool((self.sigmas.diff() > 0).all())
        if not rises or self.sigmas[0] != 0 or self.sigmas[-1] > 1:
            raise ScheduleError(f"sigmas must rise from 0 to 1, got {self.sigmas.tolist()}")

    @classmethod
    def euler(
        cls,
        table: ForwardProcess,
        steps: int = 28,
        *,
        tokens: int | None = None,
        mu: float | None = None,
    ) -> FlowSchedule:
        """Choose the levels of a run exactly as the family's stock pipeline does.

        Args:
            table: what the network was trained with.
            steps: number of timesteps n, 1 or more.
            tokens: of the picture, without those of the text, for a shift that follows its size.
            mu: that shift itself, in place of ``tokens``.

        Returns:
            Schedule of n timesteps and n + 1 levels.

        Raises:
            ScheduleError: it is no table of a flow or has an obstacle, the number of steps gives
                no falling levels, or the shift needs ``tokens`` or ``mu`` and has none, or has
                both or one that it does not read.
        """
        if not isinstance(table, FlowTable):
            raise ScheduleError(
                f"a run of a flow must be of a flow-matching model, got {table!r}; "
                f"take Schedule.ddim for diffusion"
            )
        if table.obstacle:
            raise ScheduleError(table.obstacle)
        if steps < 1:
            raise ScheduleError(f"steps must be 1 or more, got {steps}")
        mu = _mu(table, steps, tokens, mu)
        asked = _asked(table, steps)
        sigmas = _moved(table, asked, mu)
        timesteps = sigmas * table.train_timesteps
        if table.solver:
            timesteps = np.trunc(timesteps)
        elif table.spacing.sigmas == "whole":
            timesteps = asked * table.train_timesteps
        levels = torch.from_numpy(np.append(sigmas, 0.0)[::-1].copy())
        named = tuple(round(float(t), TIMESTEP_DECIMALS) for t in timesteps)
        return cls(named, levels, _told(table, steps, mu))

    @property
    def steps(self) -> int:
        """Number of timesteps n, which is also the highest level."""
        return len(self.timesteps)

    @property
    def terminal_snr(self) -> float:
        """Signal to noise, as powers, of the noisiest level: 0 where it is nothing but noise."""
        return float(((1 - self.sigmas[-1]) / self.sigmas[-1]) ** 2)

    def __repr__(self) -> str:
        """One line, never the levels."""
        span = f"t={self.timesteps[-1]:g}..{self.timesteps[0]:g}"
        ends = f"sigma {float(self.sigmas[1]):.4g}..{float(self.sigmas[-1]):.4g}"
        return f"FlowSchedule(n={self.steps}, {span}, {ends}, {self.fingerprint})"

    @property
    def fingerprint(self) -> str:
        """Hash of timesteps and levels: equal for equal schedules, for provenance."""
        digest = sha256(f"flow {self.timesteps!r}".encode())
        digest.update(self.sigmas.numpy().tobytes())
        return digest.hexdigest()[:16]

    def timestep(self, level: int) -> float:
        """Name the train timestep of a level, 1 to n; ``timestep_of`` says the rest."""
        return timestep_of(self.timesteps, level)

    def time(self, level: int) -> float:
        """Name the timestep of a level, 0 to n: that of the clean level is 0."""
        return 0.0 if level == 0 else self.timestep(level)

    def halfway(self, from_level: int, to_level: int) -> tuple[float, Tensor]:
        """Name timestep and sigma halfway between two levels, for steps of second order."""
        check_steps((from_level, to_level), self.steps)
        t = (self.time(from_level) + self.time(to_level)) / 2
        return t, (self.sigmas[from_level] + self.sigmas[to_level]) / 2

    def level_for(self, strength: float) -> int:
        """Turn a share of the run into the nearest level; ``level_of_strength`` says the rest."""
        return level_of_strength(strength, self.steps)

    def noised(self, x0: Tensor, eps: Tensor, level: int) -> Tensor:
        """Carry a clean latent to a level with a given noise; as ``NoiseSchedule.noised``."""
        check_steps((level,), self.steps)
        return flow_noised(x0, eps, sigma=self.sigmas[level])

    def step(self, z: Tensor, answer: Tensor, from_level: int, to_level: int) -> Tensor:
        """Carry a latent between levels in a straight line; as ``NoiseSchedule.step``."""
        check_steps((from_level, to_level), self.steps)
        before, after = self.sigmas[from_level], self.sigmas[to_level]
        return flow_step(z, answer, sigma_from=before, sigma_to=after)


def schedule_of(
    noise: ForwardProcess, steps: int, *, cells: tuple[int, int] | None = None
) -> NoiseSchedule:
    """Choose the levels of a run of any model: DDIM's for diffusion, Euler's for a flow.

    Args:
        noise: what the network was trained with.
        steps: number of timesteps n.
        cells: rows and columns of the latent, for a shift that follows the size of the picture.

    Returns:
        Schedule of n timesteps and n + 1 levels.

    Raises:
        ScheduleError: as for ``Schedule.ddim`` and ``FlowSchedule.euler``.
    """
    if not isinstance(noise, FlowTable):
        return Schedule.ddim(noise, steps)
    tokens = None if noise.dynamic is None or cells is None else noise.tokens(cells)
    return FlowSchedule.euler(noise, steps, tokens=tokens)


def whole_timesteps(schedule: NoiseSchedule, train_timesteps: int = 1000) -> NoiseSchedule:
    """Move the levels of a flow's run to the nearest whole timesteps, where features are read.

    Args:
        schedule: levels of a run.
        train_timesteps: T of the table that it is of.

    Returns:
        Schedule of as many steps; one of diffusion, whose timesteps are whole, as it is.

    Raises:
        ScheduleError: there are so many steps that two would be one.
    """
    if not isinstance(schedule, FlowSchedule):
        return schedule
    levels = schedule.sigmas.flip(0)[:-1]
    timesteps = tuple(round(train_timesteps * float(one)) for one in levels)
    sigmas = torch.tensor([0, *reversed(timesteps)], dtype=torch.float64) / train_timesteps
    return FlowSchedule(timesteps, sigmas, f"{schedule.told}, at whole timesteps")


def _mu(table: FlowTable, steps: int, tokens: int | None, mu: float | None) -> float | None:
    """The shift that follows the size of the picture; None where the shift is fixed."""
    if table.dynamic is None:
        if mu is not None:
            raise ScheduleError(
                f"mu must be left out where the shift is fixed ({table.shift:g}), got {mu:g}"
            )
        return None
    if (tokens is None) == (mu is None):
        raise ScheduleError(
            f"a shift that follows the size of the picture must be given its number of tokens, or "
            f"mu, got {'neither' if mu is None else 'both'}"
        )
    if tokens is None:
        return mu
    if tokens < 1:
        raise ScheduleError(f"tokens must be 1 or more, got {tokens}")
    return mu_of(table.spacing.mu, table.dynamic, tokens, steps)


def _asked(table: FlowTable, steps: int) -> Sigmas:
    """What the family's pipeline, or the scheduler if it is passed nothing, starts from."""
    total = table.train_timesteps
    ends = np.array([1.0, 1 / total])
    if table.dynamic is None:
        ends = shifted(ends, table.end_shift or table.shift)
    return passed(table.solver or table.spacing.sigmas, steps, total, (ends[0], ends[1]))


def _moved(table: FlowTable, sigmas: Sigmas, mu: float | None) -> Sigmas:
    """The same as the scheduler shifts, stretches and respaces them."""
    if mu is None or table.dynamic is None:
        sigmas = shifted(sigmas, table.shift)
    elif table.solver.startswith("DPM"):
        sigmas = shifted(sigmas, float(np.exp(mu)))
    else:
        sigmas = dynamically_shifted(sigmas, mu, table.dynamic.kind)
    if table.terminal is not None:
        if sigmas[-1] == 1:
            raise ScheduleError(
                f"a run that ends at the terminal sigma {table.terminal:g} must have 2 steps or "
                f"more, got {len(sigmas)}"
            )
        sigmas = stretched(sigmas, table.terminal)
    sigmas = respaced(sigmas, table.respacing)
    if table.solver.startswith("UniPC") and abs(sigmas[0] - 1) < UNIPC_BELOW_ONE:
        sigmas[0] -= UNIPC_BELOW_ONE
    return sigmas


def _told(table: FlowTable, steps: int, mu: float | None) -> str:
    moved = f"shift {table.shift:g}" if mu is None else f"shift by mu {mu:.6g}"
    words = [
        f"flow, {steps} steps, {table.solver or table.spacing.sigmas} sigmas, {moved}",
        f"{table.respacing} spacing" if table.respacing else "",
        "" if table.terminal is None else f"ending at {table.terminal:g}",
    ]
    told = ", ".join(word for word in words if word)
    return f"{told}; {table.remark}" if table.remark else told
