"""What of a picture survives the autoencoder."""

import torch

from featurekit.core.types import Progress, silent
from featurekit.diffusion.backbone import Backbone
from featurekit.images.io import image_to_pil
from featurekit.images.pictures import Picture, contact_sheet
from featurekit.measures.held_out import (
    Measured,
    decibels,
    foreground_of,
    grouped,
    image_of,
    scenes_of,
    side_px,
)
from featurekit.scenes import KINDS

SHOWN = 4  # scenes of each kind on the sheet


@torch.no_grad()
def measure_reconstruction(
    backbone: Backbone,
    *,
    count: int = 20,
    size: int | None = None,
    progress: Progress = silent,
) -> Measured:
    """Encode and decode held-out scenes, and compare.

    Args:
        backbone: a loaded model.
        count: scenes of each kind.
        size: side of the pictures, px; None takes what the model was trained on.
        progress: called after each scene.

    Returns:
        Figures ``kinds``, ``trained`` and ``held_out``, each with ``psnr`` of the whole picture
        and ``psnr_foreground`` in dB and the ``_min`` of both; the sheet ``reconstruction``.
    """
    size = side_px(backbone) if size is None else size
    rows: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    tiles: dict[str, list[Picture]] = {}
    for kind in KINDS:
        tiles[kind], tiles[f"{kind}, decoded"] = [], []
        for scene in scenes_of(kind, count):
            image = image_of(scene, size).to(backbone.device)
            found = backbone.decode(backbone.encode(image))[:, :, :size, :size].clamp(-1, 1)
            mask = foreground_of(scene, size).to(backbone.device)
            whole, front = decibels(found, image), decibels(found, image, mask=mask)
            rows[kind].append({"psnr": whole[0], "psnr_foreground": front[0]})
            if len(rows[kind]) <= SHOWN:
                tiles[kind].append(image_to_pil(image))
                tiles[f"{kind}, decoded"].append(image_to_pil(found))
            progress(sum(map(len, rows.values())), count * len(KINDS))
    figures = {"size": size, "scenes": count, **grouped(rows)}
    return Measured(figures, {"reconstruction": contact_sheet(tiles, ())})
