"""What the sketch network is given of pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Features:
    """Maps of some pictures of one size, padded to the model's multiple.

    The UNet's maps have two axes more than others: timesteps, cleanest first, and the pair that
    guidance asks for, unconditional first.
    """

    unet: Mapping[str, Tensor]  # by the tap's name, (b t 2 c h w)
    vae: Mapping[str, Tensor]  # by the tap's name, (b c h w)
    image: Tensor  # decoded from the clean latent, (b 3 h w), about [-1, 1], not clamped

    @classmethod
    def together(cls, parts: Sequence["Features"]) -> "Features":
        """Join pictures of one size into one batch, in order."""
        return cls(
            unet={name: _joined([part.unet[name] for part in parts]) for name in parts[0].unet},
            vae={name: torch.cat([part.vae[name] for part in parts]) for name in parts[0].vae},
            image=torch.cat([part.image for part in parts]),
        )

    def to(self, device: torch.device, dtype: torch.dtype) -> "Features":
        """The same on another device, in another dtype."""
        return Features(
            unet={name: _moved(one, device, dtype) for name, one in self.unet.items()},
            vae={name: one.to(device, dtype) for name, one in self.vae.items()},
            image=self.image.to(device, dtype),
        )

    @property
    def bytes(self) -> int:
        """Memory that the maps take."""
        every = (*self.unet.values(), *self.vae.values(), self.image)
        return sum(one.untyped_storage().nbytes() for one in every)


def _joined(maps: Sequence[Tensor]) -> Tensor:
    """Join (b t 2 c h w) along b; pairs that are one map twice stay so."""
    if all(one.stride(2) == 0 for one in maps):
        return torch.cat([one[:, :, :1] for one in maps]).expand(-1, -1, 2, -1, -1, -1)
    return torch.cat(list(maps))


def _moved(maps: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Move (b t 2 c h w); a pair that is one map twice stays so, which a plain move would undo."""
    if maps.stride(2) == 0:
        return maps[:, :, :1].to(device, dtype).expand(-1, -1, 2, -1, -1, -1)
    return maps.to(device, dtype)
