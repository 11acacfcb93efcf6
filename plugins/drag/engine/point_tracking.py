"""Point tracking: where a handle went, by nearest neighbour in a window of the features."""

import torch
from torch import Tensor

from featurekit.core.fields import sample_refined, window
from featurekit_drag.engine.settings import UNITS_PER_CELL


def track(field: Tensor, handles: Tensor, templates: Tensor, *, radius: int) -> Tensor:
    """Move each handle to the unit in its window whose feature is nearest to its template.

    The window moves by whole units, so a handle keeps its fraction of a unit; it is clipped at
    the borders of the map. Of equally near units the first in row-major order wins.

    Args:
        field: features of the moved latent (1 c h w).
        handles: where the handles were, unit coordinates (n 2).
        templates: features of the unmoved latent at the initial handles (n c).
        radius: half side of the window in units.

    Returns:
        New handles (n 2).

    Source: Shi et al. 2024, arXiv:2306.14435, eq. 5 (L1 over channels).
    """
    height, width = field.shape[-2:]
    border = handles.new_tensor([width, height]) * UNITS_PER_CELL - 1
    followed = []
    for handle, template in zip(handles, templates, strict=True):
        candidates = window(handle, radius).clamp(min=torch.zeros_like(border), max=border)
        values = sample_refined(field, candidates.to(field), factor=UNITS_PER_CELL)[0]
        distances = (values - template).abs().sum(dim=1)
        # argmin promises no order among equals; the first index of the minimum does
        followed.append(candidates[(distances == distances.min()).nonzero()[0, 0]])
    return torch.stack(followed)
