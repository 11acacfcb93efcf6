"""Which timesteps stand for a run of a model, on held-out scenes or given pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from featurekit.analysis.gram import principal_scores
from featurekit.analysis.latents_of_runs import inverted_run, run_gram, sampled_run
from featurekit.analysis.plots import timesteps_plot
from featurekit.analysis.representative_timesteps import (
    Representatives,
    blocks_of,
    feature_gram,
    representatives,
    resnet_taps,
)
from featurekit.core.errors import ConfigError, UnknownNameError
from featurekit.core.types import Progress, silent
from featurekit.diffusion.backbone import Backbone
from featurekit.diffusion.flow_schedule import schedule_of, whole_timesteps
from featurekit.diffusion.noise_schedule import Schedule
from featurekit.features.noise_draws import seed_of
from featurekit.measures.held_out import Measured

SHOWN = 4  # images whose paths are drawn in one plane
SOURCES = ("noised", "inverted", "sampled")  # where the latents of a run come from


@dataclass(frozen=True)
class Asked:
    """Of which features, at which timesteps, and how many are to be chosen."""

    taps: tuple[str, ...] = ()  # none: what each resnet of the decoder adds to its input
    steps: int = 50  # timesteps of the run, 4 or more
    count: int | None = None  # how many to choose; None lets the curve decide
    seed: int = 0  # of the noise that pictures get


WHOLE = Asked()


@torch.no_grad()
def measure_timesteps(
    backbone: Backbone,
    images: Sequence[Tensor],
    asked: Asked = WHOLE,
    *,
    progress: Progress = silent,
) -> Measured:
    """Choose timesteps that stand for a run, on pictures noised to each of them.

    The clean latent of a picture is noised to every level by one noise. ``measure_runs`` follows
    the network's own latents instead, as the paper does.

    Args:
        backbone: a loaded model.
        images: (1 3 h w) in [-1, 1], at least one; those whose paths are drawn have one size.
        asked: of which features and timesteps, and how many.
        progress: called after each image.

    Returns:
        Figures ``timesteps``, ``places``, ``segments``, ``knees``, ``curve``, ``distances``; the
        picture ``timesteps``.

    Raises:
        FeatureKitError: as in ``feature_gram`` and ``representatives``.
    """
    if not images:
        raise ConfigError("timesteps must be chosen on an image, got none")
    rising = sorted(Schedule.ddim(backbone.noise, asked.steps).timesteps)
    names = list(asked.taps) or list(resnet_taps(backbone))
    read: dict[str, Any] = {"taps": names, "timesteps": rising, "seed": asked.seed}
    alike = [image for image in images[:SHOWN] if image.shape == images[0].shape]
    joint = feature_gram(backbone, torch.cat(alike), **read)
    progress(len(alike), len(images))
    grams = list(blocks_of(joint, len(alike)))
    others = [image for image in images[:SHOWN] if image.shape != images[0].shape]
    for image in [*others, *images[SHOWN:]]:
        grams.append(feature_gram(backbone, image, **read))
        progress(len(grams), len(images))
    return _measured(representatives(grams, rising, count=asked.count), (joint, len(alike)), names)


@torch.no_grad()
def measure_runs(
    backbone: Backbone,
    given: Sequence[Tensor | int],
    asked: Asked = WHOLE,
    *,
    progress: Progress = silent,
) -> Measured:
    """Choose timesteps that stand for a run, on the latents of DDIM runs with an empty prompt.

    Args:
        backbone: a loaded model.
        given: seeds of noises that are sampled from, as the paper's pictures are, at the size that
            the model was trained on; or pictures (1 3 h w) that are inverted.
        asked: as in ``measure_timesteps``; its seed is not looked at.
        progress: called after each run.

    Returns:
        As ``measure_timesteps``.

    Raises:
        FeatureKitError: as in ``run_gram`` and ``representatives``.

    Source: Yun et al. 2024, arXiv:2401.04362, whose features are those of sampled pictures.
    """
    if not given:
        raise ConfigError("timesteps must be chosen on a run, got none")
    levels = schedule_of(backbone.noise, asked.steps, cells=backbone.sample_size)
    schedule = whole_timesteps(levels, backbone.noise.train_timesteps)
    names = list(asked.taps) or list(resnet_taps(backbone))
    runs: list[tuple[Tensor, ...]] = []
    grams: list[Tensor] = []
    for done, one in enumerate(given, start=1):
        run = (
            sampled_run(backbone, schedule, backbone.sample_size, seed=seed_of(one, "run"))
            if isinstance(one, int)
            else inverted_run(backbone, schedule, one)
        )
        if done <= SHOWN and (not runs or run[0].shape == runs[0][0].shape):
            runs.append(run)
        else:
            grams.append(run_gram(backbone, [run], schedule, taps=names))
        progress(done, len(given))
    joint = run_gram(backbone, runs, schedule, taps=names)
    rising = sorted(map(int, schedule.timesteps))
    found = representatives([*blocks_of(joint, len(runs)), *grams], rising, count=asked.count)
    return _measured(found, (joint, len(runs)), names)


def check_source(source: str) -> None:
    """Refuse a word that says of no latents where they come from.

    Raises:
        UnknownNameError: it is none of ``SOURCES``.
    """
    if source not in SOURCES:
        raise UnknownNameError("source of latents", source, SOURCES)


def _measured(found: Representatives, drawn: tuple[Tensor, int], taps: Sequence[str]) -> Measured:
    """Figures, and the picture with the runs whose products are joint."""
    joint, shown = drawn
    paths = principal_scores(joint, 2).reshape(shown, len(found.timesteps), 2)
    figures: dict[str, Any] = {
        "images": found.images,
        "taps": list(taps),
        "timesteps": list(found.chosen_timesteps),
        "places": list(found.chosen),
        "segments": list(found.in_segments),
        "segment_timesteps": [found.timesteps[place] for place in found.in_segments],
        "knees": dict(found.knees),
        "curve": dict(found.curve),
        "distances": dict(found.distances),
    }
    return Measured(figures, {"timesteps": timesteps_plot(found, paths)})
