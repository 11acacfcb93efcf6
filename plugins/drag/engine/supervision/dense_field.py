"""The whole map is asked to be the unmoved one, carried along a displacement field."""

import torch
from torch import Tensor

from featurekit.core.fields import resize, sample
from featurekit_drag.engine.parts import Drags, Pull
from featurekit_drag.engine.settings import Rule


def dense_field(before: Tensor, drags: Drags, rule: Rule, *, displacement: Tensor) -> Pull:
    """Make a loss that every cell takes part in whose content comes from somewhere else.

    A cell that stays in place is not asked for anything; ``outside`` and the mask hold it.

    Args:
        before: features of the unmoved latent (1 c h w) of this level.
        drags: not needed here; the field carries the handles.
        rule: for the reduction: the mean over channels, or with ``paper`` the sum.
        displacement: (h w 2) at any resolution, in shares of the picture's width and height: the
            content at p comes from p minus the displacement at p. NaN where nothing comes from
            anywhere, such as a hole: no loss there.

    Source: the project's own; the L1 of Shi et al. 2024, arXiv:2306.14435, eq. 3, at every cell.
    """
    del drags
    height, width = before.shape[-2:]
    planes = displacement.nan_to_num(0.0).permute(2, 0, 1)[None].to(before)
    shift = resize(planes, height, width, mode="nearest")[0].permute(1, 2, 0)
    shift = shift * before.new_tensor([width, height])
    rows, columns = torch.meshgrid(
        torch.arange(height, device=before.device),
        torch.arange(width, device=before.device),
        indexing="ij",
    )
    places = torch.stack([columns, rows], dim=-1).to(before) - shift
    wanted = sample(before, places.reshape(-1, 2))[0].T.reshape(before.shape)
    asked = shift.norm(dim=-1) > 0

    def pull(field: Tensor, handles: Tensor) -> Tensor:
        del handles
        gap = (field - wanted).abs()
        by_cell = gap.sum(dim=1) if rule.reduction == "paper" else gap.mean(dim=1)
        loss: Tensor = (by_cell * asked).sum()
        return loss

    return pull
