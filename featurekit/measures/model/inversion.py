"""How much of a picture comes back from the noise that it was inverted to."""

from collections.abc import Sequence

import torch

from featurekit.core.types import Progress, silent
from featurekit.diffusion.backbone import Backbone
from featurekit.diffusion.invert import invert
from featurekit.diffusion.noise_schedule import Schedule
from featurekit.diffusion.sample import sample
from featurekit.measures.held_out import (
    Measured,
    conditioned,
    decibels,
    grouped,
    image_of,
    scenes_of,
    side_px,
)
from featurekit.scenes import KINDS, Scene

STEPS = 50
BATCH = 8


@torch.no_grad()
def measure_inversion(
    backbone: Backbone,
    *,
    count: int = 6,
    steps: int = STEPS,
    size: int | None = None,
    progress: Progress = silent,
) -> Measured:
    """Climb to pure noise with DDIM and come back, at guidance 1 and with the caption.

    Nothing helps the way back: no residuals, no fixed-point iterations.

    Args:
        backbone: a loaded model.
        count: scenes of each kind.
        steps: DDIM steps each way.
        size: side of the pictures, px; None takes what the model was trained on.
        progress: called after each batch, in scenes.

    Returns:
        Figures ``kinds``, ``trained`` and ``held_out``, each with ``psnr`` against the
        autoencoder's reconstruction, ``psnr_to_picture`` against the picture (dB, with ``_min``),
        and ``end_std`` and ``end_mean`` of the noise it ended in, which should be 1 and 0.
    """
    size = side_px(backbone) if size is None else size
    schedule = Schedule.ddim(backbone.noise, steps)
    rows: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    for kind in KINDS:
        scenes = scenes_of(kind, count)
        for start in range(0, count, BATCH):
            rows[kind] += _round_trip(backbone, scenes[start : start + BATCH], schedule, size)
            progress(sum(map(len, rows.values())), count * len(KINDS))
    return Measured({"size": size, "scenes": count, "steps": steps, **grouped(rows)})


def _round_trip(
    backbone: Backbone, scenes: Sequence[Scene], schedule: Schedule, size: int
) -> list[dict[str, float]]:
    image = torch.cat([image_of(scene, size) for scene in scenes]).to(backbone.device)
    predict = backbone.predictor(conditioned(backbone, [scene.caption() for scene in scenes]))
    z = backbone.encode(image)
    end = invert(predict, z, schedule, keep_residuals=False).latents[-1]
    back = backbone.decode(sample(predict, end, schedule))[:, :, :size, :size].clamp(-1, 1)
    floor = backbone.decode(z)[:, :, :size, :size].clamp(-1, 1)
    columns = {
        "psnr": decibels(back, floor),
        "psnr_to_picture": decibels(back, image),
        "end_std": end.flatten(1).std(1).tolist(),
        "end_mean": end.flatten(1).mean(1).tolist(),
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
