"""What the configs of a UNet's model say together: parts that fit, and levels of noise."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from featurekit.backbones.layout.config_fields import filled, words_width
from featurekit.backbones.stock import Configs
from featurekit.core.errors import BackboneError
from featurekit.diffusion.diffusers_schedulers import clips
from featurekit.diffusion.noise_schedule import NoiseTable


def check_fit(configs: Configs, of: str, needed: Mapping[str, Any]) -> None:
    """Refuse a UNet that does not fit the other parts of its model.

    Args:
        configs: config by part, ``filled``.
        of: what the model is, for the message.
        needed: settings of the UNet besides its channels, as the other parts need them;
            ``cross_attention_dim`` is the width of the states, wherever the UNet says it.

    Raises:
        BackboneError: a setting is another one.
    """
    unet, channels = configs["unet"], configs["vae"]["latent_channels"]
    settings = {"in_channels": channels, "out_channels": channels, **needed}
    stated = {**unet, "cross_attention_dim": words_width(unet)}
    for key, value in settings.items():
        if stated[key] != value:
            raise BackboneError(
                f"unet {key} of {of} must be {value}, as its other parts are, "
                f"got {stated[key]}; inpainting, upscaling and refining "
                f"models are not supported"
            )


def noise_table(scheduler: Mapping[str, Any], remark: str = "") -> NoiseTable:
    """Read the noise levels that a latent diffusion model was trained with.

    How its sampler would step does not matter to runs of DDIM: where they cannot be spaced as the
    sampler's, they have DDIM's own spacing. ``clip_sample`` is left out: it is for pictures in
    [-1, 1], latents are not confined to them, and ``StableDiffusionPipeline`` switches it off, too.

    Args:
        scheduler: config of any diffusers scheduler.
        remark: what else is to stand in the table's ``remark``.

    Returns:
        The table; what was left out stands in its ``remark``.

    Raises:
        ScheduleError: as for ``NoiseTable.from_scheduler``.
    """
    name = str(scheduler.get("_class_name", "DDIMScheduler"))
    left_out = "its clip_sample is left out, it is not for latents"
    told = [left_out] if clips(scheduler, name) else []
    told += [remark] if remark else []
    table = NoiseTable.from_scheduler({**scheduler, "clip_sample": False})
    return replace(table, sampler=name, remark="; ".join(told))


def configs_of(pipeline: Any, parts: Iterable[str]) -> dict[str, dict[str, Any]]:  # noqa: ANN401
    """Read the configs of a loaded pipeline as ``folder.read_configs`` reads those of its folder.

    Args:
        pipeline: a diffusers pipeline.
        parts: its components; one that is None has no config here.

    Returns:
        Config by part, with the class's defaults; ``pipeline`` is the pipeline's own.
    """
    found: dict[str, dict[str, Any]] = {"pipeline": dict(pipeline.config)}
    for part in parts:
        component = getattr(pipeline, part, None)
        if component is not None:
            config = component.config
            stated = config.to_dict() if hasattr(config, "to_dict") else dict(config)
            kind = type(getattr(component, "_orig_mod", component)).__name__
            found[part] = filled({**stated, "_class_name": kind}, part)
    return found
