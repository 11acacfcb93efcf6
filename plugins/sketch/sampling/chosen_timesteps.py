"""The timesteps that a style is learnt at; an analysis of the model's own runs may choose them."""

from dataclasses import replace
from pathlib import Path

from featurekit.backbones.denoisers import kind_of_denoiser
from featurekit.core.errors import ConfigError
from featurekit.core.json_files import read_json, write_json
from featurekit.core.types import Job
from featurekit.images.io import write_image
from featurekit.measures.analyses.timesteps import Asked, measure_runs
from featurekit_sketch.config import SketchConfig, reading_of
from featurekit_sketch.network.map_table import map_table
from featurekit_sketch.sampling.representative_timesteps import COUNT, check_timesteps
from featurekit_sketch.sampling.sampled_pictures import condensed
from featurekit_sketch.settings import ANALYSED, Reading

RUNS = 16  # sampled for an analysis; the paper's rests on 1,000
FIGURES, PICTURE = "timesteps.json", "timesteps.png"


def reading_for(job: Job) -> Reading:
    """How a job's pictures become features, its timesteps chosen.

    What an analysis found stays in ``out`` for the same command again. It looks at as many
    timesteps of a run as ``plugin.steps`` says, and chooses 13 of them, as the paper.

    Args:
        job: whose settings and backbone are meant.

    Raises:
        ConfigError: the model cannot be read at timesteps that are asked for.
    """
    config: SketchConfig = job.settings
    reading = reading_of(config, job.seed)
    if config.timesteps == ANALYSED:
        reading = replace(reading, timesteps=_analysed(job), chosen_by=ANALYSED)
        listed = ", ".join(map(str, reading.timesteps))
        job.say(f"{len(reading.timesteps)} timesteps stand for {RUNS} runs of the model: {listed}")
    check_timesteps(reading, job.backbone.noise, job.backbone.sample_size)
    return reading


def _analysed(job: Job) -> tuple[int, ...]:
    taps: tuple[str, ...] = ()
    if kind_of_denoiser(job.backbone) != "unet":
        taps = tuple(tap.name for tap in map_table(job.backbone).denoiser)
    asked = Asked(taps, steps=job.settings.steps, count=COUNT)
    facts = [asked.steps, asked.count, RUNS, dict(job.backbone.weights), job.backbone.name]
    key, path = condensed(facts), job.out / FIGURES
    found = _kept(path, key)
    if not found:
        with job.stage("analysing runs of the model") as progress:
            measured = measure_runs(job.backbone, range(RUNS), asked, progress=progress)
        write_image(measured.pictures["timesteps"], job.out / PICTURE)
        write_json({**measured.figures, "key": key}, path)
        found = tuple(measured.figures["timesteps"])
    return found


def _kept(path: Path, key: str) -> tuple[int, ...]:
    """What an earlier run found; nothing if there is none, or it is another's."""
    try:
        record = read_json(path)
    except ConfigError:
        return ()
    return tuple(record["timesteps"]) if record.get("key") == key else ()
