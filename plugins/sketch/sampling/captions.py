"""What sampled pictures show, where a model's words are more than states that can be drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import torch

from featurekit.backbones.denoisers import kind_of_denoiser
from featurekit.diffusion.backbone import Backbone


@dataclass(frozen=True)
class Captions:
    """A list to draw of, in the place of a ``Prior``."""

    texts: Sequence[str]  # one or more

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of them, in order."""
        return sha256("\n".join(self.texts).encode()).hexdigest()

    def draw(self, lots: torch.Generator) -> str:
        """One of them; a generator on the CPU in the same state draws the same."""
        return self.texts[int(torch.randint(len(self.texts), (), generator=lots))]


def takes_prior(backbone: Backbone) -> bool:
    """Whether conditions of a model can be drawn from a prior over its text encoder's states.

    They can where states of one length from one encoder are all that the network is told. Others
    are told a pooled text or a mask beside them, or texts of any length, and a Gaussian over the
    two million numbers that T5 makes of a prompt would fill gigabytes.

    Args:
        backbone: a loaded model with text encoders.
    """
    return kind_of_denoiser(backbone) == "unet" and not backbone.embed("").extra
