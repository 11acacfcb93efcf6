"""What the studio does with torch; imported once the page is up, since torch takes seconds."""

import copy
from typing import Any

from PIL import Image
from torch import Tensor, nn

from featurekit import backbones
from featurekit.diffusion.backbone import Backbone
from featurekit.images.io import image_to_pil
from featurekit.scenes.world import scene

EXAMPLE = (3, "face")  # a scene that shows how it looks
EXAMPLE_PX = 512


class Workbench:
    """See ``opening.Bench``."""

    def load_backbone(self, name: str) -> Backbone:
        """Load the model.

        Raises:
            BackboneError: it cannot be.
        """
        return backbones.load(name)

    def sharing(self, backbone: Backbone) -> Backbone:
        """The same model with modules of its own, whose weights are the same memory.

        Hooks and processors that one tab puts on its modules are so unseen by the others.
        """
        memo: dict[int, Any] = {}
        for network in (one for one in vars(backbone).values() if isinstance(one, nn.Module)):
            for weight in (*network.parameters(), *network.buffers()):
                memo[id(weight)] = weight
        return copy.deepcopy(backbone, memo)

    def shown(self, image: Tensor | Image.Image) -> Image.Image:
        """A picture of whatever kind for the page."""
        return image if isinstance(image, Image.Image) else image_to_pil(image)

    def example(self) -> Image.Image:
        """A picture to begin with."""
        seed, kind = EXAMPLE
        return scene(seed, kind).image(EXAMPLE_PX)
