"""The refusal of a transformer by methods that drag latents by the maps of a UNet."""

from featurekit.backbones.denoisers import kind_of_denoiser
from featurekit.core.errors import BackboneError
from featurekit.diffusion.backbone import Backbone


def check_unet(backbone: Backbone) -> None:
    """Refuse a model without a UNet.

    Raises:
        BackboneError: it has a transformer.
    """
    if kind_of_denoiser(backbone) != "unet":
        raise refused(backbone.name)


def refused(of: str) -> BackboneError:
    """Word the refusal of a transformer.

    Args:
        of: the model that has it.
    """
    return BackboneError(
        f"a method that drags latents must have a model with a unet, by whose maps and attentions "
        f"it was published, {of} has a transformer, on which points alone move nothing; leave the "
        f"method out: the default (plugin.initialise=pixel_warp) moves the region under a handle"
    )
