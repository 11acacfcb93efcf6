"""Do features tell where they lie, whatever lies there? A linear probe, beside two controls."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from featurekit.analysis.artefacts import Probe, places, position_probe, position_r2
from featurekit.analysis.plots import captioned, place_colours
from featurekit.core.errors import ConfigError
from featurekit.core.types import Progress, silent
from featurekit.features.extract import extract
from featurekit.features.noise_draws import seed_of
from featurekit.images.pictures import contact_sheet
from featurekit.measures.held_out import Measured
from featurekit.measures.random_weights import Family, untrained

Fields: TypeAlias = Mapping[str, Tensor]
"""Fields (1 c h w) of a picture by tap."""

TITLES = {"network": "network", "random": "random weights", "pixels": "raw pixels"}
LEAST = 4  # pictures
PIXELS = 4  # raw values a side of the patch that stands for a cell


@torch.no_grad()
def measure_positions(
    backbone: Family,
    images: Sequence[Tensor],
    *,
    taps: Sequence[str],
    timestep: int,
    seed: int = 0,
    progress: Progress = silent,
) -> Measured:
    """Measure how well the place of a cell can be read off its features by a linear map.

    A picture tells places too: the sky is above. So each is shifted around by a random step, with
    what leaves on one side coming in on the other. One noise for all would tell places, so each
    has its own. What is still readable is of the network and the borders. One half of the pictures
    fits the map, the other is asked.

    Args:
        backbone: a loaded model.
        images: (1 3 h w) in [-1, 1], at least four.
        taps: which activations to ask, as in ``extract``.
        timestep: at which train timestep.
        seed: of the shifts and of the noise.
        progress: called after each picture.

    Returns:
        Figures ``r2`` of x and y by source and tap: ``network``, ``random`` (the same network
        with random weights) and ``pixels`` (raw patches on the same grid). The picture
        ``positions`` shows the mean of what was read, x as red and y as green, with the R^2 below.

    Raises:
        FeatureKitError: as in ``extract``.
        ConfigError: there are fewer than four pictures.

    Source: the question is Loos and Linhardt's, 2025, arXiv:2504.07008.
    """
    check_enough(len(images))
    generator = torch.Generator().manual_seed(seed)
    shifted = [_shifted(image, generator) for image in images]
    models = {"network": backbone, "random": untrained(backbone)}
    read: dict[str, list[Fields]] = {name: [] for name in (*models, "pixels")}
    for done, image in enumerate(shifted, start=1):
        on_device = image.to(backbone.device)
        own = seed_of(seed, str(done))
        described = _described(models, on_device, taps=taps, timestep=timestep, seed=own)
        for name, fields in described.items():
            read[name].append(fields)
        progress(done, len(shifted))
    half = len(images) // 2
    answers = {name: _answers(each, half) for name, each in read.items()}
    r2 = {name: {tap: one[0] for tap, one in each.items()} for name, each in answers.items()}
    rows = {
        TITLES[name]: [captioned(place_colours(read), _words(r2)) for r2, read in each.values()]
        for name, each in answers.items()
    }
    first = read["network"][half]
    rows["the truth"] = [place_colours(places(field)) for field in first.values()]
    figures = {"images": len(images), "timestep": timestep, "r2": r2}
    return Measured(figures, {"positions": contact_sheet(rows, list(first))})


def check_enough(pictures: int) -> None:
    """Refuse fewer pictures than can be told in halves.

    Raises:
        ConfigError: there are fewer than four.
    """
    if pictures < LEAST:
        raise ConfigError(
            f"a probe needs {LEAST} pictures or more, half of them to ask, got {pictures}"
        )


def _words(r2: Mapping[str, float]) -> str:
    """R^2 of a tile: the mean, then each axis."""
    return f"R^2 {fmean(r2.values()):.2f} (x {r2['x']:.2f}, y {r2['y']:.2f})"


def _answers(read: Sequence[Fields], half: int) -> dict[str, tuple[dict[str, float], Tensor]]:
    """By tap: R^2 of a probe on the second half, and the mean of what it says there, (2 h w)."""
    found = {}
    for tap in read[0]:
        probe = position_probe([one[tap] for one in read[:half]])
        asked = [one[tap] for one in read[half:]]
        x, y = position_r2(probe, asked)
        found[tap] = ({"x": x, "y": y}, _mean_answer(probe, asked))
    return found


def _shifted(image: Tensor, generator: torch.Generator) -> Tensor:
    """The picture on a torus, moved by a random whole number of pixels."""
    steps = [int(torch.randint(side, (1,), generator=generator)) for side in image.shape[2:]]
    return image.roll(steps, dims=(2, 3))


def _described(
    models: Mapping[str, Family],
    image: Tensor,
    *,
    taps: Sequence[str],
    timestep: int,
    seed: int,
) -> dict[str, Fields]:
    """A picture as each network sees it, and as raw patches on the grids of the first one."""
    found: dict[str, Fields] = {}
    for name, model in models.items():
        maps = extract(model, image, taps=taps, timesteps=[timestep], seed=seed)
        found[name] = {one.tap: one.tensor.float().cpu() for one in maps}
    grids = {tap: (field.shape[2], field.shape[3]) for tap, field in found["network"].items()}
    return {**found, "pixels": {tap: _patches(image.cpu(), *grid) for tap, grid in grids.items()}}


def _patches(image: Tensor, rows: int, columns: int) -> Tensor:
    """What lies in each cell of a grid, ``PIXELS`` a side, (1 c rows columns)."""
    resized = functional.adaptive_avg_pool2d(image, (PIXELS * rows, PIXELS * columns))
    return functional.unfold(resized, PIXELS, stride=PIXELS).reshape(1, -1, rows, columns)


def _mean_answer(probe: Probe, fields: Sequence[Tensor]) -> Tensor:
    """Where the probe says the cells lie, (2 h w), mean over pictures of the first one's size."""
    alike = [field for field in fields if field.shape == fields[0].shape]
    return probe(torch.cat(alike)).mean(0)
