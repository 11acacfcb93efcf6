"""How good an edit is: distances by both judges, likeness to the truth, and the controls."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from featurekit.backbone import Backbone
from featurekit.grid import crop
from featurekit.scenes import controls
from featurekit_drag.judge import JUDGES, Judge
from featurekit_drag.subject import Subject


def control_edits(subject: Subject) -> dict[str, Tensor]:
    """Edits that need no diffusion model; whoever cannot beat them has shown nothing.

    Returns:
        ``noop`` (the input), ``erase``, ``blur`` and ``shifted_copy``, each (1 3 h w).
    """
    image, points = subject.request.image, subject.request.points
    region = _region(subject)
    drags = list(zip(points.handles.tolist(), points.targets.tolist(), strict=True))
    return {
        "noop": image,
        "erase": controls.erase(image, region, drags),
        "blur": controls.blur(image, region, drags),
        "shifted_copy": controls.shifted_copy(image, region, drags),
    }


def _region(subject: Subject) -> Tensor:
    """Where an edit is allowed to differ (h w) bool: the changed pixels, else the mask."""
    if subject.changed is not None:
        return subject.changed
    mask, image = subject.request.mask, subject.request.image
    return torch.ones(image.shape[-2:], dtype=torch.bool) if mask is None else mask[0, 0] > 0


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
        ``mse_ratio`` and, by judge, the mean distance left in px and as a share of the move.
    """
    lengths = subject.request.points.lengths
    errors = judge.errors(edit)
    return {
        "mse_ratio": likeness(edit, subject),
        "error_px": {name: float(errors[name].mean()) for name in JUDGES},
        "error_share": {name: float((errors[name] / lengths).mean()) for name in JUDGES},
    }


@torch.no_grad()
def autoencoded(image: Tensor, backbone: Backbone) -> Tensor:
    """The image after the VAE alone: no edit of a latent can be nearer to it."""
    height, width = image.shape[-2:]
    return crop(backbone.decode(backbone.encode(image)), height, width).to(image).clamp(-1, 1)


def scores(edit: Tensor, subject: Subject, judge: Judge) -> Mapping[str, Any]:
    """The edit beside its controls and, where it is known, the truth and the VAE's floor."""
    rows = {"edit": edit, **control_edits(subject)}
    if subject.truth is not None:
        rows["truth"] = subject.truth
        rows["vae_floor"] = autoencoded(subject.truth, judge.backbone)
    return {name: score(row, subject, judge) for name, row in rows.items()}
