"""What a command will cost, said before it begins: by one call of the network, measured."""

import time
from collections.abc import Sequence

import torch

from featurekit.cli.progress_bars import say
from featurekit.diffusion.backbone import Backbone
from featurekit.pipeline.stages import lasting

FEW_CALLS = 10  # of which measuring two would be a good part, and which are soon done


@torch.no_grad()
def say_cost(backbone: Backbone, size_px: Sequence[int], calls: int, *, of: str = "") -> None:
    """Tell how long so many calls of the network last, one row each.

    Args:
        backbone: a loaded model.
        size_px: height and width of the picture.
        calls: how many rows go through the network; nothing is measured where they are few.
        of: what they are for, for the line.
    """
    if calls < FEW_CALLS:
        return
    height, width = size_px
    latent = backbone.encode(torch.zeros(1, 3, height, width))
    predict, t = backbone.predictor(backbone.embed("")), backbone.noise.train_timesteps // 2
    float(predict(latent, t).sum())  # the first touch of memory is slow
    began = time.perf_counter()
    float(predict(latent, t).sum())  # waits for whatever device it is
    seconds = time.perf_counter() - began
    say(
        f"{of}{calls} rows through the network of {backbone.name}, about "
        f"{lasting(calls * seconds)} by one of {width}x{height} px, which took {seconds:.2g} s"
    )
