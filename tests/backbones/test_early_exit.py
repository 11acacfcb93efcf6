"""What leaving a transformer early saves, counted in operations on FLUX.1's own shape."""

import re
from pathlib import Path

import pytest
import torch
from diffusers import FluxTransformer2DModel
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from featurekit.taps.capture import capture

DOUBLES, SINGLES, WIDTH = 19, 38, 24 * 128
PICTURE, TEXT = (1024 // 16) ** 2, 512
TOKENS = PICTURE + TEXT
# q, k, v, out and two layers of four times the width; then queries by keys and maps by values
BLOCK = 2 * TOKENS * 12 * WIDTH**2 + 4 * TOKENS**2 * WIDTH
EMBEDDING = 2 * (PICTURE * 64 + TEXT * 4096) * WIDTH
PAGE = Path(__file__).parents[2] / "docs" / "recipes.md"


@pytest.fixture(scope="module")
def network():
    with torch.device("meta"):
        return FluxTransformer2DModel(guidance_embeds=True).eval()


@torch.no_grad()
def operations(network, tap=None):
    """Of one call, two for a multiply-add; with a tap, until it has fired."""
    with torch.device("meta"):
        given = {
            "hidden_states": torch.zeros(1, PICTURE, 64),
            "encoder_hidden_states": torch.zeros(1, TEXT, 4096),
            "pooled_projections": torch.zeros(1, 768),
            "timestep": torch.zeros(1),
            "guidance": torch.zeros(1),
            "img_ids": torch.zeros(PICTURE, 3),
            "txt_ids": torch.zeros(TEXT, 3),
        }
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        if tap is None:
            network(**given)
        else:
            with capture(network, {"tap": tap}, stop_after=True) as found:
                network(**given)
            assert found["tap"].shape == (1, TOKENS if "norm" in tap else PICTURE, WIDTH)
    return counter.get_total_flops()


def test_the_shape_is_that_of_flux(network):
    assert len(network.transformer_blocks) == DOUBLES
    assert len(network.single_transformer_blocks) == SINGLES
    assert network.inner_dim == WIDTH
    assert sum(weight.numel() for weight in network.parameters()) == 11_901_408_320


@pytest.mark.parametrize(("tap", "blocks"), [
    ("transformer_blocks.0:out1", 1),
    ("single_transformer_blocks.9.norm:out0", DOUBLES + 9),
    ("single_transformer_blocks.9:out1", DOUBLES + 10),
])  # fmt: skip
def test_what_follows_a_tap_is_not_computed(network, tap, blocks):
    assert operations(network, tap) == pytest.approx(EMBEDDING + blocks * BLOCK, rel=0.003)


def test_the_share_of_a_forward_is_the_one_on_the_page(network):
    whole = operations(network)
    assert whole == pytest.approx(EMBEDDING + (DOUBLES + SINGLES) * BLOCK, rel=0.003)
    share = operations(network, "single_transformer_blocks.9.norm:out0") / whole
    told = re.search(r"(\d+\.\d) % of the operations", PAGE.read_text(encoding="utf-8"))
    assert float(told[1]) == round(100 * share, 1)
