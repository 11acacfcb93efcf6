"""How good an edit is: distances by both judges, likeness to the truth, and the controls."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from featurekit.core.errors import MaskError
from featurekit.diffusion.backbone import Backbone
from featurekit.images.coordinates import crop
from featurekit.scenes import controls
from featurekit_drag.inputs import Subject
from featurekit_drag.metrics.judges import JUDGES, Judge

CONTROLS = {
    "noop": controls.noop,
    "erase": controls.erase,
    "blur": controls.blur,
    "shifted_copy": controls.shifted_copy,
}


def control_edits(subject: Subject) -> dict[str, Tensor]:
    """Edits that need no diffusion model; whoever cannot beat them has shown nothing.

    Returns:
        ``noop`` (the input), ``erase``, ``blur`` and ``shifted_copy``, each (1 3 h w); without
        those that the region leaves no room for.
    """
    image, points = subject.request.image, subject.request.points
    region = _region(subject)
    drags = [((x0, y0), (x1, y1)) for x0, y0, x1, y1 in points.rows]
    made = {}
    for name, control in CONTROLS.items():
        with suppress(MaskError):
            made[name] = control(image, region, drags)
    return made


def _region(subject: Subject) -> Tensor:
    """Where an edit may differ, (1 1 h w): the mask, or what is near the drags without one."""
    request = subject.request
    if request.mask is not None:
        return request.mask
    height, width = request.image.shape[-2:]
    rows, columns = torch.arange(height) + 0.5, torch.arange(width) + 0.5
    centres = torch.cartesian_prod(rows, columns).flip(1).to(request.points.handles)
    reach = request.points.lengths[:, None]
    near = (torch.cdist(request.points.handles, centres) <= reach) | (
        torch.cdist(request.points.targets, centres) <= reach
    )
    return near.any(dim=0).view(1, 1, height, width)


def likeness(edit: Tensor, subject: Subject) -> float | None:
    """MSE of the edit to the truth over that of the input, on the pixels that truly change.

    0 is the true image, 1 is doing nothing; None where the truth is unknown.
    """
    if subject.truth is None or subject.changed is None:
        return None
    return controls.mse_ratio(edit, subject.truth, subject.request.image, subject.changed)


def score(edit: Tensor, subject: Subject, judge: Judge) -> dict[str, Any]:
    """One row of figures for one edit.

    Returns:
        ``mse_ratio`` and, by judge, the mean distance left in px and as a share of the move, and
        the share of the points that have arrived.
    """
    lengths = subject.request.points.lengths
    errors = judge.errors(edit)
    return {
        "mse_ratio": likeness(edit, subject),
        "error_px": {name: float(errors[name].mean()) for name in JUDGES},
        "error_share": {name: float((errors[name] / lengths).mean()) for name in JUDGES},
        "arrived": {
            name: float((errors[name] <= judge.near_px).double().mean()) for name in JUDGES
        },
    }


@torch.no_grad()
def autoencoded(image: Tensor, backbone: Backbone) -> Tensor:
    """The image after the VAE alone: no edit of a latent can be nearer to it."""
    height, width = image.shape[-2:]
    return crop(backbone.decode(backbone.encode(image)), height, width).to(image).clamp(-1, 1)


def scores(
    edit: Tensor, subject: Subject, judge: Judge, stages: Mapping[str, Tensor] | None = None
) -> Mapping[str, Any]:
    """The edit beside its controls and, where it is known, the truth and the VAE's floor.

    Args:
        edit: (1 3 h w) in [-1, 1].
        subject: what was asked for.
        judge: of where its points went.
        stages: further pictures on the way to the edit by name, scored beside it.
    """
    rows = {"edit": edit, **(stages or {}), **control_edits(subject)}
    if subject.truth is not None:
        rows["truth"] = subject.truth
        rows["vae_floor"] = autoencoded(subject.truth, judge.backbone)
    return {name: score(row, subject, judge) for name, row in rows.items()}
