"""Features at every unit of a picture: a few shifted encodings, read by the network once each."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  the field's name for it
from torch import Tensor

from featurekit.core.errors import ConfigError
from featurekit.core.types import Progress, silent
from featurekit.diffusion.backbone import Backbone
from featurekit.images.coordinates import padded
from featurekit.taps.capture import capture
from featurekit.taps.tokens_to_maps import as_map
from featurekit_drag.engine.settings import PlanSettings
from featurekit_drag.plan.grid import Grid, read_at


@dataclass(frozen=True)
class PixelFeatures:
    """What was read of a picture."""

    features: Tensor  # (c h w), h and w of the grid, float32 on the CPU
    latent: Tensor | None  # of the picture itself, where it was read unmoved too
    any_latent: Tensor  # one of those that were read, moved by less than a cell


@torch.no_grad()
def pixel_features(
    backbone: Backbone,
    image: Tensor,
    grid: Grid,
    settings: PlanSettings,
    *,
    prompt: str = "",
    progress: Progress = silent,
) -> PixelFeatures:
    """Read features that are finer than the grid of the model's cells.

    The picture is encoded ``shifts * shifts`` times, moved by equal parts of a cell, all
    with the same noise. The cells of all of them interleave to a grid that is so much finer; it is
    read between its cells at each unit. Four latents and one timestep give plans as good as
    sixteen latents, two timesteps and two noises did on 65 scenes of the training range (MSE ratio
    of the warp alone .124 and .426 against .130 and .426; one latent: .123 and .432).

    Args:
        backbone: its taps must be maps over the picture.
        image: (1 3 h w) in [-1, 1].
        grid: units over that picture, by the model's cells.
        settings: names of the taps, each normalised over its channels, then joined; the train
            timestep at which latents are read; encodings per axis, which half the stride must be
            a multiple of.
        prompt: the picture's.
        progress: called before every call of the network, and at the end.

    Raises:
        ConfigError: ``shifts`` does not divide the stride so that pixels stay whole.
    """
    stride, shifts, (height, width) = grid.cell_px, settings.shifts, image.shape[-2:]
    _check_shifts(shifts, stride)
    predict, timestep = backbone.predictor(backbone.embed(prompt)), settings.timestep
    taps = {name: backbone.activations[name] for name in settings.taps}
    size_px = (padded(height, backbone.multiple), padded(width, backbone.multiple))
    room = min(stride, height - 1, width - 1)
    wide = F.pad(image, (room,) * 4, mode="reflect")
    noise: Tensor | None = None
    rows, unmoved = [], None
    calls = 2 * shifts * shifts  # an encoding and a reading each
    for number, (dy, dx) in enumerate(_offsets(stride, shifts, room)):
        progress(2 * number, calls)
        moved = wide[..., room + dy : room + dy + height, room + dx : room + dx + width]
        z = backbone.encode(moved)
        if dy == dx == 0:
            unmoved = z
        if noise is None:
            generator = torch.Generator().manual_seed(0)
            noise = torch.randn(z.shape, generator=generator).to(z)
        progress(2 * number + 1, calls)
        addresses = {name: tap.address for name, tap in taps.items()}
        with capture(backbone.denoiser, addresses, stop_after=True) as captured:
            predict(backbone.noise.noised(z, noise, timestep), timestep)
        maps = [as_map(captured[name], tap, size_px=size_px) for name, tap in taps.items()]
        rows.append(_joined(maps, (size_px[0] // stride, size_px[1] // stride)))
    progress(calls, calls)
    finer = _interleaved(torch.cat(rows), shifts)
    cell_px = torch.tensor([size_px[1] / finer.shape[-1], size_px[0] / finer.shape[-2]])
    features = read_at(finer, grid.centres * grid.unit_px / cell_px)[0]
    return PixelFeatures(features, unmoved, z)


def _check_shifts(shifts: int, stride: int) -> None:
    if shifts < 1 or (shifts > 1 and stride % (2 * shifts)):
        raise ConfigError(
            f"plugin.plan_shifts must be 1, or divide half the stride of {stride} px, got {shifts}"
        )


def _offsets(stride: int, shifts: int, room: int) -> list[tuple[int, int]]:
    steps = [
        max(-room, min(room, int((k + 0.5) * stride / shifts - stride / 2))) for k in range(shifts)
    ]
    return [(dy, dx) for dy in steps for dx in steps]


def _joined(maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """Normalise maps over channels and join them at one size, whose cells are shifted."""
    parts = [F.normalize(one.float().cpu(), dim=1) for one in maps]
    parts = [
        one
        if one.shape[-2:] == torch.Size(size)
        else F.interpolate(one, size=tuple(size), mode="bilinear")
        for one in parts
    ]
    return torch.cat(parts, dim=1)


def _interleaved(rows: Tensor, shifts: int) -> Tensor:
    """Lay the cells of shifted maps between each other: (s*s c h w) to (1 c s*h s*w)."""
    _, channels, height, width = rows.shape
    table = rows.view(shifts, shifts, channels, height, width).permute(2, 3, 0, 4, 1)
    return table.reshape(1, channels, shifts * height, shifts * width)
