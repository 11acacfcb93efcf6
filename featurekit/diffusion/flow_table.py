"""Noise levels of flow matching: what a train timestep means to a network that answers velocity."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from featurekit.core.errors import NoiseLevelError, ScheduleError
from featurekit.core.precision import double_device
from featurekit.core.shapes import expect
from featurekit.diffusion.flow_steps import flow_noised
from featurekit.diffusion.flows.config import described
from featurekit.diffusion.flows.sigmas import DynamicShift, Spacing


@dataclass(frozen=True, eq=False)
class FlowTable:
    """What a network was told while it was trained by flow matching, and how its runs are spaced.

    A noisy latent is ``(1 - sigma) x0 + sigma eps`` with ``sigma = t / T``, and the network answers
    the velocity ``eps - x0``. A timestep is any real number in [0, T]. Tables compare by identity.

    Source: Liu et al. 2023, arXiv:2209.03003, eq. 1; Lipman et al. 2023, arXiv:2210.02747.
    """

    train_timesteps: int = 1000  # T
    shift: float = 1.0  # of a run's levels towards the noise; a dynamic one stands in its place
    dynamic: DynamicShift | None = None  # the shift follows the size of the picture
    terminal: float | None = None  # last sigma of every run, in (0, 1); None is where they end
    respacing: str = ""  # karras, exponential or beta: levels between first and last of a run
    spacing: Spacing = field(default_factory=Spacing)  # how the family's pipeline asks for levels
    solver: str = ""  # class of another scheduler than Euler's whose levels they are
    end_shift: float | None = None  # of the ends that a scheduler spaces by itself; None is shift
    patch: int = 1  # cells of the latent along the side of a token
    obstacle: str = ""  # why no run can be walked both ways; a level can still be looked up
    remark: str = ""  # what of the scheduler was left out, for records

    def __post_init__(self) -> None:
        """Refuse numbers that no network can have been trained with.

        Raises:
            ScheduleError: T or the patch is below 1, a shift is not positive, the terminal sigma
                leaves (0, 1), or the respacing is unknown.
        """
        for name, value in (("train_timesteps", self.train_timesteps), ("patch", self.patch)):
            if value < 1:
                raise ScheduleError(f"{name} must be a whole number above 0, got {value}")
        for name, shift in (("shift", self.shift), ("end_shift", self.end_shift or self.shift)):
            if not 0 < shift < math.inf:
                raise ScheduleError(f"{name} must be a positive number, got {shift:g}")
        if self.terminal is not None and not 0 < self.terminal < 1:
            raise ScheduleError(f"the terminal sigma must lie in (0, 1), got {self.terminal:g}")
        if self.respacing not in ("", "karras", "exponential", "beta"):
            raise ScheduleError(
                f"respacing must be karras, exponential, beta or empty, got {self.respacing!r}"
            )

    @classmethod
    def from_scheduler(
        cls,
        scheduler: Any,  # noqa: ANN401 - any scheduler class
        *,
        family: str = "flux",
        patch: int = 1,
    ) -> FlowTable:
        """Read the table from a flow-matching scheduler of diffusers, or from its config.

        Args:
            scheduler: a FlowMatchEulerDiscrete scheduler, or a DPMSolverMultistep or UniPCMultistep
                one with flow sigmas; its ``config``, or the mapping of its JSON file.
            family: whose stock pipeline asks for the levels of a run: sd3, flux, flux2, sana,
                lumina2, qwen_image, z_image, chroma, auraflow, cogview4 or hunyuan_image.
            patch: cells of the latent along the side of a token of the picture, for the number of
                tokens that a dynamic shift goes by.

        Returns:
            The table.

        Raises:
            UnknownNameError: there is no such family.
            ScheduleError: it is another scheduler, or a setting is refused; it is named.
        """
        return cls(patch=patch, **described(scheduler, family))

    @property
    def prediction(self) -> Literal["flow"]:
        """What the network answers: the velocity ``eps - x0``."""
        return "flow"

    def __repr__(self) -> str:
        """One line."""
        moved = f"shift {self.shift:g}" if self.dynamic is None else f"{self.dynamic.kind} shift"
        more = "".join(f", {word}" for word in (self.respacing, self.solver) if word)
        return f"FlowTable({self.train_timesteps} timesteps, {moved}{more})"

    def tokens(self, cells: tuple[int, int]) -> int:
        """Count the tokens of a picture.

        Args:
            cells: rows and columns of its latent.

        Returns:
            Number of tokens, without those of a text.
        """
        return (cells[0] // self.patch) * (cells[1] // self.patch)

    def level(self, t: float | Tensor) -> Tensor:
        """Say how much noise there is at a train timestep.

        Args:
            t: train timestep in [0, T]: one number, or one per image, (b,).

        Returns:
            sigma, float64: 0-dim on the CPU for one timestep; (b 1 1 1) on the device of ``t``
            for several, or on the CPU where that device has no float64.

        Raises:
            NoiseLevelError: a timestep is outside [0, T], or is no number.
            ShapeError: ``t`` has more than one axis.
        """
        many = isinstance(t, Tensor) and t.ndim > 0
        asked = t if isinstance(t, Tensor) else torch.tensor(t, dtype=torch.float64)
        if many:
            expect(asked, "b", of="t")
        if asked.dtype == torch.bool or asked.is_complex():
            raise NoiseLevelError(f"t must be a number, got {asked.dtype}")
        real = asked.detach().cpu().double()
        outside = real[~((real >= 0) & (real <= self.train_timesteps))].flatten()
        if outside.numel():
            raise NoiseLevelError(
                f"t must lie in [0, {self.train_timesteps}], got {float(outside[0]):g}"
            )
        sigma = real / self.train_timesteps
        return sigma.reshape(-1, 1, 1, 1).to(double_device(asked.device)) if many else sigma

    def noised(self, x0: Tensor, eps: Tensor, t: float | Tensor) -> Tensor:
        """Carry a clean latent to any train timestep; as ``ForwardProcess.noised``."""
        return flow_noised(x0, eps, sigma=self.level(t))
