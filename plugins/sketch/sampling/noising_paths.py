"""The path of a picture into noise, at the timesteps read: noised, inverted or sampled."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from featurekit.core.shapes import expect
from featurekit.core.types import Conditioning, Predict, Progress, silent
from featurekit.diffusion.backbone import Backbone
from featurekit.diffusion.invert import invert
from featurekit.diffusion.noise_schedule import Schedule
from featurekit.diffusion.sample import sample
from featurekit_sketch.sampling.representative_timesteps import levels_at


@dataclass(frozen=True, eq=False)
class NoisingPath:
    """Latents of one picture, from which its features can be read again at any time."""

    latents: Tensor  # (t c h w), cleanest first
    timesteps: tuple[int, ...]  # train timestep of each latent
    clean: Tensor  # latent that is decoded into the picture, (1 c h w)

    def __post_init__(self) -> None:
        """Refuse parts that do not belong together.

        Raises:
            ShapeError: there is not one latent for each timestep, or the clean latent has
                another size.
        """
        found = expect(
            self.latents, "t c h w", of="latents of a noising path", t=len(self.timesteps)
        )
        sizes = {axis: found[axis] for axis in "chw"}
        expect(self.clean, "1 c h w", of="clean latent of a noising path", **sizes)

    def only(self, timesteps: Sequence[int]) -> "NoisingPath":
        """The same at some of its timesteps."""
        places = [self.timesteps.index(one) for one in timesteps]
        return NoisingPath(self.latents[places], tuple(timesteps), self.clean)

    def to(self, device: torch.device) -> "NoisingPath":
        """The same on another device."""
        return NoisingPath(self.latents.to(device), self.timesteps, self.clean.to(device))


@dataclass(frozen=True)
class SampledRun:
    """How a picture is sampled, and at which timesteps of that its latents are kept."""

    steps: int  # of DDIM
    guidance: float  # scale of classifier-free guidance against the empty prompt; 1 is without
    timesteps: tuple[int, ...] = ()  # train timesteps, rising; none: the representative ones


@torch.no_grad()
def noised_path(
    backbone: Backbone, clean: Tensor, timesteps: Sequence[int], *, seed: int
) -> NoisingPath:
    """Carry a clean latent to each timestep with one and the same noise.

    Args:
        backbone: whose noise levels are meant.
        clean: latent of one picture, (1 c h w), VAE-scaled.
        timesteps: train timesteps, cleanest first.
        seed: of the noise, which depends on it and on the latent's size alone.

    Returns:
        Path with the dtype and device of ``clean``.

    Raises:
        ShapeError: ``clean`` is not (1 c h w).
        NoiseLevelError: a timestep is outside the backbone's table.
    """
    expect(clean, "1 c h w", of="clean latent")
    eps = _noise(clean.shape[1:], (seed,)).to(clean)
    latents = torch.cat([backbone.noise.noised(clean, eps, t) for t in timesteps])
    return NoisingPath(latents, tuple(timesteps), clean)


@torch.no_grad()
def inverted_path(
    backbone: Backbone,
    clean: Tensor,
    schedule: Schedule,
    states: Tensor,
    *,
    timesteps: Sequence[int] = (),
    progress: Progress = silent,
) -> NoisingPath:
    """Climb from a clean latent with DDIM inversion, without guidance.

    Args:
        backbone: a loaded model.
        clean: latent of one picture, (1 c h w), VAE-scaled, on the backbone's device.
        schedule: levels to climb.
        states: what the network is conditioned on, (1 n d).
        timesteps: train timesteps that are kept, rising; none: the representative ones.
        progress: called after each step.

    Returns:
        Path with the dtype of ``clean``.

    Raises:
        ConfigError: the schedule has too few steps, or does not pass a timestep (``levels_at``).
        ShapeError: ``clean`` or ``states`` is not of one picture.
    """
    expect(clean, "1 c h w", of="clean latent")
    expect(states, "1 n d", of="states")
    levels = levels_at(schedule, timesteps)
    trajectory = invert(
        _predictor(backbone, states),
        clean,
        schedule,
        keep_residuals=False,
        until=levels[-1],
        progress=progress,
    )
    latents = torch.cat([trajectory.at(level) for level in levels])
    return NoisingPath(latents, tuple(map(schedule.timestep, levels)), clean)


@torch.no_grad()
def generated_paths(
    backbone: Backbone,
    states: Tensor,
    run: SampledRun,
    *,
    seeds: Sequence[int],
    progress: Progress = silent,
) -> list[NoisingPath]:
    """Let the model draw pictures of its own size, all in one batch, with DDIM steps.

    A picture depends on its states and its seed, not on the batch it is drawn in. The network is
    called once a step: with two rows a picture, and with one where guidance is 1.

    Args:
        backbone: a loaded model.
        states: what each picture is conditioned on, (b n d).
        run: how they are sampled, and what is kept.
        seeds: of each picture's first noise, drawn on the CPU.
        progress: called after each step.

    Returns:
        One path for each seed, float32. Its clean latent is the one that the last step predicts:
        no noise of the schedule's clean end is left in it.

    Raises:
        ConfigError: there are too few steps, or the run does not pass a timestep (``levels_at``).
        ShapeError: there is not one row of states for each seed.
    """
    expect(states, "b n d", of="states, one row a seed,", b=len(seeds))
    schedule = _to_clean(Schedule.ddim(backbone.noise, run.steps))
    levels = levels_at(schedule, run.timesteps)
    start = _noise((backbone.latent_channels, *backbone.sample_size), seeds).to(backbone.device)
    kept = {run.steps: start}

    def keep(level: int, z: Tensor) -> None:
        if level in levels:
            kept[level] = z

    predict = _predictor(backbone, states, run.guidance)
    clean = sample(predict, start, schedule, on_step=keep, progress=progress)
    latents = torch.stack([kept[level] for level in levels], dim=1)
    timesteps = tuple(map(schedule.timestep, levels))
    rows = zip(latents, clean[:, None], strict=True)
    return [NoisingPath(row.clone(), timesteps, end.clone()) for row, end in rows]


def _noise(size: Sequence[int], seeds: Sequence[int]) -> Tensor:
    """Standard normal noise, (b c h w): a row for each seed, each from its own generator."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    return torch.stack([torch.randn(*size, generator=one) for one in generators])


def _predictor(backbone: Backbone, states: Tensor, guidance: float = 1.0) -> Predict:
    """Predict for states that need not come from a prompt; they are fitted to the backbone."""
    fitted = states.to(backbone.device, backbone.dtype)
    return backbone.predictor(Conditioning(states=fitted, prompt=""), guidance)


def _to_clean(schedule: Schedule) -> Schedule:
    """The same levels with a clean end without noise: the last step then ends at its x0."""
    noiseless = torch.ones_like(schedule.alpha_bars[:1])
    return Schedule(schedule.timesteps, torch.cat([noiseless, schedule.alpha_bars[1:]]))
