"""What the config of a transformer must say for a latent and words to be all that it is given."""

import inspect
from collections.abc import Mapping
from typing import Any

from featurekit.backbones.stock import quietly
from featurekit.core.errors import BackboneError, ShapeError


def check_channels(pipeline: Any, of: str, *, variance: bool = False) -> None:  # noqa: ANN401
    """Refuse a transformer that takes or gives more than one latent of the autoencoder.

    Args:
        pipeline: a diffusers pipeline with transformer and vae.
        of: what the model is, for the message.
        variance: whether the network may answer a variance behind its prediction.

    Raises:
        BackboneError: it takes or gives other channels.
    """
    channels = int(pipeline.vae.config.latent_channels)
    config = pipeline.transformer.config
    answered = (None, channels, 2 * channels) if variance else (None, channels)
    for key, allowed in (("in_channels", (channels,)), ("out_channels", answered)):
        if config.get(key) not in allowed:
            raise BackboneError(
                f"the transformer of {of} must have {key}={channels}, as its vae has channels, "
                f"got {config.get(key)}; inpainting and editing models are not supported"
            )


def check_packed(pipeline: Any, of: str, channels: int) -> None:  # noqa: ANN401
    """Refuse a transformer that takes more than one latent, packed by squares of two cells.

    Args:
        pipeline: a diffusers pipeline with a transformer.
        of: what the model is, for the message.
        channels: of the autoencoder's latent.

    Raises:
        BackboneError: it takes other channels.
    """
    found = pipeline.transformer.config.in_channels
    if found != 4 * channels:
        raise BackboneError(
            f"the transformer of {of} must have in_channels={4 * channels}, as squares of its "
            f"vae's cells have, got {found}; inpainting and editing models are not supported"
        )


def check_plain(pipeline: Any, of: str, fixed: Mapping[str, tuple[Any, str]]) -> None:  # noqa: ANN401
    """Refuse a transformer that needs inputs which no predictor gives.

    Args:
        pipeline: a diffusers pipeline with a transformer.
        of: what the model is, for the message.
        fixed: by setting the one value that works, and why another does not.

    Raises:
        BackboneError: a setting is another one; it is named.
    """
    for key, (value, why) in fixed.items():
        found = pipeline.transformer.config.get(key, value)
        if found != value:
            raise BackboneError(
                f"the transformer of {of} must have {key}={value!r}, got {found!r}: {why}"
            )


def defaults_of_call(pipeline: Any, *names: str) -> dict[str, Any]:  # noqa: ANN401
    """Look up what a pipeline reads a prompt with when nobody says otherwise.

    Args:
        pipeline: a diffusers pipeline.
        names: arguments of its call.

    Returns:
        Default by name, of those that the call has.
    """
    known = inspect.signature(type(pipeline).__call__).parameters
    return {name: known[name].default for name in names if name in known}


def cleaned(pipeline: Any, text: str) -> str:  # noqa: ANN401
    """Write a text as a pipeline that cleans captions does before it is read.

    Args:
        pipeline: of PixArt's kind.
        text: a prompt or words of it.

    Returns:
        The text in lower case, cleaned as far as the pipeline's call does by default.
    """
    with quietly():
        asked = defaults_of_call(pipeline, "clean_caption")
        return str(pipeline._text_preprocessing(text, **asked)[0])


def check_grid(grid: tuple[int, int], most: tuple[int, int], *, of: str) -> None:
    """Refuse a latent that a network has no places for.

    Args:
        grid: rows and columns of tokens.
        most: of which the network knows places.
        of: what the model is, for the message.

    Raises:
        ShapeError: there are more.
    """
    if grid[0] > most[0] or grid[1] > most[1]:
        raise ShapeError(
            f"a latent of {of} must have {most[0]} x {most[1]} tokens at most, "
            f"got {grid[0]} x {grid[1]}"
        )
