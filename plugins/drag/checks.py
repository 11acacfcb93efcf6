"""What can be refused of a drag before the weights of a backbone are loaded."""

from contextlib import suppress

from featurekit.backbones import describe_backbone
from featurekit.core.errors import ConfigError, FeatureKitError, PointsError
from featurekit.core.types import Job, Tap
from featurekit.images.io import read_tensors
from featurekit_drag.config import DragConfig, settings_of
from featurekit_drag.datasets.layouts import open_dataset
from featurekit_drag.engine.masks import check_mask, latent_mask
from featurekit_drag.engine.settings import UNITS_PER_CELL, Rule
from featurekit_drag.inputs import Subject, from_picture, is_own
from featurekit_drag.of_model import check_method, known_maps
from featurekit_drag.presets import settings_of_presets
from featurekit_drag.unused_settings import check_used
from featurekit_drag.working_size import Work, work_on


def check(job: Job, source: str) -> None:
    """Refuse settings, points and masks that cannot work.

    Args:
        job: without a backbone.
        source: what ``describe_backbone`` takes; a hub id, which it does not know, leaves out what
            depends on the model.

    Raises:
        ConfigError: a setting is out of range, the task takes no picture or no presets, presets
            cannot be compared, or the data set cannot be used.
        ImageError, MaskError, PointsError: the picture, the mask or the points cannot be used.
        UnknownNameError: the backbone has no such tap, or there is no such preset.
        BackboneError: a method for models with a UNet is asked for on a folder without one.
    """
    config: DragConfig = job.settings
    settings = settings_of(config)
    check_method(config, source)
    check_dataset(job)
    if job.task == "evaluate":
        check_bundled(job)
    _check_presets(job, source)
    if not config.presets:
        check_used(config, source)
    known: tuple[Tap, ...] = ()
    with suppress(FeatureKitError):  # whatever it is, loading says it
        known = describe_backbone(source)
    taps = {tap.name: tap for tap in known}
    warps = settings.initialise == "pixel_warp"
    if known:
        known_maps(_read(config), known)
    if job.task != "edit" or not is_own(job):
        return
    subject = from_picture(job)
    if subject.request.mask is not None and not subject.request.regions:
        check_mask(subject.request.mask, subject.request.points)
    if taps and not warps:
        _check_sizes(subject, config, settings.rule, taps[config.tap].stride, known)


def _check_presets(job: Job, source: str) -> None:
    """Refuse presets that cannot be compared, and any where nothing is."""
    config: DragConfig = job.settings
    if config.presets and job.task != "evaluate":
        raise ConfigError(
            f"plugin.presets is for task=evaluate, got task={job.task}; "
            f"choose one preset with experiment={config.presets[0]}"
        )
    for one in settings_of_presets(config, source).values():
        settings_of(one)
        check_method(one, source)


def _read(config: DragConfig) -> tuple[str, ...]:
    """Names of the maps that a run reads, where it does not leave them to the model."""
    planned = config.plan_taps if config.initialise == "pixel_warp" else [config.tap]
    return (*planned, *([config.judge_tap] if config.judge_tap else []))


def _check_sizes(
    subject: Subject, config: DragConfig, rule: Rule, stride: int, known: tuple[Tap, ...]
) -> None:
    """Refuse drags that are over before they begin, and masks smaller than a cell."""
    work = work_on(subject, config.side_px or 0)
    check_lengths(work, rule, stride)
    if work.part.request.mask is not None:
        strides = [tap.stride for tap in known if tap.network == "denoiser" and tap.stride]
        latent_mask(work.part.request.mask, stride=min(strides), multiple=max(strides))


def check_lengths(work: Work, rule: Rule, stride: int) -> None:
    """Refuse drags all of which are over before they begin.

    Args:
        work: what is dragged, at its size.
        rule: for the distance at which a handle has arrived.
        stride: of the features, px of the work per cell.

    Raises:
        PointsError: no drag is longer than that.
    """
    shrink = work.window.shrink
    arrived_px = rule.stop_distance * stride / UNITS_PER_CELL * shrink
    longest = float(work.full.request.points.lengths.max())
    if longest >= arrived_px:
        return
    where, advice = "", "lower plugin.stop_distance"
    if shrink > 1:
        where = f" where 1 px of the work is {shrink:.1f} px of the picture"
        advice = "drag farther, paint a smaller mask or raise plugin.side_px"
    raise PointsError(
        f"a drag must be at least {arrived_px:.4g} px long{where}, at which a handle counts as "
        f"arrived; the longest is {longest:.1f} px; {advice}"
    )


def check_bundled(job: Job) -> None:
    """Refuse a picture of one's own where only bundled scenes are dragged.

    Raises:
        ConfigError: a picture, points or a mask are given; their truth is not known.
    """
    if is_own(job):
        raise ConfigError(
            "task=evaluate drags bundled scenes, whose truth is known; leave out image, "
            "plugin.points and plugin.mask, or use task=edit"
        )


def check_dataset(job: Job) -> None:
    """Refuse a data set that cannot be measured, and settings that need one.

    Raises:
        ConfigError: the folder is no data set, or what it brings itself is given as well; or there
            is none, but settings for it, or a task that takes none; or the file of LPIPS' weights
            is no safetensors file.
    """
    config: DragConfig = job.settings
    if config.dataset is None:
        if config.lpips is not None or config.metric_seeds != DragConfig.metric_seeds:
            raise ConfigError(
                "plugin.lpips and plugin.metric_seeds are for a data set; give "
                "plugin.dataset=FOLDER and task=evaluate, or leave them out"
            )
        return
    if job.task != "evaluate":
        raise ConfigError(
            f"plugin.dataset is what task=evaluate drags, got task={job.task}; add task=evaluate, "
            f"or leave it out"
        )
    if is_own(job) or job.prompt:
        raise ConfigError(
            "plugin.dataset has pictures, points, masks and prompts of its own; leave out image, "
            "plugin.points, plugin.mask and prompt"
        )
    open_dataset(config.dataset)
    if config.lpips is not None:
        read_tensors(config.lpips)  # what is in it is looked at before the first drag
