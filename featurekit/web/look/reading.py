"""What the tab Look reads of a picture: once for each tap, timestep and size, within a budget."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from featurekit.core.errors import ConfigError
from featurekit.diffusion.backbone import Backbone
from featurekit.features.extract import extract
from featurekit.features.features import Features
from featurekit.images.io import load_image
from featurekit.taps.attention_maps import attention_maps
from featurekit.taps.attention_probabilities import to_tokens
from featurekit.web.pictures import Picture

KEPT_BYTES = 256 << 20  # of maps; those unused for longest go first
SEED = 0


@dataclass(frozen=True)
class Where:
    """What is read: a tap at a timestep, of a picture whose longer side is so many px."""

    tap: str
    timestep: int
    side: int


class Readings:
    """Maps of pictures, read when they are first asked for."""

    def __init__(self, backbone: Callable[[], Backbone]) -> None:
        """Name where the model comes from; it is not asked for yet."""
        self._backbone = backbone
        self._kept: OrderedDict[tuple[object, ...], Features | Tensor] = OrderedDict()

    @torch.no_grad()
    def features(self, picture: Picture, where: Where) -> Features:
        """The feature map (1 c h w) of a picture, in pixels of its working size.

        Raises:
            FeatureKitError: as ``fk.extract`` does.
        """

        def read() -> Features:
            image = load_image(picture.at_most(where.side))
            maps = extract(
                self._backbone(), image, taps=where.tap, timesteps=where.timestep, seed=SEED
            )
            return maps[0]

        found = self._once((picture.id, where), read)
        if not isinstance(found, Features):
            raise ConfigError(f"{where.tap} must be a tap of features, got another one")
        return found

    @torch.no_grad()
    def attention(self, picture: Picture, where: Where, prompt: str, words: str) -> Tensor:
        """How much each cell attends to words of a prompt, (h w), mean over heads and tokens.

        The latent is noised as ``fk.extract`` does it.

        Raises:
            FeatureKitError: the words are not in the prompt, or the tap is no map of attention.
        """

        def read() -> Tensor:
            backbone = self._backbone()
            image = load_image(picture.at_most(where.side))
            z0 = backbone.encode(image)
            eps = torch.randn(z0.shape, generator=torch.Generator().manual_seed(SEED))
            z = backbone.noise.noised(z0, eps.to(z0), where.timestep)
            told = backbone.sized(backbone.embed(prompt), (image.shape[2], image.shape[3]))
            tokens = to_tokens(backbone.token_indices(prompt, words))
            address = backbone.addresses(where.tap)
            with attention_maps(backbone.denoiser, address, stop_after=True, reduce=tokens) as seen:
                backbone.predictor(told)(z, where.timestep)
            return seen.as_map(where.tap)[0].mean(dim=0).cpu()

        found = self._once((picture.id, where, prompt, words), read)
        if not isinstance(found, Tensor):
            raise ConfigError(f"{where.tap} must be a map of attention, got features")
        return found

    def _once(
        self, key: tuple[object, ...], read: Callable[[], Features | Tensor]
    ) -> Features | Tensor:
        if key not in self._kept:
            self._kept[key] = read()
        self._kept.move_to_end(key)
        while len(self._kept) > 1 and self.held_bytes > KEPT_BYTES:
            self._kept.popitem(last=False)
        return self._kept[key]

    @property
    def held_bytes(self) -> int:
        """What the maps take."""
        tensors = (one.tensor if isinstance(one, Features) else one for one in self._kept.values())
        return sum(one.numel() * one.element_size() for one in tensors)
