"""The record of an inversion: one latent per noise level, and what made it."""

from dataclasses import dataclass

from torch import Tensor

from featurekit.errors import NoiseLevelError, ShapeError
from featurekit.noise import Schedule


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Latents of one image from the clean level upwards.

    ``residuals[i]`` is what a DDIM step from level i + 1 misses of the latent at level i; adding
    it after each step makes the way back exact.

    Source: Ju et al. 2024, arXiv:2310.01506, for carrying residuals.
    """

    latents: tuple[Tensor, ...]  # by level, 0 (clean) to ``until``, each (b c h w)
    schedule: Schedule  # the levels that were climbed
    residuals: tuple[Tensor, ...] | None = None  # by the level arrived at, 0 to ``until - 1``
    conditioning: str = ""  # ``Conditioning.fingerprint`` of the inversion

    def __post_init__(self) -> None:
        """Refuse parts that do not belong together.

        Raises:
            NoiseLevelError: there is no latent, or more than the schedule has levels.
            ShapeError: latents or residuals differ in shape, or residuals in number.
        """
        if not 1 <= len(self.latents) <= self.schedule.steps + 1:
            raise NoiseLevelError(
                f"a trajectory must hold 1 to {self.schedule.steps + 1} latents (one per level "
                f"from the clean one on), got {len(self.latents)}"
            )
        if self.residuals is not None and len(self.residuals) != self.until:
            raise ShapeError(
                f"residuals must be {self.until}, one per step back, got {len(self.residuals)}"
            )
        shape = self.latents[0].shape
        for tensor in (*self.latents, *(self.residuals or ())):
            if tensor.shape != shape:
                raise ShapeError(
                    f"latents and residuals must have one shape, got {tuple(shape)} "
                    f"and {tuple(tensor.shape)}"
                )

    @property
    def until(self) -> int:
        """Highest level that is stored."""
        return len(self.latents) - 1

    def at(self, level: int) -> Tensor:
        """Take the latent at a noise level.

        Args:
            level: 0 (clean) to ``until``.

        Returns:
            Latent, (b c h w).

        Raises:
            NoiseLevelError: the inversion did not store that level.
        """
        if not 0 <= level <= self.until:
            raise NoiseLevelError(
                f"level must lie in [0, {self.until}] (stored by this inversion), got {level}; "
                f"invert until that level"
            )
        return self.latents[level]
