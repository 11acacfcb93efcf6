"""What a transformer's block reads of the stream: normed and modulated, massive channels dropped.

The stream of a transformer holds a few channels far larger than the others, which drown every
likeness of cells. A block itself reads it through a norm and a modulation for the timestep and the
prompt. ``analysis.artefacts.massive_channels`` finds such channels.
"""

from collections.abc import Collection

import torch
from torch import Tensor
from torch.nn import functional

from featurekit.core.errors import ConfigError, ShapeError
from featurekit.core.shapes import expect

EPS = 1e-6  # of the norms of diffusers' AdaLayerNormZero and AdaLayerNormZeroSingle


def adaln(
    stream: Tensor,
    modulation: Tensor,
    *,
    dropped: Collection[int] = (),
    shift_at: int = 0,
    eps: float = EPS,
) -> Tensor:
    """Read a stream as a block with adaptive layer norm reads it, without some of its channels.

    The channels are set to zero before the norm: behind it they have already made all others small.
    With none dropped this is what the block's own norm gives, bit for bit. Noises of an ensemble
    are averaged in the stream, before this.

    Args:
        stream: tokens that enter the norm, (b n c): the block's input, or what its norm is given;
            with or without those of the text.
        modulation: what the block's modulation answers for timestep and prompt, (b k*c) or (1 k*c):
            the output of ``norm.linear`` in diffusers' single blocks (shift, scale, gate) and of
            ``norm1.linear`` in double ones (shift, scale, gate of the attention, then of the
            feed-forward).
        dropped: channels to set to zero.
        shift_at: which c numbers of the modulation are the shift, counted from 0; the scale is
            behind it. 0 is for what enters the attention, 3 for what enters the feed-forward.
        eps: of the norm.

    Returns:
        LayerNorm(stream without the channels) * (1 + scale) + shift, (b n c).

    Raises:
        ShapeError: the modulation has no such shift and scale of the stream's channels, or other
            rows.
        ConfigError: the stream has no such channel.

    Source: Gan et al. 2025 (DiTF, "Unleashing Diffusion Transformers for Visual Correspondence by
    Modulating Massive Activations"), arXiv:2505.18584, NeurIPS 2025.
    """
    sizes = expect(stream, "b n c", of="stream")
    width = sizes["c"]
    _check(modulation, sizes, shift_at)
    channels = sorted(set(dropped))
    if channels and not 0 <= channels[0] <= channels[-1] < width:
        raise ConfigError(
            f"channels to drop must be numbers from 0 to {width - 1}, got {channels}; they count "
            f"within the stream"
        )
    left = stream
    if channels:
        left = stream.index_fill(-1, torch.tensor(channels, device=stream.device), 0.0)
    first = shift_at * width
    shift, scale = modulation[:, None, first : first + 2 * width].chunk(2, dim=-1)
    normed = functional.layer_norm(left, (width,), eps=eps)
    return normed * (1 + scale) + shift


def _check(modulation: Tensor, sizes: dict[str, int], shift_at: int) -> None:
    found, width = tuple(modulation.shape), sizes["c"]
    whole = len(found) == 2 and found[1] % width == 0
    if not whole or found[0] not in (1, sizes["b"]) or not 0 <= shift_at <= found[1] // width - 2:
        raise ShapeError(
            f"a modulation must be (b k*{width}) with b 1 or {sizes['b']} and a shift and a scale "
            f"at {shift_at} of its k parts, got {found}"
        )
