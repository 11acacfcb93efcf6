"""The scale of guidance that a distilled network is told is the stock pipelines'."""

import pytest
import torch
from diffusers import LatentConsistencyModelPipeline

from featurekit.diffusion.guidance_embedding import guidance_embedding


@pytest.mark.parametrize("width", [4, 32, 33, 256])
@pytest.mark.parametrize("scale", [1.0, 1.5, 7.5, -2.0])
def test_the_embedding_is_the_stock_one_of_scale_minus_one(scale, width):
    stock = LatentConsistencyModelPipeline.get_guidance_scale_embedding
    expected = stock(None, torch.tensor([scale - 1]), width)
    torch.testing.assert_close(guidance_embedding(scale, width), expected, rtol=0, atol=1e-5)
