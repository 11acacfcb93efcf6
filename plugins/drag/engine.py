"""From a job's settings to the engine and the judge that it describes."""

from featurekit.adapt import LoraRecipe
from featurekit.errors import ConfigError, UnknownNameError
from featurekit.types import Job

from .config import DragConfig, settings_of
from .edit import Drag
from .judge import Judge, Sight
from .subject import Subject


def drag_of(job: Job) -> Drag:
    """Build the engine of a job.

    Raises:
        ConfigError: a setting is out of range.
        UnknownNameError: the backbone has no such tap.
    """
    config: DragConfig = job.settings
    for tap in (config.tap, config.judge_tap):
        if tap not in job.backbone.taps:
            raise UnknownNameError("tap", tap, job.backbone.taps)
    recipe = LoraRecipe(
        rank=config.lora_rank,
        alpha=config.lora_alpha,
        learning_rate=config.lora_learning_rate,
        steps=config.lora_steps,
        batch=config.lora_batch,
    )
    settings = settings_of(config)
    drag = Drag(job.backbone, settings, recipe)
    if drag.level == 0:
        raise ConfigError(
            f"plugin.strength times plugin.steps must come to a step at least, "
            f"got {config.strength:g} of {config.steps}; raise either"
        )
    return drag


def judge_of(job: Job, subject: Subject) -> Judge:
    """Build the judge of a job: it looks with the frozen backbone, not with the drag's LoRA."""
    config: DragConfig = job.settings
    request = subject.request
    sight = Sight(config.judge_tap, config.judge_timestep, request.prompt)
    return Judge(job.backbone, request.image, request.points, sight)
