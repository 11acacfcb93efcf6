"""``featurekit taps``: what can be read inside a backbone, from its configs alone. No torch."""

from collections.abc import Sequence

from featurekit.backbones import describe_backbone
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
    listed = describe_backbone(options.backbone)
    rows = [
        (tap.name, tap.role, str(tap.channels), str(tap.stride), tap.address)
        for tap in (resolve(options.taps, listed) if options.taps else listed)
    ]
    show(("tap", "role", "channels", "stride px", "module path"), rows)
    return 0
