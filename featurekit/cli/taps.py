"""``featurekit taps``: what can be read inside a backbone, from its configs alone. No torch."""

import sys
from collections.abc import Sequence
from pathlib import Path

from featurekit.backbones import check_scaled, describe_backbone
from featurekit.backbones.adapters.forms import update_header
from featurekit.backbones.single_file.predictions import check_prediction
from featurekit.cli.options import TapsOptions
from featurekit.cli.tables import show
from featurekit.pipeline.overrides import fill
from featurekit.taps.addresses import resolve


def main(words: Sequence[str]) -> int:
    """List what can be read inside a backbone, from its configs alone.

    Args:
        words: overrides of ``TapsOptions``.

    Returns:
        The exit code, 0.

    Raises:
        FeatureKitError: the words are wrong, or the backbone does not exist.
    """
    options = fill(TapsOptions, words)
    listed = describe_backbone(options.backbone, vae=options.vae or None)
    _tell_of_others(options)
    rows = [
        (tap.name, tap.role, str(tap.channels), str(tap.stride), tap.address)
        for tap in (resolve(options.taps, listed) if options.taps else listed)
    ]
    show(("tap", "role", "channels", "stride px", "module path"), rows)
    return 0


def _tell_of_others(options: TapsOptions) -> None:
    """Check the words that change what a model answers, and say that they change no tap."""
    check_scaled(options.lora_file or None, options.lora_scale)
    check_prediction(options.prediction or None)
    if options.lora_file:
        update_header(Path(options.lora_file))
        sys.stderr.write("a LoRA changes no tap; whether it fits the model was not looked at\n")
    if options.prediction:
        sys.stderr.write("what a model predicts changes no tap\n")
