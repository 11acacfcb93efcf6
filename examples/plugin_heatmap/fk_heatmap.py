"""Light up what is like one point of a picture: a whole plugin in one file."""

from dataclasses import dataclass

import featurekit as fk
from featurekit.config import PluginConfig
from featurekit.errors import PointsError
from featurekit.registry import Plugin
from featurekit.types import Job, Result


@dataclass
class HeatmapConfig(PluginConfig):
    """Settings of one heat map; none for ``x`` or ``y`` is the middle."""

    name: str = "heatmap"
    x: float | None = None  # px of the picture
    y: float | None = None
    tap: str = "up2"
    timestep: int = 101


PLUGIN = Plugin(
    name="heatmap",
    summary="show what is like one point of a picture",
    api_version=1,
    schema=HeatmapConfig,
    tasks=("show",),
    target="fk_heatmap:show",
)


def show(job: Job) -> Result:
    # imported here, since this file is the description, too, which must not import torch
    import torch

    from featurekit.fields import resize, sample
    from featurekit.grid import cells_from_px, crop
    from featurekit.io import write_image
    from featurekit.scenes import scene

    config = job.settings
    image = fk.load_image(job.image or scene(1_000_000).image(64))
    height, width = image.shape[-2:]
    x = width / 2 if config.x is None else config.x
    y = height / 2 if config.y is None else config.y
    if not (0 <= x < width and 0 <= y < height):
        raise PointsError(f"plugin.x and plugin.y must lie in {width}x{height} px, got {(x, y)}")
    with job.stage("reading features") as progress:
        asked = {"taps": [config.tap], "timesteps": [config.timestep], "seed": job.seed}
        (read,) = fk.extract(job.backbone, image, prompt=job.prompt, ensemble=4, **asked)
        progress(1, 1)
    features, (rows, columns) = read.tensor.float().cpu(), read.grid
    point = sample(features, cells_from_px(torch.tensor([[x, y]]), read.stride))[0].T[..., None]
    heat = torch.cosine_similarity(features, point, dim=1)[None]
    heat = crop(resize(heat, rows * read.stride, columns * read.stride), height, width).clamp_min(0)
    lit = torch.lerp(torch.full_like(image, -1), image, heat**4)  # dark where it is not alike
    picture = write_image(lit, job.out / "heat.png")
    return Result("the map is drawn", {"mean": heat.mean()}, {"heat": picture})
