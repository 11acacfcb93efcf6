"""Light up what is like one point of a picture: a whole plugin in one file."""

from dataclasses import dataclass

import featurekit as fk
from featurekit.plugin import Job, Plugin, PluginConfig, Result


@dataclass
class HeatmapConfig(PluginConfig):
    """Settings of one heat map; none for ``x`` or ``y`` is the middle."""

    name: str = "heatmap"
    x: float | None = None  # px of the picture
    y: float | None = None
    tap: str = "up2"
    timestep: int = 261


PLUGIN = Plugin(
    name="heatmap",
    summary="show what is like one point of a picture",
    api_version=1,
    schema=HeatmapConfig,
    tasks=("show",),
    target="fk_heatmap:show",
    presets="pkg://fk_heatmap.conf",  # backbone_defaults/ has what is better on some backbones
)


def show(job: Job) -> Result:
    # imported here, since this file is the description, too, which must not import torch
    import torch

    from featurekit.plugin import write_image

    config = job.settings
    image = fk.load_image(job.image or fk.scenes.scene(1_000_000).image(64))
    height, width = image.shape[-2:]
    x = width / 2 if config.x is None else config.x
    y = height / 2 if config.y is None else config.y
    with job.stage("reading features") as progress:
        asked = {"taps": [config.tap], "timesteps": [config.timestep], "seed": job.seed}
        (read,) = fk.extract(job.backbone, image, prompt=job.prompt, ensemble=4, **asked)
        progress(1, 1)
    heat = read.similarity(x, y).resize(1).tensor.float().cpu().clamp_min(0)
    lit = torch.lerp(torch.full_like(image, -1), image, heat**4)  # dark where it is not alike
    picture = write_image(lit, job.out / "heat.png")
    return Result("the map is drawn", {"mean": heat.mean()}, {"heat": picture})
