"""The record of an inversion: one latent per noise level, and what made it."""

from dataclasses import dataclass

from torch import Tensor

from featurekit.core.errors import ConfigError, NoiseLevelError, ShapeError
from featurekit.core.finite import check_finite, check_floating
from featurekit.core.shapes import expect
from featurekit.diffusion.levels import NoiseSchedule
from featurekit.diffusion.methods.kinds import ANCHORED, PAIRED, check_method

_NEAREST = 3  # stored timesteps that a refusal names


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Latents of one image, or of a batch, from the clean level upwards.

    A latent of ``PAIRED`` methods is two states, (2b c h w): the b first ones, then their b
    partners. An edit must reach both; ``edited`` sees to it for every method.

    ``arrivals[i]`` is where the method's own step from the stored latent of level i + 1 comes to.
    A walk back is then told relative to it: the latent of level i plus what the walker's arrival
    differs from the stored one. On the stored path that difference is 0 to the last bit.

    ``fixed_point_rms[i]`` is how far the last iteration of the step from level i to i + 1 still
    moved the latent, as the rms of the row that it moved most; None where no step was iterated.

    Source: Ju et al. 2024, arXiv:2310.01506, for carrying what a step misses; Wallace et al. 2023,
    arXiv:2211.12446, for pairs.
    """

    latents: tuple[Tensor, ...]  # by level, 0 (clean) to ``until``, each (b c h w) or (2b c h w)
    schedule: NoiseSchedule  # the levels that were climbed
    arrivals: tuple[Tensor, ...] | None = None  # by the level arrived at, 0 to ``until - 1``
    fingerprint: str = ""  # ``Predictor.fingerprint`` of the inversion; "" where it had none
    method: str = "ddim"  # one of ``EVERY``: which steps lead back
    fixed_point_rms: tuple[float, ...] | None = None  # by step up: the last iteration's move

    def __post_init__(self) -> None:
        """Refuse parts that do not belong together.

        Raises:
            UnknownNameError: no such method.
            NoiseLevelError: there is no latent, or more than the schedule has levels.
            ConfigError: the method needs arrivals and has none, is a pair and has some, or cannot
                walk the schedule.
            ShapeError: latents or arrivals differ in shape, arrivals or what iterations left in
                number, or the rows of a pair are odd.
        """
        check_method(self.method, self.schedule)
        if not 1 <= len(self.latents) <= self.schedule.steps + 1:
            raise NoiseLevelError(
                f"a trajectory must hold 1 to {self.schedule.steps + 1} latents (one per level "
                f"from the clean one on), got {len(self.latents)}"
            )
        if self.arrivals is None and self.method in ANCHORED:
            raise ConfigError(f"a trajectory of {self.method} must hold arrivals, got none")
        if self.arrivals is not None and self.method in PAIRED:
            raise ConfigError(
                f"a trajectory of {self.method} must hold no arrivals, since its pair leads back "
                f"by itself, got {len(self.arrivals)}"
            )
        self._check_shapes()

    def _check_shapes(self) -> None:
        arrivals = self.arrivals or ()
        if self.arrivals is not None and len(arrivals) != self.until:
            raise ShapeError(
                f"arrivals must be {self.until}, one per step back, got {len(arrivals)}"
            )
        if self.fixed_point_rms is not None and len(self.fixed_point_rms) != self.until:
            raise ShapeError(
                f"fixed_point_rms must be {self.until} numbers, one per step up, "
                f"got {len(self.fixed_point_rms)}"
            )
        shape = self.latents[0].shape
        rows = expect(self.latents[0], "b c h w", of="latents")["b"]
        for tensor in (*self.latents, *arrivals):
            if tensor.shape != shape:
                raise ShapeError(
                    f"latents and arrivals must have one shape, got {tuple(shape)} "
                    f"and {tuple(tensor.shape)}"
                )
        if rows % self.states:
            raise ShapeError(f"a pair must have an even number of rows, got {rows}")

    @property
    def until(self) -> int:
        """Highest level that is stored."""
        return len(self.latents) - 1

    @property
    def states(self) -> int:
        """States of one latent, all of which an edit must reach: 1, or 2 of a pair."""
        return 2 if self.method in PAIRED else 1

    @property
    def residuals(self) -> tuple[Tensor, ...] | None:
        """What a step back misses, by the level arrived at: the stored latent minus its arrival.

        For ``edit_friendly`` it is the noise of the step, sigma times unit noise.
        """
        if self.arrivals is None:
            return None
        pairs = zip(self.latents[:-1], self.arrivals, strict=True)
        return tuple(latent - arrival for latent, arrival in pairs)

    def __repr__(self) -> str:
        """One line: method, levels, shapes, and what an edit must reach."""
        dtype = str(self.latents[0].dtype).removeprefix("torch.")
        top = f" t={self.schedule.timestep(self.until):g}" if self.until else ""
        edit = "both states of a pair" if self.states == 2 else "one state"
        kept = "without residuals" if self.arrivals is None else "with residuals"
        return (
            f"Trajectory({self.method}, levels 0..{self.until}{top} of n={self.schedule.steps}, "
            f"{tuple(self.latents[0].shape)} {dtype}, {kept}, an edit reaches {edit})"
        )

    def at(self, level: int) -> Tensor:
        """Take the latent at a noise level; an edit of it must reach ``states`` states.

        Args:
            level: 0 (clean) to ``until``; a level, not a train timestep.

        Returns:
            Latent, (b c h w); both states of a pair, (2b c h w), partners last, both of which
            an edit must reach: ``edited`` does it.

        Raises:
            NoiseLevelError: the inversion did not store that level.
        """
        if not 0 <= level <= self.until:
            raise NoiseLevelError(
                f"level must lie in [0, {self.until}] (stored by this inversion), got {level}; "
                f"invert until that level, or name a train timestep to at_timestep"
            )
        return self.latents[level]

    def at_timestep(self, t: float) -> Tensor:
        """Take the latent that the network was, or would be, shown at a train timestep.

        Args:
            t: train timestep of a stored level, exactly; the clean end has none.

        Returns:
            As ``at`` of that level.

        Raises:
            NoiseLevelError: no stored level has that timestep; the nearest ones are listed.
        """
        stored = {self.schedule.timestep(level): level for level in range(1, self.until + 1)}
        if t not in stored:
            near = sorted(stored, key=lambda known: (abs(known - t), known))[:_NEAREST]
            listed = ", ".join(f"{known:g} (level {stored[known]})" for known in near)
            raise NoiseLevelError(
                f"timestep must be one that this inversion stored, got {t}; "
                f"nearest: {listed or 'none, only the clean level 0'}"
            )
        return self.latents[stored[t]]

    def edited(self, level: int, edit: Tensor) -> Tensor:
        """Add an edit to the latent of a level: to its one state, or to both of a pair.

        Args:
            level: 0 (clean) to ``until``.
            edit: what is added, (b c h w), finite, b as it was inverted.

        Returns:
            Edited latent, shaped as ``at(level)``, for ``sample`` with this trajectory.

        Raises:
            NoiseLevelError: the inversion did not store that level.
            ShapeError: the edit has another shape than a state, or is not of a floating dtype.
            NotFiniteError: it holds NaN or infinity.

        Source: Wallace et al. 2023, arXiv:2211.12446, for editing both states.
        """
        latent = self.at(level)
        rows, *rest = latent.shape
        if tuple(edit.shape) != (rows // self.states, *rest):
            raise ShapeError(
                f"an edit must be {(rows // self.states, *rest)}, one row per inverted latent, "
                f"got {tuple(edit.shape)}"
            )
        check_floating(edit, of="an edit")
        check_finite(edit, of="an edit", where=f"where it was given for level {level}")
        return latent + edit.repeat(self.states, 1, 1, 1)
