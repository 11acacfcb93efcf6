"""Noise levels: what a train timestep means, and the levels that a run visits."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from featurekit.core.errors import NoiseLevelError, ScheduleError
from featurekit.core.precision import double_device
from featurekit.core.shapes import expect
from featurekit.diffusion.diffusers_schedulers import described, spaced
from featurekit.diffusion.levels import (
    ForwardProcess,
    check_levels,
    check_steps,
    level_of_strength,
    snr,
    timestep_of,
)
from featurekit.diffusion.steps import ddim_step, noised

Prediction = Literal["epsilon", "v_prediction", "sample"]  # by diffusers' names; the last is x0


@dataclass(frozen=True, eq=False)
class NoiseTable:
    """Signal level by train timestep: what a network was told while it was trained.

    A noisy latent is ``sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) eps``. Tables compare by identity.

    Source: Ho et al. 2020, arXiv:2006.11239, eq. 4.
    """

    alpha_bars: Tensor  # (T,) float64 on the CPU, in (0, 1], falling with t
    final_alpha_bar: float  # level of the clean end, in [alpha_bars[0], 1]
    prediction: Prediction  # what the network answers
    spacing: str = "leading"  # default of ``Schedule.ddim``: leading, trailing or linspace
    steps_offset: int = 1  # default of ``Schedule.ddim``; SD 1.x and 2.x use 1
    obstacle: str = ""  # why no run can be walked both ways; a level can still be looked up
    sampler: str = ""  # whose spacing it is; a run that it does not allow is spaced as DDIM's own
    remark: str = ""  # what of the scheduler was left out, for records

    def __post_init__(self) -> None:
        """Refuse a table that no network can have been trained with.

        Raises:
            ShapeError: ``alpha_bars`` is not (T,).
            ScheduleError: it is not float64 on the CPU, does not fall or leaves (0, 1]; the final
                level is below it or above 1; the prediction is unknown.
        """
        expect(self.alpha_bars, "t", of="alpha_bars")
        # a last level without signal can be told of where no run is walked anyway
        silent = bool(self.obstacle) and len(self.alpha_bars) and not self.alpha_bars[-1]
        check_levels(self.alpha_bars[:-1] if silent else self.alpha_bars)
        if (self.alpha_bars.diff() >= 0).any():
            t = int((self.alpha_bars.diff() >= 0).nonzero()[0])
            raise ScheduleError(f"alpha_bars must fall with t, got no fall from t={t} to t={t + 1}")
        first = float(self.alpha_bars[0])
        if not first <= self.final_alpha_bar <= 1:
            raise ScheduleError(
                f"final_alpha_bar must lie in [alpha_bars[0], 1] = [{first:.6g}, 1], "
                f"got {self.final_alpha_bar:.6g}"
            )
        if self.prediction not in get_args(Prediction):
            raise ScheduleError(
                f"prediction must be one of {', '.join(get_args(Prediction))}, "
                f"got {self.prediction!r}; wrap such a network so that it answers eps"
            )

    @classmethod
    def scaled_linear(
        cls,
        *,
        train_timesteps: int = 1000,
        beta_start: float = 0.00085,
        beta_end: float = 0.012,
        prediction: Prediction = "epsilon",
        set_alpha_to_one: bool = False,
    ) -> NoiseTable:
        """Build the table of latent diffusion: the square root of beta rises linearly.

        Args:
            train_timesteps: length T of the table.
            beta_start: variance added by the first train step, in (0, 1).
            beta_end: variance added by the last train step, in (0, 1).
            prediction: what the network answers.
            set_alpha_to_one: the clean end has level 1 instead of the level of t = 0.

        Returns:
            Table; the defaults are those of Stable Diffusion 1.x.

        Raises:
            ScheduleError: the numbers give no falling table in (0, 1].

        Source: Rombach et al. 2022, arXiv:2112.10752, as configured in Stable Diffusion 1.x.
        """
        return cls.from_scheduler(
            {
                "num_train_timesteps": train_timesteps,
                "beta_start": beta_start,
                "beta_end": beta_end,
                "beta_schedule": "scaled_linear",
                "prediction_type": prediction,
                "set_alpha_to_one": set_alpha_to_one,
                "steps_offset": 1,
            }
        )

    @classmethod
    def from_scheduler(cls, scheduler: Any) -> NoiseTable:  # noqa: ANN401 - any scheduler class
        """Read the table from a diffusers scheduler, or from its config.

        Only what the network was trained with is read, never how the scheduler would step: PNDM
        and Euler schedulers serve as well as DDIM ones. What keeps its steps from being undone
        (clipping, thresholding, no signal at the last level) is noted as the table's ``obstacle``:
        features can be read with it, ``Schedule.ddim`` refuses it. An object's own levels are taken
        as they are; a config's are computed in float64. A setting that is left out has the default
        of its class (``_class_name`` in a mapping, else DDIM but for clipping), spacing of DDIM.

        Args:
            scheduler: any diffusers scheduler, its ``config``, or the mapping of its JSON file.

        Returns:
            The table, with the scheduler's spacing and offset as defaults.

        Raises:
            ScheduleError: a level holds no signal and no setting says why, it predicts neither
                eps, v nor x0, or there are no levels in it.
        """
        return cls(*described(scheduler))  # type: ignore[arg-type]  # prediction: __post_init__

    @property
    def train_timesteps(self) -> int:
        """Length T of the table."""
        return len(self.alpha_bars)

    @property
    def terminal_snr(self) -> float:
        """Signal to noise, as powers, of the last timestep; training would have it 0."""
        return snr(self.alpha_bars[-1])

    def __repr__(self) -> str:
        """One line, never the levels."""
        of = f"{len(self.alpha_bars)} timesteps, {self.prediction}, {self.spacing}"
        ends = f"{self.final_alpha_bar:.5g}..{float(self.alpha_bars[-1]):.3g}"
        return f"NoiseTable({of}+{self.steps_offset}, alpha_bar {ends})"

    def level(self, t: float | Tensor) -> Tensor:
        """Look up the signal level at a train timestep.

        Args:
            t: train timestep in [0, T): one integer, or one per image, (b,).

        Returns:
            alpha_bar, float64: 0-dim on the CPU for one timestep; (b 1 1 1) on the device of
            ``t`` for several, or on the CPU where that device has no float64.

        Raises:
            NoiseLevelError: a timestep is outside the table, is no integer, or has no signal left.
            ShapeError: ``t`` has more than one axis.
        """
        asked = torch.as_tensor(t)
        if asked.is_floating_point():
            raise NoiseLevelError(f"t must be an integer, got {asked.dtype}; round it yourself")
        if asked.ndim:
            expect(asked, "b", of="t")
        index, last = asked.detach().cpu().long(), len(self.alpha_bars) - 1
        outside = index[(index < 0) | (index > last)].flatten()
        if outside.numel():
            raise NoiseLevelError(f"t must lie in [0, {last}], got {outside[0].item()}")
        found, where = self.alpha_bars[index], double_device(asked.device)
        if not found.all():
            raise NoiseLevelError(f"t must have some signal left, got {last}, which has none")
        return found.reshape(-1, 1, 1, 1).to(where) if index.ndim else found

    def noised(self, x0: Tensor, eps: Tensor, t: float | Tensor) -> Tensor:
        """Carry a clean latent to a whole train timestep; as ``ForwardProcess.noised``."""
        return noised(x0, eps, alpha_bar=self.level(t))


@dataclass(frozen=True, eq=False)
class Schedule:
    """The levels of one run: level 0 is clean, level i the i-th least noisy timestep.

    Inversion climbs the levels and sampling descends them; both read one and the same object.
    """

    timesteps: tuple[int, ...]  # noisiest first, as diffusers lists them: level n first
    alpha_bars: Tensor  # (n+1,) float64 on the CPU, by level: [0] is the clean end
    told: str = ""  # how the timesteps were chosen, for records

    def __post_init__(self) -> None:
        """Refuse lists that contradict each other.

        Raises:
            ShapeError: there is not one level more than there are timesteps.
            ScheduleError: there is no timestep, they do not fall, or the levels are not float64
                on the CPU, rise, or leave (0, 1].
        """
        expect(self.alpha_bars, "levels", of="alpha_bars", levels=len(self.timesteps) + 1)
        falls = all(a > b for a, b in zip(self.timesteps, self.timesteps[1:], strict=False))
        if not self.timesteps or not falls:
            raise ScheduleError(f"timesteps must fall, noisiest first, got {self.timesteps}")
        check_levels(self.alpha_bars)
        # level 1 may equal level 0: t = 0 is the clean end where set_alpha_to_one is false
        if (self.alpha_bars.diff() > 0).any():
            raise ScheduleError(
                f"alpha_bars must fall from the clean level on, got {self.alpha_bars.tolist()}"
            )

    @classmethod
    def ddim(
        cls,
        noise: ForwardProcess,
        steps: int = 50,
        spacing: str | None = None,
        steps_offset: int | None = None,
    ) -> Schedule:
        """Choose the timesteps of a run exactly as diffusers' DDIM scheduler does.

        Args:
            noise: table that the network was trained with.
            steps: number of timesteps n, 1 to T.
            spacing: ``leading``, ``trailing`` or ``linspace``; None takes the table's, or DDIM's
                own where the table's is another sampler's and cannot be walked (``told`` says so).
            steps_offset: added to each timestep of ``leading``; None takes the table's.

        Returns:
            Schedule of n timesteps and n + 1 levels.

        Raises:
            UnknownNameError: there is no such spacing.
            ScheduleError: it is no table of diffusion or has an obstacle, a timestep would lie
                outside it, or diffusers' step would not follow the list (``ddim_timesteps``).
        """
        if not isinstance(noise, NoiseTable):
            raise ScheduleError(
                f"a run of DDIM must be of a diffusion model, got {noise!r}; "
                f"take FlowSchedule.euler for a flow"
            )
        if noise.obstacle:
            raise ScheduleError(noise.obstacle)
        timesteps, told = spaced(
            len(noise.alpha_bars),
            steps,
            noise.spacing if spacing is None else spacing,
            noise.steps_offset if steps_offset is None else steps_offset,
            clean_at=0 if noise.final_alpha_bar == float(noise.alpha_bars[0]) else -1,
            sampler=noise.sampler if spacing is None else "",
        )
        clean = torch.tensor([noise.final_alpha_bar], dtype=torch.float64)
        levels = torch.cat([clean, noise.alpha_bars[list(reversed(timesteps))]])
        return cls(timesteps, levels, f"{told}; {noise.remark}" if noise.remark else told)

    @property
    def steps(self) -> int:
        """Number of timesteps n, which is also the highest level."""
        return len(self.timesteps)

    @property
    def terminal_snr(self) -> float:
        """Signal to noise, as powers, of the noisiest level: what is left in its "noise"."""
        return snr(self.alpha_bars[-1])

    def __repr__(self) -> str:
        """One line, never the levels."""
        ends = f"{float(self.alpha_bars[0]):.5g}..{float(self.alpha_bars[-1]):.3g}"
        span = f"t={self.timesteps[-1]}..{self.timesteps[0]}"
        return f"Schedule(n={self.steps}, {span}, alpha_bar {ends}, {self.fingerprint})"

    @property
    def fingerprint(self) -> str:
        """Hash of timesteps and levels: equal for equal schedules, for provenance."""
        digest = sha256(repr(self.timesteps).encode())
        digest.update(self.alpha_bars.numpy().tobytes())
        return digest.hexdigest()[:16]

    def timestep(self, level: int) -> int:
        """Name the train timestep of a level, 1 to n; ``timestep_of`` says the rest."""
        return timestep_of(self.timesteps, level)

    def level_for(self, strength: float) -> int:
        """Turn a share of the run into the nearest level; ``level_of_strength`` says the rest."""
        return level_of_strength(strength, self.steps)

    def noised(self, x0: Tensor, eps: Tensor, level: int) -> Tensor:
        """Carry a clean latent to a level with a given noise; as ``NoiseSchedule.noised``."""
        check_steps((level,), self.steps)
        return noised(x0, eps, alpha_bar=self.alpha_bars[level])

    def step(self, z: Tensor, answer: Tensor, from_level: int, to_level: int) -> Tensor:
        """Carry a latent between levels along the DDIM path, by eps; as ``NoiseSchedule.step``."""
        check_steps((from_level, to_level), self.steps)
        before, after = self.alpha_bars[from_level], self.alpha_bars[to_level]
        return ddim_step(z, answer, alpha_bar_from=before, alpha_bar_to=after)
