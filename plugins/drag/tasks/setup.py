"""From a job's settings to the engine and the judge that it describes."""

from featurekit.backbones.denoisers import kind_of_denoiser
from featurekit.backbones.lora import LoraRecipe
from featurekit.core.errors import ConfigError
from featurekit.core.types import Job
from featurekit.diffusion.flow_table import FlowTable
from featurekit.taps.attention_sharing import self_attention_paths
from featurekit_drag.config import settings_of, warp_settings_of
from featurekit_drag.engine.drag import Drag
from featurekit_drag.engine.edit import Editor
from featurekit_drag.engine.needs_unet import check_unet
from featurekit_drag.inputs import Subject
from featurekit_drag.metrics.by_source import judge_by_source
from featurekit_drag.metrics.by_truth import judge_by_truth
from featurekit_drag.metrics.judges import Judge, JudgeFeatures
from featurekit_drag.of_model import completed, known_maps
from featurekit_drag.redraw.warp_drag import WarpDrag


def drag_of(job: Job) -> Editor:
    """Build the engine of a job; whatever cannot work is refused here, before any work.

    Raises:
        ConfigError: a setting is out of range.
        NoiseLevelError: the strength does not come to a step.
        UnknownNameError: the backbone has no such tap, or no self-attention there.
        BackboneError: a method that drags latents is asked for on a transformer.
    """
    config = completed(job.settings, job.backbone)
    settings = settings_of(config)
    warps = config.initialise == "pixel_warp"
    if not warps:
        check_unet(job.backbone)
    read = (*(config.plan_taps if warps else [config.tap]), config.judge_tap)
    kind = kind_of_denoiser(job.backbone)
    known_maps(read, job.backbone.activations.values(), kind)
    last = job.backbone.noise.train_timesteps - (not isinstance(job.backbone.noise, FlowTable))
    for name in ("plan_timestep", "judge_timestep"):
        if not 0 <= getattr(config, name) <= last:
            raise ConfigError(f"plugin.{name} must lie in 0 to {last}, got {getattr(config, name)}")
    self_attention_paths(job.backbone.denoiser, config.attention)
    if warps:
        return WarpDrag(job.backbone, warp_settings_of(config))
    recipe = LoraRecipe(
        rank=config.lora_rank,
        alpha=config.lora_alpha,
        learning_rate=config.lora_learning_rate,
        steps=config.lora_steps,
        batch=config.lora_batch,
    )
    return Drag(job.backbone, settings, recipe, job.cache)


def judge_of(job: Job, subject: Subject) -> Judge:
    """Build the judge of a job: it reads the frozen backbone, not with the drag's LoRA.

    Where the truth is known it judges by the truth, else by the source.
    """
    config = completed(job.settings, job.backbone)
    request = subject.request
    asked = JudgeFeatures(config.judge_tap, config.judge_timestep, request.prompt)
    if subject.truth is None:
        return judge_by_source(job.backbone, request.image, request.points, asked)
    return judge_by_truth(job.backbone, request.image, subject.truth, request.points, asked)
