"""What lies inside the blocks of a Stable-Diffusion-shaped UNet, from its config. No torch."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from featurekit.core.errors import BackboneError
from featurekit.core.types import Tap

_WIDER = 4  # the hidden layer of a feed-forward, times the width: fixed in diffusers
_PROJECTIONS = ("q", "k", "v")


def inner_taps(unet: Mapping[str, Any], blocks: Sequence[Tap]) -> tuple[Tap, ...]:
    """List what can be read besides the outputs of blocks, resnets and attentions.

    Args:
        unet: config of a ``UNet2DConditionModel``.
        blocks: its blocks, resnets and attentions, as ``blocks.taps`` lists them.

    Returns:
        ``conv_in``; inputs and ``conv2`` of resnets; transformer blocks with queries, keys, values,
        outputs and maps of both attentions and the hidden layer of the feed-forward; samplers;
        skips. Everything in the order of ``blocks``.

    Raises:
        BackboneError: a setting does not fit the number of blocks, or the transformers are double.
    """
    if unet.get("dual_cross_attention"):
        raise BackboneError(
            "a UNet of Stable Diffusion's shape must have one cross-attention a block, "
            "but its config has dual_cross_attention"
        )
    channels = unet["block_out_channels"]
    finest = min(tap.stride for tap in blocks)
    found = [Tap("conv_in", "conv_in", "conv_in", channels[0], finest)]
    widths = _input_channels(unet, blocks)
    for tap in blocks:
        if tap.role == "resnet":
            found += _in_resnet(tap, widths[tap.name])
        elif tap.role == "attention":
            found += _in_attention(unet, tap)
        elif tap.role in ("down", "up"):
            found += _of_block(tap, len(channels))
    return (*found, *_skips(unet, blocks))


def _in_resnet(tap: Tap, width: int) -> Iterator[Tap]:
    """What a resnet is given (with the skip, on the way up), and its branch before the addition."""
    yield Tap(f"{tap.name}.in", tap.path, "resnet_in", width, tap.stride, side="in")
    yield Tap(f"{tap.name}.conv2", f"{tap.path}.conv2", "conv2", tap.channels, tap.stride)


def _in_attention(unet: Mapping[str, Any], tap: Tap) -> Iterator[Tap]:
    """Transformer blocks of one attention, each before its parts."""
    blocks = len(unet["block_out_channels"])
    level, layer = _place(tap.name, blocks)
    depth = _depth(unet, tap.name, (level, layer))
    key = "num_attention_heads" if unet.get("num_attention_heads") else "attention_head_dim"
    heads = _of_level(unet, key, 8, level)  # 8 is diffusers' default
    first = "cross" if _reads_words_alone(unet, tap.name, level) else "self"
    for number in range(depth):
        name, path = f"{tap.name}.block{number}", f"{tap.path}.transformer_blocks.{number}"
        width, stride = tap.channels, tap.stride
        yield Tap(name, path, "transformer_block", width, stride, form="tokens")
        yield from _attention(first, f"{name}.attn1", f"{path}.attn1", (width, stride, heads))
        yield from _attention("cross", f"{name}.attn2", f"{path}.attn2", (width, stride, heads))
        hidden = f"{path}.ff.net.0"
        yield Tap(f"{name}.ff.inner", hidden, "ff_inner", width * _WIDER, stride, form="tokens")


def _reads_words_alone(unet: Mapping[str, Any], name: str, level: int) -> bool:
    """Whether the first attention of a block reads the words as the second does."""
    in_the_middle = name.startswith("mid")  # where diffusers does not hand the setting on
    return not in_the_middle and bool(_of_level(unet, "only_cross_attention", False, level))


def _depth(unet: Mapping[str, Any], name: str, place: tuple[int, int]) -> int:
    """Transformer blocks of one attention; the way up may have a list of its own, in its order."""
    (level, layer), key = place, "transformer_layers_per_block"
    if name.startswith("up") and unet.get(f"reverse_{key}") is not None:
        key, level = f"reverse_{key}", len(unet["block_out_channels"]) - 1 - level
    depth = _of_level(unet, key, 1, level)
    if isinstance(depth, (list, tuple)):  # one number for each attention of the block
        if layer >= len(depth):
            raise BackboneError(
                f"{key} must name every attention of a block, got {depth!r} for {name}"
            )
        return int(depth[layer])
    return int(depth)


def _attention(kind: str, name: str, path: str, sizes: tuple[int, int, int]) -> Iterator[Tap]:
    """Output, projections and map; keys and values of a cross-attention belong to words."""
    width, stride, heads = sizes
    yield Tap(name, path, f"{kind}_attention", width, stride, form="tokens")
    for letter in _PROJECTIONS:
        words = kind == "cross" and letter != "q"
        form, cell = ("words", 0) if words else ("tokens", stride)
        at = f"{path}.to_{letter}"
        yield Tap(f"{name}.{letter}", at, f"{kind}_{letter}", width, cell, form=form)
    yield Tap(f"{name}.map", path, f"{kind}_map", heads, stride, side="map", form="heads")


def _of_block(tap: Tap, blocks: int) -> Iterator[Tap]:
    """The sampler at the end of every block but the last of its way."""
    way, number = tap.role, int(tap.name.removeprefix(tap.role))
    if number < blocks - 1:
        path = f"{way}_blocks.{number}.{way}samplers.0"
        yield Tap(f"{tap.name}.sampler", path, f"{way}sampler", tap.channels, tap.stride)


def _skips(unet: Mapping[str, Any], blocks: Sequence[Tap]) -> Iterator[Tap]:
    """What the resnets of the way up get from the way down, in the order in which they take it."""
    way_down = _skip_channels(unet, blocks)
    for tap in blocks:
        if tap.role == "resnet" and tap.name.startswith("up"):
            block, _, resnet = tap.name.partition(".resnet")
            path = f"up_blocks.{block.removeprefix('up')}"
            name, width = f"{block}.skip{resnet}", way_down.pop()
            yield Tap(name, path, "skip", width, tap.stride, side=f"skip{resnet}")


def _skip_channels(unet: Mapping[str, Any], blocks: Sequence[Tap]) -> list[int]:
    """Channels of ``conv_in``, each resnet and each sampler of the way down: last one first out."""
    channels = list(unet["block_out_channels"])
    kept = [channels[0]]
    for number, width in enumerate(channels):
        start = f"down{number}.resnet"
        kept += [width for tap in blocks if tap.name.startswith(start)]
        kept += [width] * (number < len(channels) - 1)
    return kept


def _input_channels(unet: Mapping[str, Any], blocks: Sequence[Tap]) -> dict[str, int]:
    """Channels that each resnet is given; on the way up they are the last one's and a skip's."""
    skips = _skip_channels(unet, blocks)
    width, widths = int(unet["block_out_channels"][0]), {}
    for tap in blocks:
        if tap.role == "resnet":
            widths[tap.name] = width + (skips.pop() if tap.name.startswith("up") else 0)
            width = tap.channels
    return widths


def _place(name: str, blocks: int) -> tuple[int, int]:
    """Level of an attention, counted as in the config, and its number within the block."""
    block, _, number = name.partition(".attention")
    if block == "mid":
        return blocks - 1, 0
    if block.startswith("down"):
        return int(block.removeprefix("down")), int(number)
    return blocks - 1 - int(block.removeprefix("up")), int(number)


def _of_level(unet: Mapping[str, Any], key: str, default: int, level: int) -> Any:  # noqa: ANN401
    """A setting of one block: diffusers takes one number for all, or a list."""
    value = unet.get(key, default)
    if isinstance(value, int):
        return value
    if not isinstance(value, (list, tuple)) or len(value) != len(unet["block_out_channels"]):
        raise BackboneError(
            f"{key} must be a number or name {len(unet['block_out_channels'])} blocks, "
            f"got {value!r}"
        )
    return value[level]
