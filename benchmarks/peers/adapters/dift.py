"""DIFT's published featurizer on the networks of a backbone, imported from its checkout.

No command: ``peers/beside_ours.py`` imports it. Its network's forward, its pipeline and its
featurizer's forward run as they are, with torch's fused attention where it asks for xformers',
which needs a GPU. Its constructor is not used: it loads the networks by a name.
"""

from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor

from benchmarks.peers.adapters.no_gpu import on_no_device, standing_in
from benchmarks.peers.adapters.stock import pipeline
from benchmarks.records.side_by_side import module_of
from featurekit.backbones.unet.sd import StableDiffusion

TESTED = "9421eb20"


class Featurizer:
    """The published featurizer, which reads one picture at a time."""

    def __init__(self, backbone: StableDiffusion, folder: str) -> None:
        """Import it, and give it a copy of the network with its own forward.

        Args:
            backbone: whose weights it has.
            folder: a checkout of DIFT, 9421eb20.
        """
        place = {"UNet2DConditionModel": UNet2DConditionModel}  # diffusers has moved it
        with standing_in(diffusers__models__unet_2d_condition=place):
            published = module_of(folder, "src.models.dift_sd")
        unet = published.MyUNet2DConditionModel.from_config(dict(backbone.unet.config))
        unet.load_state_dict(backbone.unet.state_dict())
        pipe = pipeline(published.OneStepSDPipeline, backbone, unet.eval())
        self.own = object.__new__(published.SDFeaturizer)
        self.own.pipe, self.own.null_prompt = pipe, ""
        self.own.null_prompt_embeds = backbone.embed("").states

    def __call__(self, image: Tensor, *, t: int, up_block: int, ensemble: int) -> Tensor:
        """Features of one picture (1 3 h w), the mean of so many noises."""
        with on_no_device():
            found: Tensor = self.own.forward(
                image, prompt="", t=t, up_ft_index=up_block, ensemble_size=ensemble
            )
        return found
