"""The path of a picture into noise, at the timesteps read: noised, inverted or sampled."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from featurekit.core.shapes import expect
from featurekit.core.types import Conditioning, Predict, Progress, silent
from featurekit.diffusion.backbone import Backbone
from featurekit.diffusion.invert import invert
from featurekit.diffusion.levels import NoiseSchedule
from featurekit.diffusion.noise_schedule import Schedule
from featurekit.diffusion.sample import sample
from featurekit_sketch.sampling.representative_timesteps import levels_at, run_of


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

    steps: int  # of DDIM, of a flow of Euler
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
    schedule: NoiseSchedule,
    states: Tensor | Conditioning,
    *,
    timesteps: Sequence[int] = (),
    progress: Progress = silent,
) -> NoisingPath:
    """Climb from a clean latent with DDIM inversion, of a flow Euler's, without guidance.

    Args:
        backbone: a loaded model.
        clean: latent of one picture, (1 c h w), VAE-scaled, on the backbone's device.
        schedule: levels to climb.
        states: what the network is conditioned on, (1 n d), or a whole conditioning.
        timesteps: train timesteps that are kept, rising; none: the representative ones.
        progress: called after each step.

    Returns:
        Path with the dtype of ``clean``.

    Raises:
        ConfigError: the schedule has too few steps, or does not pass a timestep (``levels_at``).
        ShapeError: ``clean`` or ``states`` is not of one picture.
    """
    expect(clean, "1 c h w", of="clean latent")
    words = as_words(states)
    expect(words.states, "1 n d", of="states")
    levels = levels_at(schedule, timesteps)
    trajectory = invert(
        _predictor(backbone, words),
        clean,
        schedule,
        keep_residuals=False,
        until=levels[-1],
        progress=progress,
    )
    latents = torch.cat([trajectory.at(level) for level in levels])
    return NoisingPath(latents, _told(schedule, levels), clean)


@torch.no_grad()
def generated_paths(
    backbone: Backbone,
    states: Tensor | Conditioning,
    run: SampledRun,
    *,
    seeds: Sequence[int],
    progress: Progress = silent,
) -> list[NoisingPath]:
    """Let the model draw pictures of its own size, all in one batch, with DDIM or Euler's steps.

    A picture depends on its states and its seed, not on the batch it is drawn in. The network is
    called once a step: with two rows a picture, and with one where guidance is 1 or is told it.

    Args:
        backbone: a loaded model.
        states: what each picture is conditioned on, (b n d); or a whole conditioning, for networks
            that are told more than states.
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
    words = as_words(states)
    expect(words.states, "b n d", of="states, one row a seed,", b=len(seeds))
    schedule = _to_clean(run_of(backbone.noise, run.steps, backbone.sample_size))
    levels = levels_at(schedule, run.timesteps)
    start = _noise((backbone.latent_channels, *backbone.sample_size), seeds).to(backbone.device)
    kept = {run.steps: start}

    def keep(level: int, z: Tensor) -> None:
        if level in levels:
            kept[level] = z

    clean = sample(
        _predictor(backbone, words, run.guidance), start, schedule, on_step=keep, progress=progress
    )
    latents = torch.stack([kept[level] for level in levels], dim=1)
    timesteps = _told(schedule, levels)
    rows = zip(latents, clean[:, None], strict=True)
    return [NoisingPath(row.clone(), timesteps, end.clone()) for row, end in rows]


def _noise(size: Sequence[int], seeds: Sequence[int]) -> Tensor:
    """Standard normal noise, (b c h w): a row for each seed, each from its own generator."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    return torch.stack([torch.randn(*size, generator=one) for one in generators])


def _told(schedule: NoiseSchedule, levels: Sequence[int]) -> tuple[int, ...]:
    """Timesteps of levels, all of which are whole in a run here."""
    return tuple(int(schedule.timestep(level)) for level in levels)


def as_words(given: Tensor | Conditioning) -> Conditioning:
    """A conditioning of states (b n d) that need not come from a prompt, or the one given."""
    return given if isinstance(given, Conditioning) else Conditioning(given, "")


def _predictor(backbone: Backbone, words: Conditioning, guidance: float = 1.0) -> Predict:
    """Predict for states that need not come from a prompt; they are fitted to the backbone."""
    fitted = words.states.to(backbone.device, backbone.dtype)
    return backbone.predictor(replace(words, states=fitted), guidance)


def _to_clean(schedule: NoiseSchedule) -> NoiseSchedule:
    """The same levels with a clean end without noise, as a flow's is: the last step ends at x0."""
    if not isinstance(schedule, Schedule):
        return schedule
    noiseless = torch.ones_like(schedule.alpha_bars[:1])
    return Schedule(schedule.timesteps, torch.cat([noiseless, schedule.alpha_bars[1:]]))
