"""``task=init``: the picture to draw on, at its full size, and what its drawing must be like."""

from pathlib import Path

import torch
from torch import Tensor

from featurekit.core.atomic import replacing
from featurekit.core.types import Job, Result
from featurekit.images.io import load_image, write_image
from featurekit.measures.held_out import image_of
from featurekit_sketch.config import SketchConfig, sampling_of
from featurekit_sketch.inputs import bundled, scene_px
from featurekit_sketch.output_names import keep_apart
from featurekit_sketch.sampling.noising_paths import SampledRun, generated_paths

PICTURE, NOTE, DRAWING = "picture.png", "how_to_draw.txt", "drawing.png"


def init(job: Job) -> Result:
    """Write the picture that is to be drawn, and a note on how.

    It is the user's ``image``; or a picture that the model samples of ``prompt``; or, without
    both, the bundled scene.

    Raises:
        ConfigError: the picture would replace the one that is given.
        ImageError: the picture cannot be read.
    """
    if job.image is not None:
        keep_apart([Path(job.image).expanduser()], [job.out / PICTURE])
    image, origin = _picture(job)
    height, width = image.shape[-2:]
    outputs = {"picture": write_image(image, job.out / PICTURE), "note": job.out / NOTE}
    command = _command(job)
    note = (
        f"Draw on {PICTURE}, {width}x{height} px ({origin}).\n\n"
        f"- Use a layer of its own above the picture, and export that layer alone as {DRAWING}, at "
        f"the same {width}x{height} px.\n"
        f"- Black lines on white paper; PNG without loss. Transparent paper is taken as white.\n"
        f"- Lines must lie where they belong on the picture. A drawing that is inverted, scanned "
        f"at another size or a little moved is mended with plugin.fit=true, and shown over the "
        f"picture.\n"
        f"- Washes and colours: plugin.ink=grey or plugin.ink=colour.\n\n"
        f"Then learn the style:\n\n    {command}\n"
    )
    with replacing(outputs["note"]) as path:
        path.write_text(note, encoding="utf-8")
    return Result(
        stop=f"draw on {job.out / PICTURE}",
        metrics={"width": width, "height": height, "origin": origin},
        outputs=outputs,
        summary=f"{job.out / NOTE} says how; then: {command}",
    )


def _picture(job: Job) -> tuple[Tensor, str]:
    """The picture (1 3 h w), and where it is from."""
    config: SketchConfig = job.settings
    if job.image is not None:
        return load_image(job.image), job.image
    if job.prompt:
        return _sampled(job, config), f"sampled of {job.prompt!r} with seed {job.seed}"
    scene = bundled(config.scene)
    return image_of(scene, scene_px(job)), scene.caption()


@torch.no_grad()
def _sampled(job: Job, config: SketchConfig) -> Tensor:
    words = job.backbone.embed(job.prompt)
    guidance = sampling_of(config, job.backbone.usual_guidance).guidance
    with job.stage("sampling a picture") as progress:
        (path,) = generated_paths(
            job.backbone,
            words,
            SampledRun(config.steps, guidance),
            seeds=[job.seed],
            progress=progress,
        )
    picture: Tensor = job.backbone.decode(path.clean.to(job.backbone.device))
    return picture.clamp(-1, 1).float().cpu()


def _command(job: Job) -> str:
    picture, drawing = job.out / PICTURE, job.out / DRAWING
    words = ["featurekit run plugin=sketch", f"image={picture}", f"plugin.drawing={drawing}"]
    if job.prompt:
        words.append(f"'prompt=\"{job.prompt}\"'")
    return " ".join(words)
