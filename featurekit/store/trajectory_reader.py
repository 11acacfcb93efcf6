"""Inversions of pictures for a store, and features made of them when they are asked for."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor

from featurekit.core.errors import ConfigError
from featurekit.core.types import Conditioning
from featurekit.diffusion.backbone import Backbone
from featurekit.diffusion.flow_schedule import schedule_of
from featurekit.diffusion.flow_table import FlowTable
from featurekit.diffusion.invert import invert
from featurekit.diffusion.levels import NoiseSchedule
from featurekit.features.extract import extract_latents
from featurekit.features.reading import encoded, reading
from featurekit.features.recipes import Ensemble, Recipe
from featurekit.images import coordinates
from featurekit.images.io import load_image
from featurekit.images.packed import PictureFile, sha256_of_picture
from featurekit.store.inversion import Inversion
from featurekit.store.picture_reader import weights_of
from featurekit.store.places.place import Place, place_at
from featurekit.store.plan import Cost
from featurekit.store.read import Recomputed, StoredFeatures
from featurekit.store.records import TRAJECTORIES, Header, Provenance, SampleRef, read_header


class TrajectoryReader:
    """Inverts pictures for a store: latents ``latent/<t>`` in place of features.

    A call of the network always has the rows of a whole batch. Pictures that the network is told
    the size of are batched by that; else by their padded size.
    """

    kind = TRAJECTORIES

    def __init__(
        self, backbone: Backbone, inversion: Inversion, *, prompt: str = "", batch: int = 8
    ) -> None:
        """Choose the levels.

        Args:
            backbone: a loaded model.
            inversion: method and steps.
            prompt: what the network is conditioned on, with no guidance.
            batch: pictures in a call of the network, >= 1.

        Levels that follow the number of tokens are chosen when a picture is first looked at.

        Raises:
            ConfigError: ``batch`` is below 1.
            ScheduleError: the model's table has no such schedule.
        """
        if batch < 1:
            raise ConfigError(f"batch must be at least 1, got {batch}")
        self.batch = batch
        self._backbone, self._inversion = backbone, inversion
        self._conditioning = backbone.embed(prompt)
        noise = backbone.noise
        self._follows = noise if isinstance(noise, FlowTable) and noise.dynamic else None
        self._tokens = 0  # of the pictures, where levels follow it: none was looked at
        # levels of another size, until then: as many of them, and as many calls
        cells = None if self._follows is None else (8 * self._follows.patch,) * 2
        self._schedule = schedule_of(noise, inversion.steps, cells=cells)
        self.cost = Cost(_calls(inversion.method, self._schedule), batch=batch)

    def shapes(self, size: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """Say what is stored of a picture of a size."""
        model = self._backbone
        cells = [coordinates.padded(side, model.multiple) // model.stride for side in size]
        names = map(_name, self._schedule.timesteps)
        return dict.fromkeys(names, (model.latent_channels, *cells))

    @torch.no_grad()
    def __call__(self, refs: Sequence[SampleRef]) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
        """Invert pictures of one size.

        Args:
            refs: pictures, from ``ref``.

        Yields:
            Id and latents (c h w) by ``latent/<t>``.

        Raises:
            FeatureKitError: a picture cannot be read any more, or the network gives no numbers.
        """
        for start in range(0, len(refs), self.batch):
            some = refs[start : start + self.batch]
            latents = self._inverted(some)
            for row, ref in enumerate(some):
                yield ref.id, {_name(t): z[row].clone() for t, z in latents.items()}

    def ref(self, picture: PictureFile, size: tuple[int, ...] | None = None) -> SampleRef:
        """Say what a picture is for a store.

        Args:
            picture: its file; the name is the id.
            size: what this said before, where that is known; else the picture is decoded.

        Raises:
            ImageError: it cannot be decoded.
            ConfigError: levels follow the number of tokens, and it has another one than those
                that were looked at before.
        """
        if size is None:
            height, width = load_image(picture).shape[2:]
            told = self._backbone.sized(self._conditioning, (height, width))
            own = told is not self._conditioning
            multiple = 1 if own else self._backbone.multiple
            size = (coordinates.padded(height, multiple), coordinates.padded(width, multiple))
        self._follow(picture.name, size)
        return SampleRef(picture.name, sha256_of_picture(picture), size, file=picture)

    def _follow(self, name: str, size: tuple[int, ...]) -> None:
        """Choose the levels by the size of the pictures, where they follow it."""
        if self._follows is None:
            return
        model = self._backbone
        rows, columns = (coordinates.padded(side, model.multiple) // model.stride for side in size)
        tokens = self._follows.tokens((rows, columns))
        if self._tokens not in (0, tokens):
            raise ConfigError(
                f"pictures of one store must have as many tokens, since the noise levels of "
                f"{Path(model.name).name} follow their number, got {self._tokens} and, of {name!r},"
                f" {tokens}; make a store for each size"
            )
        if not self._tokens:
            self._tokens = tokens
            self._schedule = schedule_of(
                self._follows, self._inversion.steps, cells=(rows, columns)
            )

    def provenance(self) -> Provenance:
        """Say what makes the latents, apart from the pictures."""
        model = self._backbone
        return Provenance(
            backbone=Path(model.name).name,
            weights=weights_of(model),
            taps={},
            timesteps=tuple(sorted(self._schedule.timesteps)),
            levels=tuple(range(1, self._schedule.steps + 1)),
            schedule=self._schedule.fingerprint,
            conditioning=self._conditioning.fingerprint,
            preprocessing=(
                f"reflected to a multiple of {model.multiple} px; inverted in {model.dtype} on "
                f"{model.device.type}"
            ),
            seeds=f"none, inverted by {self._inversion}",
        )

    @torch.no_grad()
    def timed(self, ref: SampleRef) -> Cost:
        """Measure what a picture costs: its encoding, and a forward as one of a whole batch.

        Args:
            ref: a picture, from ``ref``.
        """
        seconds = [0.0, 0.0]
        for _ in range(2):  # the first is warming up
            start = perf_counter()
            z = self._encoded(ref)
            z.sum().item()  # waits for the device
            between = perf_counter()
            predict = self._backbone.predictor(self._told(ref))
            predict(z.repeat(self.batch, 1, 1, 1), self._schedule.timestep(1)).sum().item()
            seconds = [between - start, perf_counter() - between]
        return replace(self.cost, forward_s=seconds[1] / self.batch, encode_s=seconds[0])

    def _told(self, ref: SampleRef) -> Conditioning:
        height, width = ref.size
        return self._backbone.sized(self._conditioning, (height, width))

    def _encoded(self, ref: SampleRef) -> Tensor:
        if ref.file is None:
            raise ConfigError(f"a picture must have a file to be read, got none for {ref.id!r}")
        return encoded(self._backbone, load_image(ref.file), of=f"image {ref.id!r}")

    def _inverted(self, refs: Sequence[SampleRef]) -> dict[float, Tensor]:
        """Latents by timestep, of a batch that is filled up with the last picture."""
        found = [self._encoded(ref) for ref in refs]
        z0 = torch.cat(found + found[-1:] * (self.batch - len(found)))
        trajectory = invert(
            self._backbone.predictor(self._told(refs[0])),
            z0,
            self._schedule,
            method=self._inversion.method,
            keep_residuals=False,
        )
        return {t: trajectory.at_timestep(t) for t in self._schedule.timesteps}


def recomputed(
    folder: Place | str,
    backbone: Backbone,
    recipe: Recipe,
    *,
    prompt: str = "",
    ids: Collection[str] | None = None,
) -> Recomputed:
    """Open a store of trajectories as one of features, which are made when they are asked for.

    Each is what ``extract_latents`` gives of the stored latents, read as float32.

    Args:
        folder: the store, or its address.
        backbone: the model that the pictures were inverted with.
        recipe: what to read; its timesteps are among those of the store.
        prompt: that of the inversion.
        ids: samples to show, in this order; none shows all.

    Returns:
        A data set of (id, features (c h w) by ``tap/t``).

    Raises:
        ConfigError: the store holds no trajectories, or those of another model or prompt; the
            recipe wants a mean over noises.
        UnknownNameError: a timestep or a sample is not in the store.
        FeatureKitError: the recipe cannot be read from the backbone.
    """
    header, conditioning = read_header(place_at(folder)), backbone.embed(prompt)
    asked = reading(backbone, recipe)
    if recipe.ensemble != Ensemble():
        raise ConfigError(
            f"stored latents must be read as they are, in an ensemble of 1, got {recipe.ensemble}"
        )
    names = None  # of a store of features, which ``Recomputed`` refuses
    if header.kind == TRAJECTORIES:
        _refuse_other(header, backbone, conditioning)
        names = [_name(t) for t in asked.timesteps]
    latents = StoredFeatures(folder, names=names, ids=ids)
    sizes = {row.id: (row.size[0], row.size[1]) for row in latents.rows}

    @torch.no_grad()
    def features(name: str, stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
        z = {t: stored[_name(t)][None].float().to(backbone.device) for t in asked.timesteps}
        told = backbone.sized(conditioning, sizes[name])
        maps = extract_latents(backbone, z, taps=recipe.taps, conditioning=told)
        return {f"{one.tap}/{one.timestep}": one.tensor[0] for one in maps}

    return Recomputed(latents, features)


def _name(t: float) -> str:
    """Name of a latent; only a flow's timesteps may be other than whole."""
    return f"latent/{int(t) if t == int(t) else t}"


def _refuse_other(header: Header, backbone: Backbone, conditioning: Conditioning) -> None:
    """Refuse a model or a prompt that the latents were not made with."""
    made = header.provenance
    pairs = {
        "weights": (made.weights, weights_of(backbone)),
        "conditioning": (made.conditioning, conditioning.fingerprint),
    }
    for name, (found, wanted) in pairs.items():
        if found != wanted:
            raise ConfigError(
                f"features must be made with the model and prompt of the inversion, whose {name} "
                f"is {found!r}, got {wanted!r}"
            )


def _calls(method: str, schedule: NoiseSchedule) -> int:
    """Calls of the network for an inversion, counted with a network that says nothing."""
    calls = []

    def count(z: Tensor, t: float | Tensor) -> Tensor:
        calls.append(t)
        return torch.zeros_like(z)

    invert(count, torch.ones(1, 1, 1, 1), schedule, method=method, keep_residuals=False)
    return len(calls)
