"""Which kind of denoiser a backbone has, and the refusal of one that will not do. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from featurekit.core.errors import BackboneError

if TYPE_CHECKING:
    from featurekit.diffusion.backbone import Backbone


def kind_of_denoiser(backbone: Backbone) -> str:
    """Tell whether a backbone predicts with a UNet or with a transformer.

    Args:
        backbone: of any family.

    Returns:
        ``unet`` or ``transformer``.
    """
    return "unet" if hasattr(backbone, "unet") else "transformer"


def check_denoiser(backbone: Backbone, kinds: Sequence[str], *, by: str) -> None:
    """Refuse a backbone whose denoiser a procedure cannot work on.

    Args:
        backbone: of any family.
        kinds: ``unet``, ``transformer``; none named is any.
        by: what asks, for the message.

    Raises:
        BackboneError: it is of another kind.
    """
    kind = kind_of_denoiser(backbone)
    if kinds and kind not in kinds:
        raise refused_denoiser(kind, backbone.name, kinds, by=by)


def refused_denoiser(kind: str, of: str, kinds: Sequence[str], *, by: str) -> BackboneError:
    """Word the refusal of a denoiser of another kind.

    Args:
        kind: the one that was found.
        of: the model that has it.
        kinds: those that would do.
        by: what asks.

    Returns:
        The error, to be raised.
    """
    return BackboneError(
        f"{by} must have a model with a {' or a '.join(kinds)}, whose maps and attentions it "
        f"works on, {of} has a {kind}; features of it can be read with extract and capture"
    )
