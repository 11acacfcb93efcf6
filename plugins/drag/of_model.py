"""What settings leave to the model: the maps that are read, the size, what the redraw shares.

A setting that names none takes what the model's own description says, whatever its family.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from featurekit.backbones.denoisers import kind_of_denoiser
from featurekit.backbones.folder import has_transformer
from featurekit.core.errors import CaptureError, FeatureKitError, UnknownNameError
from featurekit.core.types import Tap
from featurekit.diffusion.backbone import Backbone
from featurekit.taps.attention_processors import self_attentions
from featurekit.taps.attention_sharing import share_attention
from featurekit.taps.tokens_to_maps import is_formless
from featurekit_drag.config import DragConfig
from featurekit_drag.engine.needs_unet import refused
from featurekit_drag.inputs import native_size

READ = "adaln"  # role of what a transformer's block reads: its stream, normed and modulated
ADVICE = "backbone=transformer has the settings of models with a transformer"


def maps_of(activations: Iterable[Tap]) -> Mapping[str, Tap]:
    """Find all that can be read of a denoiser as maps of the picture, by name."""
    return {
        tap.name: tap for tap in activations if tap.network == "denoiser" and not is_formless(tap)
    }


def middle_of(activations: Iterable[Tap]) -> str:
    """Name the map in the middle of a denoiser: what the block there reads, or else its output.

    Of FLUX.1 it is that of the 29th of 57 blocks, which is best for finding points again. The
    stream itself holds a few massive channels, which drown the others; what a block reads is freed
    of them by its norm for the greater part (of 67.1 % of points, 65.3 % are found by the norm
    alone, 29.9 % without).

    Source: Gan et al. 2025 (DiTF), arXiv:2505.18584, table of its read-outs on FLUX.1.
    """
    maps = maps_of(activations)
    blocks = [name for name in maps if "." not in name]
    middle = blocks[len(blocks) // 2]
    reads = [name for name, tap in maps.items() if tap.role == READ]
    return next((name for name in reads if name.startswith(f"{middle}.")), middle)


def known_maps(names: Iterable[str], activations: Iterable[Tap], kind: str = "transformer") -> None:
    """Refuse names of maps that a model does not have.

    Args:
        names: of maps.
        activations: of the model.
        kind: of its denoiser, for the advice.

    Raises:
        UnknownNameError: there is no such map.
    """
    maps = maps_of(activations)
    for name in names:
        if name not in maps:
            raise UnknownNameError("tap", name, maps, ADVICE if kind == "transformer" else "")


def completed(config: DragConfig, backbone: Backbone) -> DragConfig:
    """Fill in what settings leave to the model; what they name stays.

    Args:
        config: of a run.
        backbone: the model.

    Returns:
        Settings with maps to plan and to judge by, a size, and of a transformer the
        self-attentions that can be shared, in the second half of its blocks.
    """
    middle = middle_of(backbone.activations.values())
    attention = config.attention
    if not attention and kind_of_denoiser(backbone) == "transformer":
        attention = list(shareable(backbone))
    return replace(
        config,
        plan_taps=config.plan_taps or [middle],
        judge_tap=config.judge_tap or middle,
        side_px=native_size(backbone) if config.side_px is None else config.side_px,
        attention=attention,
    )


def shareable(backbone: Backbone) -> tuple[str, ...]:
    """List the self-attentions of the second half of a network whose keys other rows can read.

    The later blocks are those whose attentions are shared in a UNet. Attentions that join picture
    and words, and linear ones, are none.
    """
    found = []
    for path in self_attentions(backbone.denoiser):
        try:
            with share_attention(backbone.denoiser, [path]):
                found.append(path)
        except CaptureError:
            continue
    return tuple(found[len(found) // 2 :])


def check_method(config: DragConfig, source: str) -> None:
    """Refuse a method for UNets on a folder with a transformer, whose weights are not loaded.

    Raises:
        BackboneError: the method needs a UNet.
    """
    folder = Path(source).expanduser()
    try:
        other = folder.is_dir() and has_transformer(folder)
    except FeatureKitError:  # whatever it is, loading says it
        return
    if other and config.initialise != "pixel_warp":
        raise refused(source)
