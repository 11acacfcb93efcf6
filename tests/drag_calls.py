"""Counts the calls of a planned drag."""

from collections import Counter

import torch
from omegaconf import OmegaConf

import featurekit as fk
from featurekit_drag.config import warp_settings_of
from featurekit_drag.engine.points import Points
from featurekit_drag.engine.request import Region, Request
from featurekit_drag.redraw.warp_drag import WarpDrag


class Counted:
    """A backbone that counts the rows of its calls: all of them, and the most of one call."""

    def __init__(self, backbone):
        self._backbone, self.rows, self.most = backbone, Counter(), Counter()

    def __getattr__(self, name):
        return getattr(self._backbone, name)

    def _count(self, call, rows):
        self.rows[call] += rows
        self.most[call] = max(self.most[call], rows)

    def encode(self, image):
        self._count("encode", len(image))
        return self._backbone.encode(image)

    def decode(self, latent):
        self._count("decode", len(latent))
        return self._backbone.decode(latent)

    def predictor(self, conditioning, guidance=1.0):
        predict = self._backbone.predictor(conditioning, guidance)
        assert guidance == 1.0

        def counting(z, t):
            stops = any(
                module._forward_hooks for module in self._backbone.unet.modules()
            )  # as capture leaves the network early
            self._count("features" if stops else "redraw", len(z))
            return predict(z, t)

        return counting


def rows_of(backbone, preset):
    """Settings of one drag with a hole; its rows of each call, and the most of one."""
    words = ["plugin=drag", f"experiment={preset}", "backbone=sd15"]
    settings = warp_settings_of(OmegaConf.to_object(fk.compose(words).plugin))
    mask = torch.zeros(1, 1, 32, 32)
    mask[..., 6:14, 6:14] = 1
    region = Region(mask, torch.tensor([10.0, 3.0]).double())
    row = torch.tensor([region.row], dtype=torch.float64)
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    request = Request(image, Points(row[:, :2], row[:, 2:]), regions=(region,))
    counted = Counted(backbone)
    edit = WarpDrag(counted, settings)(request)
    assert edit.facts["uncovered_share"] > 0
    return settings, counted.rows, counted.most
