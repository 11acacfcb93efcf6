"""Reading pictures for a store: what each of them is, what is read of it, what made it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor

from featurekit.backbones.loaded.alterations import NETWORKS
from featurekit.core.errors import ConfigError
from featurekit.diffusion.backbone import Backbone
from featurekit.features.extractor import Extractor, Sample
from featurekit.features.noise_draws import seed_of
from featurekit.features.reading import UNLISTED, reading
from featurekit.features.recipes import Ensemble, Recipe
from featurekit.images import coordinates
from featurekit.images.io import load_image
from featurekit.images.packed import PictureFile, sha256_of_picture
from featurekit.store.plan import Cost, tap_shapes
from featurekit.store.records import FEATURES, Provenance, SampleRef, line


class PictureReader:
    """Reads pictures for a store; a picture's file name is its id and decides its noise.

    A call of the network always has the rows of a whole batch, so that a picture's features do not
    depend on which others were missing.
    """

    kind = FEATURES

    def __init__(
        self,
        backbone: Backbone,
        recipe: Recipe,
        *,
        prompt: str = "",
        seed: int = 0,
        batch: int = 8,
        rows: int = 64,
    ) -> None:
        """Check what is asked for.

        Args:
            backbone: a loaded model.
            recipe: what to read of each picture; every tap is one that the backbone lists.
            prompt: what the network is conditioned on.
            seed: of the noise, with the id of a picture.
            batch: pictures in a call of the network, >= 1.
            rows: most rows in a call, >= ``batch``.

        Raises:
            ConfigError: a tap is a module that the backbone does not list, so that its size is not
                known beforehand; a number is too small, or nothing is asked for.
            FeatureKitError: a tap or a timestep does not exist, or a tap is no map.
        """
        self.batch = batch
        self._backbone, self._prompt, self._seed = backbone, prompt, seed
        self._recipe = replace(recipe, timesteps=tuple(sorted(recipe.timesteps)))
        self._taps = tuple(reading(backbone, self._recipe).taps.values())
        for tap in self._taps:
            if tap.role == UNLISTED:
                raise ConfigError(
                    f"a store takes taps whose size is known, got the module {tap.name!r}; choose "
                    f"among those that featurekit taps lists"
                )
        self._extractor = Extractor(backbone, self._recipe, seed=seed, batch=batch, rows=rows)
        self.shapes = tap_shapes(self._taps, self._recipe.timesteps, multiple=backbone.multiple)
        forwards = len(self._recipe.timesteps) * recipe.ensemble.draws
        self.cost = Cost(forwards, dtype=backbone.dtype, batch=batch)

    def __call__(self, refs: Sequence[SampleRef]) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
        """Read pictures of one padded size.

        Args:
            refs: pictures, from ``ref``.

        Yields:
            Id and features (c h w) by ``tap/t``.

        Raises:
            FeatureKitError: a picture cannot be read any more, or the network gives no numbers.
        """
        samples = (self._sample(ref) for ref in refs)
        for name, maps in self._extractor(samples):
            yield name, {f"{one.tap}/{one.timestep}": one.tensor[0] for one in maps}

    def ref(self, picture: PictureFile, size: tuple[int, ...] | None = None) -> SampleRef:
        """Say what a picture is for a store.

        Args:
            picture: its file; the name is the id.
            size: its padded rows and columns, where they are known; else it is decoded.

        Raises:
            ImageError: it cannot be decoded.
        """
        if size is None:
            sides = load_image(picture).shape[2:]
            size = tuple(coordinates.padded(side, self._backbone.multiple) for side in sides)
        digest, seed = sha256_of_picture(picture), seed_of(self._seed, picture.name)
        return SampleRef(picture.name, digest, size, seed, picture)

    def provenance(self) -> Provenance:
        """Say what makes the features, apart from the pictures."""
        model = self._backbone
        return Provenance(
            backbone=Path(model.name).name,
            weights=weights_of(model),
            taps={tap.name: tap.address for tap in self._taps},
            timesteps=self._recipe.timesteps,
            conditioning=model.embed(self._prompt).fingerprint,
            preprocessing=(
                f"reflected to a multiple of {model.multiple} px; read in {model.dtype} on "
                f"{model.device.type}"
            ),
            seeds=f"{self._seed} with the id, ensemble {self._recipe.ensemble}",
        )

    def timed(self, ref: SampleRef) -> Cost:
        """Measure what a picture costs: its encoding, and a forward as one of a whole batch.

        Args:
            ref: a picture, from ``ref``.
        """
        one = Recipe(self._recipe.taps, self._recipe.timesteps[:1], Ensemble())
        seconds = []
        for turn in range(3):  # the first is warming up, the last needs no encoding
            start = perf_counter()
            if turn < 2:
                sample = self._sample(ref)
                extractor = Extractor(self._backbone, one, batch=self.batch, rows=self.batch)
            for _, maps in extractor([sample]):
                maps[0].tensor.sum().item()  # waits for the device
            seconds.append(perf_counter() - start)
        encode_s = max(seconds[1] - seconds[2], 0.0)
        return replace(self.cost, forward_s=seconds[2] / self.batch, encode_s=encode_s)

    def _sample(self, ref: SampleRef) -> Sample:
        if ref.file is None:
            raise ConfigError(f"a picture must have a file to be read, got none for {ref.id!r}")
        return Sample(ref.id, load_image(ref.file), self._prompt)


def weights_of(backbone: Backbone) -> str:
    """Hash the weight files, or the networks' numbers where there are no files, and every change.

    Args:
        backbone: a loaded model.

    Returns:
        SHA-256, hexadecimal; another one as soon as a network was changed since it was loaded, as
        ``Backbone.weights`` tells.
    """
    told = dict(backbone.weights)
    if told.keys() - set(NETWORKS):  # files
        return sha256(line(told)).hexdigest()
    digest = sha256(line(told) if told else b"")
    for network in (backbone.denoiser, backbone.vae):
        for name, tensor in sorted(network.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
