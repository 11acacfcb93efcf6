"""Pictures as the released code shows them to CLIP and LPIPS: ImageNet's constants, aliased."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor
from torch.nn import functional

from featurekit.backbones.open_clip import OpenClip, standardised
from featurekit.measures.perceptual.distances import ClipPerceptual, Perceptual

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet
LPIPS_PX = 224  # side of what LPIPS is shown


@dataclass(frozen=True, eq=False)
class ReleasedEncoder:
    """CLIP's image encoder as the released code calls it."""

    clip: OpenClip  # with ImageNet's constants

    @classmethod
    def of(cls, clip: OpenClip) -> "ReleasedEncoder":
        """The same model with other constants."""
        return cls(replace(clip, mean=MEAN, std=STD))

    @property
    def name(self) -> str:
        """Of the model, and how it is shown pictures."""
        return f"{self.clip.name}, as released"

    def encode_image(self, image: Tensor) -> Tensor:
        """Embed pictures (b 3 h w) in [-1, 1], of any length: (b d)."""
        return self.clip.encode_image(_squashed(image, self.clip.size))


@dataclass(frozen=True, eq=False)
class ReleasedPerceptual:
    """A ``Perceptual`` that is shown pictures as the released code does."""

    distances: Perceptual
    shown: Callable[[Tensor], Tensor]

    @classmethod
    def of(cls, perceptual: Perceptual, clip: OpenClip) -> "ReleasedPerceptual":
        """The same distance; LPIPS standardises once more what comes standardised."""
        if isinstance(perceptual, ClipPerceptual):
            other = replace(clip, mean=MEAN, std=STD)
            return cls(ClipPerceptual(other), lambda image: _squashed(image, clip.size))
        side = (LPIPS_PX, LPIPS_PX)
        return cls(perceptual, lambda image: standardised(_squashed(image, side), MEAN, STD))

    @property
    def name(self) -> str:
        """What the distance is made of."""
        return f"{self.distances.name}, as released"

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Measure how different pictures look; see ``Perceptual``."""
        return self.distances.distance(self.shown(a), self.shown(b))

    def prepared(self, reference: Tensor) -> Callable[[Tensor], Tensor]:
        """Look at a reference once; see ``Perceptual``."""
        distance = self.distances.prepared(self.shown(reference))
        return lambda a: distance(self.shown(a))


def _squashed(image: Tensor, size: tuple[int, int]) -> Tensor:
    return functional.interpolate(image, size, mode="bilinear", align_corners=False)
