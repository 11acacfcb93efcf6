"""Taps of transformers as wide as published ones, from their configs alone."""

import pytest
import torch
from diffusers import (
    Lumina2Transformer2DModel,
    PixArtTransformer2DModel,
    SanaTransformer2DModel,
    SD3Transformer2DModel,
)

from featurekit.backbones.dit.blocks import block_taps, inner_taps
from featurekit.backbones.dit.lumina2 import Lumina2
from featurekit.backbones.dit.pixart import PixArt
from featurekit.backbones.dit.sana import Sana
from featurekit.backbones.dit.sd3 import StableDiffusion3

WIDE = {  # the classes' own widths are those of published models
    "sd3": (StableDiffusion3, SD3Transformer2DModel, {}),
    "sd35": (
        StableDiffusion3,
        SD3Transformer2DModel,
        {"dual_attention_layers": (0, 1), "qk_norm": "rms_norm"},
    ),
    "pixart": (PixArt, PixArtTransformer2DModel, {"caption_channels": 4096}),
    "sana": (Sana, SanaTransformer2DModel, {}),
    "sana15": (Sana, SanaTransformer2DModel, {"qk_norm": "rms_norm_across_heads"}),
    "lumina2": (Lumina2, Lumina2Transformer2DModel, {}),
}

NARROW = {
    "num_layers": 2,
    "num_refiner_layers": 1,
    "hidden_size": 16,
    "num_attention_heads": 2,
    "num_kv_heads": None,
}


@pytest.mark.parametrize("name", list(WIDE))
def test_every_tap_is_a_module_of_the_network_and_as_wide(name):
    family, make, settings = WIDE[name]
    with torch.device("meta"):
        network = make(num_layers=3, **settings)
    modules = dict(network.named_modules())
    stacks = family.stacks(network.config)
    taps = [*block_taps(stacks, 16), *inner_taps(stacks, 16)]
    assert len({tap.name for tap in taps}) == len(taps) > 30
    assert {tap.path for tap in taps} <= modules.keys()
    widths = {
        tap.name: (tap.channels, modules[tap.path].out_features)
        for tap in taps
        if isinstance(modules[tap.path], torch.nn.Linear)
    }
    assert len(widths) >= 3 * 5
    assert [name for name, (told, true) in widths.items() if told != true] == []


def test_words_are_no_maps_of_blocks():
    stacks = Lumina2.stacks(NARROW)
    assert [tap.name for tap in block_taps(stacks, 16)] == ["refiner0", "block0", "block1"]
    inner = {tap.name: tap for tap in inner_taps(stacks, 16)}
    assert inner["words0"].form == "words"
    assert inner["words0"].stride == 0
    assert (inner["block0.in"].place, inner["refiner0.in"].place) == ("last", "all")
