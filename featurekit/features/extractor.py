"""Features of many pictures: batched, each as if it were alone."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor

from featurekit.backbones.loaded.alterations import state
from featurekit.core.errors import ConfigError
from featurekit.core.shapes import expect
from featurekit.core.sharding import Share, group_of
from featurekit.core.types import Conditioning
from featurekit.diffusion.backbone import Backbone
from featurekit.features.feature_maps import FeatureMaps
from featurekit.features.noise_draws import noises, seed_of
from featurekit.features.reading import encoded, read, reading
from featurekit.features.recipes import Recipe
from featurekit.features.recipes import recipe as recipe_of
from featurekit.images.inputs import FILES, Picture, as_image

REMEMBERED = 256  # latents and prompts that a run keeps, the most recent ones


@dataclass(frozen=True)
class Sample:
    """A picture to be read."""

    id: str  # decides its noise; each once a run
    image: Picture = field(repr=False)  # (1 3 h w) in [-1, 1] or what ``load_image`` reads
    prompt: str = ""


def as_samples(pictures: Iterable[Sample | Picture] | Sample | Picture) -> Iterator[Sample]:
    """Make samples of pictures: a file's name is its id, as in a store; else its place is.

    Args:
        pictures: samples and pictures in any form that ``as_image`` takes, or one of them.

    Yields:
        Samples; those that are some already as they are.

    Raises:
        ConfigError: there is nothing to go through.
    """
    if isinstance(pictures, (Sample, *FILES)):
        pictures = [pictures]
    if not isinstance(pictures, Iterable):
        raise ConfigError(
            f"an Extractor must be given samples, pictures or paths, got a "
            f"{type(pictures).__name__}"
        )
    for place, one in enumerate(pictures):
        if isinstance(one, Sample):
            yield one
        else:
            name = Path(one).name if isinstance(one, str | Path) else str(place)
            yield Sample(name, one)


def share(
    samples: Iterable[Sample], *, worker: int, workers: int, buckets: int
) -> Iterator[Sample]:
    """Pass on the samples of one worker: those of every ``workers``-th bucket.

    Whole buckets go to one worker, and ``Extractor`` makes no batch of two buckets, so with one
    order of samples and one number of buckets, a batch holds the same samples for any number of
    workers.

    Args:
        samples: all of them.
        worker: number of this one, 0 to ``workers - 1``.
        workers: how many there are, >= 1.
        buckets: how many buckets, at least ``workers``.

    Yields:
        The samples of this worker.

    Raises:
        ConfigError: the numbers do not fit each other.
    """
    mine = Share(worker, workers)
    if workers > buckets:
        raise ConfigError(
            f"workers must be at most as many as buckets, got {workers} and {buckets}; ask for "
            f"more buckets"
        )
    for sample in samples:
        if mine.owns(group_of(sample.id, buckets)):
            yield sample


@dataclass(frozen=True)
class _Ready:
    """A sample whose picture and prompt have been through their encoders."""

    id: str
    latent: Tensor  # (1 c h w)
    conditioning: Conditioning
    picture_px: tuple[int, int]


class Extractor:
    """Reads what a recipe names of any number of pictures, in batches of one size.

    The noise of a sample comes from the seed and its id. A batch has pictures of one padded size
    and always ``batch`` rows a timestep and draw (the last one is filled up), so that neither the
    order nor the number of samples matters beyond rounding. Each picture goes through the
    autoencoder once and each prompt through the text encoder once, however often they are read,
    until these are changed.
    Nothing keeps gradients.
    """

    def __init__(
        self,
        backbone: Backbone,
        recipe: Recipe | str,
        *,
        seed: int = 0,
        batch: int = 8,
        rows: int = 64,
        buckets: int = 1,
    ) -> None:
        """Check what is asked for.

        Args:
            backbone: a loaded model.
            recipe: what to read of each picture, or the name of what a paper reads.
            seed: of the noise, with the id of a sample.
            batch: pictures in a call of the network, >= 1.
            rows: most rows in a call, each a picture at a timestep with a noise, >= ``batch``.
            buckets: sets of samples, by a hash of the id, that are never mixed; see ``share``.

        Raises:
            UnknownNameError: a word means no tap and no submodule, or a name no recipe.
            CaptureError: a word means a tap that is no map of the denoiser.
            NoiseLevelError: a timestep is outside the noise table.
            ConfigError: a number is too small, or nothing is asked for, or something twice.
        """
        if batch < 1 or rows < batch or buckets < 1:
            raise ConfigError(
                f"batch and buckets must be at least 1 and rows at least batch, got batch {batch}, "
                f"rows {rows}, buckets {buckets}"
            )
        self._backbone, self._seed = backbone, seed
        self._recipe = recipe_of(recipe) if isinstance(recipe, str) else recipe
        self._batch, self._rows, self._buckets = batch, rows, buckets
        self._asked = reading(backbone, self._recipe)
        self._latents: OrderedDict[bytes, Tensor] = OrderedDict()
        self._prompts: OrderedDict[str, Conditioning] = OrderedDict()
        self._encoders: list[str] = []  # in what state they were at the last call

    def __repr__(self) -> str:
        """One line: what is read with what, and how many pictures at a time."""
        taps = ", ".join(self._recipe.taps)
        timesteps = ", ".join(map(str, self._recipe.timesteps))
        return (
            f"Extractor({Path(self._backbone.name).name}: taps {taps}; t {timesteps}; "
            f"ensemble {self._recipe.ensemble}; batch {self._batch}; seed {self._seed})"
        )

    def __call__(
        self, samples: Iterable[Sample | Picture] | Sample | Picture
    ) -> Iterator[tuple[str, FeatureMaps]]:
        """Read samples as they come.

        Args:
            samples: any iterable of samples, pictures or paths, as ``as_samples`` names them; it is
                asked for the next picture when that one is needed.

        Yields:
            Id and maps (1 c H/stride W/stride) of each sample, in the order in which batches fill
            up: samples of one size and one bucket in the order given.

        Raises:
            ConfigError: two samples have one id.
            ShapeError: an image is not (1 3 h w).
            ImageError: an image cannot be read, or ``as_image`` refuses it.
            BackboneError: the autoencoder gave NaN or infinities.
            CaptureError: a module that was named gives no map of the picture.
        """
        self._forget_if_changed()
        waiting: dict[tuple[int, torch.Size], list[_Ready]] = {}
        seen: set[str] = set()
        for sample in as_samples(samples):
            if sample.id in seen:
                raise ConfigError(f"ids of samples must differ, got {sample.id!r} twice")
            seen.add(sample.id)
            ready = self._prepared(sample)
            key = (group_of(sample.id, self._buckets), ready.latent.shape)
            group = waiting.setdefault(key, [])
            group.append(ready)
            if len(group) == self._batch:
                yield from self._batched(waiting.pop(key))
        for group in waiting.values():
            yield from self._batched(group)

    def _forget_if_changed(self) -> None:
        """Encode anew where an encoder is another one than at the last call."""
        model = self._backbone
        second = getattr(model, "text_encoder_2", None)  # of SDXL
        encoders = (model.vae, model.text_encoder, *([] if second is None else [second]))
        found = [state(one) for one in encoders]
        if found != self._encoders:
            self._latents.clear()
            self._prompts.clear()
        self._encoders = found

    @torch.no_grad()
    def _prepared(self, sample: Sample) -> _Ready:
        """Encode picture and prompt, or remember what they gave."""
        image = as_image(sample.image, of=f"image {sample.id!r}")
        sizes = expect(image, "1 c h w", of=f"image {sample.id!r}", c=3)
        picture_px = (sizes["h"], sizes["w"])
        pixels = image.detach().cpu().contiguous()
        digest = sha256(f"{tuple(pixels.shape)} {pixels.dtype}".encode())
        digest.update(pixels.view(-1).view(torch.uint8).numpy().tobytes())
        key = digest.digest()
        if key not in self._latents:
            self._latents[key] = encoded(self._backbone, image, of=f"image {sample.id!r}")
        if sample.prompt not in self._prompts:
            self._prompts[sample.prompt] = self._backbone.embed(sample.prompt)
        self._latents.move_to_end(key)
        self._prompts.move_to_end(sample.prompt)
        told = self._backbone.sized(self._prompts[sample.prompt], picture_px)
        found = _Ready(sample.id, self._latents[key], told, picture_px)
        if len(self._latents) > REMEMBERED:
            self._latents.popitem(last=False)
        if len(self._prompts) > REMEMBERED:
            self._prompts.popitem(last=False)
        return found

    @torch.no_grad()
    def _batched(self, group: list[_Ready]) -> list[tuple[str, FeatureMaps]]:
        """Read samples of one size, filled up to a whole batch with the last of them."""
        filled = group + [group[-1]] * (self._batch - len(group))
        channels, height, width = filled[0].latent.shape[1:]
        drawn = [
            noises(self._recipe.ensemble, (channels, height, width), seed_of(self._seed, one.id))
            for one in filled
        ]
        maps = read(
            self._backbone,
            self._asked,
            torch.cat([one.latent for one in filled]),
            torch.stack(drawn, 1),
            conditioning=joined([one.conditioning for one in filled]),
            together=max(self._rows // self._batch, 1),
        )
        return [
            (one.id, maps.row(index).of_picture(one.picture_px)) for index, one in enumerate(group)
        ]


def joined(several: list[Conditioning]) -> Conditioning:
    """Lay conditionings under each other, a row a picture.

    Args:
        several: of one backbone, 1 row each.

    Returns:
        One conditioning.
    """
    extra = {name: torch.cat([one.extra[name] for one in several]) for name in several[0].extra}
    prompts = " | ".join(dict.fromkeys(one.prompt for one in several))
    return Conditioning(torch.cat([one.states for one in several]), prompts, extra)
