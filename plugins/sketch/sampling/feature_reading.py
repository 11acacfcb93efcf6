"""Read the features of a picture: the denoiser's at each timestep, the VAE decoder's once."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from featurekit.core.shapes import expect
from featurekit.core.types import Conditioning, Tap
from featurekit.diffusion.backbone import Backbone
from featurekit.taps.capture import capture
from featurekit.taps.tokens_to_maps import as_map
from featurekit_sketch.network.feature_taps import FeatureTaps
from featurekit_sketch.network.features import Features
from featurekit_sketch.sampling.noising_paths import NoisingPath, as_words

# rows in one call of the UNet: a pair at 13 timesteps is two equal calls. From 4 to 26 rows a call
# make no difference to the time on a CPU, and memory for activations grows with them
CHUNK = 13


@torch.no_grad()
def read(
    backbone: Backbone,
    feature_taps: FeatureTaps,
    noising: NoisingPath,
    states: Tensor | Conditioning,
) -> Features:
    """Compute the features of one picture, without gradient.

    The UNet sees each latent for the empty prompt and for ``states``, and is left after its last
    map. Where the states are those of the empty prompt it sees each latent once, and the pair is
    one map twice, without a copy.

    Args:
        backbone: a loaded model.
        feature_taps: which of its maps to read.
        noising: latents of the picture, on any device, in any dtype.
        states: what the picture is conditioned on, (1 n d), likewise; or a whole conditioning,
            for networks that are told more than states.

    Returns:
        Features of one picture, (1 t 2 ...) and (1 ...), on the device and in the dtype of the
        backbone.

    Raises:
        ShapeError: ``states`` is not (1 n d) with the backbone's n and d.
    """
    without, words = backbone.embed(""), as_words(states)
    expect(words.states, "1 n d", of="states", n=without.states.shape[1], d=without.states.shape[2])
    pair = [without, _placed(words, backbone)]
    if _are_equal(*pair):
        del pair[1]
    unet = {}
    for name, rows in unet_maps(backbone, feature_taps, noising, pair).items():
        maps = rows.view(1, len(noising.timesteps), len(pair), *rows.shape[1:])
        unet[name] = maps.expand(-1, -1, 2, -1, -1, -1)
    with capture(backbone.vae, {tap.name: tap.path for tap in feature_taps.vae}) as captured:
        image = backbone.decode(noising.clean.to(backbone.device))
    return Features(unet=unet, vae=dict(captured), image=image.to(backbone.dtype))


def unet_maps(
    backbone: Backbone,
    feature_taps: FeatureTaps,
    noising: NoisingPath,
    conditions: Sequence[Conditioning],
) -> dict[str, Tensor]:
    """Maps by name, (rows c h w): each timestep in turn, and within it each condition."""
    count, steps = len(conditions), len(noising.timesteps)
    latents = noising.latents.to(backbone.device).repeat_interleave(count, dim=0)
    timesteps = torch.tensor(noising.timesteps, device=backbone.device).repeat_interleave(count)
    paths = {tap.name: tap.path for tap in feature_taps.unet}
    parts: dict[str, list[Tensor]] = {name: [] for name in paths}
    for first in range(0, count * steps, CHUNK):
        rows = slice(first, first + CHUNK)
        told = [conditions[row % count] for row in range(count * steps)[rows]]
        predict = backbone.predictor(_together(told))
        with capture(backbone.denoiser, paths, stop_after=True) as captured:
            predict(latents[rows], timesteps[rows])
        for name in paths:
            parts[name].append(captured[name])
    # pop: what is joined is given back at once, so that the maps are never all there twice
    return {name: torch.cat(parts.pop(name)) for name in paths}


def denoiser_maps(
    backbone: Backbone, taps: Sequence[Tap], noising: NoisingPath, words: Conditioning
) -> dict[str, Tensor]:
    """Maps of a UNet or a transformer by name, (rows c h w): a row for each timestep in turn.

    The network is left after its last map.

    Args:
        backbone: a loaded model.
        taps: which of its maps to read.
        noising: latents of the picture.
        words: what it is conditioned on, one row.
    """
    latents = noising.latents.to(backbone.device)
    timesteps = torch.tensor(noising.timesteps, device=backbone.device)
    size_px = (latents.shape[2] * backbone.stride, latents.shape[3] * backbone.stride)
    addresses = {tap.name: tap.address for tap in taps}
    parts: dict[str, list[Tensor]] = {name: [] for name in addresses}
    for first in range(0, len(latents), CHUNK):
        rows = slice(first, first + CHUNK)
        predict = backbone.predictor(words)
        with capture(backbone.denoiser, addresses, stop_after=True) as captured:
            predict(latents[rows], timesteps[rows])
        for tap in taps:
            parts[tap.name].append(as_map(captured[tap.name], tap, size_px=size_px))
    return {name: torch.cat(parts.pop(name)) for name in addresses}


def _placed(words: Conditioning, backbone: Backbone) -> Conditioning:
    """A conditioning where the backbone computes."""
    extra = {name: one.to(backbone.device) for name, one in words.extra.items()}
    return replace(words, states=words.states.to(backbone.device, backbone.dtype), extra=extra)


def _are_equal(one: Conditioning, other: Conditioning) -> bool:
    """Whether a network is told the same by both."""
    if not torch.equal(one.states, other.states) or one.extra.keys() != other.extra.keys():
        return False
    return all(torch.equal(tensor, other.extra[name]) for name, tensor in one.extra.items())


def _together(rows: Sequence[Conditioning]) -> Conditioning:
    """Conditionings of one row each, under one another."""
    extra = {name: torch.cat([one.extra[name] for one in rows]) for name in rows[0].extra}
    return Conditioning(torch.cat([one.states for one in rows]), "", extra)
