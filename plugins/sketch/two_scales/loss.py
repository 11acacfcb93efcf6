"""What a network at two scales is asked for: each pixel, and thin lines as a whole."""

import torch
from torch import Tensor
from torch.nn import functional

from featurekit.measures.model.lines import soft_f1

LINE = 0.4  # share of ink from which a pixel is a line
SHARPER = 1.5  # times the logit, for the measure of lines


def line_loss(logit: Tensor, ink: Tensor) -> Tensor:
    """Cross-entropy, and 1 - F1 of lines with 1 px of tolerance, 0-dim.

    Cross-entropy makes crisp; F1 keeps thin lines, which are a small share of all pixels.

    Args:
        logit: of ink, (b c h w).
        ink: that is wanted, the same shape in [0, 1], white paper is 1.
    """
    wanted = 1 - ink
    each = functional.binary_cross_entropy_with_logits(logit, wanted)
    return each + 1 - soft_f1(torch.sigmoid(SHARPER * logit), (wanted > LINE).to(logit))


def tone_loss(logit: Tensor, ink: Tensor) -> Tensor:
    """Cross-entropy of grey and coloured ink alone, 0-dim; arguments as for ``line_loss``."""
    return functional.binary_cross_entropy_with_logits(logit, 1 - ink)
