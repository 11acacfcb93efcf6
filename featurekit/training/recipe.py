"""What is trained and for how long: the one home of the embedded model's shape."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from types import MappingProxyType
from typing import Any

from featurekit.core.errors import UnknownNameError

VERSION = 1  # of the checkpoints; raised when an old one can no longer be read
RUNS = ("vae", "decoder", "unet", "clip")  # fields of a recipe, and stages


@dataclass(frozen=True)
class Run:
    """The training of one network."""

    samples: int  # shown in all
    batch: int  # over all workers
    rate: float  # learning rate after the warm-up
    average: float  # longest memory of the weights' moving average, per step
    warm_up: int = 200  # steps
    cool_down: float = 0.25  # last share of the samples, over which the rate falls to 0


@dataclass(frozen=True)
class Recipe:
    """Shapes, amounts and rates of one embedded model."""

    name: str
    size: int  # side of the pictures in px
    scenes: int  # rendered for training, once
    drawings: int  # of the first of them, for CLIP
    stride: int  # px per latent cell
    latent_channels: int
    vae_channels: tuple[int, ...]
    unet_channels: tuple[int, ...]
    vae: Run
    decoder: Run  # of the finished autoencoder, alone
    unet: Run
    clip: Run
    text_width: int = 128
    text_layers: int = 3
    text_tokens: int = 40
    heads: int = 4
    seed: int = 0

    def shape(self) -> dict[str, Any]:
        """What a checkpoint must agree with: the networks and their data, not how they are run."""
        amounts = (*RUNS, "scenes", "drawings")
        record = {key: value for key, value in asdict(self).items() if key not in amounts}
        return dict(json.loads(json.dumps(record)))  # tuples become lists, as they do in a file

    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits of the shape."""
        text = json.dumps([VERSION, self.shape()], sort_keys=True)
        return sha256(text.encode()).hexdigest()[:16]

    def running(self, name: str, *, samples: int, batch: int) -> "Recipe":
        """The recipe with one run changed; what is 0 stays as it is."""
        run = getattr(self, name)
        changed = replace(run, samples=samples or run.samples, batch=batch or run.batch)
        return replace(self, **{name: changed})


SMALL = Recipe(
    name="64px",
    size=64,
    scenes=60_000,
    drawings=30_000,
    stride=4,
    latent_channels=8,
    vae_channels=(32, 64, 64),
    unet_channels=(64, 96, 160, 160),
    vae=Run(samples=90_000, batch=16, rate=1.2e-3, average=0.999, warm_up=100),
    decoder=Run(samples=40_000, batch=16, rate=6e-4, average=0.999, cool_down=1.0),
    unet=Run(samples=1_000_000, batch=32, rate=5e-4, average=0.9995),
    clip=Run(samples=150_000, batch=128, rate=1.5e-3, average=0.995),
)
"""What two CPU cores train best: 16 x 16 latents; a short run of 128 px came nowhere near it."""

LARGE = replace(
    SMALL,
    name="128px",
    size=128,
    scenes=150_000,
    drawings=50_000,
    vae=Run(samples=1_500_000, batch=128, rate=1e-3, average=0.999),
    decoder=Run(samples=500_000, batch=128, rate=5e-4, average=0.999, cool_down=1.0),
    unet=Run(samples=4_000_000, batch=512, rate=8e-4, average=0.9995, warm_up=400),
    clip=Run(samples=1_000_000, batch=512, rate=1e-3, average=0.998),
)
"""Stable Diffusion's own proportions, 32 x 32 latents: for a GPU."""

RECIPES: Mapping[str, Recipe] = MappingProxyType({one.name: one for one in (SMALL, LARGE)})


def known_recipe(name: str) -> Recipe:
    """A recipe by its name, UnknownNameError if there is none."""
    if name not in RECIPES:
        raise UnknownNameError("recipe", name, RECIPES)
    return RECIPES[name]
