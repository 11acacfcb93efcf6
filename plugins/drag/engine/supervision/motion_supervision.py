"""Motion supervision: ask the patch at each handle to appear a step nearer to its target."""

import torch
from torch import Tensor

from featurekit.core.fields import sample_refined, window
from featurekit_drag.engine.settings import UNITS_PER_CELL, Rule


def patches(field: Tensor, centres: Tensor, *, radius: int) -> Tensor:
    """Read a square patch of units around each centre.

    Args:
        field: feature map (1 c h w).
        centres: unit coordinates (n 2), clamped to the map where the patch leaves it.
        radius: half side in units.

    Returns:
        Patches (n k c), k = (2 radius + 1)^2, row-major.
    """
    cells = torch.cat([window(centre, radius) for centre in centres])
    values = sample_refined(field, cells.to(field), factor=UNITS_PER_CELL)[0]
    return values.reshape(len(centres), -1, values.shape[-1])


def motion_loss(
    field: Tensor,
    handles: Tensor,
    targets: Tensor,
    *,
    rule: Rule,
    anchors: Tensor | None = None,
) -> Tensor:
    """Distance between each patch one step ahead and the patch that should arrive there.

    Gradient flows only into the patch ahead. A handle within ``rule.stop_distance`` of its
    target contributes exactly nothing.

    Args:
        field: features of the latent being moved (1 c h w), with its graph.
        handles: where the handles are now, unit coordinates (n 2).
        targets: where they should be, likewise.
        rule: radii and step; the direction has length ``min(rule.step, distance)``.
        anchors: patches (n k c) of the unmoved features, taken as reference instead of the
            current features at the handle.

    Returns:
        0-dim loss: per handle the absolute difference, summed over the k cells of the patch and
        over the channels (``rule.reduction="paper"``) or averaged over them (``"code"``), or the
        mean over both times ``(2 r1)^2`` (``"gooddrag"``); summed over handles.

    Source: Shi et al. 2024, arXiv:2306.14435, eq. 3; the published code averages over channels.
    GoodDrag's published code (Zhang et al. 2025, arXiv:2404.07206) has the other factor.
    """
    gaps = targets - handles
    distances = gaps.norm(dim=1, keepdim=True)
    active = (distances >= rule.stop_distance)[:, 0]
    if not active.any():
        return field.new_zeros(())
    steps = gaps / distances.clamp_min(1e-12) * distances.clamp_max(rule.step)
    ahead = patches(field, (handles + steps)[active], radius=rule.patch_radius)
    if anchors is None:
        behind = patches(field.detach(), handles[active], radius=rule.patch_radius)
    else:
        behind = anchors[active]
    _, cells, channels = ahead.shape
    weight = {"code": cells, "paper": cells * channels, "gooddrag": (2 * rule.patch_radius) ** 2}
    return (ahead - behind).abs().mean(dim=(1, 2)).sum() * weight[rule.reduction]
