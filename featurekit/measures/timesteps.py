"""Which timesteps stand for a run of a model, on held-out scenes or given pictures."""

from collections.abc import Sequence

import torch
from torch import Tensor

from featurekit.backbone import Backbone
from featurekit.errors import ConfigError
from featurekit.gram import principal_scores
from featurekit.measures.held_out import Measured
from featurekit.noise import Schedule
from featurekit.plots import timesteps_plot
from featurekit.representative import (
    blocks_of,
    feature_gram,
    representatives,
    resnet_taps,
)
from featurekit.types import Progress, silent

STEPS = 50
SHOWN = 4  # images whose paths are drawn in one plane


def measure_timesteps(
    backbone: Backbone,
    images: Sequence[Tensor],
    *,
    taps: Sequence[str] = (),
    steps: int = STEPS,
    count: int | None = None,
    progress: Progress = silent,
) -> Measured:
    """Choose timesteps that stand for a run, and show why.

    Args:
        backbone: a loaded model.
        images: (1 3 h w) in [-1, 1], at least one; those whose paths are drawn have one size.
        taps: what is clustered; none is what each resnet of the decoder adds to its input.
        steps: timesteps of the run, 4 or more.
        count: how many to choose; None lets the curve decide.
        progress: called after each image.

    Returns:
        Figures ``timesteps``, ``places``, ``segments``, ``knees``, ``curve``, ``distances``; the
        picture ``timesteps``.

    Raises:
        FeatureKitError: as in ``feature_gram`` and ``representatives``.
    """
    if not images:
        raise ConfigError("timesteps must be chosen on an image, got none")
    rising = sorted(Schedule.ddim(backbone.noise, steps).timesteps)
    names = list(taps) or list(resnet_taps(backbone))
    alike = [image for image in images[:SHOWN] if image.shape == images[0].shape]
    joint = feature_gram(backbone, torch.cat(alike), taps=names, timesteps=rising)
    progress(len(alike), len(images))
    grams = list(blocks_of(joint, len(alike)))
    others = [image for image in images[:SHOWN] if image.shape != images[0].shape]
    for image in [*others, *images[SHOWN:]]:
        grams.append(feature_gram(backbone, image, taps=names, timesteps=rising))
        progress(len(grams), len(images))
    found = representatives(grams, rising, count=count)
    paths = principal_scores(joint, 2).reshape(len(alike), len(rising), 2)
    figures = {
        "images": len(images),
        "taps": names,
        "timesteps": list(found.chosen_timesteps),
        "places": list(found.chosen),
        "segments": list(found.in_segments),
        "knees": dict(found.knees),
        "curve": dict(found.curve),
        "distances": dict(found.distances),
    }
    return Measured(figures, {"timesteps": timesteps_plot(found, paths)})
