"""What a drag by a plan costs on SD 1.5 at 512 px, counted: calls of a run, FLOPs of each."""

import pytest
import torch
from drag_calls import rows_of
from torch.utils.flop_counter import FlopCounterMode

from featurekit.backbones import load
from featurekit.backbones.unet import sd
from featurekit.taps.attention_sharing import self_attention_paths, share_attention
from featurekit.taps.capture import capture

FORWARD = 0.8033e12  # FLOPs of SD 1.5's UNet at 512 px, multiplications and additions
PARTS = ("up_blocks.2", "up_blocks.3")


@pytest.fixture(scope="module")
def small():
    return load("random", device="cpu")


@pytest.fixture(scope="module")
def price():
    """FLOPs of each call with one row, in forwards of the UNet."""
    backbone = sd.from_config("sd15", device="meta")
    latent = torch.zeros(2, 4, 64, 64, device="meta")
    words = torch.zeros(2, 77, 768, device="meta")

    def forward(rows):
        return backbone.unet(
            latent[:rows], torch.tensor(201), encoder_hidden_states=words[:rows], return_dict=False
        )

    def features():
        with capture(backbone.unet, {"up2": backbone.taps["up2"].path}, stop_after=True):
            forward(1)

    def shared():
        paths = self_attention_paths(backbone.unet, PARTS)
        with share_attention(backbone.unet, paths, rows=2):
            forward(2)

    calls = {
        "encode": lambda: backbone.encode(torch.zeros(1, 3, 512, 512, device="meta")),
        "decode": lambda: backbone.decode(latent[:1]),
        "features": features,
        "redraw": shared,
    }
    found = {}
    for name, call in calls.items():
        with torch.no_grad(), FlopCounterMode(display=False) as counted:
            call()
        found[name] = counted.get_total_flops() / FORWARD
    found["redraw"] /= 2  # each row of a batch costs the same
    return found


def test_the_prices_are_those_of_sd(price):
    assert price["redraw"] == pytest.approx(1, rel=1e-3)
    assert price["features"] == pytest.approx(0.754, abs=0.01)
    assert price["encode"] == pytest.approx(1.390, abs=0.01)
    assert price["decode"] == pytest.approx(3.130, abs=0.01)


def cost(rows, price):
    return sum(count * price[name] for name, count in rows.items())


@pytest.mark.parametrize(
    ("preset", "rows", "most"),
    [
        ("drag_warp", {"encode": 4, "features": 4, "redraw": 2}, 12),
        ("drag_fast", {"encode": 2, "features": 1, "redraw": 4, "decode": 1}, 12),
        # whether the model knows the picture takes 2 rows, and 4 and an encoding of what does not
        ("drag_balanced", {"encode": 7, "features": 4, "redraw": 31, "decode": 4}, 60),
    ],
)
def test_a_drag_costs_no_more_forwards_than_it_may(small, price, preset, rows, most):
    _, found, _ = rows_of(small, preset)
    assert dict(found) == rows
    assert cost(found, price) <= most


def test_a_plan_of_four_encodings_costs_less_than_twelve_forwards(small, price):
    settings, found, _ = rows_of(small, "drag_balanced")
    shifts = settings.plan.shifts**2
    assert shifts == found["features"] == 4
    assert settings.plan.taps == ("up2",)  # as it was counted
    assert shifts * (price["encode"] + price["features"]) <= 12
