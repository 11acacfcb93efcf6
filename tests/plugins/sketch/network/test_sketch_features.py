"""Features: pictures are joined in order, and pairs that are one map twice stay so."""

import torch
from invented import feature_taps, features, one_half

from featurekit_sketch.network.features import Features

SMALL = feature_taps("embedded")


def shared(given):
    """Pairs that are one map twice, in memory of their own."""
    cut = {name: one[:, :, :1].clone() for name, one in given.unet.items()}
    unet = {name: one.expand(-1, -1, 2, -1, -1, -1) for name, one in cut.items()}
    return Features(unet=unet, vae=given.vae, image=given.image)


def test_joined_pairs_of_one_map_stay_so_and_their_memory_counts_once():
    whole = [features(SMALL, 32, 32, timesteps=3, seed=seed) for seed in range(2)]
    joined = Features.together([one_half(one) for one in whole])
    for name, one in joined.unet.items():
        assert one.stride(2) == 0
        assert torch.equal(one[:, :, 1], torch.cat([part.unet[name][:, :, 0] for part in whole]))
    pairs = 4 * sum(one.numel() for one in joined.unet.values())
    rest = 4 * sum(one.numel() for one in (*joined.vae.values(), joined.image))
    assert joined.bytes == pairs // 2 + rest
    assert Features.together(whole).bytes == pairs + rest


def test_pictures_are_joined_in_order_even_where_one_shares_its_pairs_and_one_does_not():
    one, two = (features(SMALL, 32, 32, timesteps=3, rows=rows, seed=rows) for rows in (1, 2))
    one = shared(one)
    joined = Features.together([one, two])
    for kind in ("unet", "vae"):
        for name, maps in getattr(joined, kind).items():
            expected = torch.cat([getattr(part, kind)[name] for part in (one, two)])
            assert torch.equal(maps, expected), name
    assert torch.equal(joined.image, torch.cat([one.image, two.image]))


def test_another_dtype_keeps_values_and_takes_half_the_memory():
    whole = features(SMALL, 32, 32, timesteps=3)
    other = whole.to(torch.device("cpu"), torch.bfloat16)
    assert other.bytes == whole.bytes // 2
    for kind in ("unet", "vae"):
        for name, one in getattr(whole, kind).items():
            assert torch.equal(getattr(other, kind)[name], one.bfloat16())
    assert torch.equal(other.image, whole.image.bfloat16())


def test_another_dtype_keeps_pairs_of_one_map():
    whole = shared(features(SMALL, 32, 32, timesteps=3))
    other = whole.to(torch.device("cpu"), torch.bfloat16)
    assert all(one.stride(2) == 0 for one in other.unet.values())
    assert other.bytes == whole.bytes // 2
